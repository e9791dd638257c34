//! Where packets to an address were last sent: what lblc and lblcr remember, within bounds, for all
//! workers.
//!
//! The kernel's table has 16,384 entries as a soft maximum and a timer that sweeps it. This one has
//! as many as a hard maximum: a new address takes the place of the one idle longest among the
//! sixteen of its bucket, and what has been idle too long counts as absent.
//!
//! A bucket is locked while a worker chooses for an address of it, so that two that ask at once are
//! told the same. A worker that does not get the lock within microseconds chooses without it.

use super::SchedulerKind;
use super::hash::hash_32;
use super::lblcr::Set;
use super::least::Seat;
use crate::address::Address;
use crate::ids::DestId;
use crate::limits::{LOCALITY_BITS, LOCALITY_WAYS};
use crate::service::ServiceKey;
use crate::time::{Tick, ticks};
use arrayvec::ArrayVec;
use std::sync::{Arc, Mutex, MutexGuard, TryLockError};

/// How long an address is remembered that nobody asks for, if nothing else is said
/// (`DEFAULT_EXPIRATION` of `ip_vs_lblc.c` and `ip_vs_lblcr.c`): a day, in ticks.
pub const EXPIRATION: u32 = ticks(24 * 60 * 60);

/// Times a lock is asked for.
const TRIES: usize = 128;

/// What the workers remember for one service, over snapshots.
#[derive(Debug)]
pub enum Locality {
    /// Of each address one destination.
    Lblc(Map<Near>),
    /// Of each address a set of them.
    Lblcr(Map<Set>),
}

impl Locality {
    /// What a service of this scheduler goes on with: what is `known`, if it is the scheduler's own,
    /// else nothing yet. Others than lblc and lblcr remember nothing.
    pub fn of(kind: SchedulerKind, key: ServiceKey, known: Option<Arc<Self>>) -> Option<Arc<Self>> {
        match (kind, known.as_deref()) {
            (SchedulerKind::Lblc, Some(Locality::Lblc(_)))
            | (SchedulerKind::Lblcr, Some(Locality::Lblcr(_))) => known,
            (SchedulerKind::Lblc, _) => Some(Arc::new(Locality::Lblc(Map::new(key)))),
            (SchedulerKind::Lblcr, _) => Some(Arc::new(Locality::Lblcr(Map::new(key)))),
            _ => None,
        }
    }
}

/// What is remembered, by destination address.
#[derive(Debug)]
pub struct Map<T> {
    buckets: Box<[Mutex<Bucket<T>>]>,
}

/// Addresses whose hash is one.
#[derive(Debug)]
pub struct Bucket<T>(ArrayVec<Entry<T>, LOCALITY_WAYS>);

#[derive(Debug)]
struct Entry<T> {
    address: u128,
    used: Tick,
    value: T,
}

impl<T> Map<T> {
    /// All the buckets a service can come to need: one if it has but one address.
    pub fn new(key: ServiceKey) -> Self {
        let size = match key {
            ServiceKey::Address { .. } => 1,
            ServiceKey::Fwmark { .. } => 1 << LOCALITY_BITS,
        };
        Map { buckets: (0..size).map(|_| Mutex::new(Bucket(ArrayVec::new()))).collect() }
    }

    /// The bucket of an address; `None` if others have it for too long.
    pub fn lock(&self, address: u128) -> Option<MutexGuard<'_, Bucket<T>>> {
        let place = hash_32(address.fold(), LOCALITY_BITS) % self.buckets.len();
        for _ in 0..TRIES {
            match self.buckets[place].try_lock() {
                Ok(bucket) => return Some(bucket),
                // Whatever panicked, an entry is written whole.
                Err(TryLockError::Poisoned(poisoned)) => return Some(poisoned.into_inner()),
                Err(TryLockError::WouldBlock) => std::hint::spin_loop(),
            }
        }
        None
    }
}

impl<T> Bucket<T> {
    /// What is remembered of the address, which is in use again, unless it was idle for `expiration`.
    pub fn find(&mut self, address: u128, now: Tick, expiration: u32) -> Option<&mut T> {
        let entry = self.0.iter_mut().find(|entry| entry.address == address)?;
        if age(now, entry.used) >= expiration {
            return None;
        }
        entry.used = now;
        Some(&mut entry.value)
    }

    /// Remembers this of the address instead of what was.
    pub fn insert(&mut self, address: u128, value: T, now: Tick) {
        let entry = Entry { address, used: now, value };
        let known = self.0.iter().position(|entry| entry.address == address);
        let idlest = || (0..self.0.len()).max_by_key(|&place| age(now, self.0[place].used));
        match known.or_else(|| self.0.is_full().then(idlest).flatten()) {
            Some(place) => self.0[place] = entry,
            None => self.0.push(entry),
        }
    }
}

/// Ticks since `then`, which another worker whose clock is a little ahead may have noted.
pub fn age(now: Tick, then: Tick) -> u32 {
    match now.since(then) {
        ahead if ahead > u32::MAX / 2 => 0,
        age => age,
    }
}

