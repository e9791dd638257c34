//! What is different with IPv6: link-local gateways, and the choice of source addresses.

use super::*;
use dataplane::nexthop::NextHops;

const RS6: u128 = 0xfd00 << 112 | 0x11;
const FAR: u128 = 0x2001_0db8 << 96 | 7;
const GATEWAY6: u128 = 0xfe80 << 112 | 1;
const OTHER_MAC: MacAddr = MacAddr([2, 0, 0, 0, 0xc, 0xfd]);

/// The director with IPv6 on both links, too, and the same link-local gateway on each.
fn rig() -> Rig {
    let mut rig = Rig::new();
    for (ifindex, text) in [
        (WAN, "fe80::d:1/64"),
        (LAN, "fe80::d:2/64"),
        (WAN, "2001:db8:c::1/64"),
        (LAN, "fd00::1/64"),
        (LAN, "fd00::100/128"),
    ] {
        rig.tell(Event::Address(OwnAddress { ifindex, address: address(text) }));
    }
    for route in [
        local("fd00::1/128", LAN),
        on_link("fe80::/64", WAN),
        on_link("fe80::/64", LAN),
        on_link("fd00::/64", LAN),
        via("::/0", "fe80::1", WAN),
        via("fd00:5::/32", "fe80::1", LAN),
    ] {
        rig.tell(Event::Route { route, replace: false });
    }
    rig
}

impl Rig {
    fn latest(&mut self) -> Changes {
        self.state.all_dirty = true;
        let route = on_link("fd00:ffff::/64", LAN);
        self.tell(Event::Route { route, replace: false });
        self.tell(Event::RouteGone(route))
    }
}

#[test]
fn routes_of_both_families_stand_side_by_side() {
    let mut rig = rig();
    let changes = rig.latest();
    assert_eq!(target(&changes, RS6), Some(RouteTarget::OnLink(InterfaceId(1))));
    assert_eq!(target(&changes, RS6 - 0x10), Some(RouteTarget::Local));
    assert_eq!(target(&changes, RS), Some(RouteTarget::OnLink(InterfaceId(1))));
    assert!(matches!(target(&changes, FAR), Some(RouteTarget::Via(_))));
    assert_eq!(target(&changes, GATEWAY6), Some(RouteTarget::Linux), "Linux knows the link");
}

#[test]
fn one_link_local_gateway_on_two_links_is_two_next_hops() {
    let mut rig = rig();
    let behind = [FAR, 0xfd00_0005 << 96 | 9];
    let ids = rig.intern(&behind).expect("room");
    rig.state.settle(rig.now);
    rig.neighbor(WAN, GATEWAY6, NeighborState::Known(GATEWAY_MAC));
    rig.neighbor(LAN, GATEWAY6, NeighborState::Known(OTHER_MAC));
    let changes = rig.latest();
    let table = rig.state.targets.table();
    for ((id, dst), (interface, mac)) in
        ids.into_iter().zip(behind).zip([(0, GATEWAY_MAC), (1, OTHER_MAC)])
    {
        let hop = table[id.index()];
        assert_eq!((hop.target, hop.neighbor), (dst.ip(), GATEWAY6.ip()));
        assert_eq!((hop.interface, hop.dst_mac), (InterfaceId(interface), mac.0));
        let Some(RouteTarget::Via(gateway)) = target(&changes, dst) else { panic!("a gateway") };
        let gateway = table[gateway.index()];
        assert_eq!((gateway.neighbor, gateway.dst_mac), (GATEWAY6.ip(), mac.0));
        let found = NextHops::new(table.clone()).find_ip(gateway.target);
        assert_eq!(found.map(|id| table[id.index()]), Some(gateway), "the target is its own");
    }
}

#[test]
fn a_link_local_gateway_is_asked_for_by_its_address_on_the_wire() {
    let mut rig = Rig::new();
    rig.state.settle(rig.now);
    let changes = rig.tell(Event::Route { route: via("::/0", "fe80::1", WAN), replace: false });
    let ask = Ask { ifindex: WAN, address: GATEWAY6.ip(), managed: true };
    assert_eq!(changes.asks, [ask]);
    let Some(RouteTarget::Via(id)) = target(&changes, FAR) else { panic!("a gateway") };
    let wanted = hop(&changes, id).target;
    assert_eq!(rig.state.request(wanted, rig.now), Ok(id), "as a worker names it");
    let changes = rig.tell(Event::RouteGone(via("::/0", "fe80::1", WAN)));
    assert_eq!(target(&changes, FAR), None);
    assert_eq!(changes.asks, [Ask { managed: false, ..ask }]);
}

#[test]
fn tunnels_begin_at_a_global_address_rather_of_the_link_and_near_the_target() {
    let mut rig = rig();
    for (dst, local) in [
        (RS6, "fd00::100"),
        (FAR, "2001:db8:c::1"),
        (0xfd00_0005 << 96 | 9, "fd00::1"),
        // A subnet counts up to its length: a host's address has more in common.
        (0xfd00 << 112 | 0x3, "fd00::100"),
    ] {
        let id = rig.intern(&[dst]).expect("room")[0];
        let changes = rig.state.settle(rig.now);
        assert_eq!(hop(&changes, id).local, ip(local), "{}", dst.ip());
    }
    let gone = OwnAddress { ifindex: WAN, address: address("2001:db8:c::1/64") };
    rig.tell(Event::AddressGone(gone));
    let id = rig.intern(&[FAR]).expect("room")[0];
    rig.state.settle(rig.now);
    assert_eq!(rig.state.targets.hop(id).local, ip("fd00::1"), "another link's");
    let id = rig.real_server();
    assert_eq!(rig.state.targets.hop(id).local, ip("192.168.100.1"), "of the target's family");
}
