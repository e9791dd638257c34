//! The table: entries, and what finds, times and recycles them.

mod insert;
mod view;

pub use insert::EVICTION_PROBES;

use super::entry::{Conn, ConnFlags};
use super::family::{ConnFamily, Lines, LinesOf};
use super::free::FreeQueue;
use super::hash::KeyHash;
use super::index::{Index, Reference};
use super::keys::{Hashes, Keys};
use super::locals::Locals;
use super::region::{Header, Parts, Region, RegionError};
use super::side::{SideKind, SideRecord, SideTable};
use super::staged::Staged;
use super::wheel::Wheel;
use super::{Candidate, ConnId, Ended, TableConfig};
use crate::flow::{Direction, FlowKey};
use crate::limits::WINDOW;
use crate::prefetch::prefetch;
use crate::time::Tick;
use std::sync::atomic::{Ordering, compiler_fence};

/// Entries beyond the capacity. Those freed in a window are not used in it, and that must not be
/// felt when the table is full: a window's packets make one conn of two lines each at most, and as
/// many more may come from elsewhere (FTP data, sync).
pub(super) const SPARE_ENTRIES: usize = 4 * WINDOW;

/// The connections of one worker.
pub struct ConnTable {
    header: &'static mut [Header],
    entries: &'static mut [Conn],
    index: Index,
    staged: Staged,
    side: SideTable,
    free: FreeQueue,
    wheel: Wheel,
    locals: Locals,
    secret: [u64; 2],
    capacity: usize,
    live: usize,
    /// Entries that live conns take: their second lines count.
    taken: usize,
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
        (0..table.entries.len() as u32).for_each(|entry| table.free.give(table.entries, entry));
        table.free.end_window();
        Ok(table)
    }

    /// A table over a region's parts with no entry live, free or filed.
    pub(super) fn over(parts: Parts, side_in_use: impl Fn(u32, &SideRecord) -> bool) -> ConnTable {
        let Header { secret, capacity, .. } = parts.header[0];
        ConnTable {
            index: Index::new(parts.buckets),
            staged: Staged::new(),
            side: SideTable::new(parts.side, side_in_use),
            free: FreeQueue::new(),
            wheel: Wheel::new(),
            locals: parts.locals,
            header: parts.header,
            entries: parts.entries,
            secret,
            capacity: capacity as usize,
            live: 0,
            taken: 0,
            probe: 0,
        }
    }

    /// Hashes a key for this table.
    #[inline]
    pub fn hash<A: ConnFamily>(&self, key: &FlowKey<A>) -> KeyHash {
        A::hash_key(key, &self.secret)
    }

    /// Its hash's secret, for what else one worker alone hashes.
    pub fn secret(&self) -> [u64; 2] {
        self.secret
    }

    #[inline]
    pub(super) fn lines(&self) -> LinesOf<'_> {
        LinesOf(Lines { entries: self.entries, locals: &self.locals })
    }

    /// The local addresses that fullnat's conns name.
    pub fn locals_mut(&mut self) -> &mut Locals {
        &mut self.locals
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

    /// Between second and third for IPv6: starts loading the second line of the entry.
    #[inline]
    pub fn prefetch_second(&self, candidate: Candidate) {
        let conn = self.entries.get(candidate.0.entry() as usize);
        let second = conn.and_then(Conn::second_entry);
        if let Some(line) = second.and_then(|entry| self.entries.get(entry as usize)) {
            prefetch(line);
        }
    }

    /// Third stage: what [`ConnTable::lookup`] says, whatever changed since the candidate was
    /// taken; faster if it is the right one.
    #[inline]
    pub fn find<A: ConnFamily>(
        &self,
        key: &FlowKey<A>,
        hash: KeyHash,
        candidate: Candidate,
    ) -> Option<(ConnId, Direction)> {
        let direction = candidate.direction();
        match self.confirm(key, candidate, direction) {
            Some(_) => Some((candidate.conn(), direction)),
            None => self.lookup(key, hash),
        }
    }

    /// The candidate, if it is the conn whose packets carry `key` in its direction, which the caller has
    /// looked at. It may be expired.
    #[inline(always)]
    pub fn confirm<A: ConnFamily>(
        &self,
        key: &FlowKey<A>,
        Candidate(reference): Candidate,
        direction: Direction,
    ) -> Option<&Conn> {
        let conn = self.entries.get(reference.entry() as usize)?;
        A::matches(self.lines(), conn, key, direction).then_some(conn)
    }

    /// The conn whose packets carry `key`, and the way they go. It may be expired.
    #[inline]
    pub fn lookup<A: ConnFamily>(
        &self,
        key: &FlowKey<A>,
        hash: KeyHash,
    ) -> Option<(ConnId, Direction)> {
        let is_it = |reference| self.is_key_of(reference, key);
        let reference = self.staged.find(hash, is_it).or_else(|| self.index.find(hash, is_it))?;
        Some((ConnId(reference.entry()), reference.direction()))
    }

    #[inline]
    fn is_key_of<A: ConnFamily>(&self, reference: Reference, key: &FlowKey<A>) -> bool {
        self.entries
            .get(reference.entry() as usize)
            .is_some_and(|conn| A::matches(self.lines(), conn, key, reference.direction()))
    }

    /// The hashes of a conn's keys.
    #[inline]
    pub(super) fn hashes(&self, conn: &Conn) -> Hashes {
        match conn.is_v6() {
            false => Keys::<u32>::of(conn, self.lines()).hashes(&self.secret),
            true => Keys::<u128>::of(conn, self.lines()).hashes(&self.secret),
        }
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
    pub fn remove(&mut self, id: ConnId) -> Ended {
        let conn = self.entries[id.index()];
        assert!(conn.is_live(), "a conn is removed once");
        self.entries[id.index()].flags.remove(ConnFlags::LIVE);
        compiler_fence(Ordering::Release);
        for (direction, hash) in self.hashes(&conn).each() {
            self.remove_key(direction, hash, id);
        }
        let side = conn.side.checked_sub(1).map(|record| {
            let side = *self.side.get(record);
            self.side.free(record);
            side
        });
        self.free.give(self.entries, id.0);
        if let Some(second) = conn.second_entry() {
            self.entries[second as usize].flags.remove(ConnFlags::SECOND_LINE);
            self.free.give(self.entries, second);
        }
        self.live -= 1;
        self.taken -= conn.entries_taken();
        Ended { conn, side }
    }

    fn remove_key(&mut self, direction: Direction, hash: KeyHash, id: ConnId) {
        let reference = Reference::new(id.0, direction);
        match direction == Direction::Outbound && self.staged.remove(hash, reference) {
            true => self.displace(reference, hash),
            false => self.index.remove(hash, reference),
        }
    }

    /// Ends a window: ids of conns removed in it may be given to others.
    #[inline]
    pub fn end_window(&mut self) {
        self.settle_all();
        self.free.end_window();
    }

    /// Looks at conns whose timers may have run out by `now`, at most `budget`, and removes those
    /// whose time is over unless `keep`, given the conn and its side record, holds one back; `expired`
    /// is told. Conns that must outlive others are asked about again after four seconds at most.
    /// Returns how many were looked at; less than `budget` means that all is done up to `now`.
    pub fn expire(
        &mut self,
        now: Tick,
        budget: usize,
        mut keep: impl FnMut(&mut Conn, Option<&SideRecord>) -> bool,
        expired: &mut impl FnMut(&Ended),
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
    fn is_over(
        &mut self,
        entry: u32,
        now: Tick,
        keep: &mut impl FnMut(&mut Conn, Option<&SideRecord>) -> bool,
    ) -> bool {
        let conn = &mut self.entries[entry as usize];
        if !conn.is_live() {
            return false;
        }
        if !conn.is_expired(now) {
            self.wheel.file(self.entries, entry, now);
            return false;
        }
        let side = conn.side.checked_sub(1).map(|record| self.side.get(record));
        if keep(conn, side) {
            self.wheel.file_kept(self.entries, entry, now);
            return false;
        }
        let conn = &self.entries[entry as usize];
        self.hashes(conn).each().for_each(|(_, hash)| self.prefetch(hash));
        true
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
}

#[cfg(test)]
mod tests;
