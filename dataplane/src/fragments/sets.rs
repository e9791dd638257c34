//! The datagrams that are remembered, in sets: all those between two addresses share one.
//!
//! So a flood between two addresses, whatever it does to the identification, takes room from itself
//! and from the few who share its set, which the secret keeps it from choosing.

use super::held::Chain;
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
    pub state: State<C>,
    pub seen: Seen,
    pub held: Chain,
}

/// All sets. Tags and times lie apart, so that looking through a set touches few cache lines.
pub(super) struct Sets<C> {
    secret: [u64; 2],
    /// By slot: a hash of the datagram, 0 for a free slot.
    tags: Box<[u16]>,
    /// By slot: when the first of its fragments arrived.
    since: Box<[Tick]>,
    entries: Box<[Option<Entry<C>>]>,
}

/// The set of a slot.
pub(super) fn set_of(slot: usize) -> usize {
    slot / FRAGMENT_WAYS
}

impl<C: Copy> Sets<C> {
    pub(super) fn new(secret: [u64; 2]) -> Sets<C> {
        Sets {
            secret,
            tags: vec![0; SLOTS].into(),
            since: vec![Tick::default(); SLOTS].into(),
            entries: (0..SLOTS).map(|_| None).collect(),
        }
    }

    /// The datagram's slot.
    pub(super) fn find(&self, datagram: &Datagram) -> Option<usize> {
        let (first, tag) = self.place(datagram);
        let tags = self.tags[first..first + FRAGMENT_WAYS].iter().enumerate();
        let mut alike = tags.filter(|&(_, &other)| other == tag).map(|(way, _)| first + way);
        alike.find(|&slot| matches!(&self.entries[slot], Some(e) if e.datagram == *datagram))
    }

    /// The slot that a datagram that is not there is to get: a free one, or the one in its set whose
    /// datagram is the oldest.
    pub(super) fn slot_for(&self, datagram: &Datagram, now: Tick) -> usize {
        let (first, _) = self.place(datagram);
        let ways = first..first + FRAGMENT_WAYS;
        let free = ways.clone().find(|&slot| self.tags[slot] == 0);
        let oldest = || ways.max_by_key(|&slot| now.since(self.since[slot]));
        free.or_else(oldest).expect("a set has ways")
    }

    /// Puts a datagram whose first fragment has just arrived into a free slot.
    pub(super) fn put(&mut self, slot: usize, datagram: &Datagram, now: Tick) {
        let (_, tag) = self.place(datagram);
        (self.tags[slot], self.since[slot]) = (tag, now);
        self.entries[slot] = Some(Entry {
            datagram: *datagram,
            state: State::Waiting,
            seen: Seen::default(),
            held: Chain::EMPTY,
        });
    }

    /// Frees a slot.
    pub(super) fn remove(&mut self, slot: usize) {
        self.tags[slot] = 0;
        self.entries[slot] = None;
    }

    pub(super) fn is_free(&self, slot: usize) -> bool {
        self.tags[slot] == 0
    }

    /// Ticks since the first fragment of the slot's datagram arrived.
    pub(super) fn age(&self, slot: usize, now: Tick) -> u32 {
        now.since(self.since[slot])
    }

    /// The datagram in a slot that is not free.
    pub(super) fn get_mut(&mut self, slot: usize) -> &mut Entry<C> {
        self.entries[slot].as_mut().expect("a slot that was found")
    }

    /// The first slot of a datagram's set, and its tag.
    fn place(&self, datagram: &Datagram) -> (usize, u16) {
        let pair = hash::pair(datagram, self.secret);
        let set = (pair >> 32) as usize % FRAGMENT_SETS;
        (set * FRAGMENT_WAYS, hash::tag(datagram, pair, self.secret))
    }
}
