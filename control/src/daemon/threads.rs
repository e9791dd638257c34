//! The threads that packets meet: workers and the kernel twins', started, watched and stopped.

use super::Control;
use super::ports::{self, Ports};
use super::readings::DaemonReadings;
use crate::affinity::Cores;
use crate::config::Config;
use crate::engine::publish::Publisher;
use crate::twin::{Limits, Twin, TwinHandle, TwinSpec};
use crate::workers::{self, Gate, Place};
use crossbeam::queue::ArrayQueue;
use dataplane::conn::{ConnTable, TableConfig};
use dataplane::counters::{OthersLoad, WorkerCounters};
use dataplane::director::Setup;
use dataplane::expect::Expectations;
use dataplane::handover::HandOver;
use dataplane::ids::{InterfaceId, WorkerId};
use dataplane::interface::Interfaces;
use dataplane::io::dpdk::PortQueue;
use dataplane::limits::{ENGINE_TEMPLATES, HAND_OVER_RING, MAX_DESTS, WINDOW};
use dataplane::mailbox::{Mailbox, Message};
use dataplane::nexthop::ResolveRequest;
use dataplane::owner::SlotMap;
use dataplane::template::{StoreConfig, TemplateStore};
use dataplane::twin_ring::{FromTwin, PuntSender, from_twin_ring, punt_rings};
use dataplane::worker::{PortShare, TxRoute, Wiring, Worker};
use dpdk_bindings::{Eal, LcoreThread, Mbuf, Mempool, Port};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::thread::JoinHandle;
use std::time::Duration;

/// Wishes under way from all workers.
const WISHES: usize = 256;

/// How long a worker's loop may stand still before the log says so.
const STALL: Duration = Duration::from_secs(1);

/// What the log calls the thread of [`crate::twin`].
const TWINS: &str = "the kernel twins' thread";

/// All threads, and the ports they work on.
pub struct Threads {
    workers: Vec<JoinHandle<()>>,
    mailboxes: Vec<Arc<Mailbox>>,
    counters: Vec<Arc<WorkerCounters>>,
    twins: Option<TwinHandle>,
    ports: Vec<Arc<Port>>,
    gate: Gate,
}

/// What all workers share.
struct Shared {
    interfaces: Arc<Interfaces>,
    slot_map: Arc<SlotMap>,
    templates: Arc<TemplateStore>,
    expect: Arc<Expectations>,
    wishes: Arc<ArrayQueue<ResolveRequest>>,
    pool: Mempool,
    table: TableConfig,
    cores: Cores,
    gate: Gate,
}

/// One worker's own things.
struct Own {
    shares: Vec<PortShare<PortQueue>>,
    tx_routes: Vec<TxRoute>,
    hand_over: HandOver<Mbuf>,
    punts: PuntSender<Mbuf>,
    from_twin: FromTwin<Mbuf>,
    mailbox: Arc<Mailbox>,
    counters: Arc<WorkerCounters>,
    others: Arc<OthersLoad>,
}

/// Starts the kernel twins and the workers, which take packets from [`Threads::begin`] on.
///
/// # Errors
/// One sentence; threads that were started are stopped again.
pub fn start(config: &Config, ports: Ports, cores: &Cores) -> Result<(Threads, Control), String> {
    let count = config.workers.count;
    let interfaces = Arc::new(ports::interfaces(config, &ports.macs));
    let specs = twin_specs(config, &ports);
    let shared = Shared {
        interfaces,
        slot_map: Arc::new(ports.slot_map.clone()),
        templates: Arc::new(templates(config)),
        expect: Arc::new(Expectations::new(ahash_secret(), count)),
        wishes: Arc::new(ArrayQueue::new(WISHES)),
        pool: ports.pool.clone(),
        table: table(config),
        cores: cores.clone(),
        gate: Gate::default(),
    };
    let counters: Vec<Arc<WorkerCounters>> = (0..count).map(|_| Arc::default()).collect();
    let others: Vec<Arc<OthersLoad>> = (0..count).map(|_| Arc::default()).collect();
    let mailboxes: Vec<Arc<Mailbox>> = (0..count).map(|_| Arc::default()).collect();
    let (punts, punted): (Vec<_>, Vec<_>) = (0..count).map(|_| punt_rings()).unzip();
    let (to_workers, from_twin): (Vec<_>, Vec<_>) = (0..count).map(|_| from_twin_ring()).unzip();
    let twins = Twin::start(specs, shared.pool.clone(), punted, to_workers, Limits::default())
        .map_err(|error| error.to_string())?;
    let opened: Vec<Arc<Port>> = ports.ports.into_iter().map(Arc::new).collect();
    let readings =
        DaemonReadings::new(config, &opened, twins.counters().clone(), ports.steering, ports.facts);
    let publisher = Publisher::new(mailboxes.clone(), counters.clone(), shared.templates.clone());
    let mut threads = Threads {
        workers: Vec::new(),
        mailboxes: mailboxes.clone(),
        counters: counters.clone(),
        twins: Some(twins),
        ports: opened,
        gate: shared.gate.clone(),
    };
    let own = ports.shares.into_iter().zip(ports.tx_routes);
    let own = own.zip(HandOver::mesh(count, HAND_OVER_RING)).zip(punts.into_iter().zip(from_twin));
    for (worker, (((shares, tx_routes), hand_over), (punts, from_twin))) in own.enumerate() {
        let own = Own {
            shares,
            tx_routes,
            hand_over,
            punts,
            from_twin,
            mailbox: mailboxes[worker].clone(),
            counters: counters[worker].clone(),
            others: others[worker].clone(),
        };
        match start_worker(config, &ports.eal, worker, &shared, own) {
            Ok(thread) => threads.workers.push(thread),
            Err(error) => {
                threads.stop();
                return Err(error);
            }
        }
    }
    Ok((
        threads,
        Control { publisher, others, expect: shared.expect, wishes: shared.wishes, readings },
    ))
}

