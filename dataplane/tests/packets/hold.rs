//! Next hops that are not known yet, change, or fail; and places that are full.

use crate::rig::*;
use dataplane::address::Address;
use dataplane::limits::{MAX_HELD, MAX_HELD_PER_NEXT_HOP};
use dataplane::nexthop::NextHopState::{NoRoute, Resolved, Unresolved};
use dataplane::service::ForwardingMethod::{Gatewaying, Masq};
use dataplane::testing::Frame;
use dataplane::testing::control::{Server, tcp, udp};
use dataplane::verdict::DropReason;

fn asked(n: u16) -> Frame {
    Frame::udp(CLIENT, 4000, VIP, 53).id(n)
}

fn sent(n: u16) -> Frame {
    let (dst, src) = to_server(1);
    asked(n).ttl(63).macs(dst, src)
}

/// A rig whose only server's MAC address is not known.
fn unresolved() -> (Rig, dataplane::ids::DestId) {
    let key = udp(VIP, 53);
    let mut rig = Rig::serving(key, Gatewaying, 1);
    let id = rig.id(key, rip(1));
    rig.resolve(rip(1), Unresolved);
    (rig, id)
}

#[test]
fn held_packets_go_in_order_before_those_that_come_later() {
    let (mut rig, id) = unresolved();
    let moved = Moved { in_packets: 2, in_bytes: 56, ..begun(28, false) };
    let frames = [asked(1), asked(2)];
    rig.check("held", &[(C, &frames[0]), (C, &frames[1])], expect().holds(2).dest(id, moved));
    assert_eq!(rig.machine.take_wishes(), [rip(1).ip(), rip(1).ip()]);
    rig.resolve(rip(1), Resolved);
    let expected = expect().sends(S, &sent(1)).sends(S, &sent(2)).sends(S, &sent(3)).holds(-2);
    rig.check("resolved", &[(C, &asked(3))], expected.dest(id, inwards(1, 28)));
}

#[test]
fn what_waits_for_one_next_hop_does_not_wait_for_another() {
    let key = udp(VIP, 53);
    let mut rig = Rig::serving(key, Gatewaying, 2);
    let ids = [rig.id(key, rip(1)), rig.id(key, rip(2))];
    rig.resolve(rip(1), Unresolved);
    rig.resolve(rip(2), Unresolved);
    let from = |port| Frame::udp(CLIENT, port, VIP, 53);
    let expected = expect().holds(2).dest(ids[0], begun(28, false)).dest(ids[1], begun(28, false));
    rig.check("both", &[(C, &from(4000)), (C, &from(4001))], expected);
    rig.resolve(rip(2), Resolved);
    let (dst, src) = to_server(2);
    let expected = expect().sends(S, &from(4001).ttl(63).macs(dst, src)).holds(-1);
    rig.check("the second", &[], expected);
    rig.pass(3);
    let expected = expect().drops(DropReason::NextHopTimeout, 1).holds(-1);
    rig.check("the first", &[], expected);
}

#[test]
fn a_changed_mac_address_is_used_from_the_next_packet_on() {
    let (mut rig, id) = unresolved();
    rig.control.hop(rip(1)).state = Resolved;
    rig.control.hop(rip(1)).dst_mac = mac(7);
    rig.publish();
    let expected = expect().sends(S, &asked(1).ttl(63).macs(mac(7), MAC_DS));
    rig.check("new MAC", &[(C, &asked(1))], expected.dest(id, begun(28, false)));
    rig.resolve(rip(1), NoRoute);
    let expected = expect().drops(DropReason::NoRoute, 1).dest(id, inwards(1, 28));
    rig.check("no route", &[(C, &asked(2))], expected);
}

