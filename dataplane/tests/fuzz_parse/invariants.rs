//! What holds for every frame that the parser takes.

#[path = "edits.rs"]
mod edits;
#[path = "family.rs"]
mod family;
#[path = "related.rs"]
mod related;
#[path = "tunnel.rs"]
mod tunnel;
#[path = "tunnel_error.rs"]
mod tunnel_error;

use dataplane::flow::{Direction, FlowKey, protocol};
use dataplane::forward::icmp_error::{self, IcmpError};
use dataplane::forward::{gatewaying, link, masq};
use dataplane::ids::PortId;
use dataplane::io::Packet;
use dataplane::io::sim::SimPacket;
use dataplane::parse::{Content, FragmentHeaders, Headers, Parsed, parse, parse_any, tunnelled};
use dataplane::punt;
use dataplane::testing::verify;
use dataplane::wire::ethernet;
use family::Family;

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

/// Asserts the invariants for `frame` and gives its shape.
pub fn check(frame: &[u8]) -> Shape {
    let parsed = parse(frame);
    assert_eq!(parsed, parse_any(frame), "the short way says what the long one says");
    assert_eq!(punt::class(&parsed).is_none(), matches!(parsed, Parsed::Drop(_)));
    let _ = ethernet::destination_class(frame, &[2; 6]);
    match parsed {
        Parsed::V4(content) => check_content(frame, &content),
        Parsed::V6(content) => check_content(frame, &content),
        Parsed::Other(class, _) => shape(frame, "other", class.index() as u8, 0),
        Parsed::Drop(reason) => shape(frame, "drop", reason.index() as u8, 0),
    }
}