/// A destination that is remembered over snapshots.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Near {
    id: DestId,
    /// Where it was in the list when it was last looked up.
    place: u32,
}

impl Near {
    pub fn new(place: usize, seats: &[Seat]) -> Self {
        Near { id: seats[place].id, place: place as u32 }
    }

    pub fn is(&self, seat: &Seat) -> bool {
        self.id == seat.id
    }

    /// Its place in the list, unless it was removed.
    #[inline]
    pub fn find(&mut self, seats: &[Seat]) -> Option<usize> {
        let stayed = seats.get(self.place as usize).is_some_and(|seat| self.is(seat));
        if stayed { Some(self.place as usize) } else { self.search(seats) }
    }

    #[cold]
    fn search(&mut self, seats: &[Seat]) -> Option<usize> {
        let place = seats.iter().position(|seat| self.is(seat))?;
        self.place = place as u32;
        Some(place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::Family;
    use crate::service::example::dest;

    const MARK: ServiceKey = ServiceKey::Fwmark { mark: 1, family: Family::V4 };

    fn insert<T>(map: &Map<T>, address: u128, value: T, now: Tick) {
        map.lock(address).expect("nobody has it").insert(address, value, now);
    }

    fn find<T: Copy>(map: &Map<T>, address: u128, now: Tick) -> Option<T> {
        map.lock(address).expect("nobody has it").find(address, now, EXPIRATION).copied()
    }

    #[test]
    fn an_address_is_remembered_for_a_day_after_its_last_use() {
        let map = Map::new(MARK);
        let start = Tick(u32::MAX - 5);
        insert(&map, 7, 'a', start);
        assert_eq!(find(&map, 7, Tick(start.0 - 1)), Some('a'), "a clock that is behind");
        let nearly = start.after(EXPIRATION - 2);
        assert_eq!(find(&map, 7, nearly), Some('a'));
        assert_eq!(find(&map, 7, nearly.after(EXPIRATION - 1)), Some('a'));
        assert_eq!(find(&map, 7, nearly.after(2 * EXPIRATION)), None);
        assert_eq!(find(&map, 8, start), None);
    }

    #[test]
    fn a_service_with_one_address_has_one_bucket() {
        let key = ServiceKey::Address { proto: 6, vip: 7_u32.ip(), vport: 80 };
        let map = Map::new(key);
        assert_eq!(map.buckets.len(), 1);
        insert(&map, 7, 'a', Tick(1));
        insert(&map, 7, 'b', Tick(1));
        assert_eq!(find(&map, 7, Tick(1)), Some('b'));
        assert_eq!(map.lock(7).unwrap().0.len(), 1);
    }

    #[test]
    fn a_full_table_forgets_what_was_idle_longest_in_the_bucket() {
        let map = Map::new(MARK);
        let room = (LOCALITY_WAYS << LOCALITY_BITS) as u32;
        let address = |n: u32| 0x2001_0db8 << 96 | u128::from(n);
        (0..2 * room).for_each(|n| insert(&map, address(n), n, Tick(n)));
        let mut left = Vec::new();
        for bucket in &map.buckets {
            left.extend(bucket.lock().unwrap().0.iter().map(|entry| entry.value));
        }
        assert_eq!(left.len(), room as usize, "all buckets are full");
        let oldest = left.into_iter().min().unwrap();
        assert!(oldest >= room - room / 4, "{oldest}: nothing much older than the newest");
        assert_eq!(find(&map, address(2 * room - 1), Tick(2 * room)), Some(2 * room - 1));
    }

    #[test]
    fn whoever_does_not_get_the_bucket_in_time_goes_without() {
        let map = Map::<char>::new(MARK);
        let _held = map.lock(7).unwrap();
        assert!(map.lock(7).is_none());
    }

    #[test]
    fn what_is_known_is_kept_for_the_same_scheduler_alone() {
        use SchedulerKind::{Lblc, Lblcr, Rr};
        let lblc = Locality::of(Lblc, MARK, None);
        let kept = Locality::of(Lblc, MARK, lblc.clone());
        assert!(Arc::ptr_eq(lblc.as_ref().unwrap(), kept.as_ref().unwrap()));
        let other = Locality::of(Lblcr, MARK, lblc.clone());
        assert!(matches!(other.as_deref(), Some(Locality::Lblcr(_))));
        assert!(Locality::of(Rr, MARK, lblc).is_none());
    }

    #[test]
    fn a_destination_is_found_wherever_it_went_until_it_is_removed() {
        let list = |ids: &[u32]| ids.iter().map(|&id| Seat::of(&dest(id, 1))).collect::<Vec<_>>();
        let mut near = Near::new(1, &list(&[1, 2, 3]));
        for (ids, place) in
            [(&[1, 2, 3][..], Some(1)), (&[4, 1, 2, 3], Some(2)), (&[2], Some(0)), (&[1], None)]
        {
            assert_eq!(near.find(&list(ids)), place, "{ids:?}");
        }
    }
}
