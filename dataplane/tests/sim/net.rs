//! The simulated network: clients behind a router, five real servers, services of every kind, and
//! the rules that change under them.

use dataplane::address::Address;
use dataplane::ids::{InterfaceId, PortId};
use dataplane::interface::Interface;
use dataplane::nexthop::NextHopState;
use dataplane::sched::SchedulerKind::{self, Lc, Rr, Wlc, Wrr};
use dataplane::service::ForwardingMethod::{self, Fullnat, Gatewaying, Ipip, Masq};
use dataplane::service::{ClientAddress, ServiceKey};
use dataplane::testing::control::{Control, Server, interface, tcp, udp};
use dataplane::testing::{MAC_CLIENT, MAC_DIRECTOR, Rng};
use std::net::IpAddr;

pub const CLIENTS: PortId = PortId(0);
pub const SERVERS: PortId = PortId(1);
pub const MAC_DS: [u8; 6] = [2, 0, 0, 0, 0x0d, 2];
pub const ROUTER: u32 = 0x0a00_0002;
pub const VIP: u32 = 0x0a00_0064;
pub const VIP2: u32 = 0x0a00_0065;
/// Not virtual until its service comes, in the middle of a story.
pub const VIP3: u32 = 0x0a00_0066;
/// Local addresses of fullnat; their indices are their places, from 1.
pub const LOCALS: [u32; 2] = [0xc0a8_0105, 0xc0a8_0106];
pub const REAL_SERVERS: u32 = 5;

/// An IPv4 address as packets' keys carry it.
pub fn v4(address: IpAddr) -> u32 {
    u32::of(address).expect("an IPv4 address")
}

pub fn rip(n: u32) -> u32 {
    0xc0a8_010b + n
}

/// One service: what it takes, how it forwards (`None`: by server), its servers' port.
#[derive(Debug, Clone, Copy)]
pub struct Kind {
    pub key: ServiceKey,
    pub scheduler: SchedulerKind,
    pub method: Option<ForwardingMethod>,
    pub rport: u16,
}

/// All services; a client's port says which it uses, so no two want the same reply tuple.
pub fn kinds() -> [Kind; 6] {
    let kind = |key, scheduler, method, rport| Kind { key, scheduler, method, rport };
    [
        kind(tcp(VIP, 80), Rr, Some(Masq), 8080),
        kind(tcp(VIP, 81), Wrr, Some(Gatewaying), 81),
        kind(tcp(VIP2, 0), Rr, Some(Masq), 0),
        kind(udp(VIP, 53), Lc, Some(Masq), 5353),
        kind(udp(VIP2, 54), Wlc, Some(Ipip), 54),
        kind(tcp(VIP3, 90), Wlc, None, 9090),
    ]
}

/// One more, whose packets leave from a local end that only the director knows beforehand.
pub fn fullnat() -> Kind {
    Kind { key: tcp(VIP, 82), scheduler: Rr, method: Some(Fullnat), rport: 8082 }
}

pub fn all_kinds() -> Vec<Kind> {
    kinds().into_iter().chain([fullnat()]).collect()
}

pub fn interfaces() -> Vec<Interface> {
    vec![interface(0, 0, MAC_DIRECTOR), interface(1, 0, MAC_DS)]
}

/// The MAC address of a server's `generation`-th network card.
pub fn mac(n: u32, generation: u8) -> [u8; 6] {
    [2, 0, 0, generation, 0x0e, n as u8]
}

/// The server that a MAC address is or was of.
pub fn server_of(mac: &[u8]) -> u32 {
    rip(mac[5].into())
}

pub fn server(kind: &Kind, n: u32, weight: u32) -> Server {
    let method = kind.method.unwrap_or([Masq, Gatewaying, Ipip][n as usize % 3]);
    // The others cannot map ports.
    let rport = if matches!(method, Masq | Fullnat) { kind.rport } else { vport(kind.key) };
    Server::new(rip(n), rport, method).weight(weight)
}

fn vport(key: ServiceKey) -> u16 {
    let ServiceKey::Address { vport, .. } = key else { panic!("an address") };
    vport
}

/// All services with many servers each, or with one.
pub fn control(rng: &mut Rng, many_servers: bool) -> Control {
    let mut control = Control::new(&interfaces());
    control.neighbor(ROUTER, InterfaceId(0), MAC_CLIENT);
    control.route(0xac10_0000, 16, ROUTER);
    for n in 0..REAL_SERVERS {
        control.neighbor(rip(n), InterfaceId(1), mac(n, 0));
    }
    for kind in kinds().iter().take(5) {
        bring_back(&mut control, kind, rng, many_servers);
    }
    control
}

pub fn bring_back(control: &mut Control, kind: &Kind, rng: &mut Rng, many_servers: bool) {
    control.service(kind.key, kind.scheduler);
    if kind.method == Some(Fullnat) {
        control.fullnat(kind.key, &LOCALS, ClientAddress::None);
    }
    for n in 0..if many_servers { REAL_SERVERS } else { 1 } {
        if !rng.one_in(4) {
            control.server(kind.key, server(kind, n, 1 + rng.below(3) as u32));
        }
    }
}

/// One random change of the rules of these services.
pub fn change_rules(control: &mut Control, rng: &mut Rng, many_servers: bool, kinds: &[Kind]) {
    let kind = kinds[rng.below(kinds.len())];
    let n = if many_servers { rng.below(REAL_SERVERS as usize) as u32 } else { 0 };
    if control.servers(kind.key).is_none() {
        bring_back(control, &kind, rng, many_servers);
        return;
    }
    let existing = server(&kind, n, 0);
    match rng.below(12) {
        0..3 => control.server(kind.key, server(&kind, n, 1 + rng.below(3) as u32)),
        3..5 => control.server(kind.key, server(&kind, n, 0)),
        5..8 => control.delete_server(kind.key, existing.rip, existing.rport),
        8 => control.delete_service(kind.key),
        9 => control.service(kind.key, [Rr, Wrr, Lc, Wlc][rng.below(4)]),
        10 => control.settings.conn_reuse_mode = rng.below(4) as u8,
        _ if rng.one_in(2) => control.settings.expire_nodest_conn ^= true,
        _ => control.settings.sloppy_tcp ^= true,
    }
}

/// One random change of what is known of a real server's neighbour.
pub fn change_neighbors(control: &mut Control, rng: &mut Rng) {
    let n = rng.below(REAL_SERVERS as usize) as u32;
    let hop = control.hop(rip(n));
    match rng.below(4) {
        0 => hop.dst_mac = mac(n, hop.dst_mac[3].wrapping_add(1)),
        1 => hop.mtu = [1500, 1400][rng.below(2)],
        2 => hop.state = NextHopState::Unresolved,
        _ if rng.one_in(2) => hop.state = NextHopState::Resolved,
        _ => {
            for n in 0..REAL_SERVERS {
                control.hop(rip(n)).state = NextHopState::Resolved;
            }
        }
    }
}

pub fn any_unresolved(control: &Control) -> bool {
    control.next_hops.iter().any(|hop| hop.state == NextHopState::Unresolved)
}
