//! What holds for every ICMP error that is about a TCP or UDP flow.

use super::family::Family;
use dataplane::flow::FlowKey;
use dataplane::forward::{gatewaying, icmp_related};
use dataplane::ids::PortId;
use dataplane::io::Packet;
use dataplane::io::sim::SimPacket;
use dataplane::parse::{Content, IcmpHeaders, parse};
use dataplane::testing::verify;

pub fn check<A: Family>(frame: &[u8], headers: &IcmpHeaders<A>) {
    if headers.flow().is_none() {
        return;
    }
    let truth = verify(frame).expect("true lengths").l4 == Some(true);
    let packet = || SimPacket::new(frame, PortId(0));
    assert_eq!(icmp_related::checksum_ok(&packet(), headers), truth);
    if headers.ttl > 1 {
        check_rewrite(packet(), headers, true);
        check_rewrite(packet(), headers, false);
        check_whole(&packet(), headers);
    }
}

pub fn reparsed<A: Family>(packet: &SimPacket) -> IcmpHeaders<A> {
    match A::content(parse(packet.bytes())) {
        Some(Content::Icmp(headers)) => headers,
        other => panic!("an error stays one: {other:?}"),
    }
}

/// All is true afterwards, the ends are the new ones, and nothing else changed.
fn check_rewrite<A: Family>(mut packet: SimPacket, headers: &IcmpHeaders<A>, inwards: bool) {
    let before = packet.bytes().to_vec();
    let quoted = headers.quoted().expect("a flow");
    let (address, port) = A::OTHER_END;
    let (quoted, src, dst) = match inwards {
        true => {
            icmp_related::inbound(&mut packet, headers, address, port);
            (FlowKey { src: address, sport: port, ..quoted }, headers.src, address)
        }
        false => {
            icmp_related::outbound(&mut packet, headers, address, port);
            (FlowKey { dst: address, dport: port, ..quoted }, address, headers.dst)
        }
    };
    let after: IcmpHeaders<A> = reparsed(&packet);
    assert_eq!((after.quoted(), after.src, after.dst), (Some(quoted), src, dst));
    assert_eq!((after.ttl, after.kind, after.code), (headers.ttl - 1, headers.kind, headers.code));
    let checks = verify(packet.bytes()).expect("true lengths");
    assert_eq!((checks.ip, checks.l4), (true, Some(true)));
    assert_only_ends_changed(&before, packet.bytes(), headers);
}

fn assert_only_ends_changed<A: Family>(before: &[u8], after: &[u8], headers: &IcmpHeaders<A>) {
    let (l3, l4) = (usize::from(headers.l3), usize::from(headers.l4));
    let ports = headers.quoted_l4().expect("a flow");
    assert_eq!(after.len(), l3 + usize::from(headers.ip_len));
    let quote = l4 + 8;
    let may_change = |at: usize| {
        let in_header = |start: usize| {
            let addresses = start + A::SRC..start + A::HEADER_LEN;
            addresses.contains(&at) || A::HOP_FIELDS[1..].iter().any(|field| start + field == at)
        };
        at == l3 + A::HOP_FIELDS[0]
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
fn check_whole<A: Family>(packet: &SimPacket, headers: &IcmpHeaders<A>) {
    let outer = icmp_related::as_packet(packet, headers);
    let mut direct = SimPacket::new(packet.bytes(), PortId(0));
    gatewaying::forward(&mut direct, &outer);
    let mut expected = *headers;
    expected.ttl -= 1;
    assert_eq!(reparsed::<A>(&direct), expected);
    A::check_tunnel(packet.bytes(), &outer);
}
