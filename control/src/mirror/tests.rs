//! The mirror's pure core against a Linux that is told by hand.

mod own;
mod quiet;
mod v6;

use super::*;
use crate::config::{InterfaceAddress, MacAddr, Prefix, StaticNeighbor, StaticRoute};
use dataplane::address::Address;
use dataplane::ids::{InterfaceId, NextHopId, PortId};
use dataplane::nexthop::{NextHop, NextHopState};
use dataplane::route::RouteTarget;
use std::net::IpAddr;
use std::time::{Duration, Instant};

const WAN: u32 = 11;
const LAN: u32 = 12;
const MANAGEMENT: u32 = 2;
const RS: u32 = 0xc0a8_6402;
const RS_MAC: MacAddr = MacAddr([2, 0, 0, 0, 0xe, 2]);
const GATEWAY: u32 = 0x0a00_00fe;
const GATEWAY_MAC: MacAddr = MacAddr([2, 0, 0, 0, 0xc, 0xfe]);

fn interface(name: &str, port: u16, twin: bool, addresses: &[&str]) -> MirrorInterface {
    let addresses = addresses.iter().map(|text| text.parse().expect("an address")).collect();
    let (name, mac) = (name.to_owned(), MacAddr([2, 0, 0, 0, 0xd, port as u8]));
    MirrorInterface { name, port: PortId(port), vlan: 0, twin, mac, mtu: 1500, addresses }
}

fn address(text: &str) -> InterfaceAddress {
    text.parse().expect("an address")
}

fn prefix(text: &str) -> Prefix {
    text.parse().expect("a prefix")
}

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

fn link(ifindex: u32, name: &str) -> Link {
    let mac = Some(MacAddr([2, 0, 0, 0, 0xd, ifindex as u8]));
    Link { ifindex, name: name.to_owned(), mac, mtu: 1500, up: true }
}

fn on_link(text: &str, ifindex: u32) -> KernelRoute {
    KernelRoute {
        prefix: prefix(text),
        rank: Rank { main: true, ..Rank::default() },
        kind: RouteKind::Unicast,
        ifindex,
        gateway: None,
        source: None,
        mtu: None,
    }
}

fn via(text: &str, gateway: &str, ifindex: u32) -> KernelRoute {
    KernelRoute { gateway: Some(ip(gateway)), ..on_link(text, ifindex) }
}

fn local(text: &str, ifindex: u32) -> KernelRoute {
    let rank = Rank::default();
    KernelRoute { rank, kind: RouteKind::Own, ..on_link(text, ifindex) }
}

/// A director with two twins, a default gateway on one of them and real servers on the other.
fn dump() -> Dump {
    let own = |ifindex, text| OwnAddress { ifindex, address: address(text) };
    Dump {
        links: vec![link(MANAGEMENT, "eth0"), link(WAN, "wan"), link(LAN, "lan")],
        addresses: vec![own(WAN, "10.0.0.1/24"), own(LAN, "192.168.100.1/24")],
        routes: vec![
            local("10.0.0.1/32", WAN),
            on_link("10.0.0.0/24", WAN),
            on_link("192.168.100.0/24", LAN),
            via("0.0.0.0/0", "10.0.0.254", WAN),
        ],
        neighbors: Vec::new(),
    }
}

struct Rig {
    state: MirrorState,
    now: Instant,
}

impl Rig {
    fn new() -> Rig {
        let interfaces = vec![interface("wan", 0, true, &[]), interface("lan", 1, true, &[])];
        let mut rig = Rig { state: MirrorState::new(interfaces, &[], &[]), now: Instant::now() };
        rig.state.resync(&dump(), rig.now);
        rig
    }

    fn tell(&mut self, event: Event) -> Changes {
        self.state.apply(&event, self.now);
        self.state.settle(self.now)
    }

