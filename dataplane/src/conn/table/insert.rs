//! How conns are made, and which give way to them.

use super::super::entry::{Conn, ConnFlags};
use super::super::family::ConnFamily;
use super::super::hash::KeyHash;
use super::super::index::Reference;
use super::super::keys::{Hashes, Keys};
use super::super::second::SecondLine;
use super::super::{ConnId, Ended, InsertError, NewConn};
use super::ConnTable;
use crate::flow::{Direction, FlowKey};
use crate::prefetch::prefetch;
use crate::time::Tick;
use bytemuck::Zeroable;
use std::sync::atomic::{Ordering, compiler_fence};

/// Conns looked at for a half-open one when the table is full.
pub const EVICTION_PROBES: usize = 32;

/// How far ahead the entries of conns to come are loaded.
const PREFETCH_FREE: usize = 8;

impl ConnTable {
    /// Makes a conn. An expired conn that has its inbound key gives way, and if the table is full the
    /// oldest half-open conn among [`EVICTION_PROBES`]; `evicted` is told of them.
    ///
    /// Of two conns whose packets look the same the later has them, as in the kernel, which puts it first
    /// (`ip_vs_conn_hash`): a conn with the same reply key lives on without replies, and one whose
    /// client's packets are this one's replies without those (`ip_vs_out_hook` comes before
    /// `ip_vs_in_hook`). [`ConnTable::lookup`] says so at once, a candidate that was taken before only when
    /// the window has ended: until then no real server has seen anything to reply to.
    ///
    /// # Errors
    /// [`InsertError::TupleTaken`] if a conn whose time is not over has the inbound key, or it is the
    /// reply key, too, [`InsertError::Full`] if no conn could give way. Nothing is inserted then.
    pub fn insert<A: ConnFamily>(
        &mut self,
        new: &NewConn<A>,
        now: Tick,
        evicted: &mut impl FnMut(&Ended),
    ) -> Result<ConnId, InsertError> {
        let keys = new.keys(self.lines());
        if keys.outbound == Some(keys.inbound) {
            return Err(InsertError::TupleTaken);
        }
        let inbound = self.hash(&keys.inbound);
        self.free_inbound(&keys.inbound, inbound, now, evicted)?;
        let second = new.second_line();
        while self.taken + 1 + usize::from(second.is_some()) > self.capacity {
            self.evict(now, evicted)?;
        }
        let id = self.stage(new.as_conn(now), second, inbound)?;
        self.publish(id, now);
        if let Some(key) = keys.outbound {
            self.stage_replies(id, &key);
        }
        Ok(id)
    }

    /// Sees to it that no conn has the inbound key.
    fn free_inbound<A: ConnFamily>(
        &mut self,
        key: &FlowKey<A>,
        hash: KeyHash,
        now: Tick,
        evicted: &mut impl FnMut(&Ended),
    ) -> Result<(), InsertError> {
        match self.lookup(key, hash) {
            Some((id, _)) if self.get(id).is_expired(now) => evicted(&self.remove(id)),
            Some(_) => return Err(InsertError::TupleTaken),
            None => {}
        }
        Ok(())
    }

