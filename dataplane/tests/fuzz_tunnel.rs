//! Fuzzing of tunnels, both ways: what an ICMP error may quote, and what may be put into a tunnel.
//! How: `common/fuzz/mod.rs`.

#[path = "common/fuzz/mod.rs"]
mod fuzz;

use dataplane::address::Family;
use dataplane::forward::tunnel::{
    Encap, Ends, GueChecksum, Inner, Kind, Outer, Quoted, encapsulate, unwrap_quoted,
};
use dataplane::ids::PortId;
use dataplane::io::Packet;
use dataplane::io::sim::SimPacket;
use dataplane::wire::{ipv4, ipv6};
use fuzz::Target;

const L3: usize = 14;
const PORT: u16 = 6080;
const ENCAPS: [Encap; 6] = [
    Encap::Ipip,
    Encap::Gre { checksum: false },
    Encap::Gre { checksum: true },
    Encap::Gue { port: PORT, checksum: GueChecksum::Absent },
    Encap::Gue { port: PORT, checksum: GueChecksum::Full },
    Encap::Gue { port: PORT, checksum: GueChecksum::Remote },
];
const ENDS: [Ends; 2] = [Ends::V4 { local: 1, remote: 2 }, Ends::V6 { local: 3, remote: 4 }];

/// What was read, and whether the frame went into tunnels.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Shape {
    read: Option<(&'static str, Family, Family, u16)>,
    wrapped: bool,
}

const TARGET: Target<Shape> = Target { corpus: "tunnel", check };

fn check(frame: &[u8]) -> Shape {
    let quote = frame.get(L3..).unwrap_or_default();
    let read = unwrap_quoted(quote).map(|quoted| {
        check_read(quote, quoted);
        (name(quoted.kind), quoted.ends.family(), quoted.family, quoted.inner_at)
    });
    let inner = inner(quote);
    if let Some(inner) = &inner {
        check_tunnels(frame, inner);
    }
    Shape { read, wrapped: inner.is_some() }
}

fn name(kind: Kind) -> &'static str {
    match kind {
        Kind::Ipip => "ipip",
        Kind::Gre => "gre",
        Kind::Gue { .. } => "gue",
    }
}

fn header_len(ip: &[u8]) -> usize {
    if ip[0] >> 4 == 4 { ipv4::header_len(ip) } else { ipv6::HEADER_LEN }
}

/// What was read is there, and no byte after the inner ports has a say in it.
fn check_read(quote: &[u8], quoted: Quoted) {
    let ip = &quote[quoted.inner_at.into()..];
    assert_eq!(ip[0] >> 4, if quoted.family == Family::V4 { 4 } else { 6 });
    assert!(header_len(ip) >= 20);
    let enough = usize::from(quoted.inner_at) + header_len(ip) + 4;
    assert_eq!(unwrap_quoted(&quote[..enough]), Some(quoted));
    assert_eq!(unwrap_quoted(&quote[..enough - 1]), None);
    assert_eq!(unwrap_quoted(&[quote, &[0xa5; 64]].concat()), Some(quoted));
}

/// The packet in `ip`, if the parser could have let it through: true lengths, a time to live.
fn inner(ip: &[u8]) -> Option<Inner> {
    let (family, least, len, ttl) = match ip.first()? >> 4 {
        4 if ip.len() >= 20 => (Family::V4, header_len(ip), ipv4::total_len(ip).into(), ip[8]),
        6 if ip.len() >= 40 => (Family::V6, 40, 40 + usize::from(ipv6::payload_len(ip)), ip[7]),
        _ => return None,
    };
    let true_lengths = (20..=len).contains(&least) && len <= ip.len();
    let ip_len = u16::try_from(len).ok()?;
    (true_lengths && ttl > 1).then_some(Inner {
        family,
        l3: L3 as u8,
        ip_len,
        tos: 0xb9,
        ttl,
        df: true,
        unfinished: None,
    })
}

/// Every tunnel carries the packet as it is but for one hop, and is told from what it sends.
fn check_tunnels(frame: &[u8], inner: &Inner) {
    let len = usize::from(inner.ip_len);
    for (encap, ends) in ENCAPS.into_iter().flat_map(|encap| ENDS.map(|ends| (encap, ends))) {
        let mut packet = SimPacket::new(frame, PortId(0));
        assert!(encapsulate(&mut packet, inner, &Outer { encap, ends }, Some(7), 7));
        assert_eq!(packet.bytes()[..L3 - 2], frame[..L3 - 2]);
        let sent = &packet.bytes()[L3..];
        let inner_at = encap.overhead(ends.family());
        assert_eq!(sent.len(), usize::from(inner_at) + len);
        let mut carried = sent[inner_at.into()..].to_vec();
        let hops = if inner.family == Family::V4 { ipv4::TTL } else { ipv6::HOP_LIMIT };
        assert_eq!(carried[hops], inner.ttl - 1);
        carried[hops] = inner.ttl;
        if inner.family == Family::V4 {
            carried[ipv4::CHECKSUM..ipv4::SRC].copy_from_slice(&frame[L3 + 10..L3 + 12]);
        }
        assert_eq!(carried, frame[L3..L3 + len]);
        let kind = match encap {
            Encap::Ipip => Kind::Ipip,
            Encap::Gre { .. } => Kind::Gre,
            Encap::Gue { port, .. } => Kind::Gue { port },
        };
        let expected = Quoted { kind, ends, inner_at, family: inner.family };
        let has_ports = len >= header_len(&frame[L3..]) + 4;
        assert_eq!(unwrap_quoted(sent), has_ports.then_some(expected));
    }
}

#[test]
fn every_cut_and_every_flipped_bit_of_the_corpus_is_survived() {
    TARGET.cut_and_flip();
}

#[test]
fn mutated_packets_are_read_as_they_are_or_not_at_all() {
    let shapes = TARGET.fuzz();
    let families = [Family::V4, Family::V6];
    for kind in ["ipip", "gre", "gue"] {
        for (over, family) in families.iter().flat_map(|o| families.map(|family| (*o, family))) {
            let seen = |shape: &Shape| {
                shape.read.is_some_and(|(k, o, f, _)| (k, o, f) == (kind, over, family))
            };
            assert!(shapes.iter().any(seen), "no {kind} of {family:?} over {over:?}");
        }
    }
    let fragment =
        |shape: &Shape| shape.read.is_some_and(|(kind, .., at)| (kind, at) == ("ipip", 48));
    assert!(shapes.iter().any(fragment), "no first fragment over IPv6");
}
