//! The leaves of a packet's way, each by itself and hot in the cache: what a change to one of them
//! costs or gains. The whole way is measured by `perf/rate`; these do not add up to it, because
//! there the stages overlap.
//!
//! `cargo bench -p perf --bench stages`, with `-- schedule` for those with a word in their name.

use dataplane::conn::{ConnFlags, ConnTable, NewConn, TableConfig};
use dataplane::counters::{OthersLoad, WorkerCounters};
use dataplane::flow::{FlowKey, protocol};
use dataplane::forward::{gatewaying, masq};
use dataplane::ids::{DestId, NextHopId, PortId, WorkerId};
use dataplane::io::Packet;
use dataplane::io::sim::SimPacket;
use dataplane::parse::{parse, parse_any};
use dataplane::plain;
use dataplane::sched::{Asked, Loads, Scheduler, SchedulerKind};
use dataplane::service::{ForwardingMethod, Service};
use dataplane::testing::control::{self, Control, Server};
use dataplane::testing::{Frame, MAC_DIRECTOR};
use dataplane::time::{Tick, ticks};
use dataplane::wire::checksum;
use divan::Bencher;
use divan::counter::ItemsCount;
use perf::processor;
use perf::synthetic::client;
use std::hint::black_box;

/// Operations of a sample, so that reading the clock does not count.
const BATCH: usize = 1024;
const SERVERS: u32 = 128;

fn main() {
    // On the last core, where it is; anywhere else the numbers are only less steady.
    let last = std::thread::available_parallelism().map_or(1, usize::from) - 1;
    if let Err(error) = processor::pin(last) {
        eprintln!("not pinned to core {last}: {error}");
    }
    divan::main();
}

/// Runs an operation [`BATCH`] times a sample.
fn batch<T>(bencher: Bencher<'_, '_>, mut operation: impl FnMut(usize) -> T) {
    bencher.counter(ItemsCount::new(BATCH)).bench_local(|| {
        for number in 0..BATCH {
            black_box(operation(number));
        }
    });
}

fn frame() -> Vec<u8> {
    Frame::tcp(0x0a80_0001, 40_000, 0x0a00_0064, 80).payload(&[0; 6]).build()
}

mod parsing {
    use super::*;

    #[divan::bench]
    fn plain(bencher: Bencher) {
        let frame = frame();
        batch(bencher, |_| plain::headers::<u32>(black_box(&frame)));
    }

    #[divan::bench]
    fn tagged(bencher: Bencher) {
        let frame = Frame::tcp(0x0a80_0001, 40_000, 0x0a00_0064, 80).tag(7).build();
        batch(bencher, |_| parse_any(black_box(&frame)));
    }

    #[divan::bench]
    fn of_any_kind(bencher: Bencher) {
        let frame = frame();
        batch(bencher, |_| parse(black_box(&frame)));
    }
}

mod checksums {
    use super::*;

    #[divan::bench(args = [20, 60, 1514])]
    fn of_bytes(bencher: Bencher, len: usize) {
        let bytes = vec![0x5a; len];
        batch(bencher, |_| checksum::checksum(black_box(&bytes)));
    }

    #[divan::bench]
    fn adjust(bencher: Bencher) {
        let delta = checksum::delta32(0x0a00_0064, 0xc0a8_6402);
        batch(bencher, |number| checksum::adjust(black_box(number as u16), black_box(delta)));
    }
}

mod rewriting {
    use super::*;

    /// Place of the time to live, which each rewrite takes one from.
    const TTL: usize = 22;

    #[divan::bench]
    fn masq_inbound(bencher: Bencher) {
        let frame = frame();
        let headers = plain::headers::<u32>(&frame).expect("a plain frame");
        let mut packet = SimPacket::new(&frame, PortId(0));
        let deltas = masq::deltas(0x0a00_0064_u32, 80, 0xc0a8_6402, 8080);
        batch(bencher, |_| {
            packet.bytes_mut()[TTL] = 64;
            masq::inbound(black_box(&mut packet), &headers, (0xc0a8_6402, 8080), deltas);
        });
    }

    #[divan::bench]
    fn gatewaying(bencher: Bencher) {
        let frame = frame();
        let headers = plain::headers::<u32>(&frame).expect("a plain frame");
        let mut packet = SimPacket::new(&frame, PortId(0));
        batch(bencher, |_| {
            packet.bytes_mut()[TTL] = 64;
            gatewaying::forward(black_box(&mut packet), &headers);
        });
    }
}

mod conns {
    use super::*;

    const CONNS: [usize; 3] = [1_000, 100_000, 1_000_000];

