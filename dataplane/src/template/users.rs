//! Who holds a template: its children, and whether one of them was ever established.
//!
//! Outside the shard's lock, so that the end of a conn and its first establishment never fail and
//! never wait. Only under the lock does a template begin, end, or get a child.

use crate::time::Tick;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicU32, AtomicU64};

/// State of one slot at one moment: generation in the high half; live, assured, children below.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Usage(u64);

const LIVE: u64 = 1 << 31;
const ASSURED: u64 = 1 << 30;
const CHILDREN: u64 = ASSURED - 1;

impl Usage {
    pub fn generation(self) -> u32 {
        (self.0 >> 32) as u32
    }

    pub fn is_live(self) -> bool {
        self.0 & LIVE != 0
    }

    /// Whether a child was established (`IP_VS_CTPL_S_ASSURED`).
    pub fn is_assured(self) -> bool {
        self.0 & ASSURED != 0
    }

    pub fn children(self) -> u32 {
        (self.0 & CHILDREN) as u32
    }

    fn is_of(self, generation: u32) -> bool {
        self.is_live() && self.generation() == generation
    }
}

/// The users of the template in one slot.
#[derive(Debug, Default)]
pub(super) struct Users {
    usage: AtomicU64,
    /// When the child that lived longest ended, of those since there was none.
    child_ended: AtomicU32,
}

impl Users {
    /// What is the case at this moment.
    pub fn load(&self) -> Usage {
        Usage(self.usage.load(Acquire))
    }

    /// The moment up to which, as known at `now`, there have been children without a break. Call
    /// under the lock, and with the usage as loaded there.
    pub fn held_until(&self, usage: Usage, now: Tick) -> Tick {
        if usage.children() > 0 { now.after(1) } else { Tick(self.child_ended.load(Relaxed)) }
    }

    /// A template begins, un-assured and with one child; returns its generation. Under the lock.
    pub fn begin(&self, now: Tick) -> u32 {
        let generation = self.load().generation().wrapping_add(1).max(1);
        self.child_ended.store(now.0, Relaxed);
        self.usage.store(u64::from(generation) << 32 | LIVE | 1, Release);
        generation
    }

    /// The template ends, whoever holds it. Under the lock.
    pub fn end(&self) {
        self.usage.fetch_and(!(LIVE | ASSURED | CHILDREN), AcqRel);
    }

    /// A child begins. Under the lock.
    pub fn attach(&self) {
        self.usage.fetch_add(1, AcqRel);
    }

    /// There was a child at least until then. To be said now and then of a template with children,
    /// so that what is known is never half the clock's range old, where past and future look alike.
    pub fn held_at(&self, moment: Tick) {
        let later = |known: u32| (moment.since(Tick(known)) as i32 > 0).then_some(moment.0);
        let _ = self.child_ended.fetch_update(Relaxed, Relaxed, later);
    }

    /// A child of that generation ended, at a moment not after now. Returns what is left; `None` if
    /// the template ended before.
    pub fn detach(&self, generation: u32, ended: Tick) -> Option<Usage> {
        if !self.load().is_of(generation) {
            return None;
        }
        // First the moment, then the count that makes it matter.
        self.held_at(ended);
        let one_less = |word: u64| {
            let usage = Usage(word);
            (usage.is_of(generation) && usage.children() > 0).then(|| word - 1)
        };
        let before = self.usage.fetch_update(AcqRel, Acquire, one_less).ok()?;
        Some(Usage(before - 1))
    }

    /// A child of that generation is established.
    pub fn assure(&self, generation: u32) {
        let assured = |word: u64| {
            let usage = Usage(word);
            (usage.is_of(generation) && !usage.is_assured()).then_some(word | ASSURED)
        };
        let _ = self.usage.fetch_update(AcqRel, Acquire, assured);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn children_of_another_generation_change_nothing() {
        let users = Users::default();
        let old = users.begin(Tick(1));
        users.end();
        assert_eq!(users.detach(old, Tick(2)), None);
        let generation = users.begin(Tick(3));
        assert_ne!(generation, old);
        users.assure(old);
        assert_eq!(users.detach(old, Tick(9)), None);
        let usage = users.load();
        assert_eq!((usage.children(), usage.is_assured()), (1, false));
        users.assure(generation);
        let left = users.detach(generation, Tick(5)).expect("a child");
        assert_eq!((left.children(), left.is_assured(), left.is_live()), (0, true, true));
        assert_eq!(users.held_until(left, Tick(8)), Tick(5));
        assert_eq!(users.detach(generation, Tick(6)), None, "there is no child any more");
    }

    #[test]
    fn no_generation_is_0_after_the_numbers_wrap() {
        let users = Users::default();
        users.usage.store(u64::from(u32::MAX) << 32, Relaxed);
        assert_eq!(users.begin(Tick(0)), 1);
    }

    #[test]
    fn the_child_that_lived_longest_counts_however_late_it_is_reported() {
        let users = Users::default();
        let generation = users.begin(Tick(u32::MAX));
        users.attach();
        users.detach(generation, Tick(11));
        let left = users.detach(generation, Tick(10)).unwrap();
        assert_eq!(users.held_until(left, Tick(12)), Tick(11));
        users.attach();
        assert_eq!(users.held_until(users.load(), Tick(15)), Tick(16));
    }
}
