//! Fullnat: real servers that answer to a local address of the director.

use crate::rig::*;
use dataplane::conn::Conn;
use dataplane::flow::protocol::UDP;
use dataplane::ids::NextHopId;
use dataplane::local_ports::PortRange;
use dataplane::nexthop::NextHopState;
use dataplane::owner;
use dataplane::sched::SchedulerKind;
use dataplane::service::ForwardingMethod::Fullnat;
use dataplane::service::{ClientAddress, ServiceKey};
use dataplane::testing::Frame;
use dataplane::testing::control::{Server, tcp, udp};
use dataplane::verdict::{DropReason, PuntClass};
use dataplane::wire::tcp::flags::{ACK, SYN};
use std::collections::BTreeSet;

const LIPS: [u32; 2] = [0xc0a8_0105, 0xc0a8_0106];
const RPORT: u16 = 8080;

fn rig(workers: usize, key: ServiceKey, locals: &[u32], range: PortRange) -> Rig {
    let mut rig = Rig::with(|config| {
        config.workers = workers;
        config.queues = vec![workers; 2];
    });
    rig.control.settings.local_ports = range;
    rig.control.service(key, SchedulerKind::Rr);
    rig.control.server(key, Server::new(rip(1), RPORT, Fullnat));
    rig.control.fullnat(key, locals, ClientAddress::None);
    rig.publish();
    rig
}

fn any_port() -> PortRange {
    PortRange::default()
}

/// The conns of a worker, each with its local address.
fn conns(rig: &Rig, worker: usize) -> Vec<(Conn, u32)> {
    let table = rig.machine.conns(worker);
    table.live_in(table.ids()).map(|(_, conn)| (*conn, table.local(conn))).collect()
}

fn syn(cport: u16) -> Frame {
    Frame::tcp(CLIENT, cport, VIP, 80)
}

/// A conn of CLIENT:4000 with VIP:80, and its local end.
fn with_conn() -> (Rig, (u32, u16)) {
    let mut rig = rig(1, tcp(VIP, 80), &LIPS, any_port());
    rig.machine.feed(C, 0, &syn(4000).build());
    rig.machine.settle(rig.now);
    assert_eq!(rig.machine.take_sent().len(), 1);
    let [(conn, lip)] = conns(&rig, 0)[..] else { panic!("one conn") };
    assert_eq!(owner::slot(lip, conn.lport), owner::slot(CLIENT, 4000), "both ends of one slot");
    (rig, (lip, conn.lport))
}

fn dest(rig: &mut Rig) -> dataplane::ids::DestId {
    rig.control.dest_id(tcp(VIP, 80), rip(1), RPORT)
}

#[test]
fn both_ends_change_both_ways_and_are_counted() {
    let (mut rig, (lip, lport)) = with_conn();
    let id = dest(&mut rig);
    let (dst, src) = to_server(1);
    let reply = from_server(1, Frame::tcp(rip(1), RPORT, lip, lport).flags(SYN | ACK));
    let back = to_client(Frame::tcp(VIP, 80, CLIENT, 4000).flags(SYN | ACK).ttl(63));
    let expected = Expect::default().sends(C, &back).dest(id, outwards(1, 40));
    rig.check("reply", &[(S, &reply)], expected);
    let ack = Frame::tcp(CLIENT, 4000, VIP, 80).flags(ACK).payload(b"hello");
    let on = Frame::tcp(lip, lport, rip(1), RPORT).flags(ACK).payload(b"hello").ttl(63);
    let expected = Expect::default().sends(S, &on.macs(dst, src)).dest(id, inwards(1, 45));
    rig.check("established", &[(C, &ack)], expected);
}

#[test]
fn udp_without_a_checksum_gets_one_and_the_reply_comes_back() {
    let mut rig = rig(1, udp(VIP, 53), &LIPS, any_port());
    let request = Frame::udp(CLIENT, 4000, VIP, 53).no_checksum().payload(b"who");
    rig.machine.feed(C, 0, &request.build());
    rig.machine.settle(rig.now);
    let [(conn, lip)] = conns(&rig, 0)[..] else { panic!("one conn") };
    let (dst, src) = to_server(1);
    let on = Frame::udp(lip, conn.lport, rip(1), RPORT).payload(b"who").ttl(63).macs(dst, src);
    assert_eq!(rig.machine.take_sent(), [(S, on.build())]);
    let id = rig.control.dest_id(udp(VIP, 53), rip(1), RPORT);
    let reply = from_server(1, Frame::udp(rip(1), RPORT, lip, conn.lport).payload(b"me"));
    let back = to_client(Frame::udp(VIP, 53, CLIENT, 4000).payload(b"me").ttl(63));
    let expected = Expect::default().sends(C, &back).dest(id, outwards(1, 30));
    rig.check("reply", &[(S, &reply)], expected);
}

