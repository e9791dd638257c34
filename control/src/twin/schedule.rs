//! Which punted frame goes to Linux next: strict priority over classes, workers in turn within a
//! class, and a rate a class, so that no flood reaches what is above it.

use dataplane::twin_ring::{PuntReceiver, Punted};
use dataplane::verdict::PuntClass;
use std::time::Duration;

/// Frames of one class that pass before those above it are looked at again.
const RUN: usize = 8;

/// Frames a second, and how many at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimit {
    /// Frames a second in the long run.
    pub per_second: u32,
    /// Frames that pass at once after a pause.
    pub burst: u32,
}

/// The rate of each class towards Linux.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// By [`PuntClass::index`].
    pub by_class: [RateLimit; PuntClass::COUNT],
}

impl Default for Limits {
    /// A burst is a tenth of a second's worth. Control is all but unlimited: losing it loses
    /// sessions.
    fn default() -> Self {
        let limit = |per_second| RateLimit { per_second, burst: per_second / 10 };
        Limits { by_class: [limit(10_000), limit(100_000), limit(10_000), limit(50_000)] }
    }
}

/// A token bucket that never reads a clock.
#[derive(Debug)]
struct Bucket {
    limit: RateLimit,
    /// In billionths of a frame, so that a nanosecond adds a whole number.
    tokens: u64,
    filled_at: Duration,
}

const FRAME: u64 = 1_000_000_000;

impl Bucket {
    fn new(limit: RateLimit) -> Self {
        Bucket { limit, tokens: u64::from(limit.burst) * FRAME, filled_at: Duration::ZERO }
    }

    /// Adds what the time since the last call is worth; a clock that steps back adds nothing.
    fn fill(&mut self, now: Duration) {
        let elapsed = now.saturating_sub(self.filled_at).as_nanos();
        let nanos = u64::try_from(elapsed).unwrap_or(u64::MAX);
        let earned = nanos.saturating_mul(u64::from(self.limit.per_second));
        let full = u64::from(self.limit.burst) * FRAME;
        self.tokens = self.tokens.saturating_add(earned).min(full);
        self.filled_at = self.filled_at.max(now);
    }

    fn take(&mut self) -> Turn {
        match self.tokens.checked_sub(FRAME) {
            Some(rest) => {
                self.tokens = rest;
                Turn::Pass
            }
            None => Turn::Limit,
        }
    }
}

/// What is to become of a punted frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// Write it.
    Pass,
    /// Drop it: its class is over its rate.
    Limit,
}

/// The punt rings of all workers, and whose turn it is.
#[derive(Debug)]
pub struct Schedule<P> {
    workers: Vec<PuntReceiver<P>>,
    next_worker: [usize; PuntClass::COUNT],
    buckets: [Bucket; PuntClass::COUNT],
}

impl<P> Schedule<P> {
    /// Takes over one receiver a worker.
    pub fn new(workers: Vec<PuntReceiver<P>>, limits: Limits) -> Self {
        Schedule {
            workers,
            next_worker: [0; PuntClass::COUNT],
            buckets: limits.by_class.map(Bucket::new),
        }
    }

    /// Gives `each` frames until there are none or `budget` is reached, in runs of some frames, and
    /// says how many. `now` is any clock that does not step back.
    pub fn drain(
        &mut self,
        now: Duration,
        budget: usize,
        mut each: impl FnMut(PuntClass, Turn, Punted<P>),
    ) -> usize {
        self.buckets.iter_mut().for_each(|bucket| bucket.fill(now));
        let mut given = 0;
        while given < budget {
            match self.run(&mut each) {
                0 => break,
                count => given += count,
            }
        }
        given
    }

    /// Gives at most [`RUN`] frames of the highest class that has some within its rate. A class
    /// over its rate loses as many on the way and holds up nobody below it.
    fn run(&mut self, each: &mut impl FnMut(PuntClass, Turn, Punted<P>)) -> usize {
        let mut given = 0;
        for &class in PuntClass::ALL {
            let mut passed = false;
            for _ in 0..RUN {
                let Some(punted) = self.pop(class) else { break };
                let turn = self.buckets[class.index()].take();
                passed |= turn == Turn::Pass;
                each(class, turn, punted);
                given += 1;
            }
            if passed {
                break;
            }
        }
        given
    }

    /// One frame of a class, from the first worker in turn that has one.
    fn pop(&mut self, class: PuntClass) -> Option<Punted<P>> {
        let count = self.workers.len();
        let first = self.next_worker[class.index()];
        for worker in (first..count).chain(0..first) {
            if let Some(punted) = self.workers[worker].pop(class) {
                self.next_worker[class.index()] = (worker + 1) % count;
                return Some(punted);
            }
        }
        None
    }
}

#[cfg(test)]
#[path = "schedule_tests.rs"]
mod tests;
