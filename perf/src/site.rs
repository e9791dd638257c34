//! Workers under a director's rules, without control: one port, one service.

use dataplane::conn::{ConnTable, RegionError, TableConfig};
use dataplane::counters::{OthersLoad, WorkerCounters};
use dataplane::director::Setup;
use dataplane::expect::Expectations;
use dataplane::handover::HandOver;
use dataplane::ids::{DestId, InterfaceId, PortId, WorkerId};
use dataplane::interface::{Interface, Interfaces};
use dataplane::io::{Pool, Queue};
use dataplane::limits::{HAND_OVER_RING, WINDOW};
use dataplane::mailbox::{Mailbox, Message};
use dataplane::nexthop::NextHops;
use dataplane::owner::SlotMap;
use dataplane::sched::SchedulerKind;
use dataplane::service::{ForwardingMethod, ServiceKey};
use dataplane::testing::control::{self, Control, Server};
use dataplane::testing::{MAC_CLIENT, MAC_DIRECTOR};
use dataplane::time::{Tick, ticks};
use dataplane::twin_ring::{from_twin_ring, punt_rings};
use dataplane::worker::{PortShare, TxRoute, Wiring, Worker};
use std::sync::Arc;

use crate::processor;

/// The service that the sources' frames are for.
pub const VIP: (u32, u16) = (0x0a00_0064, 80);
const GATEWAY: u32 = 0x0a00_00fe;
const SERVERS: u32 = 0xc0a8_6400;
/// Turns between two times that a worker looks at clock, messages and timers, as in the appliance.
const TURNS: u32 = 32;

/// What a site is built from.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Conns that each worker has room for.
    pub capacity: usize,
    /// Real servers of the service.
    pub servers: u32,
    /// How they are reached.
    pub method: ForwardingMethod,
    /// Seconds that a conn stays in SYN_RECV and TIME_WAIT; `None`: Linux's.
    pub short_timeouts: Option<u32>,
    /// The conns' memory from huge pages.
    pub huge_pages: bool,
}

/// Rules, and what the workers share with those who make them.
pub struct Site {
    /// The rules. They count from [`Site::publish`] on.
    pub control: Control,
    /// The one service.
    pub service: ServiceKey,
    /// A mailbox a worker.
    pub mailboxes: Vec<Arc<Mailbox>>,
    /// Counters a worker.
    pub counters: Vec<Arc<WorkerCounters>>,
    /// What the others carry, a board a worker.
    pub others: Vec<Arc<OthersLoad>>,
    servers: u32,
}

impl Site {
    /// Workers at rest, one for each queue, and their site.
    ///
    /// # Errors
    /// If there is not that much memory for their tables.
    pub fn new<Q: Queue, L: Pool<Packet = Q::Packet>>(
        plan: &Plan,
        queues: Vec<(Q, L)>,
    ) -> Result<(Site, Vec<Worker<Q, L>>), RegionError> {
        Site::at(plan, queues, processor::now())
    }

    /// The same, beginning at `now`: for who has no clock.
    ///
    /// # Errors
    /// As [`Site::new`].
    pub fn at<Q: Queue, L: Pool<Packet = Q::Packet>>(
        plan: &Plan,
        queues: Vec<(Q, L)>,
        now: Tick,
    ) -> Result<(Site, Vec<Worker<Q, L>>), RegionError> {
        let (interfaces, count) = (vec![interface()], queues.len());
        let mut control = Control::new(&interfaces);
        let service = control::tcp(VIP.0, VIP.1);
        control.neighbor(GATEWAY, InterfaceId(0), MAC_CLIENT);
        control.route(0, 0, GATEWAY);
        control.service(service, SchedulerKind::Rr);
        for server in (1..=plan.servers).rev() {
            control.neighbor(SERVERS + server, InterfaceId(0), MAC_CLIENT);
            // Weights differ, for those schedulers that care.
            let rule = Server::new(SERVERS + server, VIP.1, plan.method).weight(1 + server % 4);
            control.server(service, rule);
        }
        if let Some(seconds) = plan.short_timeouts {
            use dataplane::proto::tcp::state;
            let timeouts = &mut control.settings.timeouts.tcp;
            timeouts[usize::from(state::SYN_RECV)] = ticks(seconds);
            timeouts[usize::from(state::TIME_WAIT)] = ticks(seconds);
        }
        let mut site = Site {
            control,
            service,
            mailboxes: (0..count).map(|_| Arc::default()).collect(),
            counters: (0..count).map(|_| Arc::default()).collect(),
            others: (0..count).map(|_| Arc::default()).collect(),
            servers: plan.servers,
        };
        let mut workers = Vec::new();
        let interfaces = Arc::new(Interfaces::new(interfaces));
        let ends = HandOver::mesh(count, HAND_OVER_RING).into_iter();
        for (id, ((queue, pool), hand_over)) in queues.into_iter().zip(ends).enumerate() {
            let setup = site.setup(id, plan, interfaces.clone(), pool)?;
            workers.push(Worker::new(setup, site.wiring(id, queue, hand_over)));
        }
        site.publish();
        for worker in &mut workers {
            worker.housekeep(now);
        }
        Ok((site, workers))
    }

