//! The table: entries, and what finds, times and recycles them.

use super::entry::{Conn, ConnFlags};
use super::free::FreeRing;
use super::hash::{KeyHash, hash};
use super::index::{Index, Reference};
use super::keys::{Hashed, Keys};
use super::region::{Header, Parts, Region, RegionError};
use super::side::{SideKind, SideRecord, SideTable};
use super::wheel::Wheel;
use super::{Candidate, ConnId, InsertError, NewConn, TableConfig};
use crate::flow::{Direction, FlowKey};
use crate::limits::WINDOW;
use crate::prefetch::prefetch;
use crate::time::Tick;
use bytemuck::Zeroable;
use std::ops::Range;
use std::sync::atomic::{Ordering, compiler_fence};

/// Entries beyond the capacity. Those freed in a window are not used in it, and that must not be
/// felt when the table is full: a window's packets make one conn each at most, and as many more may
/// come from elsewhere (FTP data, sync).
pub(super) const SPARE_ENTRIES: usize = 2 * WINDOW;

/// Conns looked at for a half-open one when the table is full.
pub const EVICTION_PROBES: usize = 32;

/// How far ahead the entries of conns to come are loaded.
const PREFETCH_FREE: usize = 8;

/// The connections of one worker.
pub struct ConnTable {
    header: &'static mut [Header],
    entries: &'static mut [Conn],
    index: Index,
    side: SideTable,
    free: FreeRing,
    wheel: Wheel,
    secret: [u64; 2],
    capacity: usize,
    live: usize,
    /// Where the search for a half-open conn goes on.
    probe: usize,
}

impl ConnTable {
    /// An empty table. All its memory is taken here and kept for the life of the process.
    ///
    /// # Errors
    /// When there is not that much memory, or not that many huge pages if they are asked for.
    pub fn new(config: &TableConfig) -> Result<ConnTable, RegionError> {
        let header = Header::new(config.capacity, config.side_capacity, config.secret);
        let parts = Region::new(header, config.huge_pages)?.into_parts()?;
        let mut table = ConnTable::over(parts, |_, _| false);
        (0..table.entries.len() as u32).for_each(|entry| table.free.give(entry));
        table.free.end_window();
        Ok(table)
    }

    /// A table over a region's parts with no entry live, free or filed.
    pub(super) fn over(parts: Parts, side_in_use: impl Fn(u32, &SideRecord) -> bool) -> ConnTable {
        let Header { secret, capacity, .. } = parts.header[0];
        ConnTable {
            index: Index::new(parts.buckets),
            side: SideTable::new(parts.side, side_in_use),
            free: FreeRing::new(parts.entries.len()),
            wheel: Wheel::new(),
            header: parts.header,
            entries: parts.entries,
            secret,
            capacity: capacity as usize,
            live: 0,
            probe: 0,
        }
    }

    /// Hashes a key for this table.
    #[inline]
    pub fn hash(&self, key: &FlowKey) -> KeyHash {
        hash(key, &self.secret)
    }

    /// First stage of a look-up in a window: starts loading the key's bucket.
    #[inline]
    pub fn prefetch(&self, hash: KeyHash) {
        self.index.prefetch(hash);
    }

    /// Second stage: reads the bucket and starts loading the entry that its tags point to.
    #[inline]
    pub fn candidate(&self, hash: KeyHash) -> Candidate {
        let reference = self.index.candidate(hash);
        if let Some(conn) = self.entries.get(reference.entry() as usize) {
            prefetch(conn);
        }
        Candidate(reference)
    }

    /// Third stage: what [`ConnTable::lookup`] says, whatever changed since the candidate was
    /// taken; faster if it is the right one.
    #[inline]
    pub fn find(
        &self,
        key: &FlowKey,
        hash: KeyHash,
        candidate: Candidate,
    ) -> Option<(ConnId, Direction)> {
        let Candidate(reference) = candidate;
        if self.is_key_of(reference, key) {
            return Some((ConnId(reference.entry()), reference.direction()));
        }
        self.lookup(key, hash)
    }

    /// The conn whose packets carry `key`, and the way they go. It may be expired.
    #[inline]
    pub fn lookup(&self, key: &FlowKey, hash: KeyHash) -> Option<(ConnId, Direction)> {
        let reference = self.index.find(hash, |reference| self.is_key_of(reference, key))?;
        Some((ConnId(reference.entry()), reference.direction()))
    }

