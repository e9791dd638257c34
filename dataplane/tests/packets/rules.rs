//! Rules that change under conns: what stays, what goes, what comes back.

use crate::rig::*;
use dataplane::ids::DestId;
use dataplane::service::ForwardingMethod::{self, Gatewaying, Masq};
use dataplane::service::ServiceKey;
use dataplane::testing::Frame;
use dataplane::testing::control::{Server, tcp, udp};
use dataplane::verdict::{DropReason, PuntClass};
use dataplane::wire::tcp::flags::{ACK, FIN, RST, SYN};
use std::net::{IpAddr, Ipv4Addr};

const KEY: ServiceKey = ServiceKey::Address {
    proto: dataplane::flow::protocol::TCP,
    vip: IpAddr::V4(Ipv4Addr::from_bits(VIP)),
    vport: 80,
};

fn to_vip(flags: u8) -> Frame {
    Frame::tcp(CLIENT, 4000, VIP, 80).flags(flags)
}

fn sent(method: ForwardingMethod, n: u8, flags: u8) -> Frame {
    let (dst, src) = to_server(n);
    let frame = match method {
        Masq => Frame::tcp(CLIENT, 4000, rip(n), 80).flags(flags),
        _ => to_vip(flags),
    };
    frame.ttl(63).macs(dst, src)
}

/// A client's packet that goes to server `n` on an existing conn.
fn goes_on(rig: &mut Rig, method: ForwardingMethod, n: u8, flags: u8, moved: Moved) {
    let id = rig.id(KEY, rip(n));
    let expected = expect().sends(S, &sent(method, n, flags)).dest(id, moved);
    rig.check(&format!("to {n}, {flags:#x}"), &[(C, &to_vip(flags))], expected);
}

/// A rig with an established conn to server 1 of two.
fn established(method: ForwardingMethod) -> (Rig, DestId) {
    let mut rig = Rig::serving(KEY, method, 2);
    let id = rig.id(KEY, rip(1));
    goes_on(&mut rig, method, 1, SYN, begun(40, true));
    goes_on(&mut rig, method, 1, ACK, inwards(1, 40));
    (rig, id)
}

fn reply(rig: &mut Rig, id: DestId) {
    let reply = from_server(1, Frame::tcp(rip(1), 80, CLIENT, 4000).flags(ACK));
    let left = to_client(Frame::tcp(VIP, 80, CLIENT, 4000).flags(ACK).ttl(63));
    let expected = expect().sends(C, &left).dest(id, outwards(1, 40));
    rig.check("reply", &[(S, &reply)], expected);
}

const ENDED: Moved = Moved {
    conns: 0,
    in_packets: 0,
    in_bytes: 0,
    out_packets: 0,
    out_bytes: 0,
    active: -1,
    inactive: 0,
};

#[test]
fn packets_to_a_removed_destination_are_dropped_replies_pass_and_adding_it_resumes() {
    let (mut rig, id) = established(Masq);
    rig.control.delete_server(KEY, rip(1), 80);
    rig.publish();
    let dropped = || expect().drops(DropReason::DestinationRemoved, 1);
    rig.check("removed", &[(C, &to_vip(ACK))], dropped());
    rig.check("removed, SYN", &[(C, &to_vip(SYN))], dropped());
    reply(&mut rig, id);
    rig.control.server(KEY, Server::new(rip(1), 80, Masq));
    rig.publish();
    goes_on(&mut rig, Masq, 1, ACK, inwards(1, 40));
}

