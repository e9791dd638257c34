//! Reply keys that wait for their buckets.
//!
//! A conn's reply key is known only once it has a destination, so no earlier stage of the window can
//! load the key's buckets; to wait for them was nearly half of what a conn cost (measured: 155 of
//! 330 ns). A key therefore waits here while they load and other conns are made. Look-ups see what
//! waits, so that nobody else need know.

use super::hash::KeyHash;
use super::index::{Bucket, Reference, SLOTS};
use bytemuck::Zeroable;

/// The reply keys of the conns made last: as many as a bucket has slots, which hides the latency of
/// memory twice over. First come, first settled.
pub(super) struct Staged {
    /// Tags and references, as the index has them.
    slots: Bucket,
    hashes: [KeyHash; SLOTS],
    /// Where the next one goes, and in turn the one that has waited longest is.
    next: usize,
    waiting: usize,
}

impl Staged {
    pub(super) fn new() -> Staged {
        Staged { slots: Bucket::zeroed(), hashes: [KeyHash::default(); SLOTS], next: 0, waiting: 0 }
    }

    /// Takes a key in, and gives back the one whose place it needs.
    pub(super) fn push(
        &mut self,
        hash: KeyHash,
        reference: Reference,
    ) -> Option<(KeyHash, Reference)> {
        let longest = self.take(self.next);
        self.slots.put(self.next, hash.tag(), reference);
        self.hashes[self.next] = hash;
        self.next = (self.next + 1) % SLOTS;
        self.waiting += 1;
        longest
    }

    /// Takes out the key that has waited longest.
    pub(super) fn pop(&mut self) -> Option<(KeyHash, Reference)> {
        while self.waiting > 0 {
            let longest = self.take(self.next);
            self.next = (self.next + 1) % SLOTS;
            if longest.is_some() {
                return longest;
            }
        }
        None
    }

    fn take(&mut self, slot: usize) -> Option<(KeyHash, Reference)> {
        let reference = self.slots.take(slot)?;
        self.waiting -= 1;
        Some((self.hashes[slot], reference))
    }

    /// The slot with the key's tag that `is_it` confirms.
    #[inline]
    pub(super) fn find(
        &self,
        hash: KeyHash,
        is_it: impl Fn(Reference) -> bool,
    ) -> Option<Reference> {
        self.slots.find(hash.tag(), is_it)
    }

    /// Removes a key. `false`: it does not wait.
    pub(super) fn remove(&mut self, hash: KeyHash, reference: Reference) -> bool {
        let slot = self.slots.slot_of(hash.tag(), reference);
        slot.and_then(|slot| self.take(slot)).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conn::hash::hash;
    use crate::flow::{Direction, FlowKey};

    fn key(number: u32) -> (KeyHash, Reference) {
        let key = FlowKey { src: number, dst: 1, sport: 2, dport: 3, proto: 6 };
        (hash(&key, &[5, 7]), Reference::new(number, Direction::Outbound))
    }

    fn push(staged: &mut Staged, number: u32) -> Option<u32> {
        let (hash, reference) = key(number);
        let longest = staged.push(hash, reference);
        longest.inspect(|&(hash, reference)| assert_eq!((hash, reference), key(reference.entry())));
        longest.map(|(_, reference)| reference.entry())
    }

    fn waits(staged: &Staged, number: u32) -> bool {
        let (hash, reference) = key(number);
        staged.find(hash, |other| other == reference).is_some()
    }

    #[test]
    fn keys_wait_until_as_many_others_have_come_and_leave_in_their_order() {
        let mut staged = Staged::new();
        assert_eq!(staged.pop(), None);
        for number in 0..100 {
            assert!(!waits(&staged, number));
            assert_eq!(push(&mut staged, number), number.checked_sub(SLOTS as u32));
            let since = number.saturating_sub(SLOTS as u32 - 1);
            assert!((0..=number).all(|other| waits(&staged, other) == (other >= since)));
        }
        for number in 100 - SLOTS as u32..100 {
            assert_eq!(staged.pop(), Some(key(number)));
        }
        assert_eq!(staged.pop(), None);
    }

    #[test]
    fn a_key_that_is_removed_leaves_a_gap_that_nobody_waits_for() {
        let mut staged = Staged::new();
        for number in 0..SLOTS as u32 {
            push(&mut staged, number);
        }
        for number in [0, 3, 7] {
            let (hash, reference) = key(number);
            assert!(staged.remove(hash, reference));
            assert!(!staged.remove(hash, reference) && !waits(&staged, number));
        }
        assert_eq!([push(&mut staged, 20), push(&mut staged, 21)], [None, Some(1)]);
        let left: Vec<u32> =
            std::iter::from_fn(|| staged.pop()).map(|(_, reference)| reference.entry()).collect();
        assert_eq!(left, [2, 4, 5, 6, 20, 21]);
    }
}
