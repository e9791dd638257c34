//! Where packets to an address were last sent: what lblc and lblcr remember, within bounds.
//!
//! The kernel's table has 16,384 entries as a soft maximum and a timer that sweeps it. This one has
//! as many as a hard maximum: a new address takes the place of the one idle longest among the
//! sixteen of its bucket, and what has been idle too long counts as absent.

use super::hash::hash_32;
use super::{Loads, is_available};
use crate::address::Address;
use crate::ids::DestId;
use crate::limits::{LOCALITY_BITS, LOCALITY_WAYS};
use crate::service::{Dest, Service, ServiceKey};
use crate::time::{Tick, ticks};

/// An address nobody asked for as long as this is forgotten (`DEFAULT_EXPIRATION` of `ip_vs_lblc.c`
/// and `ip_vs_lblcr.c`): a day.
pub const EXPIRATION: u32 = ticks(24 * 60 * 60);

/// What is remembered, by destination address.
#[derive(Debug, Clone)]
pub struct Locality<T> {
    /// [`LOCALITY_WAYS`] to a bucket, or a single one in all.
    entries: Box<[Option<Entry<T>>]>,
}

#[derive(Debug, Clone)]
struct Entry<T> {
    address: u128,
    used: Tick,
    value: T,
}

impl<T> Entry<T> {
    fn is_idle(&self, now: Tick) -> bool {
        now.since(self.used) >= EXPIRATION
    }
}

impl<T> Locality<T> {
    /// All the entries a service can come to need: one if it has but one address.
    pub fn new(service: &Service) -> Self {
        let size = match service.key {
            ServiceKey::Address { .. } => 1,
            ServiceKey::Fwmark { .. } => LOCALITY_WAYS << LOCALITY_BITS,
        };
        Locality { entries: (0..size).map(|_| None).collect() }
    }

    fn bucket(&mut self, address: u128) -> &mut [Option<Entry<T>>] {
        let ways = self.entries.len().min(LOCALITY_WAYS);
        let buckets = self.entries.len() / ways;
        let first = hash_32(address.fold(), LOCALITY_BITS) % buckets * ways;
        &mut self.entries[first..first + ways]
    }

    /// What is remembered of the address, which is in use again.
    pub fn find(&mut self, address: u128, now: Tick) -> Option<&mut T> {
        let entries = self.bucket(address).iter_mut().flatten();
        let entry = { entries }.find(|entry| entry.address == address && !entry.is_idle(now))?;
        entry.used = now;
        Some(&mut entry.value)
    }

    /// Remembers this of the address instead of what was.
    pub fn insert(&mut self, address: u128, value: T, now: Tick) {
        let bucket = self.bucket(address);
        let age = |entry: &Option<Entry<T>>| match entry {
            Some(entry) if entry.address == address => u64::MAX,
            None => u64::MAX - 1,
            Some(entry) => now.since(entry.used).into(),
        };
        let entry = bucket.iter_mut().max_by_key(|entry| age(entry));
        *entry.expect("a bucket has room for one") = Some(Entry { address, used: now, value });
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
    pub fn new(place: usize, dests: &[Dest]) -> Self {
        Near { id: dests[place].id, place: place as u32 }
    }

    pub fn is(&self, dest: &Dest) -> bool {
        self.id == dest.id
    }

    /// Its place in the list, unless it was removed.
    pub fn find(&mut self, dests: &[Dest]) -> Option<usize> {
        let stayed = dests.get(self.place as usize).is_some_and(|dest| self.is(dest));
        if !stayed {
            self.place = dests.iter().position(|dest| self.is(dest))? as u32;
        }
        Some(self.place as usize)
    }
}

/// Whether a remembered destination may be used again: available, and not so loaded that another
/// had better be (`is_overloaded` of `ip_vs_lblc.c` and `ip_vs_lblcr.c`): with more active conns
/// than its weight while some other has less than half of its.
///
/// lblc of the kernel looks at no upper threshold here. As it is a hard limit to us, a destination
/// that has reached it would be refused, so another is chosen.
pub fn is_welcome(place: usize, dests: &[Dest], loads: &impl Loads) -> bool {
    let dest = &dests[place];
    let is_half_idle = |dest: &Dest| 2 * u64::from(loads.active(dest.id)) < u64::from(dest.weight);
    let is_crowded = || loads.active(dest.id) > dest.weight && dests.iter().any(is_half_idle);
    is_available(dest) && !is_crowded()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::Family;
    use crate::service::example::{dest, service};

    fn marked() -> Service {
        let key = ServiceKey::Fwmark { mark: 1, family: Family::V4 };
        Service { key, ..service(Vec::new()) }
    }

    #[test]
    fn an_address_is_remembered_for_a_day_after_its_last_use() {
        let mut map = Locality::new(&marked());
        let start = Tick(u32::MAX - 5);
        map.insert(7, 'a', start);
        let nearly = start.after(EXPIRATION - 1);
        assert_eq!(map.find(7, nearly), Some(&mut 'a'));
        assert_eq!(map.find(7, nearly.after(EXPIRATION - 1)), Some(&mut 'a'));
        assert_eq!(map.find(7, nearly.after(2 * EXPIRATION)), None);
        assert_eq!(map.find(8, start), None);
    }

    #[test]
    fn a_service_with_one_address_has_room_for_it_alone() {
        let mut map = Locality::new(&service(Vec::new()));
        assert_eq!(map.entries.len(), 1);
        map.insert(7, 'a', Tick(1));
        map.insert(7, 'b', Tick(1));
        assert_eq!(map.find(7, Tick(1)), Some(&mut 'b'));
    }

    #[test]
    fn a_full_table_forgets_what_was_idle_longest_in_the_bucket() {
        let mut map = Locality::new(&marked());
        let room = map.entries.len() as u32;
        let address = |n: u32| 0x2001_0db8 << 96 | u128::from(n);
        (0..2 * room).for_each(|n| map.insert(address(n), n, Tick(n)));
        assert_eq!(map.entries.iter().flatten().count(), room as usize, "all buckets are full");
        let mut ages: Vec<u32> = map.entries.iter().flatten().map(|entry| entry.value).collect();
        ages.sort_unstable();
        assert!(ages[0] >= room - room / 4, "{}: nothing much older than the newest", ages[0]);
        assert_eq!(map.find(address(2 * room - 1), Tick(2 * room)), Some(&mut (2 * room - 1)));
    }

    #[test]
    fn a_destination_is_found_wherever_it_went_until_it_is_removed() {
        let list = |ids: &[u32]| ids.iter().map(|&id| dest(id, 1)).collect::<Vec<_>>();
        let mut near = Near::new(1, &list(&[1, 2, 3]));
        for (ids, place) in
            [(&[1, 2, 3][..], Some(1)), (&[4, 1, 2, 3], Some(2)), (&[2], Some(0)), (&[1], None)]
        {
            assert_eq!(near.find(&list(ids)), place, "{ids:?}");
        }
    }
}