fn start_worker(
    config: &Config,
    eal: &Eal,
    worker: usize,
    shared: &Shared,
    own: Own,
) -> Result<JoinHandle<()>, String> {
    let setup = Setup {
        worker: WorkerId(worker as u16),
        conns: ConnTable::new(&shared.table).map_err(|error| error.to_string())?,
        interfaces: shared.interfaces.clone(),
        counters: own.counters,
        others: own.others,
        templates: shared.templates.clone(),
        expect: shared.expect.clone(),
        wishes: shared.wishes.clone(),
        slot_map: shared.slot_map.clone(),
        pool: shared.pool.clone(),
        ip_id: first_ip_id(worker, config.workers.count),
    };
    let wiring = Wiring {
        shares: own.shares,
        tx_routes: own.tx_routes,
        hand_over: own.hand_over,
        punts: own.punts,
        from_twin: own.from_twin,
        mailbox: own.mailbox,
        workers: config.workers.count,
        window: WINDOW,
    };
    let place = Place {
        name: format!("worker{worker}"),
        cores: shared.cores.of_worker(&config.workers, worker),
        idle: config.workers.idle,
        gate: shared.gate.clone(),
    };
    let eal = eal.clone();
    let register = move || {
        LcoreThread::register(&eal)
            .inspect_err(|error| log::warn!("{error}; its buffers take the slow way"))
            .ok()
    };
    workers::spawn(place, Worker::new(setup, wiring), register)
        .map_err(|error| format!("cannot start worker {worker}: {error}"))
}

fn table(config: &Config) -> TableConfig {
    TableConfig {
        capacity: config.connections_per_worker(),
        side_capacity: config.side_per_worker(),
        secret: ahash_secret(),
        huge_pages: config.table.huge_pages,
    }
}

fn templates(config: &Config) -> TemplateStore {
    TemplateStore::new(&StoreConfig {
        capacity: config.table.templates,
        engine_capacity: config.table.templates.min(ENGINE_TEMPLATES),
        dests: MAX_DESTS + 1,
        secret: ahash_secret(),
    })
}

/// Identifications of workers begin at equal distances.
fn first_ip_id(worker: usize, workers: usize) -> u16 {
    (worker * (usize::from(u16::MAX) + 1) / workers) as u16
}

/// A secret that the system's randomness gives: ahash's keys are made of it.
fn ahash_secret() -> [u64; 2] {
    let random = ahash::RandomState::new();
    [random.hash_one(1u64), random.hash_one(2u64)]
}

fn twin_specs(config: &Config, ports: &Ports) -> Vec<TwinSpec> {
    let interfaces = config.interfaces.iter().enumerate();
    let spec = |(id, interface): (usize, &crate::config::Interface)| TwinSpec {
        interface: InterfaceId(id as u16),
        port: interface.port,
        vlan: interface.vlan,
        name: interface.name.clone(),
        mac: ports.macs[interface.port.index()].0,
        mtu: config.ports[interface.port.index()].mtu,
        tx_worker: WorkerId(0),
    };
    interfaces.filter(|(_, interface)| interface.twin).map(spec).collect()
}

impl Threads {
    /// Watches workers and the kernel twins' thread: logs one that stands still, and resolves when
    /// one has ended by itself, which only a panic does.
    pub async fn watch(&self) -> String {
        let mut last = self.turns();
        loop {
            tokio::time::sleep(STALL).await;
            if let Some(dead) = self.ended() {
                return format!("{dead} has ended by itself, which is a bug: stopping");
            }
            let turns = self.turns();
            let still = turns.iter().zip(&last).filter(|(after, before)| after == before);
            for ((name, _), _) in still {
                log::warn!("{name} has stood still for a second");
            }
            last = turns;
        }
    }

    /// Each thread and how often it has gone round.
    fn turns(&self) -> Vec<(String, u64)> {
        let workers = self.counters.iter().enumerate();
        let worker = |(worker, counters): (usize, &Arc<WorkerCounters>)| {
            (format!("worker {worker}"), counters.turns.load(Relaxed))
        };
        let twins = self.twins.iter().map(|twins| (TWINS.into(), twins.counters().heartbeat()));
        workers.map(worker).chain(twins).collect()
    }

    /// A thread that runs no more.
    fn ended(&self) -> Option<String> {
        let worker = self.workers.iter().position(JoinHandle::is_finished);
        let twins = self.twins.as_ref().filter(|twins| twins.is_finished());
        worker.map(|dead| format!("worker {dead}")).or_else(|| twins.map(|_| TWINS.into()))
    }

    /// Lets the workers take their first packet.
    pub fn begin(&self) {
        self.gate.open();
    }

    /// Stops the workers, then the twins, then closes the ports. A worker that has ended already
    /// takes no message any more.
    pub fn stop(mut self) {
        for (worker, mailbox) in self.mailboxes.iter().enumerate() {
            let is_gone = || self.workers.get(worker).is_none_or(JoinHandle::is_finished);
            while !is_gone() && mailbox.post(Message::Stop).is_err() {
                while mailbox.collect().is_some() {}
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        for (worker, thread) in self.workers.drain(..).enumerate() {
            if thread.join().is_err() {
                log::error!("worker {worker} ended in a panic");
            }
        }
        if let Some(twins) = self.twins.take() {
            if !twins.stop() {
                log::error!("{TWINS} ended in a panic");
            }
        }
        self.ports.clear();
    }
}
