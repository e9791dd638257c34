//! Going through the store, bit by bit.

use super::TemplateStore;
use super::locked::Locked;
use super::record::Template;
use crate::time::{TICKS_PER_SECOND, Tick};
use std::ops::Range;

/// Ticks from the begin of one pass over a worker's share to the begin of the next. A template that
/// is over is not found from that moment on; its place and its destination's count wait for this.
const PASS_EVERY: u32 = TICKS_PER_SECOND / 2;

/// What a visitor wants of a template.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Leave it as it is.
    Keep,
    /// End it now (`ip_vs_conn_del`); one with children is asked again in 60 s, as by its timer.
    End,
}

/// How far a step came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// There is more.
    More,
    /// That was the last.
    Done,
    /// The lock was not to be had: try the same step again.
    Busy,
}

/// A place in the store. Steps from it go through the rest of its shard, then through the shards
/// that follow at its distance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    shard: usize,
    slot: u32,
    distance: usize,
}

impl Cursor {
    /// The begin of the share that one of `workers` workers has of the store.
    pub fn share(worker: usize, workers: usize) -> Cursor {
        Cursor { shard: worker, slot: 0, distance: workers.max(1) }
    }

    /// The begin of the whole store.
    pub fn all() -> Cursor {
        Cursor::share(0, 1)
    }

    /// Some place, of which a single step is to be made: what `drop_entry` takes its samples from.
    pub fn random(store: &TemplateStore, random: u64) -> Cursor {
        let shard = random as usize & (store.shards() - 1);
        Cursor { shard, slot: (random >> 32) as u32, distance: store.shards() }
    }
}

impl TemplateStore {
    /// Shows the templates in the next `budget` slots, each with its engine data, and does with
    /// them what `visitor` says. Templates that are over are not shown. Listings copy here,
    /// `drop_entry` ends those without children that are not assured, and `expire_nodest_conn`
    /// those of a removed destination.
    pub fn visit(
        &self,
        cursor: &mut Cursor,
        budget: u32,
        now: Tick,
        mut visitor: impl FnMut(&Template, &[u8]) -> Fate,
    ) -> Step {
        self.step(cursor, budget, |locked, slots| locked.visit(slots, now, &mut visitor))
    }

    fn step(
        &self,
        cursor: &mut Cursor,
        budget: u32,
        work: impl FnOnce(&mut Locked<'_>, Range<u32>),
    ) -> Step {
        if cursor.shard >= self.shards() || self.is_empty() {
            return Step::Done;
        }
        let Some(mut locked) = self.lock(cursor.shard as u32) else { return Step::Busy };
        let used = locked.shard.records.used() as u32;
        // A random place may lie behind the last slot; a shard only ever grows otherwise.
        let begin = if cursor.slot >= used { cursor.slot % used.max(1) } else { cursor.slot };
        let end = begin.saturating_add(budget.max(1)).min(used);
        work(&mut locked, begin..end);
        cursor.slot = end;
        if end == used {
            *cursor = Cursor { shard: cursor.shard + cursor.distance, slot: 0, ..*cursor };
        }
        if cursor.shard < self.shards() { Step::More } else { Step::Done }
    }
}

/// One worker's part in ending templates that are over.
#[derive(Debug, Clone, Copy)]
pub struct Sweeper {
    begin: Cursor,
    at: Cursor,
    /// When the pass that is under way, or the last one, began.
    began: Tick,
    under_way: bool,
}

impl Sweeper {
    /// Of one of `workers` workers.
    pub fn new(worker: usize, workers: usize, now: Tick) -> Sweeper {
        let begin = Cursor::share(worker, workers);
        Sweeper { begin, at: begin, began: now, under_way: false }
    }

    /// Looks at `budget` slots at most. Call it each turn: it does nothing between two passes,
    /// which begin every half second.
    pub fn sweep(&mut self, store: &TemplateStore, now: Tick, budget: u32) {
        if !self.under_way {
            if now.since(self.began) < PASS_EVERY {
                return;
            }
            *self = Sweeper { at: self.begin, began: now, under_way: true, ..*self };
        }
        let step = store.step(&mut self.at, budget, |locked, slots| locked.expire(slots, now));
        self.under_way = step != Step::Done;
    }
}
