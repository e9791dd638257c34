//! What choosing among 128 servers costs, scheduler by scheduler, beside rr.

use crate::{Bench, Options, Outcome};
use dataplane::counters::{OthersLoad, WorkerCounters};
use dataplane::ids::DestId;
use dataplane::sched::SchedulerKind;
use dataplane::service::ForwardingMethod;
use perf::processor;
use perf::report::Round;
use perf::site::{Plan, VIP, drive, lost};
use perf::synthetic::Arrivals;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

const SERVERS: u32 = 128;
/// At ten million a second, and twice as many to be safe.
const CAPACITY: usize = 14_000_000;
/// New connections of one turn of one scheduler.
const PACKETS: usize = 1 << 20;
/// Until as many end as begin.
const RAMP: usize = 1 << 24;
/// As control's.
const AGGREGATE: Duration = Duration::from_millis(1);
/// Other workers whose counts are added.
const OTHERS: u32 = 3;

/// New connections to 128 servers of weights 1 to 4: each scheduler and rr by turns, alone and with
/// the counts of three other workers published every millisecond. `--rounds` turns of each.
pub fn run(options: &Options) -> Outcome {
    let plan = Plan {
        capacity: CAPACITY,
        servers: SERVERS,
        method: ForwardingMethod::Masq,
        short_timeouts: Some(1),
        huge_pages: true,
    };
    let mut bench = Bench::new(options, &plan, Arrivals::new(VIP))?;
    drive(&mut bench.worker, RAMP);
    let dests = bench.site.dests();
    for (name, shared) in [("scheduler", false), ("scheduler-4-workers", true)] {
        let stop = Arc::new(AtomicBool::new(false));
        let others = (bench.site.counters[0].clone(), bench.site.others[0].clone());
        let aggregator = shared.then(|| publish(others, dests.clone(), options.control, &stop));
        for kind in SchedulerKind::ALL {
            for _ in 0..options.rounds {
                turn(&mut bench, kind).print(&format!("{name}:{}", kind.name()));
            }
        }
        stop.store(true, Relaxed);
        aggregator.map(thread::JoinHandle::join);
    }
    Ok(())
}

fn turn(bench: &mut Bench<Arrivals>, kind: SchedulerKind) -> Round {
    let before = bench.calibration.is_quiet();
    let rr = cost(bench, SchedulerKind::Rr);
    let ours = cost(bench, kind);
    let quiet = before && bench.calibration.is_quiet();
    let lost = lost(&bench.site.counters[0]);
    let extra = format!("{rr:.1} ns with rr, {ours:.1} ns");
    Round { value: rr / ours, quiet, lost, extra, ..Round::default() }
}

/// Nanoseconds a new connection under a scheduler.
fn cost(bench: &mut Bench<Arrivals>, kind: SchedulerKind) -> f64 {
    bench.site.control.service(bench.site.service, kind);
    bench.site.publish();
    bench.worker.housekeep(processor::now());
    drive(&mut bench.worker, PACKETS).cost()
}

/// Three more workers, as control would publish them: each with about as many conns as this one.
fn publish(
    (counters, others): (Arc<WorkerCounters>, Arc<OthersLoad>),
    dests: Vec<DestId>,
    core: usize,
    stop: &Arc<AtomicBool>,
) -> thread::JoinHandle<()> {
    let stop = stop.clone();
    thread::spawn(move || {
        // Without a core of its own it measures nothing, but publishes all the same.
        let _ = processor::pin(core);
        while !stop.load(Relaxed) {
            for &dest in &dests {
                let own = counters.dest(dest);
                others.set(dest, OTHERS * own.active(), OTHERS * own.inactive());
            }
            others.publish();
            thread::sleep(AGGREGATE);
        }
    })
}
