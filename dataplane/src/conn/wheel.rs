//! When to look at which conn's timer.
//!
//! A packet only stores its conn's `last_seen`. The wheel has a slot for each of the next
//! [`SLOTS`] ticks; when a tick has come, the conns filed there are looked at: those whose time is
//! over are removed, the others filed again for the moment it would be, but never more than
//! [`MAX_STEP`] ahead. So a timeout that a state change shortens (established, 15 minutes, to
//! closed, 10 seconds) is met no more than that late, and a conn is never removed early.
//!
//! Chains are linked through the entries, one word each, which leaves no way to take an entry out
//! of the middle. It is not needed: a removed conn's entry stays filed ([`ConnFlags::FILED`]) and
//! is free all the same. If it is used again before its slot comes, the new conn inherits the
//! filing - at most [`MAX_STEP`] ahead, as its own would be - and otherwise its slot drops it. So
//! every entry is in at most one chain, every live one in exactly one, and no burst of short conns
//! can hold more entries than it has conns.
//!
//! A chain is one cache miss after the other. Each slot therefore has [`LANES`] of them, walked in
//! turn, each lane's next entry being loaded while the others' are looked at.

use super::entry::{Conn, ConnFlags};
use crate::prefetch::prefetch;
use crate::time::{Tick, ticks};

/// Ticks ahead that a conn is filed at most.
pub(super) const MAX_STEP: u32 = ticks(4);

/// Ticks the wheel spans. What exceeds [`MAX_STEP`] is how late a call may be without conns being
/// looked at more often than they need.
const SLOTS: usize = 2 * MAX_STEP as usize;

/// Chains of a slot: loads in flight when it is worked off.
pub(super) const LANES: usize = 32;

/// The first entry of each chain of a slot, plus one; 0 for none.
type Slot = [u32; LANES];

/// The wheel. Its chains run through the entries, which every call is given.
pub(super) struct Wheel {
    slots: Box<[Slot; SLOTS]>,
    /// The next tick to be worked off; those before are done.
    cursor: Tick,
    /// Entries in its chains.
    filed: usize,
}

/// Entries taken from a slot in one round, at most one of each lane.
pub(super) type Round = arrayvec::ArrayVec<u32, LANES>;

impl Wheel {
    pub(super) fn new() -> Wheel {
        Wheel { slots: Box::new([[0; LANES]; SLOTS]), cursor: Tick(0), filed: 0 }
    }

    fn slot(&mut self, tick: Tick) -> &mut Slot {
        &mut self.slots[tick.0 as usize % SLOTS]
    }

    /// Files a conn for the moment its time is over, as far as known at `now`; does nothing if the
    /// entry is filed already.
    pub(super) fn file(&mut self, entries: &mut [Conn], entry: u32, now: Tick) {
        let conn = &mut entries[entry as usize];
        if conn.flags.contains(ConnFlags::FILED) {
            return;
        }
        let left = conn.timeout.saturating_sub(now.since(conn.last_seen));
        self.file_in(conn, entry, now, left);
    }

    /// Files a conn whose time is over but which is to stay, to be asked about again.
    pub(super) fn file_kept(&mut self, entries: &mut [Conn], entry: u32, now: Tick) {
        self.file_in(&mut entries[entry as usize], entry, now, MAX_STEP);
    }

    fn file_in(&mut self, conn: &mut Conn, entry: u32, now: Tick, left: u32) {
        if self.filed == 0 {
            self.cursor = now;
        }
        self.filed += 1;
        let ahead = now.since(self.cursor) as i32 + left.min(MAX_STEP) as i32;
        let tick = self.cursor.after(ahead.clamp(0, SLOTS as i32 - 1) as u32);
        let head = &mut self.slot(tick)[entry as usize % LANES];
        conn.link = std::mem::replace(head, entry + 1);
        conn.flags.insert(ConnFlags::FILED);
    }

    /// Moves on to the first tick with something filed that has come by `now`, and starts loading
    /// its entries. `false`: nothing is due.
    pub(super) fn seek(&mut self, entries: &[Conn], now: Tick) -> bool {
        if self.filed == 0 {
            return false;
        }
        self.catch_up(now);
        while now.since(self.cursor) as i32 >= 0 {
            let slot = self.slot(self.cursor);
            if slot.iter().any(|&head| head != 0) {
                let heads = slot.iter().filter(|&&head| head != 0);
                heads.for_each(|&head| prefetch(&entries[head as usize - 1]));
                return true;
            }
            self.cursor = self.cursor.after(1);
        }
        false
    }

    /// After a pause longer than the wheel spans all of it is due: one turn reaches every slot.
    fn catch_up(&mut self, now: Tick) {
        let behind = now.since(self.cursor);
        if behind as i32 >= SLOTS as i32 {
            self.cursor = Tick(now.0.wrapping_sub(SLOTS as u32 - 1));
        }
    }

    /// Takes the first entry of each lane of the tick [`Wheel::seek`] found, at most `most`, and
    /// starts loading the next of each.
    pub(super) fn take(&mut self, entries: &mut [Conn], most: usize) -> Round {
        let mut round = Round::new();
        for head in self.slots[self.cursor.0 as usize % SLOTS].iter_mut() {
            if round.len() == most {
                break;
            }
            let Some(entry) = head.checked_sub(1) else { continue };
            let conn = &mut entries[entry as usize];
            *head = conn.link;
            conn.flags.remove(ConnFlags::FILED);
            self.filed -= 1;
            round.push(entry);
            if let Some(next) = head.checked_sub(1) {
                prefetch(&entries[next as usize]);
            }
        }
        round
    }
}
