//! A worker without DPDK that serves one virtual service with one real server, and its clients' frames.

use crate::buffer::{Circle, NoPool};
use crate::site::{Plan, Site, VIP};
use dataplane::service::ForwardingMethod;
use dataplane::testing::{Frame, Rng};
use dataplane::time::Tick;
use dataplane::wire::tcp::flags;
use dataplane::worker::Worker;

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
            Frame::tcp(address, port, VIP.0, VIP.1).flags(flags).payload(&[0; 6]).build()
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

/// A worker at rest, without a clock: callgrind cannot follow the one that we have.
fn worker(method: ForwardingMethod, flows: usize, queue: Circle) -> OneService {
    let capacity = 2 * flows;
    let plan = Plan { capacity, servers: 1, method, short_timeouts: None, huge_pages: false };
    let made = Site::at(&plan, vec![(queue, NoPool)], NOW);
    let (_, mut workers) = made.expect("there is that much memory");
    workers.remove(0)
}

/// Lets every client's SYN pass once.
fn open(worker: &mut OneService, flows: usize) {
    while worker.director().conns().len() < flows {
        assert!(worker.turn(NOW) > 0, "SYNs go round");
    }
}