#[test]
fn what_is_not_of_a_conn_at_a_local_address_is_linuxs() {
    let (mut rig, (lip, lport)) = with_conn();
    let other = (40_000..).find(|&port| port != lport).expect("a port");
    let stray = from_server(1, Frame::tcp(rip(1), RPORT, lip, other).flags(ACK));
    rig.check("stray", &[(S, &stray)], Expect::default().punts(PuntClass::Control, S, &stray));
}

#[test]
fn replies_come_to_the_worker_that_has_the_conn_by_their_destination_alone() {
    let mut rig = rig(3, tcp(VIP, 80), &LIPS, any_port());
    let ports = 4000..4060;
    for port in ports.clone() {
        let queue = usize::from(owner::slot(CLIENT, port)) % 3;
        rig.machine.feed(C, queue, &syn(port).build());
    }
    rig.machine.settle(rig.now);
    assert_eq!(rig.machine.take_sent().len(), 60);
    let all: Vec<_> = (0..3).map(|worker| conns(&rig, worker)).collect();
    let ends: BTreeSet<_> = all.iter().flatten().map(|(conn, lip)| (*lip, conn.lport)).collect();
    assert_eq!(ends.len(), 60, "every conn has an end of its own");
    for (worker, conns) in all.iter().enumerate() {
        assert!(!conns.is_empty());
        for (conn, lip) in conns {
            // As a NIC does that hashes the destination and spreads the slots evenly.
            let queue = usize::from(owner::slot(*lip, conn.lport)) % 3;
            assert_eq!(queue, worker);
            let reply = Frame::tcp(rip(1), RPORT, *lip, conn.lport).flags(SYN | ACK);
            rig.machine.feed(S, queue, &from_server(1, reply).build());
        }
    }
    rig.machine.settle(rig.now);
    rig.machine.check();
    let sent = rig.machine.take_sent();
    assert!(sent.len() == 60 && sent.iter().all(|(port, _)| *port == C));
    assert_eq!(rig.machine.totals().handed_out, 0);
}

#[test]
fn a_reply_on_any_queue_reaches_its_owner() {
    let mut rig = rig(3, tcp(VIP, 80), &LIPS[..1], any_port());
    for port in 4000..4030 {
        rig.machine.feed(C, 0, &syn(port).build());
    }
    rig.machine.settle(rig.now);
    rig.machine.take_sent();
    let all: Vec<_> = (0..3).flat_map(|worker| conns(&rig, worker)).collect();
    for (at, (conn, lip)) in all.iter().enumerate() {
        let reply = Frame::tcp(rip(1), RPORT, *lip, conn.lport).flags(SYN | ACK);
        rig.machine.feed(S, at % 3, &from_server(1, reply).build());
        // A router's error about the director's packet belongs to the same worker.
        let quoted = Frame::tcp(*lip, conn.lport, rip(1), RPORT);
        let error = Frame::icmp_error(rip(2), *lip, 3, 1, &quoted.build(), 28);
        rig.machine.feed(S, (at + 1) % 3, &from_server(2, error).build());
    }
    rig.machine.settle(rig.now);
    rig.machine.check();
    assert_eq!(rig.machine.take_sent().len(), 60);
    assert!(rig.machine.take_punted().is_empty());
}

#[test]
fn exhausted_local_ports_drop_by_name_and_the_end_of_a_conn_frees_its_port() {
    // 512 ports: of most slots one, so the client's slot and three others of the worker have few.
    let mut rig = rig(1, tcp(VIP, 80), &LIPS[..1], PortRange { first: 2048, last: 2559 });
    let of_slot = |port: &u16| owner::slot(CLIENT, *port) == 7;
    let ports: Vec<u16> = (1..=u16::MAX).filter(of_slot).collect();
    for port in &ports {
        rig.machine.feed(C, 0, &syn(*port).build());
    }
    rig.machine.settle(rig.now);
    rig.machine.check();
    let begun = rig.machine.take_sent().len();
    let dropped = rig.machine.totals().dropped[DropReason::NoLocalPort.index()];
    let room = (2048..2560).filter(|&port| (7..11).contains(&owner::slot(LIPS[0], port))).count();
    assert!(room > 0);
    assert_eq!((begun, dropped), (room, (ports.len() - room) as u64));
    let id = dest(&mut rig);
    let carried = |rig: &Rig| rig.machine.counters(0).dest(id).read();
    assert_eq!(carried(&rig).active, room as u64, "what was dropped is no conn");
    let named = |rig: &Rig| rig.machine.counters(0).conns_of_local(1);
    assert_eq!(named(&rig), room as u32);
    rig.pass(120);
    rig.machine.settle(rig.now);
    assert_eq!((carried(&rig).active, named(&rig)), (0, 0));
    rig.machine.feed(C, 0, &syn(ports[0]).build());
    rig.machine.settle(rig.now);
    assert_eq!(rig.machine.take_sent().len(), 1);
}

