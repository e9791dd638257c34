//! Corners of the rules that a review came upon.

use crate::rig::*;
use dataplane::address::{Address, Family};
use dataplane::flow::protocol;
use dataplane::forward::tunnel::Encap;
use dataplane::ids::{DestId, Generation, NextHopId, ServiceId};
use dataplane::mailbox::Message;
use dataplane::sched::SchedulerKind;
use dataplane::service::ForwardingMethod::{Gatewaying, Masq};
use dataplane::service::{Dest, MarkRule, Service, ServiceKey, ServiceTable, Settings};
use dataplane::testing::Frame;
use dataplane::testing::control::{Server, tcp, udp};
use dataplane::verdict::{DropReason, PuntClass};
use dataplane::wire::tcp::flags::{ACK, FIN, SYN};
use std::sync::Arc;

#[test]
fn a_destination_that_comes_back_without_conns_is_not_overloaded() {
    let key = tcp(VIP, 80);
    let mut rig = Rig::new();
    rig.control.service(key, SchedulerKind::Rr);
    let server = Server::new(rip(1), 80, Gatewaying).thresholds(1, 0);
    rig.control.server(key, server);
    rig.publish();
    rig.machine.feed(C, 0, &Frame::tcp(CLIENT, 4000, VIP, 80).flags(SYN).build());
    rig.machine.settle(rig.now);
    rig.control.delete_server(key, rip(1), 80);
    rig.publish();
    rig.pass(1000);
    rig.machine.settle(rig.now);
    assert!(rig.machine.conns(0).is_empty());
    rig.control.server(key, server);
    rig.publish();
    rig.machine.take_sent();
    rig.machine.feed(C, 0, &Frame::tcp(CLIENT, 4001, VIP, 80).flags(SYN).build());
    rig.machine.settle(rig.now);
    assert_eq!(rig.machine.take_sent()[0].0, S, "the client got an ICMP error instead");
}

#[test]
fn udp_from_port_20_is_not_scheduled() {
    let mut rig = Rig::serving(udp(VIP, 53), Masq, 1);
    let frame = Frame::udp(CLIENT, 20, VIP, 53);
    rig.check("port 20", &[(C, &frame)], expect().punts(PuntClass::Rest, C, &frame));
}

#[test]
fn a_fragmented_ping_of_the_vip_reaches_linux() {
    let mut rig = Rig::serving(tcp(VIP, 80), Masq, 1);
    let piece = Frame::icmp(CLIENT, VIP, 8, 0, 1).payload(&[0; 64]).fragment(0, true);
    rig.check("ping", &[(C, &piece)], expect().punts(PuntClass::Icmp, C, &piece));
}

#[test]
fn a_conn_in_time_wait_does_not_refuse_the_clients_next_one() {
    let (one, two) = (tcp(VIP, 80), tcp(VIP + 1, 80));
    let mut rig = Rig::new();
    rig.add(one, Masq, 1);
    rig.add(two, Masq, 1);
    rig.publish();
    let out = |flags| Frame::tcp(CLIENT, 4000, VIP, 80).flags(flags).build();
    let back = |flags| from_server(1, Frame::tcp(rip(1), 80, CLIENT, 4000).flags(flags)).build();
    rig.machine.feed(C, 0, &out(SYN));
    rig.machine.settle(rig.now);
    rig.machine.feed(S, 0, &back(SYN | ACK));
    rig.machine.settle(rig.now);
    rig.machine.feed(C, 0, &out(ACK));
    rig.machine.feed(C, 0, &out(FIN | ACK));
    rig.machine.settle(rig.now);
    rig.machine.feed(S, 0, &back(FIN | ACK));
    rig.machine.settle(rig.now);
    rig.machine.feed(C, 0, &out(ACK));
    rig.machine.settle(rig.now);
    rig.machine.take_sent();
    rig.pass(30);
    rig.machine.feed(C, 0, &Frame::tcp(CLIENT, 4000, VIP + 1, 80).flags(SYN).build());
    rig.machine.settle(rig.now);
    let taken = rig.machine.totals().dropped[DropReason::TupleTaken.index()];
    assert_eq!((taken, rig.machine.take_sent().len()), (0, 1));
}

