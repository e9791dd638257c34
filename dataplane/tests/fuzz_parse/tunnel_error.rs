//! What holds for an error about the outer packet of a tunnel.

use super::family::Family;
use super::related::reparsed;
use dataplane::flow::FlowKey;
use dataplane::forward::icmp_error::{self, IcmpError};
use dataplane::forward::icmp_related::rest;
use dataplane::forward::tunnel::error::{passed_on, path_mtu, unwrap};
use dataplane::ids::PortId;
use dataplane::io::Packet;
use dataplane::io::sim::SimPacket;
use dataplane::parse::{IcmpHeaders, Tunnelled, TunnelledFlow};
use dataplane::testing::verify;
use dataplane::wire::put16;

pub fn check<O: Family>(frame: &[u8], error: &IcmpHeaders<O>, inner: &Tunnelled) {
    match inner.flow {
        TunnelledFlow::V4(key) => check_flow(frame, error, inner, key),
        TunnelledFlow::V6(key) => check_flow(frame, error, inner, key),
    }
}

/// What the client gets is whole, true and about its own packet.
fn check_flow<O: Family, A: Family>(
    frame: &[u8],
    error: &IcmpHeaders<O>,
    inner: &Tunnelled,
    key: FlowKey<A>,
) {
    let mut packet = SimPacket::new(frame, PortId(0));
    let rest = rest(&packet, error);
    let message = match path_mtu(error, rest) {
        Some(_) => None,
        None => passed_on(error, rest, A::FAMILY),
    };
    let headers = unwrap(&mut packet, error, inner, key);
    assert_eq!(headers.key, key);
    let l3 = usize::from(error.l3);
    assert!(usize::from(inner.header_len) + 4 <= usize::from(headers.ip_len));
    assert!(l3 + usize::from(headers.ip_len) <= packet.bytes().len());
    assert_eq!(packet.bytes()[..l3], frame[..l3]);
    let Some(message @ IcmpError::PassedOn { kind, .. }) = message else { return };
    if icmp_error::make(&mut packet, &headers, message, A::OTHER_END.0, 7) {
        let ethertype = if A::HEADER_LEN == 20 { 0x0800 } else { 0x86dd };
        put16(packet.bytes_mut(), l3 - 2, ethertype);
        let checks = verify(packet.bytes()).expect("true lengths");
        assert_eq!((checks.ip, checks.l4), (true, Some(true)));
        let told: IcmpHeaders<A> = reparsed(&packet);
        assert_eq!((told.dst, told.quoted(), told.kind), (key.src, Some(key), kind));
    }
}
