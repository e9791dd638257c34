//! Packets without a conn or a destination: `nat_icmp_send`, `cache_bypass`, and UDP whose server is
//! gone.

use crate::rig::*;
use dataplane::address::{Address, Family};
use dataplane::flow::protocol;
use dataplane::ids::DestId;
use dataplane::sched::SchedulerKind;
use dataplane::service::ForwardingMethod::{Gatewaying, Masq};
use dataplane::service::{MarkRule, ServiceKey};
use dataplane::testing::Frame;
use dataplane::testing::control::udp;
use dataplane::verdict::{DropReason, PuntClass};

/// An address that is nobody's here.
const FAR: u32 = 0xcb00_7105;

#[test]
fn udp_leaves_a_removed_server_with_its_next_packet() {
    let dns = udp(VIP, 53);
    let mut rig = Rig::serving(dns, Masq, 2);
    let (first, second) = (rig.id(dns, rip(1)), rig.id(dns, rip(2)));
    let sent = |server| {
        let (dst, src) = to_server(server);
        Frame::udp(CLIENT, 4000, rip(server), 53).ttl(63).macs(dst, src)
    };
    let question = Frame::udp(CLIENT, 4000, VIP, 53);
    let begins = expect().sends(S, &sent(1)).dest(first, begun(28, false));
    rig.check("first", &[(C, &question)], begins);
    rig.control.delete_server(dns, rip(1), 53);
    rig.publish();
    rig.machine.feed(C, 0, &question.build());
    rig.machine.settle(rig.now);
    assert_eq!(rig.machine.take_sent(), [(S, sent(2).build())], "no black hole");
    let conns = |id: DestId| rig.machine.counters(0).dest(id).read().inactive;
    assert_eq!((conns(first), conns(second)), (0, 1));
}

/// `cache_bypass` for a marked network behind the clients' router, whose service has no cache.
fn bypassing() -> Rig {
    let mut rig = Rig::new();
    rig.control.service(ServiceKey::Fwmark { mark: 7, family: Family::V4 }, SchedulerKind::Rr);
    let prefix = FAR.ip();
    rig.control.marks = vec![MarkRule { mark: 7, proto: None, prefix, len: 24, dports: 0..=65535 }];
    rig.control.route(FAR & !0xff, 24, ROUTER);
    rig.control.settings.cache_bypass = true;
    rig
}

#[test]
fn with_cache_bypass_a_marked_packet_without_a_cache_goes_where_it_was_going() {
    let mut rig = bypassing();
    rig.publish();
    let routed = to_client(Frame::udp(CLIENT, 4000, FAR, 53).ttl(63));
    let packet = Frame::udp(CLIENT, 4000, FAR, 53);
    let none = |packets| inwards(packets, 28 * packets);
    let sent = |moved| expect().sends(C, &routed).dest(DestId::NONE, moved);
    let begun = Moved { inactive: 1, ..none(1) };
    rig.check("past the caches", &[(C, &packet)], sent(begun));
    assert_eq!(rig.machine.conns(0).len(), 1, "a conn of no destination");
    rig.check("again", &[(C, &packet)], sent(none(1)));
    rig.control.settings.cache_bypass = false;
    rig.publish();
    let other = Frame::udp(CLIENT, 4001, FAR, 53);
    rig.machine.feed(C, 0, &other.build());
    rig.machine.settle(rig.now);
    let refused = rig.machine.totals().dropped[DropReason::NoDestination.index()];
    assert_eq!(refused, 1, "without it the client is told");
}

#[test]
fn a_real_server_is_told_only_where_it_serves_masq() {
    let dns = udp(VIP, 53);
    for (method, port, told) in [(Masq, 53, true), (Masq, 54, false), (Gatewaying, 53, false)] {
        let mut rig = Rig::serving(dns, method, 1);
        rig.control.settings.nat_icmp_send = true;
        rig.control.route(rip(1), 32, rip(1));
        rig.publish();
        let answer = from_server(1, Frame::udp(rip(1), port, CLIENT, 4000));
        rig.machine.feed(S, 0, &answer.build());
        rig.machine.settle(rig.now);
        let dropped = rig.machine.totals().dropped[DropReason::NoConn.index()];
        assert_eq!(dropped, u64::from(told), "{method:?} {port}");
        let punted = rig.machine.take_punted();
        assert_eq!(punted.len(), usize::from(!told));
        assert!(punted.iter().all(|(_, class, _)| *class == PuntClass::Rest));
    }
}

#[test]
fn what_ends_too_early_to_begin_a_conn_ends_here_and_is_routed_elsewhere() {
    // Ports and no more; ports, tag and checksum of SCTP without a chunk.
    for (proto, len) in [(protocol::TCP, 4), (protocol::UDP, 7), (protocol::SCTP, 12)] {
        let mut rig = Rig::serving(udp(VIP, 53), Masq, 1);
        rig.control.route(CLIENT, 32, ROUTER);
        rig.publish();
        let cut = vec![0x50; len];
        let dropped = expect().drops(DropReason::BadL4Header, 1);
        rig.check("to the VIP", &[(C, &Frame::raw(CLIENT, VIP, proto, &cut))], dropped);
        let reply = from_server(1, Frame::raw(rip(1), CLIENT, proto, &cut));
        rig.check("to a client", &[(S, &reply)], expect().punts(PuntClass::Rest, S, &reply));
    }
}

#[test]
fn a_packet_past_the_caches_that_is_too_big_is_answered_and_never_cut() {
    let mut rig = bypassing();
    rig.control.hop(ROUTER).mtu = 1000;
    rig.publish();
    let packet = Frame::udp(CLIENT, 4000, FAR, 53).df().payload(&[7; 1200]);
    rig.machine.feed(C, 0, &packet.build());
    rig.machine.settle(rig.now);
    rig.machine.check();
    let sent = rig.machine.take_sent();
    let [(C, error)] = &sent[..] else { panic!("{} frames", sent.len()) };
    assert_eq!(error[34..36], [3, 4], "fragmentation needed");
    let counts = rig.machine.counters(0).dest(DestId::NONE).read();
    assert_eq!((counts.active, counts.inactive), (0, 1), "the conn is counted once");
}