#[test]
fn what_waited_three_seconds_is_dropped() {
    let (mut rig, id) = unresolved();
    rig.check("held", &[(C, &asked(1))], expect().holds(1).dest(id, begun(28, false)));
    rig.pass(2);
    rig.check("patient", &[(C, &asked(2))], expect().holds(1).dest(id, inwards(1, 28)));
    rig.pass(1);
    rig.check("the first is late", &[], expect().drops(DropReason::NextHopTimeout, 1).holds(-1));
    rig.pass(2);
    rig.check("the second too", &[], expect().drops(DropReason::NextHopTimeout, 1).holds(-1));
}

#[test]
fn one_next_hop_holds_few_packets_and_all_together_not_many() {
    let (mut rig, id) = unresolved();
    let each = MAX_HELD_PER_NEXT_HOP as u16;
    let frames: Vec<Frame> = (0..each + 2).map(asked).collect();
    let frames: Vec<_> = frames.iter().map(|frame| (C, frame)).collect();
    let count = i64::from(each) + 2;
    let moved = Moved { in_packets: count, in_bytes: 28 * count, ..begun(28, false) };
    let expected = expect().drops(DropReason::NextHopUnresolved, 2).holds(i64::from(each));
    rig.check("for one", &frames, expected.dest(id, moved));
}

#[test]
fn all_next_hops_together_hold_no_more_than_the_limit() {
    let key = udp(VIP, 53);
    let mut rig = Rig::new();
    let servers = (MAX_HELD / MAX_HELD_PER_NEXT_HOP) as u32 + 1;
    rig.control.service(key, dataplane::sched::SchedulerKind::Rr);
    for n in 0..servers {
        let address = 0xc0a8_0164 + n;
        rig.control.neighbor(address, dataplane::ids::InterfaceId(1), mac(1));
        rig.control.hop(address).state = Unresolved;
        rig.control.server(key, Server::new(address, 53, Gatewaying));
    }
    rig.publish();
    let each = MAX_HELD_PER_NEXT_HOP as u16;
    let frames: Vec<Frame> = (0..servers as u16 * each)
        .map(|n| Frame::udp(CLIENT, 1000 + n % servers as u16, VIP, 53))
        .collect();
    let frames: Vec<_> = frames.iter().map(|frame| (C, frame)).collect();
    let bytes = 28 * i64::from(each);
    let moved = Moved { in_packets: each.into(), in_bytes: bytes, ..begun(28, false) };
    let mut expected = expect().drops(DropReason::NextHopUnresolved, each.into());
    for n in 0..servers {
        expected = expected.dest(rig.id(key, 0xc0a8_0164 + n), moved);
    }
    rig.check("for all", &frames, expected.holds(MAX_HELD as i64));
}

#[test]
fn a_full_transmit_queue_drops_what_does_not_fit() {
    let key = udp(VIP, 53);
    let mut rig = Rig::serving(key, Gatewaying, 1);
    let id = rig.id(key, rip(1));
    rig.machine.worker_mut(0).share_mut(S).unwrap().queue.tx_room = 2;
    let frames = [asked(1), asked(2), asked(3)];
    let frames = [(C, &frames[0]), (C, &frames[1]), (C, &frames[2])];
    let moved = Moved { in_packets: 3, in_bytes: 84, ..begun(28, false) };
    let expected = expect().sends(S, &sent(1)).sends(S, &sent(2)).drops(DropReason::TxFull, 1);
    rig.check("room for two", &frames, expected.dest(id, moved));
}

#[test]
fn a_service_on_an_address_without_a_next_hop_has_no_route() {
    let key = tcp(VIP, 80);
    let mut rig = Rig::new();
    rig.control.service(key, dataplane::sched::SchedulerKind::Rr);
    rig.control.server(key, Server::new(0x0808_0808_u32, 80, Masq));
    rig.publish();
    let id = rig.id(key, 0x0808_0808);
    let frame = Frame::tcp(CLIENT, 4000, VIP, 80);
    let expected = expect().drops(DropReason::NoRoute, 1).dest(id, begun(40, true));
    rig.check("nowhere", &[(C, &frame)], expected);
}
