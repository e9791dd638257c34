//! From key to entry: buckets of one cache line, eight slots of tag and reference each.
//!
//! A key has two buckets: the first from its hash, the second from the first and its tag alone, so
//! that a slot can be moved without knowing its key (partial-key cuckoo hashing; Fan et al.,
//! MemC3, NSDI 2013). A key goes to its first bucket while that has room, since then a look-up
//! reads one line; if both are full, slots of them move aside. Sized for [`LOAD_PERCENT`], where
//! moving one slot almost always suffices and failure is beyond any table's life.

use super::hash::KeyHash;
use crate::flow::Direction;
use crate::prefetch::prefetch;
use bytemuck::{Pod, Zeroable};
use wide::{CmpEq, i32x8};

/// Slots of a bucket: tags and references fill one cache line.
pub(super) const SLOTS: usize = 8;

/// Share of slots in use when the table is full of masq conns, which have two slots each. Measured with
/// a million conns in a full table, a windowed look-up: 15 ns at 60 %, 19 at 75, 21 at 80, 23 at 85.
const LOAD_PERCENT: usize = 75;

/// Buckets beyond that load, so that tables of a few conns have room for bad luck too.
const SPARE_BUCKETS: usize = 8;

/// Moves that may chain to make room: at most 2 · (8 + 64) buckets are read. With two, no chain
/// can move the slot it began with, since the bucket that it began with is full.
const MAX_MOVES: usize = 2;

/// Which entry, and by which of its keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reference(u32);

impl Reference {
    /// Refers to no entry: its index is beyond every table.
    pub(super) const NONE: Reference = Reference(u32::MAX);

    #[inline]
    pub(super) fn new(entry: u32, direction: Direction) -> Reference {
        Reference(entry << 1 | u32::from(direction == Direction::Outbound))
    }

    #[inline]
    pub(super) fn entry(self) -> u32 {
        self.0 >> 1
    }

    #[inline]
    pub(super) fn direction(self) -> Direction {
        if self.0 & 1 == 0 { Direction::Inbound } else { Direction::Outbound }
    }
}

/// Eight slots. A tag of 0 marks an empty one.
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
#[repr(C, align(64))]
pub(super) struct Bucket {
    tags: [u32; SLOTS],
    references: [u32; SLOTS],
}

const _: () = assert!(size_of::<Bucket>() == 64, "a bucket is one cache line");

impl Bucket {
    /// A bit for every slot with this tag.
    #[inline]
    fn tagged(&self, tag: u32) -> u32 {
        let tags: i32x8 = bytemuck::cast(self.tags);
        tags.cmp_eq(i32x8::splat(tag as i32)).move_mask() as u32
    }

    #[inline]
    fn empty_slot(&self) -> Option<usize> {
        let empty = self.tagged(0);
        (empty != 0).then(|| empty.trailing_zeros() as usize)
    }

    /// Fills a slot.
    pub(super) fn put(&mut self, slot: usize, tag: u32, reference: Reference) {
        self.tags[slot] = tag;
        self.references[slot] = reference.0;
    }

    /// Empties a slot.
    pub(super) fn take(&mut self, slot: usize) -> Option<Reference> {
        let tag = std::mem::take(&mut self.tags[slot]);
        (tag != 0).then(|| Reference(self.references[slot]))
    }

    /// The slot with this tag that `is_it` confirms.
    #[inline]
    pub(super) fn find(&self, tag: u32, is_it: impl Fn(Reference) -> bool) -> Option<Reference> {
        let mut found = self.tagged(tag);
        while found != 0 {
            let reference = Reference(self.references[found.trailing_zeros() as usize % SLOTS]);
            if is_it(reference) {
                return Some(reference);
            }
            found &= found - 1;
        }
        None
    }

    /// The slot with this tag and reference.
    pub(super) fn slot_of(&self, tag: u32, reference: Reference) -> Option<usize> {
        let mut found = self.tagged(tag);
        while found != 0 {
            let slot = found.trailing_zeros() as usize % SLOTS;
            if self.references[slot] == reference.0 {
                return Some(slot);
            }
            found &= found - 1;
        }
        None
    }
}