    fn intern<A: Address>(&mut self, targets: &[A]) -> Result<Vec<NextHopId>, NoNextHopLeft> {
        let targets: Vec<IpAddr> = targets.iter().map(|target| target.ip()).collect();
        self.state.intern(&targets, self.now)
    }

    fn release<A: Address>(&mut self, targets: &[A]) {
        let targets: Vec<IpAddr> = targets.iter().map(|target| target.ip()).collect();
        self.state.release(&targets, self.now);
    }

    fn request(&mut self, target: impl Address) -> Result<NextHopId, NoNextHopLeft> {
        self.state.request(target.ip(), self.now)
    }

    fn neighbor(&mut self, ifindex: u32, address: impl Address, state: NeighborState) -> Changes {
        let address = address.ip();
        self.tell(Event::Neighbor(KernelNeighbor { ifindex, address, state }))
    }

    fn pass(&mut self, time: Duration) -> Changes {
        self.now += time;
        self.state.settle(self.now)
    }

    /// A real server that has answered.
    fn real_server(&mut self) -> NextHopId {
        let id = self.intern(&[RS]).expect("room")[0];
        self.state.settle(self.now);
        self.neighbor(LAN, RS, NeighborState::Known(RS_MAC));
        id
    }
}

fn hop(changes: &Changes, id: NextHopId) -> NextHop {
    *changes.next_hops.as_ref().expect("next hops are published").get(id)
}

fn target(changes: &Changes, address: impl Address) -> Option<RouteTarget> {
    changes.routes.as_ref().expect("routes are published").lookup(address)
}

#[test]
fn routes_become_links_gateways_and_linux_own_matters() {
    let mut rig = Rig::new();
    let changes = rig.state.settle(rig.now);
    assert_eq!(target(&changes, RS), Some(RouteTarget::OnLink(InterfaceId(1))));
    assert_eq!(target(&changes, 0x0a00_0001_u32), Some(RouteTarget::Local));
    let Some(RouteTarget::Via(id)) = target(&changes, 0xc000_0201_u32) else {
        panic!("a client far away is reached through the gateway")
    };
    let gateway = hop(&changes, id);
    assert_eq!((gateway.target, gateway.neighbor), (GATEWAY.ip(), GATEWAY.ip()));
    assert_eq!((gateway.interface, gateway.state), (InterfaceId(0), NextHopState::Unresolved));
    assert_eq!(gateway.local, 0x0a00_0001_u32.ip());
    let ask = Ask { ifindex: WAN, address: GATEWAY.ip(), managed: true };
    assert_eq!(changes.asks, [ask], "a gateway is to be kept resolved");
}

#[test]
fn a_real_server_is_asked_for_and_resolved_by_its_neighbour() {
    let mut rig = Rig::new();
    rig.state.settle(rig.now);
    let id = rig.intern(&[RS]).expect("room")[0];
    let changes = rig.state.settle(rig.now);
    assert_eq!(hop(&changes, id).state, NextHopState::Unresolved);
    let ask = Ask { ifindex: LAN, address: RS.ip(), managed: true };
    assert_eq!(changes.asks, [ask]);
    assert!(changes.routes.is_none(), "a real server changes no route");

    let changes = rig.neighbor(LAN, RS, NeighborState::Known(RS_MAC));
    let expected = NextHop {
        target: RS.ip(),
        neighbor: RS.ip(),
        interface: InterfaceId(1),
        port: PortId(1),
        vlan: 0,
        mtu: 1500,
        dst_mac: RS_MAC.0,
        src_mac: [2, 0, 0, 0, 0xd, LAN as u8],
        local: 0xc0a8_6401_u32.ip(),
        state: NextHopState::Resolved,
    };
    assert_eq!(hop(&changes, id), expected);
    assert!(changes.asks.is_empty());
}

