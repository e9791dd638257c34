//! Which entries are free.
//!
//! A queue: first freed, first used. So the entries that conns get do not depend on where windows
//! end, and the entries about to be used are known ahead and can be loaded early. It takes no memory
//! of its own: each free entry names one behind it. That is not the next but the one [`LANES`] later,
//! so that the first of the queue are known without reading any.

use super::entry::Conn;

/// Entries that are known ahead.
const LANES: usize = 16;

/// Free entries, in the order in which they will be used.
pub(super) struct FreeQueue {
    /// First and last entry of each lane, plus one; 0 for none.
    heads: [u32; LANES],
    tails: [u32; LANES],
    /// Lane of the next entry to be taken.
    next: usize,
    /// Entries from there on that may be taken.
    usable: usize,
    /// Entries after those that were given back in this window.
    pending: usize,
}

impl FreeQueue {
    /// A queue with none free.
    pub(super) fn new() -> FreeQueue {
        FreeQueue { heads: [0; LANES], tails: [0; LANES], next: 0, usable: 0, pending: 0 }
    }

    /// Takes the entry that has been free for longest.
    #[inline]
    pub(super) fn take(&mut self, entries: &[Conn]) -> Option<u32> {
        let entry = self.peek(0)?;
        self.heads[self.next] = entries[entry as usize].next_free();
        self.next = (self.next + 1) % LANES;
        self.usable -= 1;
        Some(entry)
    }

    /// The entry that will be taken after `ahead` others; `None` if there is none or it is not known.
    #[inline]
    pub(super) fn peek(&self, ahead: usize) -> Option<u32> {
        let known = ahead < self.usable.min(LANES);
        known.then(|| self.heads[(self.next + ahead) % LANES] - 1)
    }

    /// Gives an entry back, to be used after the window.
    #[inline]
    pub(super) fn give(&mut self, entries: &mut [Conn], entry: u32) {
        let free = self.usable + self.pending;
        assert!(free < entries.len(), "an entry is freed once");
        let lane = (self.next + free) % LANES;
        entries[entry as usize].set_next_free(0);
        let tail = std::mem::replace(&mut self.tails[lane], entry + 1);
        if free < LANES {
            self.heads[lane] = entry + 1;
        } else {
            entries[tail as usize - 1].set_next_free(entry + 1);
        }
        self.pending += 1;
    }

    /// Makes what was given back usable.
    #[inline]
    pub(super) fn end_window(&mut self) {
        self.usable += std::mem::take(&mut self.pending);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Rng;
    use bytemuck::Zeroable;
    use std::collections::VecDeque;

    #[test]
    fn entries_come_back_in_the_order_they_went_but_not_within_the_window() {
        let mut entries = [Conn::zeroed(); 3];
        let mut free = FreeQueue::new();
        (0..3).for_each(|entry| free.give(&mut entries, entry));
        assert_eq!(free.take(&entries), None);
        free.end_window();
        let taken = [free.take(&entries), free.take(&entries)];
        assert_eq!((taken, free.peek(0)), ([Some(0), Some(1)], Some(2)));
        free.give(&mut entries, 1);
        assert_eq!((free.take(&entries), free.take(&entries)), (Some(2), None));
        free.give(&mut entries, 0);
        free.end_window();
        assert_eq!([1, 0].map(Some), [free.take(&entries), free.take(&entries)]);
        assert_eq!(free.take(&entries), None);
    }

    #[test]
    fn it_is_a_queue_whose_first_are_known() {
        const ENTRIES: usize = 50;
        let (mut entries, mut random) = ([Conn::zeroed(); ENTRIES], Rng::new(4));
        let (mut free, mut usable, mut pending) =
            (FreeQueue::new(), VecDeque::new(), VecDeque::new());
        let mut away: Vec<u32> = (0..ENTRIES as u32).collect();
        for _ in 0..20_000 {
            match random.below(8) {
                0 => {
                    free.end_window();
                    usable.append(&mut pending);
                }
                1..=3 if !away.is_empty() => {
                    let entry = away.swap_remove(random.below(away.len()));
                    free.give(&mut entries, entry);
                    pending.push_back(entry);
                }
                _ => {
                    let taken = free.take(&entries);
                    assert_eq!(taken, usable.pop_front());
                    away.extend(taken);
                }
            }
            for ahead in 0..2 * LANES {
                let known = usable.get(ahead).copied().filter(|_| ahead < LANES);
                assert_eq!(free.peek(ahead), known);
            }
        }
    }
}