/// Buckets needed for `conns` conns with two keys each.
pub(super) fn buckets_for(conns: usize) -> usize {
    (2 * conns * 100).div_ceil(LOAD_PERCENT * SLOTS) + SPARE_BUCKETS
}

/// The index over its buckets, whose memory is the region's.
pub(super) struct Index {
    buckets: &'static mut [Bucket],
}

impl Index {
    /// An empty index in zeroed `buckets`.
    pub(super) fn new(buckets: &'static mut [Bucket]) -> Index {
        assert!(u32::try_from(buckets.len()).is_ok_and(|count| count > 0));
        Index { buckets }
    }

    #[inline]
    fn first(&self, hash: KeyHash) -> usize {
        spread(hash.place(), self.buckets.len())
    }

    /// The other bucket of a slot with this tag in `bucket`; its own inverse.
    #[inline]
    fn other(&self, bucket: usize, tag: u32) -> usize {
        // Odd multiplier: neighbouring tags, and the tag's high bits, all count.
        let sum = spread(tag.wrapping_mul(0x9e37_79b1), self.buckets.len());
        if sum >= bucket { sum - bucket } else { sum + self.buckets.len() - bucket }
    }

    /// Starts loading the bucket that the key is most likely in.
    #[inline]
    pub(super) fn prefetch(&self, hash: KeyHash) {
        prefetch(&self.buckets[self.first(hash)]);
    }

    /// Starts loading both buckets that the key can be in.
    #[inline]
    pub(super) fn prefetch_both(&self, hash: KeyHash) {
        let first = self.first(hash);
        prefetch(&self.buckets[first]);
        prefetch(&self.buckets[self.other(first, hash.tag())]);
    }

    /// The first slot with the key's tag in its first bucket. If there is none the key is most
    /// likely nowhere: [`Reference::NONE`], and its second bucket starts loading for the look-up
    /// that is to make sure.
    #[inline]
    pub(super) fn candidate(&self, hash: KeyHash) -> Reference {
        let first = self.first(hash);
        let bucket = &self.buckets[first];
        let found = bucket.tagged(hash.tag());
        if found != 0 {
            return Reference(bucket.references[found.trailing_zeros() as usize % SLOTS]);
        }
        prefetch(&self.buckets[self.other(first, hash.tag())]);
        Reference::NONE
    }

    /// The slot with the key's tag that `is_it` confirms.
    #[inline]
    pub(super) fn find(
        &self,
        hash: KeyHash,
        is_it: impl Fn(Reference) -> bool,
    ) -> Option<Reference> {
        let first = self.first(hash);
        let found = self.buckets[first].find(hash.tag(), &is_it);
        found.or_else(|| self.buckets[self.other(first, hash.tag())].find(hash.tag(), &is_it))
    }

    /// Adds a key that is not there yet. `false`, and nothing changed but the places of other
    /// slots, if no room could be made.
    #[must_use]
    pub(super) fn insert(&mut self, hash: KeyHash, reference: Reference) -> bool {
        let first = self.first(hash);
        let second = self.other(first, hash.tag());
        for moves in 0..=MAX_MOVES {
            for bucket in [first, second] {
                if let Some(slot) = self.make_room(bucket, moves) {
                    self.buckets[bucket].put(slot, hash.tag(), reference);
                    return true;
                }
            }
        }
        false
    }

    /// An empty slot of `bucket`, made by moving at most `moves` slots, each to its other bucket.
    fn make_room(&mut self, bucket: usize, moves: usize) -> Option<usize> {
        if moves == 0 {
            return self.buckets[bucket].empty_slot();
        }
        for slot in 0..SLOTS {
            let tag = self.buckets[bucket].tags[slot];
            let target = self.other(bucket, tag);
            if let Some(room) = self.make_room(target, moves - 1) {
                let reference = Reference(self.buckets[bucket].references[slot]);
                self.buckets[target].put(room, tag, reference);
                self.buckets[bucket].tags[slot] = 0;
                return Some(slot);
            }
        }
        None
    }

