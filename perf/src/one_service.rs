//! A worker without DPDK that serves one virtual service with one real server, and its clients' frames.

use crate::buffer::{Circle, NoPool};
use dataplane::conn::{ConnTable, TableConfig};
use dataplane::director::Setup;
use dataplane::expect::Expectations;
use dataplane::handover::HandOver;
use dataplane::ids::{InterfaceId, PortId, WorkerId};
use dataplane::interface::Interfaces;
use dataplane::limits::{HAND_OVER_RING, WINDOW};
use dataplane::mailbox::{Mailbox, Message};
use dataplane::owner::SlotMap;
use dataplane::sched::SchedulerKind;
use dataplane::service::ForwardingMethod;
use dataplane::testing::control::{self, Control, Server};
use dataplane::testing::{Frame, MAC_CLIENT, MAC_DIRECTOR, Rng};
use dataplane::time::Tick;
use dataplane::twin_ring::{from_twin_ring, punt_rings};
use dataplane::wire::tcp::flags;
use dataplane::worker::{PortShare, TxRoute, Wiring, Worker};
use std::sync::Arc;

const VIP: u32 = 0x0a00_0064;
const RIP: u32 = 0xc0a8_6402;
const NOW: Tick = Tick(1000);

/// The forwarding methods by name.
pub const METHODS: [(&str, ForwardingMethod); 3] = [
    ("masq", ForwardingMethod::Masq),
    ("gatewaying", ForwardingMethod::Gatewaying),
    ("ipip", ForwardingMethod::Ipip),
];

/// The worker whose packets come from a [`Circle`].
pub type OneService = Worker<Circle, NoPool>;

/// A worker whose one server is reached by `method`, with the conns of `flows` clients open, and the
/// frames of a segment of each, in an order that is not that of the entries in memory.
pub fn opened(method: ForwardingMethod, flows: usize) -> (OneService, Vec<Vec<u8>>) {
    let clients: Vec<(u32, u16)> =
        (0..flows as u32).map(|n| (0x0a80_0000 + n / 60_000, 1024 + (n % 60_000) as u16)).collect();
    let frames = |flags: u8| -> Vec<Vec<u8>> {
        let frame = |&(address, port): &(u32, u16)| {
            Frame::tcp(address, port, VIP, 80).flags(flags).payload(&[0; 6]).build()
        };
        clients.iter().map(frame).collect()
    };
    let mut worker = worker(method, flows, Circle::new(&frames(flags::SYN)));
    open(&mut worker, flows);
    let mut load = frames(flags::ACK);
    let mut random = Rng::new(7);
    load.sort_by_cached_key(|_| random.next());
    worker.shares_mut()[0].queue.play(&load);
    (worker, load)
}

/// Lets `packets` or a few more pass.
///
/// # Panics
/// If one was not sent.
#[inline(never)]
pub fn turns(worker: &mut OneService, packets: usize) {
    let mut handled = 0;
    while handled < packets {
        handled += worker.turn(NOW);
    }
    let queue = &worker.shares_mut()[0].queue;
    assert_eq!(queue.under_way(), 0, "every frame was sent");
}

/// A worker with one port and one service, whose one server is reached by `method`.
fn worker(method: ForwardingMethod, flows: usize, queue: Circle) -> OneService {
    let interfaces = vec![control::interface(0, 0, MAC_DIRECTOR)];
    let mut control = Control::new(&interfaces);
    control.neighbor(RIP, InterfaceId(0), MAC_CLIENT);
    let service = control::tcp(VIP, 80);
    control.service(service, SchedulerKind::Rr);
    control.server(service, Server::new(RIP, 80, method));
    let config = TableConfig {
        capacity: 2 * flows,
        side_capacity: 0,
        secret: [0x243f_6a88_85a3_08d3, 0x1319_8a2e_0370_7344],
        huge_pages: false,
    };
    let setup = Setup {
        worker: WorkerId(0),
        conns: ConnTable::new(&config).expect("there is that much memory"),
        interfaces: Arc::new(Interfaces::new(interfaces)),
        counters: Arc::default(),
        others: Arc::default(),
        templates: Arc::default(),
        expect: Arc::new(Expectations::new([0, 1], 1)),
        wishes: Arc::new(crossbeam::queue::ArrayQueue::new(1)),
        slot_map: Arc::new(SlotMap::even(1)),
        pool: NoPool,
        ip_id: 0,
    };
    let mailbox: Arc<Mailbox> = Arc::default();
    let mut worker = Worker::new(setup, wiring(queue, mailbox.clone()));
    let next_hops = Arc::new(dataplane::nexthop::NextHops::new(control.next_hops.clone()));
    for message in [Message::NextHops(next_hops), Message::Services(control.services())] {
        assert!(mailbox.post(message).is_ok(), "the mailbox has room for two");
    }
    worker.housekeep(NOW);
    worker
}

fn wiring(queue: Circle, mailbox: Arc<Mailbox>) -> Wiring<Circle> {
    Wiring {
        shares: vec![PortShare { port: PortId(0), queue }],
        tx_routes: vec![TxRoute::Own(0)],
        hand_over: HandOver::mesh(1, HAND_OVER_RING).remove(0),
        punts: punt_rings().0,
        from_twin: from_twin_ring().1,
        mailbox,
        workers: 1,
        window: WINDOW,
    }
}

/// Lets every client's SYN pass once.
fn open(worker: &mut OneService, flows: usize) {
    while worker.director().conns().len() < flows {
        assert!(worker.turn(NOW) > 0, "SYNs go round");
    }
}
