//! What holds for every frame that the parser takes.

#[path = "edits.rs"]
mod edits;
#[path = "related.rs"]
mod related;

use dataplane::flow::{Direction, FlowKey, protocol};
use dataplane::forward::icmp_error::{self, IcmpError};
use dataplane::forward::{self, fragment, gatewaying, ipip, link, masq};
use dataplane::ids::PortId;
use dataplane::io::Packet;
use dataplane::io::sim::{SimPacket, SimPool};
use dataplane::parse::{Content, FragmentHeaders, Headers, Parsed, parse, parse_any};
use dataplane::punt;
use dataplane::testing::verify;
use dataplane::wire::{ethernet, ipv4};

/// A crude feature in place of coverage: what came out, of which size, with which truths.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Shape {
    /// Variant of [`Parsed`].
    pub variant: &'static str,
    /// Protocol, ICMP type, punt class or drop reason.
    pub detail: u8,
    /// Length of the headers in units of 8, and the logarithm of the frame's.
    pub size: (u8, u32),
    /// Whether the L4 checksum is right.
    pub l4_true: Option<bool>,
}

/// The end that masq puts in: any address and port that occur in no corpus frame.
const OTHER_END: (u32, u16) = (0xc633_6407, 51966);

/// Asserts the invariants for `frame` and gives its shape.
pub fn check(frame: &[u8]) -> Shape {
    let parsed = parse(frame);
    assert_eq!(parsed, parse_any(frame), "the short way says what the long one says");
    assert_eq!(punt::class(&parsed).is_none(), matches!(parsed, Parsed::Drop(_)));
    let _ = ethernet::destination_class(frame, &[2; 6]);
    let content = match parsed {
        Parsed::V4(content) => content,
        Parsed::V6(_) => return shape(frame, "IPv6", 0, 0),
        Parsed::Other(class, _) => return shape(frame, "other", class.index() as u8, 0),
        Parsed::Drop(reason) => return shape(frame, "drop", reason.index() as u8, 0),
    };
    let (variant, detail, headers_len) = match content {
        Content::Flow(headers) => {
            check_flow(frame, &headers);
            ("flow", headers.key.proto, headers.l4)
        }
        Content::CutFlow(headers) => {
            assert!(usize::from(headers.l4) + 4 <= frame.len());
            ("cut flow", headers.key.proto, headers.l4)
        }
        Content::Icmp(headers) => {
            let l4 = usize::from(headers.l4);
            assert!(l4 + 8 <= frame.len());
            let Some(quoted) = headers.quoted_l4() else {
                return shape(frame, "icmp", headers.kind, headers.l4);
            };
            assert!(quoted >= l4 + 28 && quoted + 4 <= frame.len());
            related::check(frame, &headers);
            match headers.tunnelled {
                false => ("quoting icmp", headers.kind, headers.l4),
                true => ("quoting tunnel", headers.kind, headers.l4),
            }
        }
        Content::Riding(headers) => ("riding", 0, headers.l4),
        Content::Fragment(FragmentHeaders { headers, .. }) => {
            ("fragment", headers.key.proto, headers.l3)
        }
    };
    shape(frame, variant, detail, headers_len)
}

fn shape(frame: &[u8], variant: &'static str, detail: u8, headers_len: u8) -> Shape {
    let l4_true = verify(frame).and_then(|checks| checks.l4);
    // Numbers that decide nothing count as one, else every frame were a shape of its own.
    let detail = if detail <= 17 { detail } else { u8::MAX };
    let headers_len = headers_len / 8;
    Shape { variant, detail, size: (headers_len, (frame.len() as u32 + 1).ilog2()), l4_true }
}

fn check_flow(frame: &[u8], headers: &Headers) {
    let (l3, l4) = (usize::from(headers.l3), usize::from(headers.l4));
    assert!(l4 >= l3 + 20 && l4 < l3 + usize::from(headers.ip_len));
    assert!(l3 + usize::from(headers.ip_len) <= frame.len());
    check_error(frame, headers);
    if headers.key.proto == protocol::TCP {
        edits::check(frame, headers);
    }
    if headers.ttl > 2 {
        check_masq(frame, headers);
        check_tunnel(frame, headers);
        check_link(frame, headers);
    }
}

fn packet(frame: &[u8]) -> SimPacket {
    SimPacket::new(frame, PortId(0))
}

fn flow_of(frame: &[u8]) -> Headers {
    match parse(frame) {
        Parsed::V4(Content::Flow(headers)) => headers,
        other => panic!("a rewritten flow stays one: {other:?}"),
    }
}