    #[inline]
    fn is_key_of(&self, reference: Reference, key: &FlowKey) -> bool {
        self.entries
            .get(reference.entry() as usize)
            .is_some_and(|conn| conn.matches(key, reference.direction()))
    }

    /// Starts loading what an insertion reads: all four buckets, so that it waits at most once. Who
    /// has several conns to make does this for each of them first.
    #[inline]
    pub fn prefetch_insert(&self, new: &NewConn) {
        self.prefetch_keys(&self.keys(&new.as_conn(Tick(0))));
    }

    fn prefetch_keys(&self, keys: &Keys) {
        keys.each().for_each(|(_, hashed)| self.index.prefetch_both(hashed.hash));
    }

    /// A conn's keys, hashed.
    #[inline]
    pub(super) fn keys(&self, conn: &Conn) -> Keys {
        Keys::of(conn, &self.secret)
    }

    /// Makes a conn. Expired conns that have one of its keys give way, and if the table is full the
    /// oldest half-open conn among [`EVICTION_PROBES`]; `evicted` is told of them.
    ///
    /// # Errors
    /// [`InsertError::TupleTaken`] if a conn whose time is not over has one of the keys,
    /// [`InsertError::Full`] if no conn could give way. Nothing is inserted then.
    pub fn insert(
        &mut self,
        new: &NewConn,
        now: Tick,
        evicted: &mut impl FnMut(&Conn),
    ) -> Result<ConnId, InsertError> {
        let conn = new.as_conn(now);
        let keys = self.keys(&conn);
        self.prefetch_keys(&keys);
        self.free_keys(&keys, now, evicted)?;
        if self.live == self.capacity {
            self.evict(now, evicted)?;
        }
        let id = self.stage(conn, &keys)?;
        self.publish(id, now);
        Ok(id)
    }

    /// Sees to it that no conn has one of the keys.
    fn free_keys(
        &mut self,
        keys: &Keys,
        now: Tick,
        evicted: &mut impl FnMut(&Conn),
    ) -> Result<(), InsertError> {
        if keys.outbound.is_some_and(|outbound| outbound.key == keys.inbound.key) {
            return Err(InsertError::TupleTaken);
        }
        for (_, Hashed { key, hash }) in keys.each() {
            if let Some((id, _)) = self.lookup(&key, hash) {
                if !self.get(id).is_expired(now) {
                    return Err(InsertError::TupleTaken);
                }
                evicted(&self.remove(id));
            }
        }
        Ok(())
    }

    /// Removes one whose time is over, else the oldest half-open one, of the next
    /// [`EVICTION_PROBES`] conns. Of a full table only the spare entries hold none, so the search is
    /// bounded.
    fn evict(&mut self, now: Tick, evicted: &mut impl FnMut(&Conn)) -> Result<(), InsertError> {
        let mut oldest: Option<((bool, u32), ConnId)> = None;
        let mut probes = EVICTION_PROBES.min(self.live);
        while probes > 0 {
            let conn = &self.entries[self.probe];
            probes -= usize::from(conn.is_live());
            let over = conn.is_live() && conn.is_expired(now);
            if over || conn.is_live() && conn.is_half_open() {
                let rank = (over, now.since(conn.last_seen));
                if oldest.is_none_or(|(most, _)| rank > most) {
                    oldest = Some((rank, ConnId(self.probe as u32)));
                }
            }
            self.probe = if self.probe + 1 == self.entries.len() { 0 } else { self.probe + 1 };
        }
        let (_, id) = oldest.ok_or(InsertError::Full)?;
        evicted(&self.remove(id));
        Ok(())
    }

    /// First step of an insertion: everything but the flag that makes it count.
    pub(super) fn stage(&mut self, conn: Conn, keys: &Keys) -> Result<ConnId, InsertError> {
        let entry = self.free.peek(0).ok_or(InsertError::Full)?;
        if !self.index_keys(keys, entry) {
            return Err(InsertError::Full);
        }
        self.free.take();
        if let Some(next) = self.free.peek(PREFETCH_FREE) {
            prefetch(&self.entries[next as usize]);
        }
        let place = &mut self.entries[entry as usize];
        let (filed, link) = (place.flags & ConnFlags::FILED, place.link);
        *place = Conn { flags: conn.flags | filed, link, ..conn };
        Ok(ConnId(entry))
    }