    fn setup<L>(
        &self,
        id: usize,
        plan: &Plan,
        interfaces: Arc<Interfaces>,
        pool: L,
    ) -> Result<Setup<L>, RegionError> {
        let config = TableConfig {
            capacity: plan.capacity,
            side_capacity: 0,
            secret: [0x243f_6a88_85a3_08d3, 0x1319_8a2e_0370_7344],
            huge_pages: plan.huge_pages,
        };
        let workers = self.mailboxes.len();
        Ok(Setup {
            worker: WorkerId(id as u16),
            conns: ConnTable::new(&config)?,
            interfaces,
            counters: self.counters[id].clone(),
            others: self.others[id].clone(),
            templates: Arc::default(),
            expect: Arc::new(Expectations::new([0, 1], workers)),
            wishes: Arc::new(crossbeam::queue::ArrayQueue::new(1)),
            slot_map: Arc::new(SlotMap::even(workers)),
            pool,
            ip_id: 0,
        })
    }

    fn wiring<Q: Queue>(&self, id: usize, queue: Q, hand_over: HandOver<Q::Packet>) -> Wiring<Q> {
        Wiring {
            shares: vec![PortShare { port: PortId(0), queue }],
            tx_routes: vec![TxRoute::Own(0)],
            hand_over,
            punts: punt_rings().0,
            from_twin: from_twin_ring().1,
            mailbox: self.mailboxes[id].clone(),
            workers: self.mailboxes.len(),
            window: WINDOW,
        }
    }

    /// Posts all rules to all workers, which take them when they next keep house.
    ///
    /// # Panics
    /// If a worker has not taken what was posted before.
    pub fn publish(&mut self) {
        let services = self.control.services();
        let next_hops = Arc::new(NextHops::new(self.control.next_hops.clone()));
        let routes = Arc::new(self.control.routes.clone());
        for mailbox in &self.mailboxes {
            while mailbox.collect().is_some() {}
            for message in [
                Message::NextHops(next_hops.clone()),
                Message::Routes(routes.clone()),
                Message::Services(services.clone()),
            ] {
                assert!(mailbox.post(message).is_ok(), "the mailbox has room");
            }
        }
    }

    /// The ids of the service's destinations.
    pub fn dests(&mut self) -> Vec<DestId> {
        let id = |server| self.control.dest_id(self.service, SERVERS + server, VIP.1);
        (1..=self.servers).map(id).collect()
    }
}

fn interface() -> Interface {
    Interface { twin: false, ..control::interface(0, 0, MAC_DIRECTOR) }
}

/// What a worker did.
#[derive(Debug, Clone, Copy, Default)]
pub struct Done {
    /// Packets that it handled.
    pub packets: usize,
    /// Processor time, in nanoseconds.
    pub ns: u64,
}

impl Done {
    /// Nanoseconds a packet.
    pub fn cost(&self) -> f64 {
        self.ns as f64 / self.packets as f64
    }
}

/// Lets a worker turn as its thread in the appliance does, until it has handled so many packets.
pub fn drive<Q: Queue, L: Pool<Packet = Q::Packet>>(
    worker: &mut Worker<Q, L>,
    packets: usize,
) -> Done {
    let start = processor::spent_ns();
    let mut handled = 0;
    while handled < packets {
        let now = processor::now();
        worker.housekeep(now);
        for _ in 0..TURNS {
            handled += worker.turn(now);
        }
    }
    Done { packets: handled, ns: processor::spent_ns() - start }
}

/// What a worker did not send of all that it received, in words; empty if it sent everything.
pub fn lost(counters: &WorkerCounters) -> String {
    let tally = counters.read();
    if tally.sent == tally.received { String::new() } else { format!("{tally:?}").replace('"', "") }
}
