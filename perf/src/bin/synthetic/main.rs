//! What no capture can show, measured over synthetic receive: frames written into the buffers of
//! DPDK's null device as they are received, by the same code for the appliance's worker and for the
//! floor beside it.
//!
//! `synthetic CASE [--rounds N] [--size N] [--core N] [--control N]` prints a line of JSON a round; see `CASES`.
//! Time is the thread's processor time, also what the worker is told, so that connections end on
//! the same clock. It needs free huge pages; `perf/rate` sees to that.

mod bytes;
mod creation;
mod flows;
mod schedulers;
mod window;
mod workers;

use perf::eal::Devices;
use perf::processor::{self, Calibration};
use perf::site::Site;
use perf::synthetic::{Source, Synthetic, swap_macs};

use dataplane::io::Queue;
use dataplane::io::dpdk::PortQueue;
use dataplane::worker::Worker;
use dpdk_bindings::Mempool;
use std::error::Error;
use std::process::ExitCode;

/// What a case gives back: `main` says the error.
pub type Outcome = Result<(), Box<dyn Error>>;

/// A worker over a null device whose frames come from a source.
pub type SyntheticWorker<S> = Worker<Synthetic<PortQueue, S>, Mempool>;

/// Measures and prints.
type Case = fn(&Options) -> Outcome;

/// The cases by name.
const CASES: [(&str, Case); 7] = [
    ("flows", flows::run),
    ("arrivals", creation::arrivals),
    ("lives", creation::lives),
    ("schedulers", schedulers::run),
    ("bytes", bytes::run),
    ("window", window::run),
    ("workers", workers::run),
];

/// The command line.
#[derive(Debug, Clone)]
pub struct Options {
    /// Repetitions.
    pub rounds: usize,
    /// Flows, seconds or conns of the case; each has a default.
    pub size: Option<usize>,
    /// Core of the worker.
    pub core: usize,
    /// Core of everything else, and of a second worker.
    pub control: usize,
}

fn main() -> ExitCode {
    let outcome = parse(std::env::args().skip(1)).and_then(|(case, options)| case(&options));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("synthetic: {error}");
            ExitCode::FAILURE
        }
    }
}

fn parse(mut words: impl Iterator<Item = String>) -> Result<(Case, Options), Box<dyn Error>> {
    let names = CASES.map(|(name, _)| name).join(", ");
    let name = words.next().ok_or_else(|| format!("a case is needed: {names}"))?;
    let case = CASES.iter().find(|(known, _)| *known == name);
    let (_, case) = case.ok_or_else(|| format!("there is no case {name}: choose of {names}"))?;
    let mut options = Options { rounds: 5, size: None, core: 1, control: 0 };
    while let Some(option) = words.next() {
        let value = words.next().ok_or_else(|| format!("{option} needs a number"))?;
        let value: usize = value.parse().map_err(|_| format!("{value} is not a number"))?;
        match option.as_str() {
            "--rounds" => options.rounds = value,
            "--size" => options.size = Some(value),
            "--core" => options.core = value,
            "--control" => options.control = value,
            _ => return Err(format!("there is no option {option}").into()),
        }
    }
    Ok((*case, options))
}

/// One worker on the pinned thread that calls, and what it needs alive.
pub struct Bench<S: Source> {
    /// Its rules.
    pub site: Site,
    /// It.
    pub worker: SyntheticWorker<S>,
    /// Whether its core is quiet.
    pub calibration: Calibration,
}

impl<S: Source> Bench<S> {
    /// Starts DPDK, whose main thread the caller becomes, pins it and makes a worker by the plan.
    ///
    /// # Errors
    /// The first thing that could not be had.
    pub fn new(
        options: &Options,
        plan: &perf::site::Plan,
        source: S,
    ) -> Result<Bench<S>, Box<dyn Error>> {
        let mut devices = Devices::new(&[1], options.control)?;
        processor::pin(options.core)?;
        let queue = devices.queues.remove(0).remove(0);
        let queue = Synthetic::new(queue, source);
        let (site, mut workers) = Site::new(plan, vec![(queue, devices.pool.clone())])?;
        let worker = workers.remove(0);
        Ok(Bench { site, worker, calibration: Calibration::new() })
    }

    /// What the frames come from.
    pub fn source(&mut self) -> &mut S {
        &mut self.queue().source
    }

    /// Nanoseconds a packet of the floor, over the same queue and frames of another source.
    pub fn floor(&mut self, packets: usize, source: S) -> f64 {
        let ours = std::mem::replace(self.source(), source);
        let cost = floor(self.queue(), packets);
        *self.source() = ours;
        cost
    }

    /// The queue, which the floor uses too.
    pub fn queue(&mut self) -> &mut Synthetic<PortQueue, S> {
        &mut self.worker.shares_mut()[0].queue
    }
}

/// Nanoseconds a packet of the floor over a queue.
pub fn floor<Q: Queue>(queue: &mut Q, packets: usize) -> f64 {
    let start = processor::spent_ns();
    let swapped = swap_macs(queue, packets);
    (processor::spent_ns() - start) as f64 / swapped as f64
}
