//! Which entries are free.
//!
//! A ring: first freed, first used. So the entries that conns get do not depend on where windows
//! end, and the entries about to be used are known ahead and can be loaded early.

/// Free entries, in the order in which they will be used.
pub(super) struct FreeRing {
    ring: Box<[u32]>,
    /// Place of the next entry to be taken.
    head: usize,
    /// Entries from there on that may be taken.
    usable: usize,
    /// Entries after those that were given back in this window.
    pending: usize,
}

impl FreeRing {
    /// A ring that has room for `entries` of them, with none free.
    pub(super) fn new(entries: usize) -> FreeRing {
        FreeRing { ring: vec![0; entries].into(), head: 0, usable: 0, pending: 0 }
    }

    #[inline]
    fn place(&self, ahead: usize) -> usize {
        let place = self.head + ahead;
        if place < self.ring.len() { place } else { place - self.ring.len() }
    }

    /// Takes the entry that has been free for longest.
    #[inline]
    pub(super) fn take(&mut self) -> Option<u32> {
        let entry = self.peek(0)?;
        self.head = self.place(1);
        self.usable -= 1;
        Some(entry)
    }

    /// The entry that will be taken after `ahead` others.
    #[inline]
    pub(super) fn peek(&self, ahead: usize) -> Option<u32> {
        (ahead < self.usable).then(|| self.ring[self.place(ahead)])
    }

    /// Gives an entry back, to be used after the window.
    #[inline]
    pub(super) fn give(&mut self, entry: u32) {
        let free = self.usable + self.pending;
        assert!(free < self.ring.len(), "an entry is freed once");
        let tail = self.place(free);
        self.ring[tail] = entry;
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

    #[test]
    fn entries_come_back_in_the_order_they_went_but_not_within_the_window() {
        let mut free = FreeRing::new(3);
        (0..3).for_each(|entry| free.give(entry));
        assert_eq!(free.take(), None);
        free.end_window();
        assert_eq!((free.peek(1), free.take(), free.take()), (Some(1), Some(0), Some(1)));
        free.give(1);
        assert_eq!((free.take(), free.take()), (Some(2), None));
        free.give(0);
        free.end_window();
        assert_eq!((free.take(), free.take(), free.take()), (Some(1), Some(0), None));
    }
}
