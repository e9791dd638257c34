//! Shared helpers of the benchmark programs in `src/bin`.

pub mod audit;
pub mod buffer;
#[cfg(feature = "dpdk")]
pub mod eal;
pub mod one_service;
pub mod processor;
pub mod report;
pub mod site;
pub mod synthetic;

use rustix::time::{ClockId, clock_gettime};

/// Nanoseconds of processor time an operation takes in each of several runs. What other programs
/// use of the processor does not count; what they use of the caches does.
#[derive(Debug, Default, Clone)]
pub struct Samples(Vec<f64>);

impl Samples {
    /// No run yet.
    pub const fn new() -> Samples {
        Samples(Vec::new())
    }

    /// Runs `work`, which does `operations` of them, and takes down the time of one.
    pub fn measure(&mut self, operations: usize, work: impl FnOnce()) {
        let start = processor_ns();
        work();
        self.0.push((processor_ns() - start) / operations as f64);
    }

    /// The run in the middle.
    ///
    /// # Panics
    /// If there was none.
    pub fn median(&self) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        sorted[sorted.len() / 2]
    }

    /// The fastest run: what it costs when nothing disturbs it.
    pub fn best(&self) -> f64 {
        self.0.iter().copied().fold(f64::INFINITY, f64::min)
    }
}

fn processor_ns() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_not_moved_by_one_disturbed_run() {
        let samples = Samples(vec![3.0, 900.0, 2.0]);
        assert_eq!((samples.median(), samples.best()), (3.0, 2.0));
    }
}
