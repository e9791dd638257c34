//! The datagrams that are remembered, in sets: all those between two addresses share one.
//!
//! So a flood between two addresses, whatever it does to the identification, takes room from itself
//! and from the few who share its set, which the secret keeps it from choosing.

use super::held::Chain;
use super::order::Order;
use super::seen::Seen;
use super::{Datagram, Refusal, hash};
use crate::limits::{FRAGMENT_SETS, FRAGMENT_WAYS};
use crate::time::Tick;

/// Slots in all sets.
pub(super) const SLOTS: usize = FRAGMENT_SETS * FRAGMENT_WAYS;

/// What is known of a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State<C> {
    /// Its first fragment has not arrived, or nobody has said yet what it means.
    Waiting,
    /// What its first fragment means.
    Known(C),
    /// Nothing of it passes.
    Condemned(Refusal),
}

/// A remembered datagram.
#[derive(Debug, Clone)]
pub(super) struct Entry<C> {
    pub datagram: Datagram,
    /// When the first of its fragments arrived.
    pub since: Tick,
    pub state: State<C>,
    pub seen: Seen,
    pub held: Chain,
}

/// All sets. Tags lie apart, so that looking through a set touches few cache lines.
pub(super) struct Sets<C> {
    secret: [u64; 2],
    /// By slot: a hash of the datagram, 0 for a free slot.
    tags: Box<[u16]>,
    /// Two lists for each set: its datagrams, oldest first, and its free slots.
    order: Order,
    entries: Box<[Option<Entry<C>>]>,
}

/// The set of a slot.
pub(super) fn set_of(slot: usize) -> usize {
    slot / FRAGMENT_WAYS
}

/// The lists of [`Sets::order`].
fn used(set: usize) -> usize {
    set
}

fn free(set: usize) -> usize {
    FRAGMENT_SETS + set
}

impl<C: Copy> Sets<C> {
    pub(super) fn new(secret: [u64; 2]) -> Sets<C> {
        let mut order = Order::new(SLOTS, 2 * FRAGMENT_SETS);
        (0..SLOTS).for_each(|slot| order.append(free(set_of(slot)), slot));
        let entries = (0..SLOTS).map(|_| None).collect();
        Sets { secret, tags: vec![0; SLOTS].into(), order, entries }
    }

    /// The datagram's slot.
    pub(super) fn find(&self, datagram: &Datagram) -> Option<usize> {
        let (set, tag) = self.place(datagram);
        let first = set * FRAGMENT_WAYS;
        let tags = self.tags[first..first + FRAGMENT_WAYS].iter().enumerate();
        let mut alike = tags.filter(|&(_, &other)| other == tag).map(|(way, _)| first + way);
        alike.find(|&slot| matches!(&self.entries[slot], Some(e) if e.datagram == *datagram))
    }

    /// The datagram that has to go before one that is not there can be put: none if its set has
    /// room, or the oldest in it.
    pub(super) fn in_the_way(&self, datagram: &Datagram) -> Option<usize> {
        let (set, _) = self.place(datagram);
        match self.order.newest(free(set)) {
            Some(_) => None,
            None => self.order.oldest(used(set)),
        }
    }

    /// Puts a datagram whose first fragment has just arrived into a free slot.
    ///
    /// # Panics
    /// If its set has none.
    pub(super) fn put(&mut self, datagram: &Datagram, now: Tick) -> usize {
        let (set, tag) = self.place(datagram);
        let slot = self.order.newest(free(set)).expect("whoever puts a datagram made room");
        self.order.remove(free(set), slot);
        self.order.append(used(set), slot);
        self.tags[slot] = tag;
        self.entries[slot] = Some(Entry {
            datagram: *datagram,
            since: now,
            state: State::Waiting,
            seen: Seen::default(),
            held: Chain::EMPTY,
        });
        slot
    }

    /// Frees a slot that is not free.
    pub(super) fn remove(&mut self, slot: usize) {
        self.order.remove(used(set_of(slot)), slot);
        self.order.append(free(set_of(slot)), slot);
        self.tags[slot] = 0;
        self.entries[slot] = None;
    }

    /// The datagram in a slot that is not free.
    pub(super) fn get(&self, slot: usize) -> &Entry<C> {
        self.entries[slot].as_ref().expect("a slot that was found")
    }

    /// The same, to be changed.
    pub(super) fn get_mut(&mut self, slot: usize) -> &mut Entry<C> {
        self.entries[slot].as_mut().expect("a slot that was found")
    }

    /// A datagram's set and tag.
    fn place(&self, datagram: &Datagram) -> (usize, u16) {
        let pair = hash::pair(datagram, self.secret);
        let set = (pair >> 32) as usize % FRAGMENT_SETS;
        (set, hash::tag(datagram, pair, self.secret))
    }
}