    /// Removes one whose time is over, else the oldest half-open one, of the next
    /// [`EVICTION_PROBES`] conns. Of a full table only the spare entries and second lines hold none,
    /// so the search is bounded.
    fn evict(&mut self, now: Tick, evicted: &mut impl FnMut(&Ended)) -> Result<(), InsertError> {
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

    /// First step of an insertion: everything but the flag that makes it count, and the reply key.
    pub(in super::super) fn stage(
        &mut self,
        mut conn: Conn,
        second: Option<SecondLine>,
        inbound: KeyHash,
    ) -> Result<ConnId, InsertError> {
        let entry = self.free.peek(0).ok_or(InsertError::Full)?;
        let place = Reference::new(entry, Direction::Inbound);
        if second.is_some() && self.free.peek(1).is_none() || !self.index.insert(inbound, place) {
            return Err(InsertError::Full);
        }
        self.free.take(self.entries);
        if let (Some(line), Some(at)) = (second, second.and_then(|_| self.free.take(self.entries)))
        {
            self.store(at, bytemuck::cast(line.of(entry)));
            conn.set_second_entry(at);
        }
        if let Some(next) = self.free.peek(PREFETCH_FREE) {
            prefetch(&self.entries[next as usize]);
        }
        self.store(entry, conn);
        Ok(ConnId(entry))
    }

    /// Writes an entry, all but what the wheel knows it by.
    fn store(&mut self, entry: u32, line: Conn) {
        let place = &mut self.entries[entry as usize];
        let (filed, link) = (place.flags & ConnFlags::FILED, place.link);
        *place = Conn { flags: line.flags | filed, link, ..line };
    }

    /// Second step: a later process adopts the conn from this one store on.
    pub(in super::super) fn publish(&mut self, id: ConnId, now: Tick) {
        // Only the order of stores counts: a process that adopts them runs after this one's end.
        compiler_fence(Ordering::Release);
        self.entries[id.index()].flags.insert(ConnFlags::LIVE);
        self.live += 1;
        self.taken += self.get(id).entries_taken();
        self.wheel.file(self.entries, id.0, now);
    }

    /// Third step: replies are found, while the places of their key are still loading.
    pub(in super::super) fn stage_replies<A: ConnFamily>(&mut self, id: ConnId, key: &FlowKey<A>) {
        let hash = self.hash(key);
        self.index.prefetch_both(hash);
        if let Some(other) = self.staged.find(hash, |other| self.is_key_of(other, key)) {
            self.give_up(other, hash);
        }
        let reference = Reference::new(id.0, Direction::Outbound);
        if let Some((hash, reference)) = self.staged.push(hash, reference) {
            self.settle(reference, hash);
        }
    }

    /// Settles all reply keys that wait.
    pub(super) fn settle_all(&mut self) {
        while let Some((hash, reference)) = self.staged.pop() {
            self.settle(reference, hash);
        }
    }

    /// Last step: the reply key has its place in the index.
    fn settle(&mut self, reference: Reference, hash: KeyHash) {
        self.displace(reference, hash);
        if !self.index.insert(hash, reference) {
            // Beyond any table's life at this load: the client's next packet begins it anew.
            let conn = &mut self.entries[reference.entry() as usize];
            conn.flags.remove(ConnFlags::REPLIES);
            conn.timeout = 0;
        }
    }

    /// Takes a conn's reply key from those in the index that have it.
    pub(super) fn displace(&mut self, reference: Reference, hash: KeyHash) {
        let conn = self.get(ConnId(reference.entry()));
        match conn.is_v6() {
            false => self.displace_from(hash, Keys::<u32>::of(conn, self.lines())),
            true => self.displace_from(hash, Keys::<u128>::of(conn, self.lines())),
        }
    }

    fn displace_from<A: ConnFamily>(&mut self, hash: KeyHash, keys: Keys<A>) {
        let Some(key) = keys.outbound else { return };
        while let Some(other) = self.index.find(hash, |other| self.is_key_of(other, &key)) {
            self.give_up(other, hash);
        }
    }

    /// Takes a key from a conn: a later one has it.
    fn give_up(&mut self, other: Reference, hash: KeyHash) {
        let id = ConnId(other.entry());
        match other.direction() {
            Direction::Outbound => {
                if !self.staged.remove(hash, other) {
                    self.index.remove(hash, other);
                }
                self.entries[id.index()].flags.remove(ConnFlags::REPLIES);
            }
            Direction::Inbound => self.entries[id.index()].flags.insert(ConnFlags::UNHEARD),
        }
    }

    /// Takes a live entry of an adopted region into index, counts and wheel. `false`: there is no
    /// room for it.
    pub(in super::super) fn readmit(&mut self, id: ConnId, now: Tick) -> bool {
        let (hashes, taken) = (self.hashes(self.get(id)), self.get(id).entries_taken());
        if self.taken + taken > self.capacity || !self.index_keys(&hashes, id.0) {
            return false;
        }
        self.live += 1;
        self.taken += taken;
        self.wheel.file(self.entries, id.0, now);
        true
    }

    fn index_keys(&mut self, hashes: &Hashes, entry: u32) -> bool {
        for (direction, hash) in hashes.each() {
            if !self.index.insert(hash, Reference::new(entry, direction)) {
                if direction == Direction::Outbound {
                    let inbound = Reference::new(entry, Direction::Inbound);
                    self.index.remove(hashes.inbound, inbound);
                }
                return false;
            }
        }
        true
    }

    /// Clears an entry of an adopted region and makes it free.
    pub(in super::super) fn discard(&mut self, id: ConnId) {
        self.entries[id.index()] = Conn::zeroed();
        self.free.give(self.entries, id.0);
    }
}
