//! The maps of `fsm_*`: what conn there is after every sequence of segments, or of chunks.

use crate::bench::{Bench, Setup};
use crate::replay::tagged;
use crate::trace::topology::{CLIENT_ROUTER_MAC, DIRECTOR_MAC, VIP, real_server};
use crate::trace::{Entries, Golden, Step};
use control::api::protocol::ConnRow;
use dataplane::address::Address;
use dataplane::flow::protocol;
use dataplane::testing::Frame;
use dataplane::wire::{sctp, tcp::flags};

const CLIENT: u32 = 0xac10_0001;

/// Client ports from here on, one a sequence.
const FIRST_PORT: u16 = 1001;

/// What differs between the kernel's conns and ours; empty if nothing does. Every sequence is of
/// another client port, and the n-th segments of all are fed at once.
pub fn differences(golden: &Golden, setup: &Setup) -> String {
    let mut bench = Bench::new(setup, golden.server_mtu());
    for step in &golden.steps {
        match step {
            Step::Ipvsadm { args, rc, .. } => assert_eq!(bench.ipvsadm(args).0, *rc, "{args}"),
            Step::Sysctl { key, value } => bench.sysctl(key, value).expect("a sysctl"),
            _ => {}
        }
    }
    let proto = if golden.name.starts_with("fsm_sctp") { protocol::SCTP } else { protocol::TCP };
    let sequences: Vec<Vec<&str>> =
        golden.states.keys().map(|sequence| sequence.split(' ').collect()).collect();
    let longest = sequences.iter().map(Vec::len).max().expect("sequences");
    for place in 0..longest {
        for (sequence, port) in sequences.iter().zip(FIRST_PORT..) {
            if let Some(event) = sequence.get(place) {
                let (side, frame) = frame(proto, event, port);
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

/// The frame of an event: `c` or `s` for its sender, then the letter of a segment or chunk.
fn frame(proto: u8, event: &str, port: u16) -> (usize, Vec<u8>) {
    let (server, server_mac) = real_server(1);
    let (side, letter) = event.split_at(1);
    let (side, from, to, macs) = match side {
        "c" => (0, (CLIENT, port), (VIP, 80), (DIRECTOR_MAC[0], CLIENT_ROUTER_MAC)),
        _ => (1, (server, 80), (CLIENT, port), (DIRECTOR_MAC[1], server_mac)),
    };
    let frame = match proto {
        protocol::TCP => Frame::tcp(from.0, from.1, to.0, to.1).flags(flags_of(side, letter)),
        _ => Frame::raw(from.0, to.0, proto, &association(from.1, to.1, chunk_of(letter))),
    };
    (side, frame.macs(macs.0, macs.1).build())
}

/// TCP's flags, S, A, F or R.
fn flags_of(side: usize, letter: &str) -> u8 {
    match (side, letter) {
        (0, "S") => flags::SYN,
        (_, "S") => flags::SYN | flags::ACK,
        (_, "A") => flags::ACK,
        (_, "F") => flags::FIN | flags::ACK,
        (_, "R") => flags::RST,
        _ => panic!("no segment is called {letter}"),
    }
}

/// The type of SCTP's one chunk, in the words of the recording.
fn chunk_of(letter: &str) -> u8 {
    const LETTERS: &str = "DIi   RWwXEe  C";
    LETTERS.find(letter).unwrap_or_else(|| panic!("no chunk is called {letter}")) as u8
}

/// An SCTP packet of one chunk of 16 bytes.
fn association(sport: u16, dport: u16, kind: u8) -> Vec<u8> {
    let ports = [sport.to_be_bytes(), dport.to_be_bytes()].concat();
    let mut packet = [&ports[..], &[0, 0, 0, 1, 0, 0, 0, 0], &[kind, 0, 0, 16], &[0; 12]].concat();
    sctp::write_checksum(&mut packet);
    packet
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