    /// Second step: a later process adopts the conn from this one store on.
    pub(super) fn publish(&mut self, id: ConnId, now: Tick) {
        // Only the order of stores counts: a process that adopts them runs after this one's end.
        compiler_fence(Ordering::Release);
        self.entries[id.index()].flags.insert(ConnFlags::LIVE);
        self.live += 1;
        self.wheel.file(self.entries, id.0, now);
    }

    fn index_keys(&mut self, keys: &Keys, entry: u32) -> bool {
        for (direction, Hashed { hash, .. }) in keys.each() {
            if !self.index.insert(hash, Reference::new(entry, direction)) {
                if direction == Direction::Outbound {
                    let inbound = Reference::new(entry, Direction::Inbound);
                    self.index.remove(keys.inbound.hash, inbound);
                }
                return false;
            }
        }
        true
    }

    /// Takes a live entry of an adopted region into index, counts and wheel. `false`: there is no
    /// room for it.
    pub(super) fn readmit(&mut self, id: ConnId, now: Tick) -> bool {
        let keys = self.keys(self.get(id));
        if self.live == self.capacity || !self.index_keys(&keys, id.0) {
            return false;
        }
        self.live += 1;
        self.wheel.file(self.entries, id.0, now);
        true
    }

    /// Clears an entry of an adopted region and makes it free.
    pub(super) fn discard(&mut self, id: ConnId) {
        self.entries[id.index()] = Conn::zeroed();
        self.free.give(id.0);
    }

    /// A conn.
    ///
    /// # Panics
    /// If `id` is of another table.
    #[inline]
    pub fn get(&self, id: ConnId) -> &Conn {
        &self.entries[id.index()]
    }

    /// A conn, to be changed except for its key (see [`Conn`]).
    ///
    /// # Panics
    /// If `id` is of another table.
    #[inline]
    pub fn get_mut(&mut self, id: ConnId) -> &mut Conn {
        &mut self.entries[id.index()]
    }

    /// Whether a conn's time is over: no packet for its timeout.
    #[inline]
    pub fn is_expired(&self, id: ConnId, now: Tick) -> bool {
        self.get(id).is_expired(now)
    }

    /// Ends a conn. Its keys and side record are free at once, its id after the window.
    ///
    /// # Panics
    /// If there is no such conn.
    pub fn remove(&mut self, id: ConnId) -> Conn {
        let conn = self.entries[id.index()];
        assert!(conn.is_live(), "a conn is removed once");
        self.entries[id.index()].flags.remove(ConnFlags::LIVE);
        compiler_fence(Ordering::Release);
        for (direction, Hashed { hash, .. }) in self.keys(&conn).each() {
            self.index.remove(hash, Reference::new(id.0, direction));
        }
        if let Some(record) = conn.side.checked_sub(1) {
            self.side.free(record);
        }
        self.free.give(id.0);
        self.live -= 1;
        conn
    }

    /// Ends a window: ids of conns removed in it may be given to others.
    #[inline]
    pub fn end_window(&mut self) {
        self.free.end_window();
    }

    /// Looks at conns whose timers may have run out by `now`, at most `budget`, and removes those
    /// whose time is over unless `keep` holds one back; `expired` is told. Conns that must outlive
    /// others are asked about again after four seconds. Returns how many were looked at; less than
    /// `budget` means that all is done up to `now`.
    pub fn expire(
        &mut self,
        now: Tick,
        budget: usize,
        mut keep: impl FnMut(&Conn) -> bool,
        expired: &mut impl FnMut(&Conn),
    ) -> usize {
        let mut looked_at = 0;
        while looked_at < budget && self.wheel.seek(self.entries, now) {
            while looked_at < budget {
                let mut round = self.wheel.take(self.entries, budget - looked_at);
                if round.is_empty() {
                    break;
                }
                looked_at += round.len();
                round.retain(|entry| self.is_over(*entry, now, &mut keep));
                round.iter().for_each(|&entry| expired(&self.remove(ConnId(entry))));
            }
        }
        looked_at
    }

    /// Whether the conn in an entry taken from the wheel is to be removed. One that is not is filed
    /// again, for one that is its buckets are loaded.
    fn is_over(&mut self, entry: u32, now: Tick, keep: &mut impl FnMut(&Conn) -> bool) -> bool {
        let conn = &self.entries[entry as usize];
        if !conn.is_live() {
            return false;
        }
        if !conn.is_expired(now) {
            self.wheel.file(self.entries, entry, now);
            return false;
        }
        if keep(conn) {
            self.wheel.file_kept(self.entries, entry, now);
            return false;
        }
        self.keys(conn).each().for_each(|(_, hashed)| self.prefetch(hashed.hash));
        true
    }