#[test]
fn a_deleted_services_conns_are_dropped_replies_pass_and_new_ones_are_linuxs() {
    let (mut rig, id) = established(Masq);
    rig.add(udp(VIP, 53), Masq, 3);
    rig.control.delete_service(KEY);
    rig.publish();
    let dropped = expect().drops(DropReason::DestinationRemoved, 1);
    rig.check("deleted", &[(C, &to_vip(ACK))], dropped);
    reply(&mut rig, id);
    let new = Frame::tcp(CLIENT, 4001, VIP, 80);
    rig.check("new", &[(C, &new)], expect().punts(PuntClass::Rest, C, &new));
    rig.pass(1000);
    rig.check("its time ends", &[], expect().dest(id, ENDED));
    assert_eq!(rig.control.shared(id).conns.load(std::sync::atomic::Ordering::Relaxed), 0);
    rig.check("forgotten", &[(C, &to_vip(ACK))], expect().punts(PuntClass::Rest, C, &to_vip(ACK)));
}

#[test]
fn without_any_service_everything_is_linuxs_and_conns_wait_for_theirs() {
    let (mut rig, id) = established(Masq);
    let ack = to_vip(ACK);
    rig.control.delete_service(KEY);
    rig.publish();
    rig.check("none is left", &[(C, &ack)], expect().punts(PuntClass::Rest, C, &ack));
    rig.add(KEY, Masq, 1);
    rig.publish();
    reply(&mut rig, id);
}

#[test]
fn with_expire_nodest_conn_a_removed_destinations_conn_ends_with_it() {
    let (mut rig, id) = established(Masq);
    rig.control.settings.expire_nodest_conn = true;
    rig.publish();
    rig.control.delete_server(KEY, rip(1), 80);
    rig.publish();
    let counts = rig.machine.counters(0).dest(id).read();
    assert_eq!((counts.active, counts.inactive, rig.machine.conns(0).len()), (0, 0, 0));
    let ack = to_vip(ACK);
    rig.check("ACK", &[(C, &ack)], expect().punts(PuntClass::Rest, C, &ack));
    let two = rig.id(KEY, rip(2));
    let expected = expect().sends(S, &sent(Masq, 2, SYN)).dest(two, begun(40, true));
    rig.check("SYN", &[(C, &to_vip(SYN))], expected);
}

#[test]
fn what_was_removed_before_expire_nodest_conn_was_set_ends_with_its_next_packet() {
    let (mut rig, id) = established(Masq);
    rig.control.delete_server(KEY, rip(1), 80);
    rig.publish();
    rig.control.settings.expire_nodest_conn = true;
    rig.publish();
    let counts = rig.machine.counters(0).dest(id).read();
    assert_eq!((counts.active, rig.machine.conns(0).len()), (1, 1));
    let ack = to_vip(ACK);
    rig.check("ACK", &[(C, &ack)], expect().punts(PuntClass::Rest, C, &ack).dest(id, ENDED));
}

#[test]
fn a_change_that_removes_nothing_leaves_alone_what_was_removed_before() {
    let (mut rig, id) = established(Masq);
    rig.control.delete_server(KEY, rip(1), 80);
    rig.publish();
    rig.control.settings.expire_nodest_conn = true;
    rig.publish();
    rig.control.server(KEY, Server::new(rip(3), 80, Masq));
    rig.publish();
    assert_eq!(rig.machine.conns(0).len(), 1, "its next packet ends it");
    rig.control.delete_server(KEY, rip(3), 80);
    rig.publish();
    assert_eq!(rig.machine.conns(0).len(), 0, "a removal ends all, as in the kernel");
    assert_eq!(rig.machine.counters(0).dest(id).read().active, 0);
}

#[test]
fn a_packet_before_the_flush_ends_the_conn_too() {
    let (mut rig, id) = established(Gatewaying);
    rig.control.settings.expire_nodest_conn = true;
    rig.publish();
    rig.control.delete_server(KEY, rip(1), 80);
    rig.publish_quietly();
    let two = rig.id(KEY, rip(2));
    let expected = expect().sends(S, &sent(Gatewaying, 2, SYN));
    let expected = expected.dest(id, ENDED).dest(two, begun(40, true));
    rig.check("SYN", &[(C, &to_vip(SYN))], expected);
}

