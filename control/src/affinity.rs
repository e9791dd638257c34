//! Which threads run on which cores: a worker has its own, and every other thread keeps off those.

use crate::config::Workers;
use rustix::thread::{CpuSet, sched_setaffinity};

/// The cores of the daemon's threads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cores {
    /// For everything but workers: `control_core`, else what `cores` leaves over, else all.
    pub control: Vec<usize>,
    /// For workers that are pinned to no core of their own: all.
    pub unpinned: Vec<usize>,
}

impl Cores {
    /// Deals out the `available` cores ([`crate::config::available_cores`]).
    pub fn of(workers: &Workers, available: &[usize]) -> Cores {
        let left = available.iter().copied().filter(|core| !workers.cores.contains(core));
        let control = match workers.control_core {
            Some(core) => vec![core],
            None => left.collect(),
        };
        let control = if control.is_empty() { available.to_vec() } else { control };
        Cores { control, unpinned: available.to_vec() }
    }

    /// Where worker number `worker` runs.
    pub fn of_worker(&self, workers: &Workers, worker: usize) -> Vec<usize> {
        workers.cores.get(worker).map_or_else(|| self.unpinned.clone(), |&core| vec![core])
    }
}

/// Keeps the calling thread, and those it starts from then on, on `cores`. A failure is logged: the
/// thread then runs where the system puts it.
pub fn stay_on(cores: &[usize]) {
    let mut set = CpuSet::new();
    cores.iter().filter(|&&core| core < CpuSet::MAX_CPU).for_each(|&core| set.set(core));
    if let Err(error) = sched_setaffinity(None, &set) {
        log::warn!("a thread cannot stay on cores {cores:?}: {error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn cores(workers: &str) -> (Cores, Workers) {
        let text = format!("[[port]]\nname = 'a'\ndevice = 'net_null0'\n[workers]\n{workers}\n");
        let all = [0, 1, 2, 3];
        let workers = Config::parse(&text, "x.toml", &all).expect("valid").workers;
        (Cores::of(&workers, &all), workers)
    }

    #[test]
    fn control_threads_keep_off_the_cores_of_workers_while_there_are_others() {
        assert_eq!(cores("cores = [1, 2]").0.control, [0, 3]);
        assert_eq!(cores("cores = [0, 1, 2, 3]").0.control, [0, 1, 2, 3]);
        assert_eq!(cores("cores = [1]\ncontrol_core = 2").0.control, [2]);
        assert_eq!(cores("count = 2").0.control, [0, 1, 2, 3]);
    }

    #[test]
    fn a_worker_without_a_core_is_not_kept_where_control_threads_are() {
        let (all, workers) = cores("count = 2\ncontrol_core = 0");
        assert_eq!(all.of_worker(&workers, 1), [0, 1, 2, 3]);
        let (all, workers) = cores("cores = [3, 1]\ncontrol_core = 0");
        assert_eq!(all.of_worker(&workers, 1), [1]);
    }

    #[test]
    fn a_thread_and_those_it_starts_stay_where_they_are_told() {
        let first = crate::config::available_cores()[0];
        let child = std::thread::spawn(move || {
            stay_on(&[first]);
            std::thread::spawn(crate::config::available_cores).join().expect("no panic")
        });
        assert_eq!(child.join().expect("no panic"), [first]);
    }
}
