//! Real servers at the director's own addresses.

use super::*;

#[test]
fn an_own_address_is_a_next_hop_to_linux_whatever_link_has_it() {
    let mut rig = Rig::new();
    let (wan, management, later) = (0x0a00_0001_u32, 0x0a09_0001_u32, 0x0a00_0007_u32);
    rig.tell(Event::Route { route: local("10.9.0.1/32", MANAGEMENT), replace: false });
    let ids = rig.intern(&[wan, management, later]).expect("room");
    let changes = rig.state.settle(rig.now);
    assert_eq!(hop(&changes, ids[0]), NextHop::local(wan.ip()));
    assert_eq!(hop(&changes, ids[1]), NextHop::local(management.ip()));
    assert_eq!(hop(&changes, ids[2]).state, NextHopState::Unresolved);
    let neighbors: Vec<IpAddr> = changes.asks.iter().map(|ask| ask.address).collect();
    assert_eq!(neighbors, [later.ip()], "nobody is asked for the director's own MAC");

    let route = local("10.0.0.7/32", WAN);
    let changes = rig.tell(Event::Route { route, replace: false });
    assert_eq!(hop(&changes, ids[2]), NextHop::local(later.ip()), "the address moved here");
    let changes = rig.tell(Event::RouteGone(route));
    assert_eq!(hop(&changes, ids[2]).state, NextHopState::Unresolved, "and away again");
}

#[test]
fn what_linux_does_not_deliver_is_no_real_server() {
    let mut rig = Rig::new();
    let (blackhole, foreign) = (0x0a08_0001_u32, 0x0a09_0001_u32);
    let route = KernelRoute { kind: RouteKind::Linux, ..on_link("10.8.0.0/24", 0) };
    rig.tell(Event::Route { route, replace: false });
    rig.tell(Event::Route { route: on_link("10.9.0.0/24", MANAGEMENT), replace: false });
    let ids = rig.intern(&[blackhole, foreign]).expect("room");
    let changes = rig.state.settle(rig.now);
    for id in ids {
        assert_eq!(hop(&changes, id).state, NextHopState::NoRoute);
    }
}