#[test]
fn a_server_edited_from_masq_to_gatewaying_is_reached_by_both() {
    let (mut rig, id) = established(Masq);
    rig.control.server(KEY, Server::new(rip(1), 80, Gatewaying));
    rig.control.server(KEY, Server::new(rip(2), 80, Gatewaying).weight(0));
    rig.publish();
    goes_on(&mut rig, Masq, 1, ACK, inwards(1, 40));
    let (dst, src) = to_server(1);
    let new = Frame::tcp(CLIENT, 5000, VIP, 80);
    let expected = expect().sends(S, &new.clone().ttl(63).macs(dst, src));
    rig.check("new", &[(C, &new)], expected.dest(id, begun(40, true)));
    goes_on(&mut rig, Masq, 1, ACK, inwards(1, 40));
}

#[test]
fn a_quiesced_destination_keeps_its_conns_and_gets_no_new_ones() {
    let (mut rig, _) = established(Gatewaying);
    rig.control.server(KEY, Server::new(rip(1), 80, Gatewaying).weight(0));
    rig.publish();
    goes_on(&mut rig, Gatewaying, 1, ACK, inwards(1, 40));
    // Not even a SYN moves a conn that is open.
    goes_on(&mut rig, Gatewaying, 1, SYN, inwards(1, 40));
    let two = rig.id(KEY, rip(2));
    let (dst, src) = to_server(2);
    for port in [5000, 5001, 5002] {
        let new = Frame::tcp(CLIENT, port, VIP, 80);
        let left = new.clone().ttl(63).macs(dst, src);
        rig.check("new", &[(C, &new)], expect().sends(S, &left).dest(two, begun(40, true)));
    }
}

/// The kernel looks at the count when it has let one more in.
#[test]
fn an_upper_threshold_set_at_or_below_the_count_holds_at_once() {
    for threshold in [1, 2] {
        let mut rig = Rig::serving(KEY, Gatewaying, 1);
        let id = rig.id(KEY, rip(1));
        let (dst, src) = to_server(1);
        for port in [5000, 5001] {
            let new = Frame::tcp(CLIENT, port, VIP, 80);
            let left = new.clone().ttl(63).macs(dst, src);
            rig.check("new", &[(C, &new)], expect().sends(S, &left).dest(id, begun(40, true)));
        }
        rig.control.server(KEY, Server::new(rip(1), 80, Gatewaying).thresholds(threshold, 0));
        rig.control.server(KEY, Server::new(rip(2), 80, Gatewaying));
        rig.publish();
        let two = rig.id(KEY, rip(2));
        let (dst, src) = to_server(2);
        for port in [5002, 5003] {
            let new = Frame::tcp(CLIENT, port, VIP, 80);
            let left = new.clone().ttl(63).macs(dst, src);
            let expected = expect().sends(S, &left).dest(two, begun(40, true));
            rig.check(&format!("at a threshold of {threshold}"), &[(C, &new)], expected);
        }
    }
}

#[test]
fn with_expire_nodest_conn_a_syn_leaves_a_quiesced_destination() {
    let (mut rig, id) = established(Gatewaying);
    rig.control.settings.expire_nodest_conn = true;
    rig.control.server(KEY, Server::new(rip(1), 80, Gatewaying).weight(0));
    rig.publish();
    goes_on(&mut rig, Gatewaying, 1, ACK, inwards(1, 40));
    let two = rig.id(KEY, rip(2));
    let expected = expect().sends(S, &sent(Gatewaying, 2, SYN));
    let expected = expected.dest(id, ENDED).dest(two, begun(40, true));
    rig.check("SYN", &[(C, &to_vip(SYN))], expected);
}

