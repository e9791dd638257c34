//! What is answered: time exceeded, fragmentation needed, port unreachable; and what is cut into
//! fragments instead.

use crate::rig::*;
use dataplane::nexthop::NextHopState;
use dataplane::sched::SchedulerKind;
use dataplane::service::ForwardingMethod::{self, Gatewaying, Ipip, Masq};
use dataplane::service::IcmpLimits;
use dataplane::testing::Frame;
use dataplane::testing::control::{Server, tcp, udp};
use dataplane::verdict::{DropReason, PuntClass};

/// The error about `frame` as the client gets it, with the identification `id`.
fn error(kind: u8, code: u8, rest: u32, frame: &Frame, id: u16) -> Frame {
    let ip = frame.build_ip();
    let quote = &ip[..ip.len().min(548)];
    to_client(Frame::icmp(VIP, CLIENT, kind, code, rest).payload(quote).tos(0xc0).id(id))
}

/// Where replies do not pass, the kernel counts an error to the client for one: it leaves from the
/// VIP, as they do.
fn answered(method: ForwardingMethod, moved: Moved, bytes: i64) -> Moved {
    match method {
        Masq => moved,
        _ => Moved { out_packets: 1, out_bytes: bytes, ..moved },
    }
}

#[test]
fn a_clients_last_hop_is_answered_by_the_vip_after_scheduling() {
    let key = tcp(VIP, 80);
    for method in [Masq, Gatewaying, Ipip] {
        let mut rig = Rig::serving(key, method, 1);
        let id = rig.id(key, rip(1));
        let came = Frame::tcp(CLIENT, 4000, VIP, 80).ttl(1);
        let expected = expect().sends(C, &error(11, 0, 0, &came, 1)).makes(1);
        let moved = answered(method, begun(40, true), 68);
        let expected = expected.drops(DropReason::TtlExceeded, 1).dest(id, moved);
        rig.check("time to live 1", &[(C, &came)], expected);
    }
}

#[test]
fn a_replys_last_hop_is_linuxs() {
    let key = udp(VIP, 53);
    let mut rig = Rig::serving(key, Masq, 1);
    let id = rig.id(key, rip(1));
    let asked = Frame::udp(CLIENT, 4000, VIP, 53);
    let (dst, src) = to_server(1);
    let sent = Frame::udp(CLIENT, 4000, rip(1), 53).ttl(63).macs(dst, src);
    rig.check("query", &[(C, &asked)], expect().sends(S, &sent).dest(id, begun(28, false)));
    let answer = from_server(1, Frame::udp(rip(1), 53, CLIENT, 4000).ttl(1));
    rig.check("answer", &[(S, &answer)], expect().punts(PuntClass::Rest, S, &answer));
}

#[test]
fn df_too_big_inwards_is_answered_with_the_mtu_of_the_way() {
    let key = udp(VIP, 53);
    for (method, mtu, len) in [(Masq, 1500, 1501), (Gatewaying, 1500, 1501), (Ipip, 1480, 1481)] {
        let mut rig = Rig::serving(key, method, 1);
        let id = rig.id(key, rip(1));
        let came = Frame::udp(CLIENT, 4000, VIP, 53).df().payload(&vec![7; len - 28]);
        let quoted = came.clone().ttl(63);
        let expected = expect().sends(C, &error(3, 4, mtu, &quoted, 1)).makes(1);
        let moved = answered(method, begun(len as i64, false), 576);
        let expected = expected.drops(DropReason::FragNeeded, 1).dest(id, moved);
        rig.check("too big by one", &[(C, &came)], expected);
    }
}

#[test]
fn df_too_big_outwards_is_linuxs() {
    let key = udp(VIP, 53);
    let mut rig = Rig::serving(key, Masq, 1);
    let id = rig.id(key, rip(1));
    let asked = Frame::udp(CLIENT, 4000, VIP, 53);
    let (dst, src) = to_server(1);
    let sent = Frame::udp(CLIENT, 4000, rip(1), 53).ttl(63).macs(dst, src);
    rig.check("query", &[(C, &asked)], expect().sends(S, &sent).dest(id, begun(28, false)));
    let big = from_server(1, Frame::udp(rip(1), 53, CLIENT, 4000).df().payload(&[7; 1473]));
    rig.check("answer", &[(S, &big)], expect().punts(PuntClass::Rest, S, &big));
}

#[test]
fn without_df_too_big_is_cut_and_the_parts_follow_in_order() {
    let key = udp(VIP, 53);
    let mut rig = Rig::serving(key, Gatewaying, 1);
    let id = rig.id(key, rip(1));
    let payload: Vec<u8> = (0..1593u32).map(|n| n as u8).collect();
    let came = Frame::udp(CLIENT, 4000, VIP, 53).id(77).payload(&payload);
    let (dst, src) = to_server(1);
    let datagram = came.clone().build_ip()[20..].to_vec();
    let part = |bytes: &[u8], at, more| {
        Frame::raw(CLIENT, VIP, 17, bytes).id(77).fragment(at, more).ttl(63).macs(dst, src)
    };
    let (first, second) = datagram.split_at(1480);
    let expected = expect().sends(S, &part(first, 0, true)).sends(S, &part(second, 1480, false));
    let moved = begun(20 + datagram.len() as i64, false);
    rig.check("1601 bytes", &[(C, &came)], expected.makes(1).dest(id, moved));
}

