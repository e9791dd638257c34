//! ICMP errors about conns, as clients' routers, real servers and routers before them send them.

use super::model::from_server;
use super::net;
use super::tables::Conns;
use dataplane::conn::Conn;
use dataplane::flow::{FlowKey, protocol};
use dataplane::ids::PortId;
use dataplane::service::ForwardingMethod::{Fullnat, Ipip, Masq};
use dataplane::testing::{Frame, Rng};

/// What the director sends from to real servers.
const LOCAL: u32 = 0xc0a8_0101;

/// An error about one of the conns, sometimes with a wrong checksum or too short a quote; `None`
/// without conns.
pub fn error(conns: &Conns, rng: &mut Rng) -> Option<(PortId, Frame)> {
    let (_, conn) = any(conns, rng)?;
    let kind = [3, 4, 11][rng.below(3)];
    let (port, src, dst, quoted) = match conn.flags.method() {
        Some(Masq) if rng.one_in(2) => {
            let seen = FlowKey { dst: conn.rip, dport: conn.rport, ..conn.inbound_key() };
            (net::SERVERS, conn.rip, conn.cip, packet(seen))
        }
        Some(Fullnat) if rng.one_in(2) => {
            let local = net::LOCALS[usize::from(conn.lip_index) - 1];
            let (sport, dport, proto) = (conn.lport, conn.rport, conn.proto);
            let seen = FlowKey { src: local, sport, dst: conn.rip, dport, proto };
            (net::SERVERS, conn.rip, local, packet(seen))
        }
        Some(Ipip) if rng.one_in(2) => {
            let inner = packet(conn.inbound_key()).build_ip();
            (net::SERVERS, conn.rip, LOCAL, Frame::raw(LOCAL, conn.rip, protocol::IPIP, &inner))
        }
        _ => (net::CLIENTS, net::ROUTER, conn.vip, packet(conn.inbound_key().reversed())),
    };
    let len = if rng.one_in(10) { rng.below(24) } else { 48 };
    let frame = Frame::icmp_error(src, dst, kind, rng.below(5) as u8, &quoted.build(), len);
    let frame = if rng.one_in(10) { frame.bad_l4_checksum() } else { frame };
    Some((port, if port == net::SERVERS { from_server(frame) } else { frame }))
}

/// Any conn, the same whatever order the map has.
fn any<'a>(conns: &'a Conns, rng: &mut Rng) -> Option<&'a (usize, Conn)> {
    let pivot = rng.next() as u16;
    let rank = |key: &FlowKey| (key.sport ^ pivot, key.dport, key.src, key.dst, key.proto);
    conns.iter().min_by_key(|(key, _)| rank(key)).map(|(_, found)| found)
}

fn packet(key: FlowKey) -> Frame {
    let make = if key.proto == protocol::TCP { Frame::tcp } else { Frame::udp };
    make(key.src, key.sport, key.dst, key.dport).df()
}
