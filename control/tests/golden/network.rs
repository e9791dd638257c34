//! The network of the recordings, as routes and next hops.

use crate::trace::topology::{
    CLIENT_ROUTER, CLIENT_ROUTER_MAC, DIRECTOR, DIRECTOR_MAC, VIP, real_server,
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

/// The director's two interfaces: towards clients, towards real servers.
pub fn interfaces(vlan: u16) -> Vec<Interface> {
    let of = |port: usize| {
        let mac = DIRECTOR_MAC[port];
        Interface { port: PortId(port as u16), vlan, mac, twin: true }
    };
    vec![of(0), of(1)]
}

/// All next hops. Ids 1 to 9 are the real servers', 10 is the clients' router's.
pub fn next_hops(vlan: u16, mtu: [u16; 2]) -> NextHops {
    let towards = |port: usize, (target, dst_mac): (u32, [u8; 6])| NextHop {
        target: target.ip(),
        neighbor: target.ip(),
        interface: InterfaceId(port as u16),
        port: PortId(port as u16),
        vlan,
        mtu: mtu[port],
        dst_mac,
        src_mac: DIRECTOR_MAC[port],
        local: DIRECTOR[port].ip(),
        state: NextHopState::Resolved,
    };
    let mut entries = vec![NextHop::NONE];
    entries.extend(SERVERS.map(|server| towards(1, real_server(server))));
    entries.push(towards(0, (CLIENT_ROUTER, CLIENT_ROUTER_MAC)));
    NextHops::new(entries)
}

/// Ids of the real servers' next hops.
pub fn held() -> HashMap<IpAddr, NextHopId> {
    SERVERS.map(|server| (real_server(server).0.ip(), NextHopId(u16::from(server)))).collect()
}

/// Connected networks, the director's own addresses, and 172.16.0.0/12 behind the router.
pub fn routes() -> Routes {
    let router = NextHopId(u16::from(*SERVERS.end()) + 1);
    let mut routes = Routes::default().with(0xac10_0000_u32.ip(), 12, RouteTarget::Via(router));
    for (port, address) in DIRECTOR.into_iter().enumerate() {
        routes.insert(address.ip(), 24, RouteTarget::OnLink(InterfaceId(port as u16)));
        routes.insert(address.ip(), 32, RouteTarget::Local);
    }
    routes.insert(VIP.ip(), 32, RouteTarget::Local);
    routes
}