#[test]
fn parts_wait_together_and_go_in_order() {
    let key = udp(VIP, 53);
    let mut rig = Rig::serving(key, Gatewaying, 1);
    let id = rig.id(key, rip(1));
    rig.resolve(rip(1), NextHopState::Unresolved);
    let came = Frame::udp(CLIENT, 4000, VIP, 53).id(77).payload(&[7; 2000]);
    let expected = expect().makes(1).holds(2).dest(id, begun(2028, false));
    rig.check("held", &[(C, &came)], expected);
    rig.resolve(rip(1), NextHopState::Resolved);
    let datagram = came.clone().build_ip()[20..].to_vec();
    let (dst, src) = to_server(1);
    let part = |bytes: &[u8], at, more| {
        Frame::raw(CLIENT, VIP, 17, bytes).id(77).fragment(at, more).ttl(63).macs(dst, src)
    };
    let (first, second) = datagram.split_at(1480);
    let expected = expect().sends(S, &part(first, 0, true)).sends(S, &part(second, 1480, false));
    rig.check("released", &[], expected.holds(-2));
}

#[test]
fn a_pool_without_buffers_drops_what_was_to_be_cut() {
    let key = udp(VIP, 53);
    let mut rig = Rig::with(|config| config.buffers = 1);
    rig.add(key, Gatewaying, 1);
    rig.publish();
    let id = rig.id(key, rip(1));
    let came = Frame::udp(CLIENT, 4000, VIP, 53).payload(&[7; 2000]);
    let expected = expect().drops(DropReason::FragNoBuffer, 1).dest(id, begun(2028, false));
    rig.check("no buffer", &[(C, &came)], expected);
}

#[test]
fn a_service_without_a_free_destination_is_unreachable() {
    let key = tcp(VIP, 80);
    let mut rig = Rig::serving(key, Masq, 0);
    let came = Frame::tcp(CLIENT, 4000, VIP, 80);
    let refused = |id| {
        expect().sends(C, &error(3, 3, 0, &came, id)).makes(1).drops(DropReason::NoDestination, 1)
    };
    rig.check("none", &[(C, &came)], refused(1));
    rig.control.server(key, Server::new(rip(1), 80, Masq).weight(0));
    rig.publish();
    rig.check("quiesced", &[(C, &came)], refused(2));
    rig.control.server(key, Server::new(rip(1), 80, Masq).thresholds(1, 0));
    rig.publish();
    let id = rig.id(key, rip(1));
    let (dst, src) = to_server(1);
    let sent = Frame::tcp(CLIENT, 3999, rip(1), 80).ttl(63).macs(dst, src);
    let other = Frame::tcp(CLIENT, 3999, VIP, 80);
    rig.check("room for one", &[(C, &other)], expect().sends(S, &sent).dest(id, begun(40, true)));
    rig.check("overloaded", &[(C, &came)], refused(3));
}

#[test]
fn an_error_through_a_small_mtu_is_sent_whole_if_it_fits() {
    let key = tcp(VIP, 80);
    let mut rig = Rig::serving(key, Masq, 0);
    rig.control.hop(ROUTER).mtu = 296;
    rig.publish();
    let came = Frame::tcp(CLIENT, 4000, VIP, 80);
    let expected = expect().sends(C, &error(3, 3, 0, &came, 1)).makes(1);
    rig.check("68 bytes", &[(C, &came)], expected.drops(DropReason::NoDestination, 1));
}

#[test]
fn an_error_about_nobody_or_without_a_way_back_is_only_counted() {
    let key = tcp(VIP, 80);
    let mut rig = Rig::serving(key, Masq, 0);
    for client in [0, 0x7f00_0001, 0xe000_0001, 0x0808_0808] {
        let came = Frame::tcp(client, 4000, VIP, 80);
        let expected = expect().drops(DropReason::NoDestination, 1);
        rig.check("no answer", &[(C, &came)], expected);
    }
}

#[test]
fn errors_beyond_linuxs_limits_are_not_sent_and_counted() {
    let mut rig = Rig::new();
    rig.control.service(tcp(VIP, 80), SchedulerKind::Rr);
    rig.control.settings.icmp_limits = Some(IcmpLimits::default());
    rig.publish();
    let answered = |rig: &mut Rig, client: u32| {
        let before = rig.machine.totals();
        for port in 0..20 {
            rig.machine.feed(C, 0, &Frame::tcp(client, 4000 + port, VIP, 80).build());
        }
        rig.machine.settle(rig.now);
        rig.machine.check();
        let sent = rig.machine.take_sent().len();
        let after = rig.machine.totals();
        let place = DropReason::NoDestination.index();
        assert_eq!(after.dropped[place] - before.dropped[place], 20);
        assert_eq!(after.made - before.made, sent as u64);
        sent
    };
    assert_eq!(answered(&mut rig, CLIENT), 6);
    assert_eq!(answered(&mut rig, CLIENT + 1), 6);
    rig.pass(2);
    assert_eq!(answered(&mut rig, CLIENT), 2);
    let limited = rig.machine.counters(0).icmp_limited.load(std::sync::atomic::Ordering::Relaxed);
    assert_eq!(limited, 14 + 14 + 18);
}