/// Rewriting either end and back gives the same flow, the same truth of checksums, and leaves all
/// else but the time to live alone.
fn check_masq(frame: &[u8], headers: &Headers) {
    let FlowKey { src, dst, sport, dport, .. } = headers.key;
    let inwards = |frame: &[u8], (vip, vport), (rip, rport)| {
        let mut packet = packet(frame);
        let deltas = masq::deltas(vip, vport, rip, rport);
        masq::inbound(&mut packet, &flow_of(frame), (rip, rport), deltas);
        packet.bytes().to_vec()
    };
    let outwards = |frame: &[u8], (rip, rport), (vip, vport)| {
        let mut packet = packet(frame);
        let deltas = masq::deltas(vip, vport, rip, rport);
        masq::outbound(&mut packet, &flow_of(frame), (vip, vport), deltas);
        packet.bytes().to_vec()
    };
    let into = inwards(frame, (dst, dport), OTHER_END);
    let (rip, rport) = OTHER_END;
    assert_eq!(flow_of(&into).key, FlowKey { dst: rip, dport: rport, ..headers.key });
    assert_same_truth(frame, &into);
    assert_round_trip(frame, headers, &inwards(&into, OTHER_END, (dst, dport)));
    let out = outwards(frame, (src, sport), OTHER_END);
    assert_eq!(flow_of(&out).key, FlowKey { src: rip, sport: rport, ..headers.key });
    assert_same_truth(frame, &out);
    assert_round_trip(frame, headers, &outwards(&out, OTHER_END, (src, sport)));
}

fn assert_same_truth(before: &[u8], after: &[u8]) {
    assert_eq!(verify(before), verify(after), "checksums are as true as before");
}

fn assert_round_trip(frame: &[u8], headers: &Headers, back: &[u8]) {
    let (l3, l4) = (usize::from(headers.l3), usize::from(headers.l4));
    let end = l3 + usize::from(headers.ip_len);
    assert_eq!(back.len(), end);
    let now = flow_of(back);
    assert_eq!(now, Headers { ttl: headers.ttl - 2, ..*headers });
    assert_same_truth(frame, back);
    let mut expected = frame[..end].to_vec();
    let checksum = l4 + if headers.key.proto == 6 { 16 } else { 6 };
    for at in [l3 + 8, l3 + 10, l3 + 11, checksum, checksum + 1] {
        expected[at] = back[at];
    }
    assert_eq!(back, expected, "nothing else changed");
}

/// The packet in the tunnel is the packet that gatewaying sends, also in pieces.
fn check_tunnel(frame: &[u8], headers: &Headers) {
    let l3 = usize::from(headers.l3);
    let mut direct = packet(frame);
    gatewaying::forward(&mut direct, headers);
    let mut tunnelled = packet(frame);
    assert!(ipip::encapsulate(&mut tunnelled, headers, 1, 2, Some(3)));
    assert_eq!(&tunnelled.bytes()[l3 + 20..], &direct.bytes()[l3..]);
    assert!(verify(tunnelled.bytes()).is_some_and(|checks| checks.ip));
    let (mut pool, mut rest) = (SimPool::new(64), Vec::new());
    let data = direct.bytes()[headers.l4.into()..].to_vec();
    if !forward::fits(headers.ip_len, 148) {
        assert!(fragment::fragment(&mut direct, l3, 148, &mut pool, &mut rest, 64));
        let pieces = std::iter::once(&direct).chain(&rest);
        let joined: Vec<u8> = pieces.flat_map(|piece| piece_data(piece, l3)).copied().collect();
        assert_eq!(joined, data);
    }
}

fn piece_data(piece: &SimPacket, l3: usize) -> &[u8] {
    let ip = &piece.bytes()[l3..];
    assert!(ip.len() <= 148 && ip.len() == usize::from(ipv4::total_len(ip)));
    let (header, data) = ip.split_at(ipv4::header_len(ip));
    assert!(ipv4::checksum_ok(header));
    data
}

/// An error is whole, true, and about this very flow.
fn check_error(frame: &[u8], headers: &Headers) {
    let error = match headers.ttl {
        0 | 1 => IcmpError::TimeExceeded,
        ttl if ttl % 2 == 0 => IcmpError::PortUnreachable,
        _ => IcmpError::FragmentationNeeded { mtu: 1400, direction: Direction::Inbound },
    };
    let mut packet = packet(frame);
    if !icmp_error::make(&mut packet, headers, error, 0x0a00_0064, 7) {
        return;
    }
    let checks = verify(packet.bytes()).expect("true lengths");
    assert_eq!((checks.ip, checks.l4), (true, Some(true)));
    assert!(packet.bytes().len() <= 18 + 576);
    let Parsed::V4(Content::Icmp(answer)) = parse(packet.bytes()) else {
        panic!("an ICMP message")
    };
    assert_eq!((answer.dst, answer.quoted()), (headers.key.src, Some(headers.key)));
}

/// A frame that leaves through another VLAN is the same flow there.
fn check_link(frame: &[u8], headers: &Headers) {
    for vlan in [0, 5] {
        let mut packet = packet(frame);
        assert!(link::address(&mut packet, headers.l3, vlan, &[4; 6], &[6; 6]));
        let left = flow_of(packet.bytes());
        assert_eq!((left.key, left.vlan, left.ip_len), (headers.key, vlan, headers.ip_len));
    }
}