#[test]
fn replies_find_their_conn_when_a_mark_rule_covers_the_clients() {
    let mut rig = Rig::with(|config| {
        config.workers = 2;
        config.queues = vec![2; 2];
    });
    rig.publish();
    let hop = rig.control.next_hops.iter().position(|h| h.target == rip(1).ip()).unwrap();
    let dest = Dest {
        id: DestId(1),
        rip: rip(1).ip(),
        rport: 0,
        weight: 1,
        last_weight: 1,
        method: Masq,
        encap: Encap::Ipip,
        u_threshold: 0,
        l_threshold: 0,
        next_hop: NextHopId(hop as u16),
        added: 1,
        shared: Arc::default(),
    };
    let key = ServiceKey::Fwmark { mark: 1, family: Family::V4 };
    let service = Service::new(ServiceId(1), key, SchedulerKind::Rr, vec![dest]);
    let mark = MarkRule { mark: 1, proto: Some(6), prefix: 0_u32.ip(), len: 0, dports: 80..=80 };
    let table =
        ServiceTable::new(Generation(9), vec![service], vec![mark], Settings::default(), &[]);
    rig.machine.post(&Message::Services(Arc::new(table)));
    rig.machine.settle(rig.now);
    for port in 4000..4030 {
        rig.machine.feed(C, 0, &Frame::tcp(CLIENT, port, VIP, 80).flags(SYN).build());
    }
    rig.machine.settle(rig.now);
    assert_eq!(rig.machine.take_sent().len(), 30);
    for port in 4000..4030 {
        let reply = from_server(1, Frame::tcp(rip(1), 80, CLIENT, port).flags(SYN | ACK));
        rig.machine.feed(S, 0, &reply.build());
    }
    rig.machine.settle(rig.now);
    let (sent, punted) = (rig.machine.take_sent().len(), rig.machine.take_punted().len());
    assert_eq!((sent, punted), (30, 0), "replies translated, replies given to Linux as they are");
}

/// The kernel's sum covers what follows, and its receiver drops the datagram (`udp_dnat_handler`).
#[test]
fn a_datagram_without_a_checksum_gets_a_true_one_whatever_follows_it() {
    for tail in [&b""[..], b"x", b"xy", b"trailer!"] {
        let mut rig = Rig::serving(udp(VIP, 53), Masq, 1);
        let behind = |frame: Frame| {
            let l4 = [&frame.build_ip()[20..], tail].concat();
            move |src, dst| Frame::raw(src, dst, protocol::UDP, &l4)
        };
        let query = |dst| Frame::udp(CLIENT, 4000, dst, 53).payload(b"query");
        let answer = |src| Frame::udp(src, 53, CLIENT, 4000).payload(b"answer");
        let sent = |rig: &mut Rig, port, frame: Frame| {
            rig.machine.feed(port, 0, &frame.build());
            rig.machine.settle(rig.now);
            rig.machine.take_sent().into_iter().next().expect("a frame").1
        };
        let came = behind(query(VIP).no_checksum())(CLIENT, VIP);
        let (dst, src) = to_server(1);
        let wanted = behind(query(rip(1)))(CLIENT, rip(1)).ttl(63).macs(dst, src);
        assert_eq!(sent(&mut rig, C, came), wanted.build(), "{} bytes", tail.len());
        let came = from_server(1, behind(answer(rip(1)).no_checksum())(rip(1), CLIENT));
        let wanted = to_client(behind(answer(VIP))(VIP, CLIENT).ttl(63));
        assert_eq!(sent(&mut rig, S, came), wanted.build(), "{} bytes", tail.len());
    }
}