    fn new_conn(number: usize) -> NewConn {
        let (src, sport) = client(number as u64);
        NewConn {
            key: FlowKey { src, dst: 0x0a00_0064, sport, dport: 80, proto: protocol::TCP },
            rip: std::net::Ipv4Addr::from_bits(0xc0a8_6402).into(),
            rport: 80,
            lport: 0,
            lip_index: 0,
            flags: ConnFlags::of_method(ForwardingMethod::Masq),
            state: dataplane::proto::tcp::state::ESTABLISHED,
            dest: DestId(1),
            timeout: ticks(900),
            next_hop: NextHopId(1),
            l3_delta: 1,
            l4_delta: 2,
        }
    }

    fn insert(table: &mut ConnTable, number: usize) {
        let inserted = table.insert(&new_conn(number), Tick(0), &mut |_| {});
        inserted.expect("there is room");
    }

    fn table(conns: usize) -> ConnTable {
        let config = TableConfig {
            capacity: 2 * conns,
            side_capacity: 0,
            secret: [0x243f_6a88_85a3_08d3, 0x1319_8a2e_0370_7344],
            huge_pages: false,
        };
        let mut table = ConnTable::new(&config).expect("there is that much memory");
        (0..conns).for_each(|number| insert(&mut table, number));
        table
    }

    /// One by one, in another order than that of opening: each waits for its memory.
    #[divan::bench(args = CONNS)]
    fn lookup(bencher: Bencher, conns: usize) {
        let table = table(conns);
        let mut at = 0;
        batch(bencher, |_| {
            at = (at + 618_033) % conns;
            let key = new_conn(at).key;
            table.lookup(&key, table.hash(&key)).expect("it is there")
        });
    }

    /// The oldest makes room for each.
    #[divan::bench(args = CONNS)]
    fn insert_and_remove(bencher: Bencher, conns: usize) {
        let mut table = table(conns);
        let mut next = conns;
        batch(bencher, |_| {
            let key = new_conn(next - conns).key;
            let (oldest, _) = table.lookup(&key, table.hash(&key)).expect("it is there");
            table.remove(oldest);
            table.end_window();
            insert(&mut table, next);
            next += 1;
        });
    }
}

mod schedule {
    use super::*;

    /// What a worker knows of loads: its own, and those of others.
    struct Board(WorkerCounters, OthersLoad);

    impl Loads for Board {
        fn active(&self, dest: DestId) -> u32 {
            self.0.dest(dest).active() + self.1.get(dest).0
        }

        fn inactive(&self, dest: DestId) -> u32 {
            self.0.dest(dest).inactive() + self.1.get(dest).1
        }

        fn version(&self) -> u64 {
            self.1.version()
        }
    }

    fn service(kind: SchedulerKind) -> Service {
        let mut control = Control::new(&[control::interface(0, 0, MAC_DIRECTOR)]);
        let key = control::tcp(0x0a00_0064_u32, 80);
        control.service(key, kind);
        for server in 1..=SERVERS {
            let rule = Server::new(0xc0a8_6400 + server, 80, ForwardingMethod::Masq);
            control.server(key, rule.weight(1 + server % 4));
        }
        control.services().services()[0].clone()
    }

    /// Conns that are open at a time.
    const OPEN: usize = 4096;

    /// A new conn among 128 servers, which then has one more, while another's oldest conn ends.
    #[divan::bench(args = SchedulerKind::ALL.map(SchedulerKind::name))]
    fn among_128(bencher: Bencher, name: &str) {
        let service = service(SchedulerKind::from_name(name).expect("one of all"));
        let mut scheduler = Scheduler::new(&service, WorkerId(0));
        let board = Board(WorkerCounters::new(), OthersLoad::new());
        let (mut open, mut number) = ([None; OPEN], 0);
        batch(bencher, |_| {
            let (src, sport) = client(number as u64);
            let key = FlowKey { src, dst: 0x0a00_0064, sport, dport: 80, proto: protocol::TCP };
            let oldest = &mut open[number % OPEN];
            number += 1;
            // Nobody is chosen by ovf while each has as many as its weight.
            let place = scheduler.schedule(&service, &Asked::new(&key, Tick(0)), &board);
            if let Some(place) = place {
                board.0.dest(service.dests[place].id).conn_begins();
                board.0.dest(service.dests[place].id).conn_turns(true);
                scheduler.load_changed(place);
            }
            if let Some(place) = std::mem::replace(oldest, place) {
                board.0.dest(service.dests[place].id).conn_ends(true);
                scheduler.load_changed(place);
            }
        });
    }
}
