//! One shard's records, and the buckets that find them by key.

use super::key::{MAX_ENGINE_DATA, TemplateKey};
use super::record::Record;
use super::slots::Slots;

/// Records in chains by hash. Who uses them is not known here.
pub(super) struct Shard {
    pub records: Slots<Record>,
    data: Slots<[u8; MAX_ENGINE_DATA + 1]>,
    /// First record of each chain, plus one; 0 for none. A power of two of them.
    buckets: Box<[u32]>,
    /// Where the search for a record that may give way goes on.
    pub probe: u32,
}

impl Shard {
    /// Room for so many records, and for the data of so many.
    pub fn new(records: usize, data: usize) -> Shard {
        let buckets = vec![0; records.next_power_of_two()].into();
        Shard { records: Slots::new(records), data: Slots::new(data), buckets, probe: 0 }
    }

    fn bucket(&self, hash: u32) -> usize {
        hash as usize & (self.buckets.len() - 1)
    }

    /// The record of a key.
    pub fn find(&self, key: &TemplateKey<'_>, hash: u32) -> Option<u32> {
        let mut next = self.buckets[self.bucket(hash)];
        while let Some(slot) = next.checked_sub(1) {
            let record = self.records.get(slot);
            if record.hash == hash && record.name == *key.name() && self.data(record) == key.data()
            {
                return Some(slot);
            }
            next = record.next;
        }
        None
    }

    /// What the engine found for a record's key.
    pub fn data(&self, record: &Record) -> &[u8] {
        record
            .data
            .checked_sub(1)
            .map_or(&[], |block| &self.data.get(block)[..record.name.data_len()])
    }

    /// Whether there is room for a template with this key.
    pub fn has_room(&self, key: &TemplateKey<'_>) -> bool {
        self.records.has_room() && (key.data().is_empty() || self.data.has_room())
    }

    /// Stores a record and lets look-ups find it; `None` if there is no room.
    pub fn insert(&mut self, key: &TemplateKey<'_>, hash: u32, record: Record) -> Option<u32> {
        if !self.has_room(key) {
            return None;
        }
        let data = self.store(key.data())?;
        let bucket = self.bucket(hash);
        let slot = self.records.take(record.indexed(hash, data, self.buckets[bucket]))?;
        self.buckets[bucket] = slot + 1;
        Some(slot)
    }

    /// Where the data is, plus one.
    fn store(&mut self, data: &[u8]) -> Option<u32> {
        if data.is_empty() {
            return Some(0);
        }
        let mut block = [0; MAX_ENGINE_DATA + 1];
        block[..data.len()].copy_from_slice(data);
        Some(self.data.take(block)? + 1)
    }

    /// Hides a record from look-ups; does nothing if it is.
    pub fn unindex(&mut self, slot: u32) {
        let record = *self.records.get(slot);
        if !record.is_indexed() {
            return;
        }
        match self.before(slot) {
            None => self.buckets[self.bucket(record.hash)] = record.next,
            Some(before) => self.records.get_mut(before).next = record.next,
        }
        self.records.get_mut(slot).unindexed();
    }

    /// The record before this one in its chain; `None` if it is the first.
    fn before(&self, slot: u32) -> Option<u32> {
        let mut before = None;
        let mut next = self.buckets[self.bucket(self.records.get(slot).hash)];
        while next != slot + 1 && next != 0 {
            before = Some(next - 1);
            next = self.records.get(next - 1).next;
        }
        before
    }

    /// Forgets a record.
    pub fn remove(&mut self, slot: u32) {
        self.unindex(slot);
        if let Some(block) = self.records.get(slot).data.checked_sub(1) {
            self.data.give(block);
        }
        self.records.give(slot);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conn::ConnFlags;
    use crate::ids::DestId;
    use crate::template::{Engine, NewTemplate};
    use crate::time::Tick;
    use std::net::IpAddr;

    /// A key by its data alone.
    fn key(data: &[u8]) -> TemplateKey<'_> {
        let client = IpAddr::from([10, 0, 0, 1]);
        TemplateKey::of_mark(client, 1).with_engine(Engine::Sip, data).expect("1 to 255 bytes")
    }

    fn insert(shard: &mut Shard, data: &[u8], hash: u32) -> u32 {
        let (addr, flags) = (IpAddr::from([10, 0, 0, 2]), ConnFlags::empty());
        let new = NewTemplate { dest: DestId(1), addr, port: 80, flags, timeout: 1 };
        let key = key(data);
        shard.insert(&key, hash, Record::new(&key, &new, Tick(0))).expect("room")
    }

    #[test]
    fn keys_that_share_a_hash_are_told_apart_and_leave_their_chain_in_any_order() {
        for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
            let mut shard = Shard::new(4, 4);
            let names = [b"one", b"two", b"six"];
            let slots = names.map(|data| insert(&mut shard, data, 7));
            let mut left = vec![0, 1, 2];
            assert_eq!(shard.find(&key(b"ten"), 7), None);
            for gone in order {
                shard.remove(slots[gone]);
                left.retain(|at| *at != gone);
                for at in 0..3 {
                    let slot = left.contains(&at).then_some(slots[at]);
                    assert_eq!(shard.find(&key(names[at]), 7), slot, "{order:?} {at}");
                }
            }
        }
    }
}