#[test]
fn ids_stay_with_their_target() {
    let mut rig = Rig::new();
    let first = rig.intern(&[RS, RS + 1]).expect("room");
    assert_eq!(rig.intern(&[RS + 1, RS]).expect("room"), [first[1], first[0]]);
    assert_eq!(rig.request(RS).expect("room"), first[0]);
    rig.release(&[RS]);
    assert_eq!(rig.intern(&[RS]).expect("room")[0], first[0], "a worker still holds it");
    rig.release(&[RS + 1]);
    assert_ne!(rig.intern(&[RS + 2]).expect("room")[0], first[1], "free ids come last");
}

#[test]
fn a_mac_change_is_published_and_a_repetition_is_not() {
    let mut rig = Rig::new();
    let id = rig.real_server();
    let other = MacAddr([2, 0, 0, 0, 0xe, 0x99]);
    let changes = rig.neighbor(LAN, RS, NeighborState::Known(other));
    assert_eq!(hop(&changes, id).dst_mac, other.0);
    assert!(changes.routes.is_none());
    let changes = rig.neighbor(LAN, RS, NeighborState::Known(other));
    assert!(changes.next_hops.is_none() && changes.routes.is_none());
}

#[test]
fn a_route_change_re_homes_next_hops() {
    let mut rig = Rig::new();
    let id = rig.real_server();
    let route = via("192.168.100.2/32", "10.0.0.254", WAN);
    let changes = rig.tell(Event::Route { route, replace: false });
    let moved = hop(&changes, id);
    assert_eq!((moved.interface, moved.neighbor), (InterfaceId(0), GATEWAY.ip()));
    assert_eq!((moved.state, moved.local), (NextHopState::Unresolved, 0x0a00_0001_u32.ip()));
    let dropped = Ask { ifindex: LAN, address: RS.ip(), managed: false };
    assert_eq!(changes.asks, [dropped], "the neighbour need no longer be kept");

    let changes = rig.neighbor(WAN, GATEWAY, NeighborState::Known(GATEWAY_MAC));
    assert_eq!(hop(&changes, id).dst_mac, GATEWAY_MAC.0);
    let changes = rig.tell(Event::RouteGone(route));
    assert_eq!(hop(&changes, id).dst_mac, RS_MAC.0);
    assert_eq!(hop(&changes, id).interface, InterfaceId(1));
}

#[test]
fn a_gateway_that_disappears_leaves_no_route() {
    let mut rig = Rig::new();
    rig.state.settle(rig.now);
    let far = 0xc633_6402_u32;
    let id = rig.intern(&[far]).expect("room")[0];
    rig.neighbor(WAN, GATEWAY, NeighborState::Known(GATEWAY_MAC));
    let changes = rig.tell(Event::RouteGone(via("0.0.0.0/0", "10.0.0.254", WAN)));
    assert_eq!(target(&changes, far), None);
    assert_eq!(hop(&changes, id).state, NextHopState::NoRoute);
    assert_eq!(hop(&changes, id).target, far.ip(), "the id keeps its meaning");
    let ask = Ask { ifindex: WAN, address: GATEWAY.ip(), managed: false };
    assert_eq!(changes.asks, [ask]);
}

#[test]
fn a_replaced_route_has_one_gateway() {
    let mut rig = Rig::new();
    rig.state.settle(rig.now);
    let route = via("0.0.0.0/0", "10.0.0.253", WAN);
    let changes = rig.tell(Event::Route { route, replace: true });
    let Some(RouteTarget::Via(id)) = target(&changes, 0x0808_0808_u32) else { panic!("a gateway") };
    assert_eq!(hop(&changes, id).target, 0x0a00_00fd_u32.ip());
    let changes = rig.tell(Event::RouteGone(route));
    assert_eq!(target(&changes, 0x0808_0808_u32), None, "nothing is left of the first");
}