    /// Removes a key's slot.
    ///
    /// # Panics
    /// If it is not there: index and entries have parted.
    pub(super) fn remove(&mut self, hash: KeyHash, reference: Reference) {
        let first = self.first(hash);
        for bucket in [first, self.other(first, hash.tag())] {
            if let Some(slot) = self.buckets[bucket].slot_of(hash.tag(), reference) {
                self.buckets[bucket].tags[slot] = 0;
                return;
            }
        }
        panic!("a live conn's key is in the index");
    }
}

/// Maps 32 uniform bits to `0..count` without a division.
#[inline]
fn spread(bits: u32, count: usize) -> usize {
    ((u64::from(bits) * count as u64) >> 32) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conn::hash::hash;
    use crate::flow::FlowKey;
    use crate::testing::Rng;

    fn index(buckets: usize) -> Index {
        Index::new(Box::leak(vec![Bucket::zeroed(); buckets].into()))
    }

    fn hash_of(number: u32) -> KeyHash {
        let key = FlowKey { src: number, dst: 1, sport: 2, dport: 3, proto: 6 };
        hash(&key, &[0x5851_f42d_4c95_7f2d, 0x1405_7b7e_f767_814f])
    }

    fn reference(number: u32) -> Reference {
        Reference::new(number, Direction::Outbound)
    }

    #[test]
    fn a_slots_other_buckets_other_bucket_is_its_own() {
        let mut random = Rng::new(2);
        for buckets in [1, 2, 9, 10, 1_000, 4_096, 1_000_003] {
            let index = index(buckets);
            for _ in 0..1_000 {
                let (bucket, tag) = (random.below(buckets), random.next() as u32);
                let other = index.other(bucket, tag);
                assert!(other < buckets);
                assert_eq!(index.other(other, tag), bucket);
            }
        }
    }

    #[test]
    fn keys_stay_found_while_slots_move_aside_up_to_nine_tenths_full() {
        let buckets = if cfg!(miri) { 20 } else { 2_000 };
        let mut index = index(buckets);
        let keys = (buckets * SLOTS * 9 / 10) as u32;
        for number in 0..keys {
            assert!(index.insert(hash_of(number), reference(number)), "at {number}");
        }
        let found = |index: &Index, number: u32| {
            index.find(hash_of(number), |slot| slot == reference(number)).is_some()
        };
        assert!((0..keys).all(|number| found(&index, number)));
        let first = |number| index.candidate(hash_of(number)) == reference(number);
        let in_first = (0..keys).filter(|&number| first(number)).count();
        assert!(in_first < keys as usize, "some moved");
        for number in (0..keys).step_by(2) {
            index.remove(hash_of(number), reference(number));
        }
        assert!((0..keys).all(|number| found(&index, number) == (number % 2 == 1)));
    }

    #[test]
    fn an_insertion_that_fails_leaves_every_key_findable() {
        let mut index = index(16);
        let mut kept = vec![];
        for number in 0..1_000 {
            if index.insert(hash_of(number), reference(number)) {
                kept.push(number);
            }
        }
        assert_eq!(kept.len(), 16 * SLOTS, "in the end every slot is used");
        for number in kept {
            let found = index.find(hash_of(number), |slot| slot == reference(number));
            assert_eq!(found, Some(reference(number)));
        }
    }

    #[test]
    fn keys_with_equal_tags_are_told_apart_by_their_references() {
        let mut index = index(4);
        let hash = hash_of(1);
        for number in 0..3 {
            assert!(index.insert(hash, reference(number)));
        }
        index.remove(hash, reference(1));
        let there = |number| index.find(hash, |slot| slot == reference(number)).is_some();
        assert_eq!([there(0), there(1), there(2)], [true, false, true]);
        assert_eq!(index.find(hash, |_| false), None);
    }
}