#[test]
fn a_restart_keeps_local_ends() {
    let (rig, (lip, lport)) = with_conn();
    let index = conns(&rig, 0)[0].0.lip_index;
    let mut rig = rig.restarted();
    rig.publish();
    assert_eq!(rig.machine.counters(0).conns_of_local(index), 1);
    let reply = from_server(1, Frame::tcp(rip(1), RPORT, lip, lport).flags(SYN | ACK));
    rig.machine.feed(S, 0, &reply.build());
    rig.machine.settle(rig.now);
    let back = to_client(Frame::tcp(VIP, 80, CLIENT, 4000).flags(SYN | ACK).ttl(63));
    assert_eq!(rig.machine.take_sent(), [(C, back.build())]);
    rig.pass(120);
    rig.machine.settle(rig.now);
    assert_eq!(rig.machine.counters(0).conns_of_local(index), 0);
}

#[test]
fn the_same_local_end_serves_two_real_servers() {
    let mut rig = rig(1, tcp(VIP, 80), &LIPS[..1], PortRange { first: 2048, last: 2048 });
    rig.control.server(tcp(VIP, 80), Server::new(rip(2), RPORT, Fullnat));
    rig.publish();
    let slot = owner::slot(LIPS[0], 2048);
    let ports = (1..).filter(|&port| owner::slot(CLIENT, port) == slot);
    for port in ports.take(3) {
        rig.machine.feed(C, 0, &syn(port).build());
        rig.machine.settle(rig.now);
    }
    assert_eq!(rig.machine.take_sent().len(), 2);
    assert_eq!(rig.machine.totals().dropped[DropReason::NoLocalPort.index()], 1);
}

#[test]
fn errors_go_both_ways_about_the_packets_that_each_side_knows() {
    let (mut rig, (lip, lport)) = with_conn();
    let id = dest(&mut rig);
    let (dst, src) = to_server(1);
    let about = |from, to, quoted: &Frame| Frame::icmp_error(from, to, 3, 1, &quoted.build(), 24);
    let request = Frame::tcp(lip, lport, rip(1), RPORT).ttl(50);
    let at_client = Frame::tcp(CLIENT, 4000, VIP, 80).ttl(50);
    let error = from_server(1, about(rip(1), lip, &request));
    let out = to_client(about(VIP, CLIENT, &at_client).ttl(63));
    let expected = Expect::default().sends(C, &out).dest(id, outwards(1, 52));
    rig.check("from the real server", &[(S, &error)], expected);
    let reply = Frame::tcp(VIP, 80, CLIENT, 4000).ttl(50);
    let at_server = Frame::tcp(rip(1), RPORT, lip, lport).ttl(50);
    let error = about(0x0808_0808, VIP, &reply);
    let on = about(lip, rip(1), &at_server).ttl(63).macs(dst, src);
    let expected = Expect::default().sends(S, &on).dest(id, inwards(1, 52));
    rig.check("from the client's side", &[(C, &error)], expected);
}

#[test]
fn a_reply_that_a_router_refuses_is_refused_from_the_local_address() {
    let (mut rig, (lip, lport)) = with_conn();
    rig.control.route(0xc0a8_0100, 24, rip(1));
    rig.control.hop(ROUTER).mtu = 1400;
    rig.publish();
    for (ttl, len, reason) in [(1, 0, DropReason::TtlExceeded), (64, 1450, DropReason::FragNeeded)]
    {
        let reply = Frame::tcp(rip(1), RPORT, lip, lport).flags(ACK).df().ttl(ttl);
        let reply = from_server(1, reply.payload(&vec![7; len]));
        rig.machine.feed(S, 0, &reply.build());
        rig.machine.settle(rig.now);
        rig.machine.check();
        let sent = rig.machine.take_sent();
        let [(S, error)] = &sent[..] else { panic!("one error: {sent:?}") };
        assert_eq!(error[14 + 12..14 + 20], [lip.to_be_bytes(), rip(1).to_be_bytes()].concat());
        assert_eq!(rig.machine.totals().dropped[reason.index()], 1);
        assert!(rig.machine.take_punted().is_empty(), "Linux would reset the conn");
    }
}

