//! The network of the recordings, as routes and next hops.

use crate::trace::topology::{
    CLIENT_ROUTER, CLIENT_ROUTER_MAC, CLIENT_ROUTER_V6, CLIENTS_V6, DIRECTOR, DIRECTOR_MAC,
    DIRECTOR_V6, VIP, VIP_V6, real_server, real_server_v6,
};
use dataplane::address::Address;
use dataplane::ids::{InterfaceId, NextHopId, PortId};
use dataplane::interface::Interface;
use dataplane::nexthop::{NextHop, NextHopState, NextHops};
use dataplane::route::{RouteTarget, Routes};
use std::collections::HashMap;
use std::net::IpAddr;

/// Real servers with a neighbour entry.
const SERVERS: std::ops::RangeInclusive<u8> = 1..=9;
/// Id of the next hop to the clients' router.
const ROUTER: u8 = 10;
/// What an id of IPv6 is greater by.
const V6: u8 = 10;
/// The director's addresses that traces have real servers at; their ids follow the routers'.
const LOCAL: [u32; 3] = [DIRECTOR[1], VIP, 0x7f00_0001];
const FIRST_LOCAL: u8 = V6 + ROUTER + 1;

/// The director's two interfaces: towards clients, towards real servers.
pub fn interfaces(vlan: u16) -> Vec<Interface> {
    let of = |port: usize| {
        let mac = DIRECTOR_MAC[port];
        Interface { port: PortId(port as u16), vlan, mac, twin: true }
    };
    vec![of(0), of(1)]
}

/// All next hops. Ids 1 to 9 are the real servers', 10 is the clients' router's; 11 to 20 are the
/// same of IPv6; 21 to 23 are the director itself.
pub fn next_hops(vlan: u16, mtu: [u16; 2]) -> NextHops {
    let towards = |port: usize, target: IpAddr, dst_mac: [u8; 6]| NextHop {
        target,
        neighbor: target,
        interface: InterfaceId(port as u16),
        port: PortId(port as u16),
        vlan,
        mtu: mtu[port],
        dst_mac,
        src_mac: DIRECTOR_MAC[port],
        local: if target.is_ipv4() { DIRECTOR[port].ip() } else { DIRECTOR_V6[port].ip() },
        state: NextHopState::Resolved,
    };
    let mac = |server| real_server(server).1;
    let mut entries = vec![NextHop::NONE];
    entries.extend(SERVERS.map(|server| towards(1, real_server(server).0.ip(), mac(server))));
    entries.push(towards(0, CLIENT_ROUTER.ip(), CLIENT_ROUTER_MAC));
    entries.extend(SERVERS.map(|server| towards(1, real_server_v6(server).ip(), mac(server))));
    entries.push(towards(0, CLIENT_ROUTER_V6.ip(), CLIENT_ROUTER_MAC));
    entries.extend(LOCAL.map(|own| NextHop::local(own.ip())));
    NextHops::new(entries)
}

/// Ids of the real servers' next hops.
pub fn held() -> HashMap<IpAddr, NextHopId> {
    let id = |number| NextHopId(u16::from(number));
    let v4 = SERVERS.map(|server| (real_server(server).0.ip(), id(server)));
    let v6 = SERVERS.map(|server| (real_server_v6(server).ip(), id(V6 + server)));
    let local = LOCAL.into_iter().zip(FIRST_LOCAL..).map(|(own, number)| (own.ip(), id(number)));
    v4.chain(v6).chain(local).collect()
}

/// Connected networks, the director's own addresses, and the clients behind the router.
pub fn routes() -> Routes {
    let router = |ids_from: u8| RouteTarget::Via(NextHopId(u16::from(ids_from + ROUTER)));
    let mut routes = Routes::default().with(0xac10_0000_u32.ip(), 12, router(0));
    routes.insert(CLIENTS_V6.ip(), 48, router(V6));
    for port in 0..2 {
        let on_link = RouteTarget::OnLink(InterfaceId(port as u16));
        routes.insert(DIRECTOR[port].ip(), 24, on_link);
        routes.insert(DIRECTOR_V6[port].ip(), 64, on_link);
        routes.insert(DIRECTOR[port].ip(), 32, RouteTarget::Local);
        routes.insert(DIRECTOR_V6[port].ip(), 128, RouteTarget::Local);
    }
    routes.insert(VIP.ip(), 32, RouteTarget::Local);
    routes.insert(VIP_V6.ip(), 128, RouteTarget::Local);
    routes
}
