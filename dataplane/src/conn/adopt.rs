//! Taking over the table of a process that has ended, however it ended.
//!
//! Entries are published by their last write and withdrawn by their first, so whatever the old
//! process was doing, an entry marked live is whole. Everything else (index, wheel, free entries,
//! counts) is built anew from them. What does not make sense nevertheless is dropped and counted.

use super::ConnId;
use super::entry::{Conn, ConnFlags};
use super::family::ConnFamily;
use super::keys::Keys;
use super::locals::Locals;
use super::region::{Region, RegionError};
use super::second::SecondLine;
use super::table::ConnTable;
use crate::service::ForwardingMethod;
use crate::time::Tick;
use std::sync::atomic::{Ordering, compiler_fence};

/// What became of an old table's entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AdoptReport {
    /// Conns taken over.
    pub adopted: usize,
    /// Entries marked live whose fields cannot be.
    pub torn: usize,
    /// Entries with a key that another conn has.
    pub duplicate: usize,
    /// Entries for which there was no room.
    pub no_room: usize,
}

impl ConnTable {
    /// Takes over a region. Its conns keep their ids.
    ///
    /// # Errors
    /// [`RegionError::NotAdoptable`] if it is not a region of this program's layout.
    pub fn adopt(region: Region, now: Tick) -> Result<(ConnTable, AdoptReport), RegionError> {
        let parts = region.into_parts()?;
        let mut report = AdoptReport::default();
        parts.buckets.fill(bytemuck::Zeroable::zeroed());
        for entry in 0..parts.entries.len() {
            let id = ConnId(entry as u32);
            let conn = parts.entries[entry];
            let side = conn.side.checked_sub(1).map(|record| parts.side.get(record as usize));
            let side_agrees = side.is_none_or(|record| record.is_some_and(|r| r.belongs_to(id)));
            let second_agrees = second_line_agrees(parts.entries, entry);
            let has_local = has_local_address(&parts.locals, &conn);
            let conn = &mut parts.entries[entry];
            let whole = side_agrees && second_agrees && has_local;
            if conn.is_live() && !(is_sane(conn, now) && whole) {
                report.torn += 1;
                conn.flags.remove(ConnFlags::LIVE);
            }
            conn.flags.remove(ConnFlags::FILED);
        }
        let sides: Vec<u32> = parts.entries.iter().map(side_in_use).collect();
        let mut table = ConnTable::over(parts, |number, record| {
            let owner = record.owner_entry();
            owner.is_some_and(|entry| sides.get(entry).is_some_and(|&side| side == number + 1))
        });
        table.readmit_all(now, &mut report);
        Ok((table, report))
    }

    fn readmit_all(&mut self, now: Tick, report: &mut AdoptReport) {
        for entry in self.ids() {
            let id = ConnId(entry);
            let conn = *self.get(id);
            if !conn.is_live() {
                if !self.is_second_line(id) {
                    self.discard(id);
                }
            } else if self.has_key_of(&conn) {
                report.duplicate += 1;
                self.discard_live(id);
            } else if !self.readmit(id, now) {
                report.no_room += 1;
                self.discard_live(id);
            } else {
                report.adopted += 1;
            }
        }
        self.end_window();
    }

    fn has_key_of(&self, conn: &Conn) -> bool {
        match conn.is_v6() {
            false => self.has_one_of(&Keys::<u32>::of(conn, self.lines())),
            true => self.has_one_of(&Keys::<u128>::of(conn, self.lines())),
        }
    }

    fn has_one_of<A: ConnFamily>(&self, keys: &Keys<A>) -> bool {
        keys.each().any(|(_, key)| self.lookup(&key, self.hash(&key)).is_some())
    }

    /// Whether the entry is the second line of a live conn.
    fn is_second_line(&self, id: ConnId) -> bool {
        let owner = self.second_line_of(id).owner.checked_sub(1);
        let owner = owner.filter(|&entry| self.ids().contains(&entry)).map(ConnId);
        self.get(id).flags.contains(ConnFlags::SECOND_LINE)
            && owner.is_some_and(|owner| {
                self.get(owner).is_live() && self.get(owner).second_entry() == Some(id.0)
            })
    }

    fn second_line_of(&self, id: ConnId) -> &SecondLine {
        bytemuck::cast_ref(self.get(id))
    }

    fn discard_live(&mut self, id: ConnId) {
        let second = self.get(id).second_entry();
        self.get_mut(id).flags.remove(ConnFlags::LIVE);
        compiler_fence(Ordering::Release);
        self.detach_side(id);
        self.discard(id);
        // One with a greater number is found without its conn, and discarded, when its turn comes.
        if let Some(second) = second.filter(|&second| second < id.0) {
            self.discard(ConnId(second));
        }
    }
}

/// Whether a conn that has a second line finds it, and is known to it.
fn second_line_agrees(entries: &[Conn], entry: usize) -> bool {
    let Some(second) = entries[entry].second_entry() else { return true };
    let second: Option<&SecondLine> = entries.get(second as usize).map(bytemuck::cast_ref);
    second.is_some_and(|line| {
        line.flags.contains(ConnFlags::SECOND_LINE)
            && !line.flags.contains(ConnFlags::LIVE)
            && line.owner as usize == entry + 1
    })
}

/// Whether a conn whose replies are found by a local address names one of its family.
fn has_local_address(locals: &Locals, conn: &Conn) -> bool {
    let needed = conn.lip_index != 0 || conn.flags.method() == Some(ForwardingMethod::Fullnat);
    let there = match conn.is_v6() {
        false => locals.v4(conn.lip_index) != 0,
        true => locals.v6(conn.lip_index) != 0,
    };
    // Without replies the field is a tunnel's.
    there || !needed || !conn.flags.has_replies()
}

/// The side record of a live entry, plus one.
fn side_in_use(conn: &Conn) -> u32 {
    if conn.is_live() { conn.side } else { 0 }
}

/// Whether a live entry's fields are such as this program writes.
fn is_sane(conn: &Conn, now: Tick) -> bool {
    let known = ConnFlags::FWD_MASK
        | ConnFlags::NOOUTPUT
        | ConnFlags::INACTIVE
        | ConnFlags::NO_CPORT
        | ConnFlags::TEMPLATE
        | ConnFlags::ONE_PACKET
        | ConnFlags::LIVE
        | ConnFlags::FILED
        | ConnFlags::V6
        | ConnFlags::RIP_V6
        | ConnFlags::REPLIES
        | ConnFlags::HELPED
        | ConnFlags::ANSWERED
        | ConnFlags::UNHEARD;
    let not_from_the_future = now.since(conn.last_seen) as i32 >= 0;
    known.contains(conn.flags)
        && conn.flags.method().is_some()
        && not_from_the_future
        && (conn.is_v6() || conn.outbound_key() != Some(conn.inbound_key()))
        && conn.spare == 0
}