#[test]
fn the_lowest_metric_counts_and_a_management_link_never_does() {
    let mut rig = Rig::new();
    rig.state.settle(rig.now);
    let route = via("0.0.0.0/0", "203.0.113.1", MANAGEMENT);
    let changes = rig.tell(Event::Route { route, replace: false });
    assert!(changes.routes.is_none(), "ours stays, although the other is as good for Linux");
    let mut better = via("0.0.0.0/0", "192.168.100.254", LAN);
    better.rank.metric = 5;
    let changes = rig.tell(Event::Route { route: better, replace: false });
    assert!(changes.routes.is_none(), "metric 0 is better than 5");
    let changes = rig.tell(Event::RouteGone(via("0.0.0.0/0", "10.0.0.254", WAN)));
    let Some(RouteTarget::Via(id)) = target(&changes, 0x0808_0808_u32) else { panic!("a gateway") };
    assert_eq!(hop(&changes, id).interface, InterfaceId(1));
    let route = on_link("203.0.113.0/24", MANAGEMENT);
    let changes = rig.tell(Event::Route { route, replace: false });
    assert_eq!(target(&changes, 0xcb00_7101_u32), Some(RouteTarget::Linux));
}

#[test]
fn a_lost_neighbour_serves_for_the_grace_and_is_asked_for_again() {
    let mut rig = Rig::new();
    let id = rig.real_server();
    let gone = Event::NeighborGone { ifindex: LAN, address: RS.ip() };
    let changes = rig.tell(gone.clone());
    assert!(changes.next_hops.is_none(), "its MAC address still serves");
    assert_eq!(changes.asks, [Ask { ifindex: LAN, address: RS.ip(), managed: true }]);
    rig.neighbor(LAN, RS, NeighborState::Unknown);
    assert_eq!(rig.state.deadline(), Some(rig.now + GRACE));
    assert!(rig.pass(GRACE - Duration::from_millis(1)).next_hops.is_none());
    let changes = rig.pass(Duration::from_millis(1));
    assert_eq!(hop(&changes, id).state, NextHopState::Unresolved);
    assert_eq!(rig.state.deadline(), None);
}

#[test]
fn a_neighbour_found_again_within_the_grace_is_never_missed() {
    let mut rig = Rig::new();
    rig.real_server();
    rig.tell(Event::NeighborGone { ifindex: LAN, address: RS.ip() });
    rig.pass(Duration::from_secs(2));
    assert!(rig.neighbor(LAN, RS, NeighborState::Known(RS_MAC)).next_hops.is_none());
    assert!(rig.pass(GRACE * 2).next_hops.is_none());
}

#[test]
fn a_permanent_neighbour_is_never_asked_for() {
    let mut rig = Rig::new();
    rig.state.settle(rig.now);
    let changes = rig.neighbor(LAN, RS, NeighborState::Permanent(RS_MAC));
    assert!(changes.asks.is_empty());
    rig.intern(&[RS]).expect("room");
    assert!(rig.state.settle(rig.now).asks.is_empty());

    rig.intern(&[RS + 1]).expect("room");
    assert_eq!(rig.state.settle(rig.now).asks.len(), 1);
    let changes = rig.neighbor(LAN, RS + 1, NeighborState::Permanent(RS_MAC));
    assert!(changes.asks.is_empty(), "asking once more would take its permanence away");
    let changes = rig.tell(Event::NeighborGone { ifindex: LAN, address: RS.ip() });
    assert_eq!(changes.asks.len(), 1, "without its entry it must be found");
}

#[test]
fn a_client_is_asked_for_when_a_worker_wants_it_and_while_it_answers() {
    let mut rig = Rig::new();
    rig.state.settle(rig.now);
    let client = 0x0a00_0063_u32;
    let ask = Ask { ifindex: WAN, address: client.ip(), managed: false };
    let id = rig.request(client).expect("room");
    assert_eq!(rig.state.settle(rig.now).asks, [ask]);
    let gone = Event::NeighborGone { ifindex: WAN, address: client.ip() };
    assert!(rig.tell(gone.clone()).asks.is_empty(), "it never answered");
    rig.request(client).expect("room");
    assert_eq!(rig.state.settle(rig.now).asks, [ask], "wanted again, asked again");
    let changes = rig.neighbor(WAN, client, NeighborState::Known(RS_MAC));
    assert_eq!(hop(&changes, id).state, NextHopState::Resolved);
    rig.request(client).expect("room");
    assert!(rig.state.settle(rig.now).asks.is_empty(), "known");
    assert_eq!(rig.neighbor(WAN, client, NeighborState::Stale(RS_MAC)).asks, [ask]);
    assert_eq!(rig.tell(gone).asks, [ask]);
}

