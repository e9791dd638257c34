//! A thread's processor time, its core, and how slow that core is at the moment.

use dataplane::time::Tick;
use rustix::io;
use rustix::thread::{CpuSet, sched_setaffinity};
use rustix::time::{ClockId, clock_gettime};
use std::hint::black_box;
use std::time::Duration;

/// Nanoseconds that the calling thread has had a core for. What other programs take of the core
/// does not count.
pub fn spent_ns() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// The same as the moment that a worker is told: its timeouts run on its own time.
pub fn now() -> Tick {
    tick(spent_ns())
}

/// A moment of [`spent_ns`] as the worker is told it.
pub fn tick(ns: u64) -> Tick {
    Tick::from_boot(Duration::from_nanos(ns))
}

/// Keeps the calling thread on a core.
///
/// # Errors
/// The system's, if there is no such core.
pub fn pin(core: usize) -> io::Result<()> {
    let mut cores = CpuSet::new();
    cores.set(core);
    sched_setaffinity(None, &cores)
}

/// More than this and the core was slow around a round.
const TOLERANCE: f64 = 1.08;
const STEPS: u64 = 400_000;
const SAMPLES: usize = 7;

/// Times a fixed computation, which takes longer when a stranger shares the core's units.
#[derive(Debug)]
pub struct Calibration {
    best: u64,
}

impl Calibration {
    /// Nothing timed yet.
    pub const fn new() -> Calibration {
        Calibration { best: u64::MAX }
    }

    /// Whether the core is as fast as it has ever been.
    pub fn is_quiet(&mut self) -> bool {
        let mut samples: [u64; SAMPLES] = std::array::from_fn(|_| fixed_computation());
        samples.sort_unstable();
        let took = samples[SAMPLES / 2];
        self.best = self.best.min(took);
        (took as f64) < self.best as f64 * TOLERANCE
    }
}

impl Default for Calibration {
    fn default() -> Self {
        Calibration::new()
    }
}

/// A chain of multiplications, each of which waits for the one before.
fn fixed_computation() -> u64 {
    let start = spent_ns();
    let mut value = black_box(1u64);
    for _ in 0..STEPS {
        value = value.wrapping_mul(6_364_136_223_846_793_005).rotate_left(1);
    }
    black_box(value);
    spent_ns() - start
}
