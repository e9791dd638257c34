//! The whole director in one thread: workers over ports in memory, stepped by hand.
//!
//! What threads, NICs, kernel twins and control do around the workers, the test does: it feeds
//! frames to queues, steps the workers in the order it likes, and collects what was sent and
//! punted. After every step [`Machine::check`] proves that no packet was lost.

use crate::conn::{ConnTable, TableConfig};
use crate::counters::{OthersLoad, Tally, WorkerCounters, aggregate};
use crate::director::Setup;
use crate::expect::Expectations;
use crate::handover::HandOver;
use crate::ids::{DestId, Generation, InterfaceId, PortId, WorkerId};
use crate::interface::{Interface, Interfaces};
use crate::io::Packet;
use crate::io::sim::{SimPacket, SimPool, SimQueue};
use crate::limits::{HAND_OVER_RING, MAX_DESTS, WINDOW};
use crate::mailbox::{Mailbox, Message};
use crate::nexthop::ResolveRequest;
use crate::owner::SlotMap;
use crate::template::{StoreConfig, TemplateStore};
use crate::time::Tick;
use crate::twin_ring::{PuntReceiver, ToWorker, from_twin_ring, punt_rings};
use crate::verdict::PuntClass;
use crate::worker::{Next, PortShare, TxRoute, Wiring, Worker};
use crossbeam::queue::ArrayQueue;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// What a machine is built from.
#[derive(Debug, Clone)]
pub struct MachineConfig {
    /// How many workers.
    pub workers: usize,
    /// Queue pairs of each port; workers without one live on hand-over.
    pub queues: Vec<usize>,
    /// Interfaces of all ports; their places are their ids.
    pub interfaces: Vec<Interface>,
    /// Packets a turn takes at most, 1 to [`WINDOW`].
    pub window: usize,
    /// Conns each worker has room for.
    pub capacity: usize,
    /// Persistence templates in all.
    pub templates: usize,
    /// Packet buffers in all.
    pub buffers: usize,
    /// Secret of the connection tables.
    pub secret: [u64; 2],
    /// Whether plain packets take the short way: see [`crate::director::Director::set_express`].
    pub express: bool,
}

impl MachineConfig {
    /// One worker, one queue a port, a window of [`WINDOW`].
    pub fn new(interfaces: Vec<Interface>) -> Self {
        let ports = interfaces.iter().map(|each| each.port.index() + 1).max().unwrap_or(0);
        MachineConfig {
            workers: 1,
            queues: vec![1; ports],
            interfaces,
            window: WINDOW,
            capacity: 4096,
            templates: 1024,
            buffers: 4096,
            secret: [0x5eed, 0xfeed],
            express: true,
        }
    }
}

/// A worker of the simulation.
pub type SimWorker = Worker<SimQueue, SimPool>;

/// What a punted frame was: its interface, its class and its bytes.
pub type Punted = (InterfaceId, PuntClass, Vec<u8>);

/// Workers, and the ends of everything they are connected to.
pub struct Machine {
    workers: Vec<SimWorker>,
    counters: Vec<Arc<WorkerCounters>>,
    others: Vec<Arc<OthersLoad>>,
    mailboxes: Vec<Arc<Mailbox>>,
    punted: Vec<PuntReceiver<SimPacket>>,
    to_workers: Vec<ToWorker<SimPacket>>,
    templates: Arc<TemplateStore>,
    expect: Arc<Expectations>,
    wishes: Arc<ArrayQueue<ResolveRequest>>,
    pool: SimPool,
}

impl Machine {
    /// Builds it at rest, without services, routes or next hops.
    ///
    /// # Panics
    /// If the connection tables cannot be had.
    pub fn new(config: &MachineConfig) -> Self {
        let tables = (0..config.workers).map(|_| table(config)).collect();
        Machine::with_tables(config, tables)
    }