#[test]
fn clients_cannot_use_up_the_ids_of_real_servers() {
    let mut rig = Rig::new();
    let refused = (0..65_536).filter(|n| rig.request(0x0b00_0000_u32 + n).is_err()).count();
    assert!(refused > 0);
    let servers: Vec<u32> = (0..10_000).map(|n| 0x0c00_0000 + n).collect();
    rig.intern(&servers).expect("room for real servers");
}

#[test]
fn ten_thousand_flapping_neighbours_change_no_route_and_publish_little() {
    let mut rig = Rig::new();
    rig.real_server();
    let mac = |n: u32, round: u32| {
        let n = n.to_be_bytes();
        MacAddr([2, round as u8, n[0], n[1], n[2], n[3]])
    };
    for round in 0..4 {
        for n in 0..10_000 {
            let (ifindex, address) = (LAN, (0xc0a8_7000_u32 + n).ip());
            let state = NeighborState::Known(mac(n, round));
            rig.state.apply(&Event::Neighbor(KernelNeighbor { ifindex, address, state }), rig.now);
            rig.state.apply(&Event::NeighborGone { ifindex, address }, rig.now);
        }
        let changes = rig.state.settle(rig.now);
        assert!(changes.routes.is_none() && changes.next_hops.is_none());
        assert!(changes.asks.is_empty());
    }
    let servers: Vec<u32> = (0..10_000).map(|n| 0xc0a8_6500 + n).collect();
    rig.tell(Event::Route { route: on_link("192.168.0.0/16", LAN), replace: false });
    rig.intern(&servers).expect("room");
    rig.state.settle(rig.now);
    for round in 0..4 {
        for (n, server) in servers.iter().enumerate() {
            let state = NeighborState::Known(mac(n as u32, round));
            let address = (*server).ip();
            let neighbor = KernelNeighbor { ifindex: LAN, address, state };
            rig.state.apply(&Event::Neighbor(neighbor), rig.now);
        }
        let changes = rig.state.settle(rig.now);
        assert!(changes.routes.is_none(), "neighbours are no routes");
        assert!(changes.next_hops.is_some(), "and come in one publication");
        assert!(rig.state.settle(rig.now).next_hops.is_none());
    }
}

#[test]
fn mtu_and_mac_of_the_twin_reach_the_next_hops() {
    let mut rig = Rig::new();
    let id = rig.real_server();
    let changed = Link { mtu: 1400, mac: Some(GATEWAY_MAC), ..link(LAN, "lan") };
    let changes = rig.tell(Event::Link(changed));
    assert_eq!((hop(&changes, id).mtu, hop(&changes, id).src_mac), (1400, GATEWAY_MAC.0));
    assert!(changes.routes.is_none() && !changes.resync);
    let route = KernelRoute { mtu: Some(1300), ..on_link("192.168.100.2/32", LAN) };
    let changes = rig.tell(Event::Route { route, replace: false });
    assert_eq!(hop(&changes, id).mtu, 1300);
}

