//! The worker threads: pinned, one loop each, idle in the way the configuration says.

use crate::affinity;
use crate::config::Idle;
use dataplane::io::{Pool, Queue};
use dataplane::time::Tick;
use dataplane::worker::{Next, Worker};
use rustix::time::{ClockId, clock_gettime};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

/// Turns between two looks at the clock, messages and timers. A full turn takes a few
/// microseconds, so a change waits well under a millisecond.
const HOUSEKEEPING_INTERVAL: u32 = 32;

/// Turns without a packet after which an idle worker of a lab sleeps.
const IDLE_TURNS: u32 = 64;

/// How long it sleeps: short enough that a lab's round trips stay below a millisecond.
const NAP: Duration = Duration::from_micros(50);

/// Holds workers back from their first packet until control opens it. They do everything else
/// behind it: take messages, say which rules they have.
#[derive(Debug, Clone, Default)]
pub struct Gate(Arc<AtomicBool>);

impl Gate {
    /// Lets the workers go, for good.
    pub fn open(&self) {
        self.0.store(true, Ordering::Release);
    }

    fn is_open(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// What a worker's thread needs besides the worker.
pub struct Place {
    /// Its name, as `ps -L` shows it.
    pub name: String,
    /// The cores it may run on; one, if it is pinned.
    pub cores: Vec<usize>,
    /// What it does when no packet waits.
    pub idle: Idle,
    /// What it waits for before its first packet.
    pub gate: Gate,
}

/// Starts a worker's thread. `register` runs first in it, after pinning; what it returns is kept
/// until the worker has stopped and its packets are gone (DPDK's lcore number).
///
/// # Errors
/// The system's, when it starts no thread.
pub fn spawn<Q, L, G>(
    place: Place,
    worker: Worker<Q, L>,
    register: impl FnOnce() -> G + Send + 'static,
) -> std::io::Result<JoinHandle<()>>
where
    Q: Queue + Send + 'static,
    Q::Packet: 'static,
    L: Pool<Packet = Q::Packet> + Send + 'static,
{
    Builder::new().name(place.name).spawn(move || {
        affinity::stay_on(&place.cores);
        let _registered = register();
        run(worker, place.idle, &place.gate);
    })
}

/// Turns until control says stop.
fn run<Q: Queue, L: Pool<Packet = Q::Packet>>(mut worker: Worker<Q, L>, idle: Idle, gate: &Gate) {
    let mut quiet = 0u32;
    loop {
        let now = boot_time();
        if worker.housekeep(now) == Next::Stop {
            worker.into_parts();
            return;
        }
        if !gate.is_open() {
            worker.beat(true);
            std::thread::sleep(NAP);
            continue;
        }
        for _ in 0..HOUSEKEEPING_INTERVAL {
            let found = worker.turn(now) > 0;
            worker.beat(!found);
            quiet = if found { 0 } else { quiet.saturating_add(1) };
            if quiet >= IDLE_TURNS {
                rest(idle);
                break;
            }
        }
    }
}

fn rest(idle: Idle) {
    match idle {
        Idle::Sleep => std::thread::sleep(NAP),
        Idle::Spin => std::hint::spin_loop(),
    }
}

/// The moment, on the clock that goes on while the machine is suspended and across restarts of
/// the daemon.
pub fn boot_time() -> Tick {
    let time = clock_gettime(ClockId::Boottime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    Tick::from_boot(Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or(0)))
}
