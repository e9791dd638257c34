//! What a packet of an open connection costs a worker from receiving to sending, without DPDK:
//! nanoseconds, beside a floor that takes the same frames from the same queue, swaps their MAC
//! addresses and sends them.
//!
//! `window [METHOD [FLOWS]]`: masq, gatewaying or ipip; all three, with 1,000 and 100,000 and
//! 1,000,000 flows, unless told. Small enough for callgrind: `window masq 1000`.

use dataplane::conn::{ConnTable, TableConfig};
use dataplane::director::Setup;
use dataplane::expect::Expectations;
use dataplane::handover::HandOver;
use dataplane::ids::{InterfaceId, PortId, WorkerId};
use dataplane::interface::Interfaces;
use dataplane::io::{Packet, Queue};
use dataplane::limits::{BURST, HAND_OVER_RING, WINDOW};
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
use perf::Samples;
use perf::buffer::{Buffer, Circle, NoPool};
use std::sync::Arc;

const RUNS: usize = 9;
/// Packets of a run.
const PACKETS: usize = 1 << 20;
const VIP: u32 = 0x0a00_0064;
const RIP: u32 = 0xc0a8_6402;
const NOW: Tick = Tick(1000);
const METHODS: [(&str, ForwardingMethod); 3] = [
    ("masq", ForwardingMethod::Masq),
    ("gatewaying", ForwardingMethod::Gatewaying),
    ("ipip", ForwardingMethod::Ipip),
];

type BenchWorker = Worker<Circle, NoPool>;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let flows: Option<usize> = arguments.get(1).and_then(|flows| flows.parse().ok());
    println!("ns a packet, median (best) of {RUNS} runs");
    for (name, method) in METHODS {
        if arguments.first().is_some_and(|only| only != name) {
            continue;
        }
        for flows in flows.map_or(vec![1_000, 100_000, 1_000_000], |flows| vec![flows]) {
            measure(name, method, flows);
        }
    }
}

fn measure(name: &str, method: ForwardingMethod, flows: usize) {
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
    // In another order than that of opening, which is the entries' order in memory.
    let mut random = Rng::new(7);
    load.sort_by_cached_key(|_| random.next());
    worker.shares_mut()[0].queue.play(&load);
    let mut circle = Circle::new(&load);
    let [mut floor, mut ours] = [const { Samples::new() }; 2];
    for _ in 0..RUNS {
        floor.measure(PACKETS, || swap_macs(&mut circle));
        ours.measure(PACKETS, || turns(&mut worker));
    }
    let ratio = ours.median() / floor.median();
    println!(
        "{name:>10} {flows:>8} flows | floor {:5.1} ({:5.1}) | worker {:5.1} ({:5.1}) = {ratio:.1} x",
        floor.median(),
        floor.best(),
        ours.median(),
        ours.best()
    );
}

/// A worker with one port and one service, whose one server is reached by `method`.
fn worker(method: ForwardingMethod, flows: usize, queue: Circle) -> BenchWorker {
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
fn open(worker: &mut BenchWorker, flows: usize) {
    while worker.director().conns().len() < flows {
        assert!(worker.turn(NOW) > 0, "SYNs go round");
    }
}

fn turns(worker: &mut BenchWorker) {
    let mut handled = 0;
    while handled < PACKETS {
        handled += worker.turn(NOW);
    }
    let queue = &worker.shares_mut()[0].queue;
    assert_eq!(queue.under_way(), 0, "every frame was sent");
}

fn swap_macs(circle: &mut Circle) {
    let mut window: Vec<Buffer> = Vec::with_capacity(BURST);
    for _ in 0..PACKETS / BURST {
        circle.rx_burst(&mut window, BURST);
        for packet in &mut window {
            let (dst, src) = packet.bytes_mut()[..12].split_at_mut(6);
            dst.swap_with_slice(src);
        }
        circle.tx_burst(&mut window);
    }
}