    /// The same with connection tables that were adopted, one a worker.
    pub fn with_tables(config: &MachineConfig, tables: Vec<ConnTable>) -> Self {
        let interfaces = Arc::new(Interfaces::new(config.interfaces.clone()));
        let slot_map = Arc::new(SlotMap::even(config.workers));
        let mut machine = Machine {
            workers: Vec::new(),
            counters: (0..config.workers).map(|_| Arc::default()).collect(),
            others: (0..config.workers).map(|_| Arc::default()).collect(),
            mailboxes: (0..config.workers).map(|_| Arc::default()).collect(),
            punted: Vec::new(),
            to_workers: Vec::new(),
            templates: Arc::new(templates(config)),
            expect: Arc::new(Expectations::new(config.secret, config.workers)),
            wishes: Arc::new(ArrayQueue::new(64)),
            pool: SimPool::new(config.buffers),
        };
        let mesh = HandOver::mesh(config.workers, HAND_OVER_RING);
        for (worker, (hand_over, conns)) in mesh.into_iter().zip(tables).enumerate() {
            let setup = Setup {
                worker: WorkerId(worker as u16),
                conns,
                interfaces: interfaces.clone(),
                counters: machine.counters[worker].clone(),
                others: machine.others[worker].clone(),
                templates: machine.templates.clone(),
                expect: machine.expect.clone(),
                wishes: machine.wishes.clone(),
                slot_map: slot_map.clone(),
                pool: machine.pool.clone(),
                ip_id: 0,
            };
            let wiring = machine.wire(config, worker, hand_over);
            let mut made = Worker::new(setup, wiring);
            made.director_mut().set_express(config.express);
            machine.workers.push(made);
        }
        machine
    }

    fn wire(
        &mut self,
        config: &MachineConfig,
        worker: usize,
        hand_over: HandOver<SimPacket>,
    ) -> Wiring<SimQueue> {
        let (punts, punted) = punt_rings();
        let (to_worker, from_twin) = from_twin_ring();
        self.punted.push(punted);
        self.to_workers.push(to_worker);
        let mut shares = Vec::new();
        let mut tx_routes = Vec::new();
        for (port, &queues) in config.queues.iter().enumerate() {
            if worker < queues {
                tx_routes.push(TxRoute::Own(shares.len()));
                shares.push(PortShare { port: PortId(port as u16), queue: SimQueue::new() });
            } else {
                tx_routes.push(TxRoute::Through(WorkerId((worker % queues) as u16)));
            }
        }
        Wiring {
            shares,
            tx_routes,
            hand_over,
            punts,
            from_twin,
            mailbox: self.mailboxes[worker].clone(),
            workers: config.workers,
            window: config.window,
        }
    }

    /// Puts a frame on a queue of a port.
    ///
    /// # Panics
    /// If the port has no such queue.
    pub fn feed(&mut self, port: PortId, queue: usize, frame: &[u8]) {
        let packet = self.pool.packet(frame, port);
        let share = self.workers[queue].share_mut(port).expect("the port has this queue");
        share.queue.rx.push_back(packet);
    }

    /// Gives a worker a frame that Linux sends on the kernel twin of a port. `false` if its ring
    /// is full.
    pub fn feed_from_twin(&mut self, worker: usize, port: PortId, frame: &[u8]) -> bool {
        let packet = self.pool.packet(frame, port);
        self.to_workers[worker].send(packet).is_ok()
    }

    /// Posts a message to every worker, which take it in their next housekeeping.
    ///
    /// # Panics
    /// If a mailbox is full.
    pub fn post(&self, message: &Message) {
        for mailbox in &self.mailboxes {
            assert!(mailbox.post(message.clone()).is_ok(), "step between posts");
        }
    }

    /// One housekeeping and one turn of one worker. Returns how many packets it handled.
    pub fn step(&mut self, worker: usize, now: Tick) -> usize {
        assert_eq!(self.workers[worker].housekeep(now), Next::Go);
        let handled = self.workers[worker].turn(now);
        while self.mailboxes[worker].collect().is_some() {}
        handled
    }

    /// Steps all workers in turn until none finds anything.
    pub fn settle(&mut self, now: Tick) {
        loop {
            let handled: usize = (0..self.workers.len()).map(|worker| self.step(worker, now)).sum();
            if handled == 0 {
                return;
            }
        }
    }

