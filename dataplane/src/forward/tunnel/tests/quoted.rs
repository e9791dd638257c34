//! Outer packets in ICMP errors, from the recorded traces, cut and lied about.

use super::super::{Kind, Outer, Quoted, encapsulate, unwrap_quoted};
use super::golden::{frame_of, steps, tunnels};
use super::{Encap, ends, every_encap, inner_of};
use crate::address::Family;
use crate::ids::PortId;
use crate::io::Packet;
use crate::io::sim::SimPacket;
use crate::testing::{Frame, Rng, assert_frames_equal};

/// A frame of this family: TCP, 20 + 20 or 40 + 20 bytes.
fn plain(family: Family) -> Vec<u8> {
    let frame = Frame::tcp(0xac10_0001, 4000, 0x0a00_0064, 80).build();
    if family == Family::V4 {
        return frame;
    }
    let mut ip = vec![0x60, 0, 0, 0, 0, 20, 6, 64];
    ip.extend([0xfd; 32]);
    [&frame[..12], &[0x86, 0xdd], &ip, &frame[34..]].concat()
}

fn kind(encap: Encap) -> Kind {
    match encap {
        Encap::Ipip => Kind::Ipip,
        Encap::Gre { .. } => Kind::Gre,
        Encap::Gue { port, .. } => Kind::Gue { port },
    }
}

/// Every outer packet, from its IP header on, and what is to be read in it.
fn every_quote() -> Vec<(Vec<u8>, Quoted)> {
    let mut all = Vec::new();
    for encap in every_encap(6080) {
        for (over, family) in [Family::V4, Family::V6]
            .into_iter()
            .flat_map(|over| [Family::V4, Family::V6].map(|family| (over, family)))
        {
            let outer = Outer { encap, ends: ends(over, 1) };
            let came = plain(family);
            let mut packet = SimPacket::new(&came, PortId(0));
            assert!(encapsulate(&mut packet, &inner_of(&came), &outer, None, 9));
            let inner_at = encap.overhead(over);
            let quoted = Quoted { kind: kind(encap), ends: outer.ends, inner_at, family };
            all.push((packet.bytes()[14..].to_vec(), quoted));
        }
    }
    all
}

#[test]
fn every_tunnels_packet_is_read_from_the_inner_ports_on() {
    for (quote, expected) in every_quote() {
        let header_len = if expected.family == Family::V4 { 20 } else { 40 };
        let enough = usize::from(expected.inner_at) + header_len + 4;
        for len in 0..=quote.len() {
            let read = unwrap_quoted(&quote[..len]);
            assert_eq!(read, (len >= enough).then_some(expected), "{len} bytes");
        }
    }
}

#[test]
fn later_fragments_are_not_read_and_first_ones_are() {
    for (mut quote, mut expected) in every_quote() {
        if quote[0] >> 4 == 4 {
            quote[6] = 0x20;
            assert_eq!(unwrap_quoted(&quote), Some(expected));
            quote[7] = 1;
        } else {
            let proto = std::mem::replace(&mut quote[6], 44);
            quote.splice(40..40, [proto, 0, 0, 1, 1, 2, 3, 4]);
            expected.inner_at += 8;
            assert_eq!(unwrap_quoted(&quote), Some(expected));
            quote[43] = 9;
        }
        assert_eq!(unwrap_quoted(&quote), None);
    }
}

#[test]
fn what_no_tunnel_of_ours_sends_is_not_read() {
    let lies: [(Kind, usize, u8); 7] = [
        (Kind::Ipip, 0, 0x60), // The inner version is the other one.
        (Kind::Gre, 0, 0x20),  // A key.
        (Kind::Gre, 1, 0x01),  // Version 1.
        (Kind::Gre, 3, 0x01),  // No IP.
        (Kind::Gue { port: 6080 }, 8, 0x40),
        (Kind::Gue { port: 6080 }, 8, 0x20),
        (Kind::Gue { port: 6080 }, 9, 0x06),
    ];
    for (kind, at, bits) in lies {
        for (mut quote, expected) in every_quote().into_iter().filter(|(_, q)| q.kind == kind) {
            let shim_at = if quote[0] >> 4 == 4 { 20 } else { 40 };
            quote[shim_at + at] ^= bits;
            assert_eq!(unwrap_quoted(&quote), None, "{expected:?}");
        }
    }
    // A header shorter than itself, so that its addresses would pass for the inner one.
    let mut quote = every_quote()[0].0.clone();
    quote.copy_within(20.., 12);
    assert_eq!(quote[12], 0x45);
    quote[0] = 0x43;
    assert_eq!(unwrap_quoted(&quote), None);
}

#[test]
fn any_bytes_are_read_or_not_and_offsets_stay_inside() {
    let mut rng = Rng::new(1);
    let quotes = every_quote();
    let mut read = 0;
    for _ in 0..200_000 {
        let mut quote = quotes[rng.below(quotes.len())].0.clone();
        for _ in 0..rng.below(3) {
            let at = rng.below(quote.len());
            quote[at] = rng.next() as u8;
        }
        quote.truncate(rng.below(quote.len() + 1));
        if let Some(quoted) = unwrap_quoted(&quote) {
            assert!(usize::from(quoted.inner_at) + 24 <= quote.len());
            read += 1;
        }
    }
    assert!(read > 10_000, "{read}");
}

/// Reads every error from the real servers' side. Where the kernel told the client, its quote is
/// the inner packet that was found. Gives how many were found and how many of them the kernel told.
fn replay(name: &str) -> (usize, usize) {
    let steps = steps(name);
    let tunnels = tunnels(&steps);
    let (mut found, mut told) = (0, 0);
    for (at, step) in steps.iter().enumerate() {
        if step["op"] != "send" || step["port"] != "s" {
            continue;
        }
        let error = frame_of(step);
        let quote = &error[if error[14] >> 4 == 4 { 42 } else { 62 }..];
        let answer = Some(&steps[at + 1]).filter(|step| step["op"] == "recv").map(frame_of);
        let Some(quoted) = unwrap_quoted(quote) else {
            assert!(answer.is_none(), "{name}, step {at}: the kernel found one");
            continue;
        };
        let known = tunnels.iter().any(|((family, _), outer)| {
            (*family, outer.ends, kind(outer.encap)) == (quoted.family, quoted.ends, quoted.kind)
        });
        assert!(known, "{name}, step {at}: {quoted:?}");
        found += 1;
        if let Some(answer) = answer {
            let inner = &quote[quoted.inner_at.into()..];
            let len = inner.len().min(answer.len() - 42);
            assert_frames_equal(&answer[42..42 + len], &inner[..len], name);
            told += 1;
        }
    }
    (found, told)
}

#[test]
fn errors_about_outer_packets_are_read_as_the_kernel_reads_them() {
    assert_eq!(replay("tun_icmp_from_rs"), (18, 18));
    assert_eq!(replay("leaf/tun_icmp_families"), (84, 24));
}