/// `conn_reuse_mode` over the states a client's SYN can meet.
#[test]
fn a_syn_on_a_closed_conn_is_scheduled_anew_as_conn_reuse_mode_says() {
    const FIN_WAIT: &[u8] = &[FIN | ACK];
    const TIME_WAIT: &[u8] = &[FIN | ACK, SYN, FIN | ACK];
    const CLOSED: &[u8] = &[RST];
    let cases = [
        (0, CLOSED, false),
        (1, CLOSED, true),
        (2, CLOSED, true),
        (0, TIME_WAIT, false),
        (1, TIME_WAIT, true),
        (1, FIN_WAIT, false),
        (2, FIN_WAIT, true),
        (3, FIN_WAIT, true),
    ];
    for (mode, before, moves) in cases {
        let (mut rig, id) = established(Gatewaying);
        rig.control.settings.conn_reuse_mode = mode;
        rig.publish();
        if before == TIME_WAIT {
            rig.control.settings.conn_reuse_mode = 0;
            rig.publish();
        }
        for &flags in before {
            rig.machine.feed(C, 0, &to_vip(flags).build());
            rig.machine.settle(rig.now);
        }
        rig.control.settings.conn_reuse_mode = mode;
        rig.publish();
        rig.machine.take_sent();
        let what = format!("mode {mode}, {before:?}");
        let two = rig.id(KEY, rip(2));
        let n = if moves { 2 } else { 1 };
        let expected = expect().sends(S, &sent(Gatewaying, n, SYN));
        let old = Moved { inactive: -1, ..Moved::default() };
        let expected = match moves {
            true => expected.dest(id, old).dest(two, begun(40, true)),
            false => expected.dest(id, Moved { active: 1, inactive: -1, ..inwards(1, 40) }),
        };
        rig.check(&what, &[(C, &to_vip(SYN))], expected);
    }
}

/// The kernel looks at the reuse of a port before it looks for the destination.
#[test]
fn a_syn_on_a_closed_conn_leaves_a_removed_destination() {
    let (mut rig, id) = established(Gatewaying);
    rig.machine.feed(C, 0, &to_vip(RST).build());
    rig.control.delete_server(KEY, rip(1), 80);
    rig.machine.settle(rig.now);
    rig.machine.take_sent();
    rig.publish();
    let two = rig.id(KEY, rip(2));
    let expected = expect().sends(S, &sent(Gatewaying, 2, SYN)).dest(two, begun(40, true));
    let expected = expected.dest(id, Moved { inactive: -1, ..Moved::default() });
    rig.check("SYN", &[(C, &to_vip(SYN))], expected);
}

#[test]
fn sloppy_tcp_begins_with_anything_but_rst() {
    let mut rig = Rig::serving(KEY, Masq, 1);
    rig.control.settings.sloppy_tcp = true;
    rig.publish();
    let rst = to_vip(RST);
    rig.check("RST", &[(C, &rst)], expect().punts(PuntClass::Rest, C, &rst));
    goes_on(&mut rig, Masq, 1, ACK, begun(40, true));
    assert_eq!(tcp(VIP, 80), KEY);
}

#[test]
fn a_conn_ends_when_its_time_is_over_and_not_before() {
    let (mut rig, id) = established(Masq);
    rig.pass(899);
    goes_on(&mut rig, Masq, 1, ACK, inwards(1, 40));
    rig.pass(899);
    reply(&mut rig, id);
    rig.pass(900);
    // The packet finds it over even if the wheel has not come by.
    rig.machine.feed(C, 0, &to_vip(ACK).build());
    rig.machine.worker_mut(0).turn(rig.now);
    assert!(rig.machine.conns(0).is_empty());
    assert_eq!(rig.machine.take_punted().len(), 1);
}

#[test]
fn ip_options_pass_unchanged() {
    let (mut rig, _) = established(Masq);
    // Record route with room for one address, and the end of the list.
    let options = [7, 7, 4, 0, 0, 0, 0, 0];
    let packet = to_vip(ACK).ip_options(&options);
    let (dst, src) = to_server(1);
    let left = Frame::tcp(CLIENT, 4000, rip(1), 80).flags(ACK).ip_options(&options);
    let left = left.ttl(63).macs(dst, src);
    let id = rig.id(KEY, rip(1));
    let expected = expect().sends(S, &left).dest(id, inwards(1, 48));
    rig.check("record route", &[(C, &packet)], expected);
}