    /// All frames sent since the last time, by port: worker by worker, each in its order.
    pub fn take_sent(&mut self) -> Vec<(PortId, Vec<u8>)> {
        let mut sent = Vec::new();
        for worker in &mut self.workers {
            for share in worker.shares_mut() {
                let port = share.port;
                sent.extend(share.queue.take_sent().into_iter().map(|frame| (port, frame)));
            }
        }
        sent
    }

    /// All frames punted since the last time.
    pub fn take_punted(&mut self) -> Vec<Punted> {
        let mut frames = Vec::new();
        for receiver in &mut self.punted {
            for &class in PuntClass::ALL {
                while let Some(punted) = receiver.pop(class) {
                    frames.push((punted.interface, class, punted.packet.bytes().to_vec()));
                }
            }
        }
        frames
    }

    /// The next hops workers asked for since the last time.
    pub fn take_wishes(&self) -> Vec<IpAddr> {
        std::iter::from_fn(|| self.wishes.pop()).map(|wish| wish.target).collect()
    }

    /// Publishes every worker's conns to the others, as control does every millisecond.
    pub fn aggregate(&self, ids: impl Iterator<Item = DestId>) {
        aggregate(ids, &self.counters, &self.others);
    }

    /// Whether every worker runs this generation of services.
    pub fn has_applied(&self, generation: Generation) -> bool {
        self.counters.iter().all(|each| each.generation.load(Relaxed) == generation.0)
    }

    /// The counters of one worker.
    pub fn counters(&self, worker: usize) -> &WorkerCounters {
        &self.counters[worker]
    }

    /// The tallies of all workers added up.
    pub fn totals(&self) -> Tally {
        let mut total = Tally::default();
        self.counters.iter().for_each(|worker| total += worker.read());
        total
    }

    /// The connection table of one worker.
    pub fn conns(&self, worker: usize) -> &ConnTable {
        self.workers[worker].director().conns()
    }

    /// The persistence templates of all workers.
    pub fn templates(&self) -> &TemplateStore {
        &self.templates
    }

    /// The announced data connections of all workers.
    pub fn expect(&self) -> &Expectations {
        &self.expect
    }

    /// How many workers there are.
    pub fn workers(&self) -> usize {
        self.workers.len()
    }

    /// One worker, to be tampered with.
    pub fn worker_mut(&mut self, worker: usize) -> &mut SimWorker {
        &mut self.workers[worker]
    }

    /// Packet buffers that are somewhere in the machine.
    pub fn live_packets(&self) -> usize {
        self.pool.live()
    }

    /// Proves that every worker has accounted for every packet.
    ///
    /// # Panics
    /// If one has not.
    pub fn check(&self) {
        for (worker, counters) in self.counters.iter().enumerate() {
            let tally = counters.read();
            assert!(tally.is_conserved(), "worker {worker} lost or made up packets: {tally:?}");
        }
    }

    /// Takes the machine apart and gives back the connection tables, for adoption.
    pub fn into_tables(self) -> Vec<ConnTable> {
        self.workers.into_iter().map(|worker| worker.into_parts().0.into_conns()).collect()
    }

    /// Stops the workers, each with whatever is on its way to it, and gives their last tallies.
    pub fn stop(self) -> Vec<Tally> {
        self.workers.into_iter().for_each(|worker| drop(worker.into_parts()));
        self.counters.iter().map(|worker| worker.read()).collect()
    }
}

fn templates(config: &MachineConfig) -> TemplateStore {
    TemplateStore::new(&StoreConfig {
        capacity: config.templates,
        engine_capacity: config.templates,
        dests: MAX_DESTS + 1,
        secret: config.secret,
    })
}

fn table(config: &MachineConfig) -> ConnTable {
    let table = TableConfig {
        capacity: config.capacity,
        side_capacity: config.capacity / 4,
        secret: config.secret,
        huge_pages: false,
    };
    ConnTable::new(&table).expect("a small table")
}
