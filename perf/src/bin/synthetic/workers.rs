//! Two workers beside one: each with the flows that it owns, then with half of them to hand over.

use crate::{Options, Outcome, SyntheticWorker};
use dataplane::counters::{Tally, WorkerCounters};
use dataplane::ids::WorkerId;
use dataplane::io::dpdk::PortQueue;
use dataplane::owner::{self, SlotMap};
use dataplane::service::ForwardingMethod;
use dpdk_bindings::{Eal, LcoreThread};
use perf::eal::Devices;
use perf::processor::{self, Calibration};
use perf::report::Round;
use perf::site::{Done, Plan, Site, VIP, drive};
use perf::synthetic::{Synthetic, Walk, client};
use std::mem;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Barrier, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// Flows of both workers together, and of the one alone.
const FLOWS: usize = 1_000_000;
const PERIOD: Duration = Duration::from_millis(800);
const STEP: usize = 1 << 14;
/// Turns without a packet after which nothing is under way.
const SETTLED: usize = 64;

/// The load knows no mercy: a worker that is without its core for a tenth of a millisecond finds its
/// ring full. So large a share of the packets may be lost to that, and only what is sent counts.
const TOLERABLE: f64 = 0.02;

/// What a worker did in a period.
#[derive(Debug, Clone, Copy, Default)]
struct Period {
    /// Packets sent, and processor time.
    done: Done,
    dropped: u64,
}

/// A worker, and what it receives in each of two ways: its own flows; its own and the other's.
struct Pair {
    worker: SyntheticWorker<Walk>,
    counters: Arc<WorkerCounters>,
    own: Walk,
    mixed: Walk,
}

/// One worker alone, then two with their own flows, then with half handed over, by turns.
/// `--rounds` times. The second worker has the control core: nothing else is to run there.
pub fn run(options: &Options) -> Outcome {
    let mut devices = Devices::new(&[1, 2], options.control)?;
    let pool = devices.pool.clone();
    let plan = Plan {
        capacity: FLOWS + FLOWS / 10,
        servers: 8,
        method: ForwardingMethod::Masq,
        short_timeouts: None,
        huge_pages: true,
    };
    let all: Vec<(u32, u16)> = (0..FLOWS as u64).map(client).collect();
    let parts = parts(&all);
    let queue = |devices: &mut Devices, device: usize, clients: &[(u32, u16)]| {
        let queue = devices.queues[device].remove(0);
        (Synthetic::new(queue, Walk::new(clients.to_vec(), VIP)), pool.clone())
    };
    let alone = vec![queue(&mut devices, 0, &all)];
    let both = vec![queue(&mut devices, 1, &parts[0]), queue(&mut devices, 1, &parts[1])];
    let (site, mut single) = Site::new(&plan, alone)?;
    let (pair_site, pair) = Site::new(&plan, both)?;
    let walks = pair_site.counters.iter().cloned().zip(walks(&parts));
    let joined = |(worker, (counters, (own, mixed)))| Pair { worker, counters, own, mixed };
    let mut pairs: Vec<Pair> = pair.into_iter().zip(walks).map(joined).collect();
    let (single, second, first) = (single.remove(0), pairs.remove(1), pairs.remove(0));
    let (meeting, told) = (Barrier::new(2), Mutex::new([Period::default(); 2]));
    let in_step = InStep::default();
    let turns = |core| Turns::begin(&devices.eal, core, (&meeting, &in_step), &told);
    let single = (single, site.counters[0].clone());
    thread::scope(|scope| {
        let other = scope.spawn(|| match turns(options.control) {
            Ok(mut thread) => thread.second(second, options.rounds),
            // The first thread would wait for ever.
            Err(error) => {
                eprintln!("synthetic: the second worker: {error}");
                std::process::exit(1);
            }
        });
        turns(options.core)?.first(single, first, options.rounds);
        other.join().map_err(|_| "the second worker has panicked".into())
    })
}

/// The clients of each of two workers.
fn parts(all: &[(u32, u16)]) -> [Vec<(u32, u16)>; 2] {
    let map = SlotMap::even(2);
    [0, 1].map(|worker| {
        let is_own = |&&(address, port): &&(u32, u16)| {
            map.worker(owner::slot(address, port)) == WorkerId(worker)
        };
        all.iter().filter(is_own).copied().collect()
    })
}

/// What each worker receives once the flows are open: half of `mixed` is its own.
fn walks(parts: &[Vec<(u32, u16)>; 2]) -> Vec<(Walk, Walk)> {
    let established = |clients: Vec<(u32, u16)>| {
        let mut walk = Walk::new(clients, VIP);
        walk.established(7);
        walk
    };
    let half = |part: &Vec<(u32, u16)>, from: usize| {
        part.iter().skip(from).step_by(2).copied().collect::<Vec<_>>()
    };
    let mixed = |worker: usize| [half(&parts[0], worker), half(&parts[1], worker)].concat();
    [0, 1].map(|worker| (established(parts[worker].clone()), established(mixed(worker)))).into()
}

/// One of the two threads, and how they meet.
struct Turns<'a> {
    meeting: &'a Barrier,
    in_step: &'a InStep,
    /// What each worker of a pair did in the period that has just ended.
    told: &'a Mutex<[Period; 2]>,
    calibration: Calibration,
    _thread: Option<LcoreThread>,
}