#[test]
fn ipv6_goes_both_ways() {
    let wide = |low: u128| 0x2001_0db8 << 96 | low;
    let (client, vip, lip, server) = (wide(0xc), wide(0xa), wide(0x1_0005), wide(0x1_000b));
    let key = tcp(vip, 80);
    let mut rig = Rig::new();
    let c = rig.control.neighbor(client, dataplane::ids::InterfaceId(0), MAC_OF_CLIENT);
    rig.control.neighbor(server, dataplane::ids::InterfaceId(1), mac(1));
    assert_ne!(c, NextHopId::NONE);
    rig.control.route(client, 128, client);
    rig.control.service(key, SchedulerKind::Rr);
    rig.control.server(key, Server::new(server, RPORT, Fullnat));
    rig.control.fullnat(key, &[lip], ClientAddress::None);
    rig.publish();
    assert_eq!(rig.control.hop(server).state, NextHopState::Resolved);
    rig.machine.feed(C, 0, &Frame::tcp6(client, 4000, vip, 80).build());
    rig.machine.settle(rig.now);
    let table = rig.machine.conns(0);
    let lport = table.next_live(0).expect("a conn").1.lport;
    let (dst, src) = to_server(1);
    let on = Frame::tcp6(lip, lport, server, RPORT).ttl(63).macs(dst, src);
    assert_eq!(rig.machine.take_sent(), [(S, on.build())]);
    let reply = from_server(1, Frame::tcp6(server, RPORT, lip, lport).flags(SYN | ACK));
    rig.machine.feed(S, 0, &reply.build());
    rig.machine.settle(rig.now);
    let back = Frame::tcp6(vip, 80, client, 4000).flags(SYN | ACK).ttl(63);
    let back = back.macs(MAC_OF_CLIENT, dataplane::testing::MAC_DIRECTOR);
    assert_eq!(rig.machine.take_sent(), [(C, back.build())]);
}

const MAC_OF_CLIENT: [u8; 6] = [2, 0, 0, 0, 6, 6];

/// The two fragments of a datagram: its L4 part cut behind 104 bytes.
fn pieces(src: u32, dst: u32, datagram: &Frame, ttl: u8) -> [Frame; 2] {
    let l4 = &datagram.build_ip()[20..];
    let piece = |range: std::ops::Range<usize>, more| {
        let piece = Frame::raw(src, dst, UDP, &l4[range.clone()]).id(9).ttl(ttl);
        piece.fragment(range.start as u16, more)
    };
    [piece(0..104, true), piece(104..l4.len(), false)]
}

#[test]
fn fragments_go_both_ways_with_the_ends_of_their_datagram() {
    let mut rig = rig(1, udp(VIP, 53), &LIPS, any_port());
    let data = [7; 200];
    let request = Frame::udp(CLIENT, 4000, VIP, 53).payload(&data);
    // The later one first: it waits.
    let [first, last] = pieces(CLIENT, VIP, &request, 64);
    rig.machine.feed(C, 0, &last.build());
    rig.machine.feed(C, 0, &first.build());
    rig.machine.settle(rig.now);
    let [(conn, lip)] = conns(&rig, 0)[..] else { panic!("one conn") };
    let (dst, src) = to_server(1);
    let on = Frame::udp(lip, conn.lport, rip(1), RPORT).payload(&data);
    let on = pieces(lip, rip(1), &on, 63).map(|piece| (S, piece.macs(dst, src).build()));
    assert_eq!(rig.machine.take_sent(), on);
    let reply = Frame::udp(rip(1), RPORT, lip, conn.lport).payload(&data);
    for piece in pieces(rip(1), lip, &reply, 64) {
        rig.machine.feed(S, 0, &from_server(1, piece).build());
    }
    rig.machine.settle(rig.now);
    rig.machine.check();
    let back = Frame::udp(VIP, 53, CLIENT, 4000).payload(&data);
    let back = pieces(VIP, CLIENT, &back, 63).map(|piece| (C, to_client(piece).build()));
    assert_eq!(rig.machine.take_sent(), back);
}