    /// Conns in the table.
    #[inline]
    pub fn len(&self) -> usize {
        self.live
    }

    /// Whether there is none.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.live == 0
    }

    /// Conns that it may have at once.
    #[inline]
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Numbers of entries, live or not: the range that [`ConnTable::live_in`] is asked about piece by
    /// piece for a bounded dump.
    pub fn ids(&self) -> Range<u32> {
        0..self.entries.len() as u32
    }

    /// The conns among the entries of `range`, which may reach beyond the last.
    pub fn live_in(&self, range: Range<u32>) -> impl Iterator<Item = (ConnId, &Conn)> {
        let end = (range.end as usize).min(self.entries.len());
        let start = (range.start as usize).min(end);
        (range.start..)
            .zip(&self.entries[start..end])
            .filter_map(|(entry, conn)| conn.is_live().then_some((ConnId(entry), conn)))
    }

    /// The first conn at or after entry `from`.
    pub fn next_live(&self, from: u32) -> Option<(ConnId, &Conn)> {
        self.live_in(from..u32::MAX).next()
    }

    /// Gives a conn a side record, zeroed, in place of any it has. `None` if the side table is full.
    pub fn attach_side(&mut self, id: ConnId, kind: SideKind) -> Option<&mut SideRecord> {
        self.detach_side(id);
        let record = self.side.alloc(id, kind)?;
        // A record without its conn is found and freed on adoption, the reverse would be torn.
        compiler_fence(Ordering::Release);
        self.entries[id.index()].side = record + 1;
        Some(self.side.get_mut(record))
    }

    /// A conn's side record.
    #[inline]
    pub fn side(&self, id: ConnId) -> Option<&SideRecord> {
        Some(self.side.get(self.get(id).side.checked_sub(1)?))
    }

    /// The same, to be changed.
    #[inline]
    pub fn side_mut(&mut self, id: ConnId) -> Option<&mut SideRecord> {
        Some(self.side.get_mut(self.get(id).side.checked_sub(1)?))
    }

    /// Frees a conn's side record, if it has one.
    pub fn detach_side(&mut self, id: ConnId) {
        let side = std::mem::take(&mut self.entries[id.index()].side);
        compiler_fence(Ordering::Release);
        if let Some(record) = side.checked_sub(1) {
            self.side.free(record);
        }
    }

    /// Side records that are free.
    pub fn side_free(&self) -> usize {
        self.side.free_count()
    }

    /// A copy of the bytes of the region that survive this process, as they are at this moment.
    pub fn image(&self) -> Vec<u8> {
        let mut image = bytemuck::cast_slice(self.header).to_vec();
        image.extend_from_slice(bytemuck::cast_slice(self.entries));
        image.extend_from_slice(bytemuck::cast_slice(self.side.records()));
        image
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{DestId, NextHopId};

    fn key(src: u32) -> FlowKey {
        FlowKey { src, dst: 1, sport: 2, dport: 3, proto: 17 }
    }

    #[test]
    fn a_conn_whose_second_key_finds_no_room_leaves_its_first_ones() {
        let config =
            TableConfig { capacity: 1, side_capacity: 0, secret: [3, 4], huge_pages: false };
        let mut table = ConnTable::new(&config).unwrap();
        let stranger = Reference::new(0, Direction::Inbound);
        let stuffed: Vec<u32> = (0..10_000)
            .filter(|&src| table.index.insert(table.hash(&key(src)), stranger))
            .collect();
        let one = table.hash(&key(stuffed[0]));
        table.index.remove(one, stranger);
        for client in 20_000..20_100 {
            let new = NewConn {
                key: key(client),
                rip: 9,
                rport: 9,
                flags: ConnFlags::empty(),
                state: 0,
                dest: DestId(1),
                timeout: 1,
                next_hop: NextHopId::NONE,
                l3_delta: 0,
                l4_delta: 0,
            };
            assert_eq!(table.insert(&new, Tick(0), &mut |_| ()), Err(InsertError::Full));
        }
        assert!(table.index.insert(one, stranger), "its slot is free again");
        assert!(table.is_empty());
    }
}
