//! The maps of `fsm_*`: what conn there is after every sequence of segments.

use crate::bench::{Bench, Setup};
use crate::replay::tagged;
use crate::trace::topology::{CLIENT_ROUTER_MAC, DIRECTOR_MAC, VIP, real_server};
use crate::trace::{Entries, Golden, Step};
use control::api::protocol::ConnRow;
use dataplane::address::Address;
use dataplane::testing::Frame;
use dataplane::wire::tcp::flags;

const CLIENT: u32 = 0xac10_0001;

/// Client ports from here on, one a sequence.
const FIRST_PORT: u16 = 1001;

/// What differs between the kernel's conns and ours; empty if nothing does. Every sequence is of
/// another client port, and the n-th segments of all are fed at once.
pub fn differences(golden: &Golden, setup: &Setup) -> String {
    let mut bench = Bench::new(setup, golden.server_mtu());
    for step in &golden.steps {
        if let Step::Ipvsadm { args, rc, .. } = step {
            assert_eq!(bench.ipvsadm(args).0, *rc, "{args}");
        }
    }
    let sequences: Vec<Vec<&str>> =
        golden.states.keys().map(|sequence| sequence.split(' ').collect()).collect();
    let longest = sequences.iter().map(Vec::len).max().expect("sequences");
    for place in 0..longest {
        for (sequence, port) in sequences.iter().zip(FIRST_PORT..) {
            if let Some(event) = sequence.get(place) {
                let (side, frame) = segment(event, port);
                bench.feed(side, &tagged(&frame, setup.vlan));
            }
        }
        bench.settle();
    }
    let conns = bench.conns();
    (golden.states.iter().zip(FIRST_PORT..))
        .map(|((name, entries), port)| difference(&conns, name, entries, port))
        .collect()
}

/// The frame of an event: `c` or `s` for its sender, then S, A, F or R.
fn segment(event: &str, port: u16) -> (usize, Vec<u8>) {
    let (server, server_mac) = real_server(1);
    let (side, letter) = event.split_at(1);
    let flags = match (side, letter) {
        ("c", "S") => flags::SYN,
        ("s", "S") => flags::SYN | flags::ACK,
        (_, "A") => flags::ACK,
        (_, "F") => flags::FIN | flags::ACK,
        (_, "R") => flags::RST,
        _ => panic!("no event is called {event}"),
    };
    let (side, frame, destination, source) = match side {
        "c" => (0, Frame::tcp(CLIENT, port, VIP, 80), DIRECTOR_MAC[0], CLIENT_ROUTER_MAC),
        _ => (1, Frame::tcp(server, 80, CLIENT, port), DIRECTOR_MAC[1], server_mac),
    };
    (side, frame.flags(flags).macs(destination, source).build())
}

fn difference(conns: &[ConnRow], name: &str, entries: &Entries, port: u16) -> String {
    let of_port = conns.iter().filter(|conn| (conn.cip, conn.cport) == (CLIENT.ip(), port));
    let ours: Vec<(String, u32)> = of_port.map(|conn| (conn.state.clone(), conn.expires)).collect();
    // With 0 seconds left the kernel has begun to take a conn away.
    let kernels: Vec<(String, u32)> =
        entries.iter().flatten().filter(|(_, left)| *left > 0).cloned().collect();
    let near = |((a, m), (b, n)): (&(String, u32), &(String, u32))| a == b && m.abs_diff(*n) <= 1;
    if ours.len() == kernels.len() && ours.iter().zip(&kernels).all(near) {
        return String::new();
    }
    format!("after {name}: the kernel has {kernels:?}, ours {ours:?}\n")
}