fn check_content<A: Family>(frame: &[u8], content: &Content<A>) -> Shape {
    let (variant, detail, headers_len) = match content {
        Content::Flow(headers) => {
            check_flow(frame, headers);
            (A::NAMES.flow, headers.key.proto, headers.l4)
        }
        Content::CutFlow(headers) => {
            assert!(usize::from(headers.l4) + 4 <= frame.len());
            (A::NAMES.cut_flow, headers.key.proto, headers.l4)
        }
        Content::Icmp(headers) => {
            let l4 = usize::from(headers.l4);
            assert!(l4 + 8 <= frame.len());
            let Some(quoted) = headers.quoted_l4() else {
                return shape(frame, A::NAMES.icmp, headers.kind, headers.l4);
            };
            assert!(quoted >= l4 + 8 + A::HEADER_LEN && quoted + 4 <= frame.len());
            related::check(frame, headers);
            let name = match tunnelled(frame, headers) {
                None => A::NAMES.quoting,
                Some(inner) => {
                    tunnel_error::check(frame, headers, &inner);
                    "quoting tunnel"
                }
            };
            (name, headers.kind, headers.l4)
        }
        Content::Riding(headers) => {
            check_riding(frame, headers);
            (A::NAMES.riding, 0, headers.l4)
        }
        Content::Fragment(FragmentHeaders { headers, offset, more, .. }) => {
            assert!(*more || *offset != 0);
            assert!(headers.l4 >= headers.l3 && usize::from(headers.l4) <= frame.len());
            (A::NAMES.fragment, headers.key.proto, headers.l3)
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

fn check_flow<A: Family>(frame: &[u8], headers: &Headers<A>) {
    let (l3, l4) = (usize::from(headers.l3), usize::from(headers.l4));
    assert!(l4 >= l3 + A::HEADER_LEN && l4 < l3 + usize::from(headers.ip_len));
    assert!(l3 + usize::from(headers.ip_len) <= frame.len());
    check_error(frame, headers);
    if headers.key.proto == protocol::TCP {
        A::check_edits(frame, headers);
    }
    if headers.ttl > 2 {
        check_masq(frame, headers);
        check_gatewaying(frame, headers);
        check_link(frame, headers);
        A::check_tunnel(frame, headers);
    }
}

fn packet(frame: &[u8]) -> SimPacket {
    SimPacket::new(frame, PortId(0))
}

fn flow_of<A: Family>(frame: &[u8]) -> Headers<A> {
    match A::content(parse(frame)) {
        Some(Content::Flow(headers)) => headers,
        other => panic!("a rewritten flow stays one: {other:?}"),
    }
}

/// Rewriting either end and back gives the same flow, the same truth of checksums, and leaves all
/// else but the time to live alone.
fn check_masq<A: Family>(frame: &[u8], headers: &Headers<A>) {
    let FlowKey { src, dst, sport, dport, .. } = headers.key;
    let inwards = |frame: &[u8], (vip, vport), (rip, rport)| {
        let mut packet = packet(frame);
        let deltas = masq::deltas::<A>(vip, vport, rip, rport);
        masq::inbound(&mut packet, &flow_of(frame), (rip, rport), deltas);
        packet.bytes().to_vec()
    };
    let outwards = |frame: &[u8], (rip, rport), (vip, vport)| {
        let mut packet = packet(frame);
        let deltas = masq::deltas::<A>(vip, vport, rip, rport);
        masq::outbound(&mut packet, &flow_of(frame), (vip, vport), deltas);
        packet.bytes().to_vec()
    };
    let into = inwards(frame, (dst, dport), A::OTHER_END);
    let (rip, rport) = A::OTHER_END;
    assert_eq!(flow_of(&into).key, FlowKey { dst: rip, dport: rport, ..headers.key });
    assert_same_truth(frame, &into);
    assert_round_trip(frame, headers, &inwards(&into, A::OTHER_END, (dst, dport)));
    let out = outwards(frame, (src, sport), A::OTHER_END);
    assert_eq!(flow_of(&out).key, FlowKey { src: rip, sport: rport, ..headers.key });
    assert_same_truth(frame, &out);
    assert_round_trip(frame, headers, &outwards(&out, A::OTHER_END, (src, sport)));
}

fn assert_same_truth(before: &[u8], after: &[u8]) {
    assert_eq!(verify(before), verify(after), "checksums are as true as before");
}

fn assert_round_trip<A: Family>(frame: &[u8], headers: &Headers<A>, back: &[u8]) {
    let (l3, l4) = (usize::from(headers.l3), usize::from(headers.l4));
    let end = l3 + usize::from(headers.ip_len);
    assert_eq!(back.len(), end);
    let now: Headers<A> = flow_of(back);
    assert_eq!(now, Headers { ttl: headers.ttl - 2, ..*headers });
    assert_same_truth(frame, back);
    let mut expected = frame[..end].to_vec();
    let checksum = match headers.key.proto {
        6 => l4 + 16..l4 + 18,
        17 => l4 + 6..l4 + 8,
        _ => l4 + 8..l4 + 12,
    };
    for at in A::HOP_FIELDS.iter().map(|field| l3 + field).chain(checksum) {
        expected[at] = back[at];
    }
    assert_eq!(back, expected, "nothing else changed");
}

/// Gatewaying leaves all but the time to live as it is.
fn check_gatewaying<A: Family>(frame: &[u8], headers: &Headers<A>) {
    let mut packet = packet(frame);
    gatewaying::forward(&mut packet, headers);
    assert_same_truth(frame, packet.bytes());
    let mut expected = frame[..packet.bytes().len()].to_vec();
    for at in A::HOP_FIELDS.iter().map(|field| usize::from(headers.l3) + field) {
        expected[at] = packet.bytes()[at];
    }
    assert_eq!(packet.bytes(), expected, "nothing else changed");
    assert_eq!(flow_of(packet.bytes()), Headers { ttl: headers.ttl - 1, ..*headers });
}

/// What rides on a flow changes one address and no more.
fn check_riding<A: Family>(frame: &[u8], headers: &Headers<A>) {
    assert!(usize::from(headers.l3) + usize::from(headers.ip_len) <= frame.len());
    if headers.ttl <= 1 {
        return;
    }
    let ((rip, _), key) = (A::OTHER_END, headers.key);
    let mut into = packet(frame);
    masq::inbound_riding(&mut into, headers, rip, A::delta(key.dst, rip));
    let mut out = packet(frame);
    masq::outbound_riding(&mut out, headers, rip, A::delta(rip, key.src));
    let ends = [(into, FlowKey { dst: rip, ..key }), (out, FlowKey { src: rip, ..key })];
    for (packet, key) in ends {
        assert_same_truth(frame, packet.bytes());
        let Some(Content::Riding(now)) = A::content(parse(packet.bytes())) else {
            panic!("what rides still does")
        };
        assert_eq!(now, Headers { key, ttl: headers.ttl - 1, ..*headers });
        let l4 = usize::from(headers.l4);
        assert_eq!(packet.bytes()[l4..], frame[l4..packet.bytes().len()]);
    }
}

/// An error is whole, true, and about this very flow.
fn check_error<A: Family>(frame: &[u8], headers: &Headers<A>) {
    let error = match headers.ttl {
        0 | 1 => IcmpError::TimeExceeded,
        ttl if ttl % 2 == 0 => IcmpError::PortUnreachable,
        _ => IcmpError::FragmentationNeeded { mtu: 1400, direction: Direction::Inbound },
    };
    let mut packet = packet(frame);
    if !icmp_error::make(&mut packet, headers, error, A::OTHER_END.0, 7) {
        return;
    }
    let checks = verify(packet.bytes()).expect("true lengths");
    assert_eq!((checks.ip, checks.l4), (true, Some(true)));
    assert!(packet.bytes().len() <= 18 + A::MAX_LEN);
    let Some(Content::Icmp(answer)) = A::content(parse(packet.bytes())) else {
        panic!("an ICMP message")
    };
    assert_eq!((answer.dst, answer.quoted()), (headers.key.src, Some(headers.key)));
}

/// A frame that leaves through another VLAN is the same flow there.
fn check_link<A: Family>(frame: &[u8], headers: &Headers<A>) {
    for vlan in [0, 5] {
        let mut packet = packet(frame);
        assert!(link::address(&mut packet, headers.l3, vlan, &[4; 6], &[6; 6]));
        let left: Headers<A> = flow_of(packet.bytes());
        assert_eq!((left.key, left.vlan, left.ip_len), (headers.key, vlan, headers.ip_len));
    }
}