#[test]
fn a_link_that_goes_down_or_an_address_that_goes_asks_for_everything_anew() {
    let mut rig = Rig::new();
    let id = rig.real_server();
    assert!(rig.tell(Event::Link(Link { up: false, ..link(LAN, "lan") })).resync);
    let mut less = dump();
    less.links[2].up = false;
    less.routes.retain(|route| route.ifindex != LAN);
    rig.state.resync(&less, rig.now);
    let changes = rig.state.settle(rig.now);
    assert!(!changes.resync);
    assert_eq!(hop(&changes, id).state, NextHopState::Unresolved, "by the default route");
    assert_eq!(hop(&changes, id).interface, InterfaceId(0));

    rig.tell(Event::Link(link(LAN, "lan")));
    rig.state.resync(&dump(), rig.now);
    let changes = rig.state.settle(rig.now);
    assert_eq!(hop(&changes, id).dst_mac, RS_MAC.0, "within the grace");
    let ask = Ask { ifindex: LAN, address: RS.ip(), managed: true };
    assert!(changes.asks.contains(&ask));
    let own = OwnAddress { ifindex: LAN, address: address("192.168.100.1/24") };
    assert!(rig.tell(Event::AddressGone(own)).resync);
}

#[test]
fn a_twin_made_anew_is_the_same_interface() {
    let mut rig = Rig::new();
    let id = rig.real_server();
    rig.tell(Event::LinkGone { ifindex: LAN });
    rig.tell(Event::Link(link(77, "lan")));
    let route = on_link("192.168.100.0/24", 77);
    rig.tell(Event::RouteGone(on_link("192.168.100.0/24", LAN)));
    let changes = rig.tell(Event::Route { route, replace: false });
    assert_eq!(hop(&changes, id).interface, InterfaceId(1));
    assert_eq!(hop(&changes, id).src_mac, [2, 0, 0, 0, 0xd, 77]);
}

#[test]
fn a_resync_ends_where_the_events_it_missed_would_have() {
    let mut rig = Rig::new();
    let id = rig.real_server();
    let mut later = dump();
    later.routes[3].gateway = Some(ip("10.0.0.253"));
    let other = MacAddr([2, 0, 0, 0, 0xe, 0x99]);
    let state = NeighborState::Known(other);
    later.neighbors.push(KernelNeighbor { ifindex: LAN, address: RS.ip(), state });
    rig.state.resync(&later, rig.now);
    let changes = rig.state.settle(rig.now);
    assert_eq!(hop(&changes, id).dst_mac, other.0);
    let Some(RouteTarget::Via(id)) = target(&changes, 0x0808_0808_u32) else { panic!("a gateway") };
    assert_eq!(hop(&changes, id).target, 0x0a00_00fd_u32.ip());
    rig.state.resync(&later, rig.now);
    let changes = rig.state.settle(rig.now);
    assert!(changes.routes.is_none() && changes.next_hops.is_none(), "nothing new, nothing said");
}

#[test]
fn interfaces_without_a_twin_live_on_the_configuration_alone() {
    let interfaces = vec![interface("wan", 0, false, &["10.0.0.1/24"])];
    let statics = [StaticRoute {
        prefix: prefix("0.0.0.0/0"),
        via: Some(GATEWAY.ip()),
        interface: InterfaceId(0),
    }];
    let neighbors =
        [StaticNeighbor { address: GATEWAY.ip(), mac: GATEWAY_MAC, interface: InterfaceId(0) }];
    let mut state = MirrorState::new(interfaces, &statics, &neighbors);
    let now = Instant::now();
    let id = state.intern(&[0xc633_6402_u32.ip()], now).expect("room")[0];
    let changes = state.settle(now);
    let far = hop(&changes, id);
    assert_eq!((far.dst_mac, far.state), (GATEWAY_MAC.0, NextHopState::Resolved));
    assert_eq!(far.local, 0x0a00_0001_u32.ip());
    assert_eq!(target(&changes, 0x0a00_0001_u32), Some(RouteTarget::Linux));
    assert_eq!(target(&changes, 0x0a00_0009_u32), Some(RouteTarget::OnLink(InterfaceId(0))));
    assert!(changes.asks.is_empty(), "there is nobody to ask");
    state.resync(&Dump::default(), now);
    let changes = state.settle(now);
    assert!(changes.routes.is_none() && changes.next_hops.is_none());
}
