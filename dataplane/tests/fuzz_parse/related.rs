//! What holds for every ICMP error that is about a TCP or UDP flow.

use dataplane::flow::FlowKey;
use dataplane::forward::icmp_error::{self, IcmpError};
use dataplane::forward::{gatewaying, icmp_related, ipip};
use dataplane::ids::PortId;
use dataplane::io::Packet;
use dataplane::io::sim::SimPacket;
use dataplane::parse::{Content, IcmpHeaders, Parsed, parse};
use dataplane::testing::verify;

/// The end that is put in.
const OTHER_END: (u32, u16) = (0xc633_6407, 51966);

pub fn check(frame: &[u8], headers: &IcmpHeaders) {
    let Some(flow) = headers.flow() else { return };
    let truth = verify(frame).expect("true lengths").l4 == Some(true);
    let packet = || SimPacket::new(frame, PortId(0));
    assert_eq!(icmp_related::checksum_ok(&packet(), headers), truth);
    if headers.tunnelled {
        check_tunnel(packet(), headers, flow);
    } else if headers.ttl > 1 {
        check_rewrite(packet(), headers, true);
        check_rewrite(packet(), headers, false);
        check_whole(packet(), headers);
    }
}

fn reparsed(packet: &SimPacket) -> IcmpHeaders {
    match parse(packet.bytes()) {
        Parsed::V4(Content::Icmp(headers)) => headers,
        other => panic!("an error stays one: {other:?}"),
    }
}

/// All is true afterwards, the ends are the new ones, and nothing else changed.
fn check_rewrite(mut packet: SimPacket, headers: &IcmpHeaders, inwards: bool) {
    let before = packet.bytes().to_vec();
    let quoted = headers.quoted().expect("a flow");
    let (address, port) = OTHER_END;
    let (leaf, quoted, src, dst) = match inwards {
        true => {
            let quoted = FlowKey { src: address, sport: port, ..quoted };
            (icmp_related::inbound as fn(&mut SimPacket, _, _, _), quoted, headers.src, address)
        }
        false => {
            let quoted = FlowKey { dst: address, dport: port, ..quoted };
            (icmp_related::outbound as fn(&mut SimPacket, _, _, _), quoted, address, headers.dst)
        }
    };
    leaf(&mut packet, headers, address, port);
    let after = reparsed(&packet);
    assert_eq!((after.quoted(), after.src, after.dst), (Some(quoted), src, dst));
    assert_eq!((after.ttl, after.kind, after.code), (headers.ttl - 1, headers.kind, headers.code));
    let checks = verify(packet.bytes()).expect("true lengths");
    assert_eq!((checks.ip, checks.l4), (true, Some(true)));
    assert_only_ends_changed(&before, packet.bytes(), headers);
}

fn assert_only_ends_changed(before: &[u8], after: &[u8], headers: &IcmpHeaders) {
    let (l3, l4) = (usize::from(headers.l3), usize::from(headers.l4));
    let ports = headers.quoted_l4().expect("a flow");
    assert_eq!(after.len(), l3 + usize::from(headers.ip_len));
    let quote = l4 + 8;
    let may_change = |at: usize| {
        let in_header = |start: usize| {
            (start + 10..start + 12).contains(&at) || (start + 12..start + 20).contains(&at)
        };
        at == l3 + 8
            || in_header(l3)
            || in_header(quote)
            || (l4 + 2..l4 + 4).contains(&at)
            || (ports..ports + 4).contains(&at)
    };
    for at in (0..after.len()).filter(|&at| !may_change(at)) {
        assert_eq!(after[at], before[at], "byte {at}");
    }
}

/// Methods that do not look into the message leave it as it is.
fn check_whole(packet: SimPacket, headers: &IcmpHeaders) {
    let outer = icmp_related::as_packet(&packet, headers);
    let (mut direct, mut tunnel) = (SimPacket::new(packet.bytes(), PortId(0)), packet);
    gatewaying::forward(&mut direct, &outer);
    let mut expected = *headers;
    expected.ttl -= 1;
    assert_eq!(reparsed(&direct), expected);
    assert!(ipip::encapsulate(&mut tunnel, &outer, 1, 2, Some(3)));
    let l3 = usize::from(headers.l3);
    assert_eq!(&tunnel.bytes()[l3 + 20..], &direct.bytes()[l3..]);
}

/// What the client gets is whole, true and about its own packet.
fn check_tunnel(mut packet: SimPacket, headers: &IcmpHeaders, flow: FlowKey) {
    assert!((68..=1480).contains(&icmp_related::inner_mtu(&packet, headers, 1480)));
    let rest = icmp_related::rest(&packet, headers);
    let inner = icmp_related::unwrap(&mut packet, headers);
    assert_eq!(inner.key, flow);
    let l3 = usize::from(headers.l3);
    assert!(usize::from(inner.l4) + 4 <= l3 + usize::from(inner.ip_len));
    assert!(l3 + usize::from(inner.ip_len) <= packet.bytes().len());
    let error = IcmpError::PassedOn { kind: headers.kind, code: headers.code, rest };
    if icmp_error::make(&mut packet, &inner, error, 0x0a00_0064, 7) {
        let checks = verify(packet.bytes()).expect("true lengths");
        assert_eq!((checks.ip, checks.l4), (true, Some(true)));
        let told = reparsed(&packet);
        assert_eq!((told.dst, told.quoted()), (flow.src, Some(flow)));
    }
}