impl<'a> Turns<'a> {
    /// Pins the thread.
    fn begin(
        eal: &Eal,
        core: usize,
        (meeting, in_step): (&'a Barrier, &'a InStep),
        told: &'a Mutex<[Period; 2]>,
    ) -> Result<Turns<'a>, String> {
        let text = |error: &dyn std::fmt::Display| error.to_string();
        processor::pin(core).map_err(|error| text(&error))?;
        // The thread that started DPDK is known to it.
        let unknown = LcoreThread::number().is_none();
        let thread = unknown.then(|| LcoreThread::register(eal).map_err(|error| text(&error)));
        let thread = thread.transpose()?;
        Ok(Turns { meeting, in_step, told, calibration: Calibration::new(), _thread: thread })
    }

    /// The first thread: the worker that is alone, and the first of the pair. Prints.
    fn first(
        &mut self,
        single: (SyntheticWorker<Walk>, Arc<WorkerCounters>),
        mut pair: Pair,
        rounds: usize,
    ) {
        let (mut single, counters) = single;
        drive(&mut single, FLOWS);
        queue(&mut single).source.established(7);
        self.open(&mut pair);
        for _ in 0..rounds {
            let before = self.calibration.is_quiet();
            let alone = for_a_period(&mut single, &counters);
            let [own, mixed] = [false, true].map(|mixed| {
                self.period(&mut pair, 0, mixed);
                *self.told.lock().expect("no thread panics with it")
            });
            let quiet = before && self.calibration.is_quiet();
            for (case, both) in [("two-workers-own", own), ("two-workers-handed", mixed)] {
                round(alone, both, quiet).print(case);
            }
        }
    }

    /// The second thread: the second of the pair.
    fn second(&mut self, mut pair: Pair, rounds: usize) {
        self.open(&mut pair);
        for _ in 0..rounds {
            [false, true].into_iter().for_each(|mixed| self.period(&mut pair, 1, mixed));
        }
    }

    /// Opens the connections of a worker's own flows.
    fn open(&self, pair: &mut Pair) {
        drive(&mut pair.worker, FLOWS);
        self.meeting.wait();
    }

    /// Both workers work for a period; each says what it did.
    fn period(&self, pair: &mut Pair, place: usize, mixed: bool) {
        let walk = if mixed { &mut pair.mixed } else { &mut pair.own };
        mem::swap(walk, &mut queue(&mut pair.worker).source);
        self.meeting.wait();
        // From a sleep they would come back one after the other.
        self.in_step.wait();
        let done = for_a_period(&mut pair.worker, &pair.counters);
        self.told.lock().expect("no thread panics with it")[place] = done;
        self.settle(&mut pair.worker);
        let walk = if mixed { &mut pair.mixed } else { &mut pair.own };
        mem::swap(walk, &mut queue(&mut pair.worker).source);
    }

    /// Receives nothing new until neither has anything left from the other.
    fn settle(&self, worker: &mut SyntheticWorker<Walk>) {
        queue(worker).is_closed = true;
        let (place, mut idle) = (self.in_step.arrive(), 0);
        while idle < SETTLED || !self.in_step.is_full(place) {
            idle = if worker.turn(processor::now()) == 0 { idle + 1 } else { 0 };
        }
        self.meeting.wait();
        queue(worker).is_closed = false;
    }
}

/// Where two threads wait for each other without sleeping, as often as they like.
#[derive(Debug, Default)]
struct InStep(AtomicUsize);

impl InStep {
    /// Says that one is here; returns its place.
    fn arrive(&self) -> usize {
        self.0.fetch_add(1, SeqCst)
    }

    /// Whether the other one of the place's two is here, too.
    fn is_full(&self, place: usize) -> bool {
        self.0.load(SeqCst) > place | 1
    }

    fn wait(&self) {
        let place = self.arrive();
        while !self.is_full(place) {
            std::hint::spin_loop();
        }
    }
}

fn queue(worker: &mut SyntheticWorker<Walk>) -> &mut Synthetic<PortQueue, Walk> {
    &mut worker.shares_mut()[0].queue
}

/// Packets sent and processor time in a period of the clock on the wall.
fn for_a_period(worker: &mut SyntheticWorker<Walk>, counters: &WorkerCounters) -> Period {
    let (end, before, mut ns) = (Instant::now() + PERIOD, counters.read(), 0);
    while Instant::now() < end {
        ns += drive(worker, STEP).ns;
    }
    let after = counters.read();
    let dropped = |tally: &Tally| tally.dropped.iter().sum::<u64>();
    let dropped = dropped(&after) - dropped(&before);
    Period { done: Done { packets: (after.sent - before.sent) as usize, ns }, dropped }
}

fn round(alone: Period, both: [Period; 2], quiet: bool) -> Round {
    let mpps = |period: Period| 1e3 / period.done.cost();
    let [first, second] = both.map(mpps);
    let dropped: u64 = both.iter().map(|period| period.dropped).sum();
    let sent: usize = both.iter().map(|period| period.done.packets).sum();
    let share = dropped as f64 / (sent as f64 + dropped as f64);
    let lost = match share > TOLERABLE {
        true => format!("{dropped} dropped, {sent} sent"),
        false => String::new(),
    };
    let extra = format!(
        "{:.2} Mpps alone, {first:.2} + {second:.2}, {:.2} % dropped",
        mpps(alone),
        share * 100.0
    );
    Round { value: (first + second) / mpps(alone), quiet, lost, extra, ..Round::default() }
}
