//! Real servers that are the director itself: what Linux gets, and what becomes of its answers.

use crate::rig::*;
use dataplane::address::Address;
use dataplane::conn::Conn;
use dataplane::flow::protocol;
use dataplane::ids::{DestId, PortId};
use dataplane::nexthop::{NextHop, NextHopState};
use dataplane::owner;
use dataplane::proto::tcp::state;
use dataplane::route::RouteTarget;
use dataplane::sched::SchedulerKind;
use dataplane::service::ForwardingMethod::{self, Fullnat, Gatewaying, Ipip, Masq};
use dataplane::service::{ClientAddress, ServiceKey};
use dataplane::testing::control::{Server, tcp, udp};
use dataplane::testing::{Frame, verify};
use dataplane::verdict::{DropReason, PuntClass};
use dataplane::wire::tcp::flags::{ACK, FIN, SYN};

/// The director's address towards the real servers.
const OWN: u32 = 0xc0a8_0101;
const RPORT: u16 = 8080;

/// A director with both addresses, whose service of the key is served by itself, masq on another port.
fn serving_with(key: ServiceKey, method: ForwardingMethod, workers: usize) -> Rig {
    let mut rig = Rig::with(|config| {
        (config.workers, config.queues) = (workers, vec![workers; 2]);
    });
    rig.control.next_hops.push(NextHop::local(OWN.ip()));
    for own in [OWN, VIP] {
        rig.control.routes.insert(own.ip(), 32, RouteTarget::Local);
    }
    rig.control.service(key, SchedulerKind::Rr);
    rig.control.server(key, Server::new(OWN, rport(key, method), method));
    rig.publish();
    rig
}

fn serving(key: ServiceKey, method: ForwardingMethod) -> Rig {
    serving_with(key, method, 1)
}

fn rport(key: ServiceKey, method: ForwardingMethod) -> u16 {
    let ServiceKey::Address { vport, .. } = key else { panic!("an address") };
    if method == Masq { RPORT } else { vport }
}

/// What comes out for frames that Linux sends on the clients' twin of a worker.
fn linux_sends(rig: &mut Rig, worker: usize, frames: &[&Frame]) -> Vec<(PortId, Vec<u8>)> {
    for frame in frames {
        assert!(rig.machine.feed_from_twin(worker, C, &frame.build()), "room in the ring");
    }
    rig.machine.settle(rig.now);
    rig.machine.check();
    assert!(rig.machine.take_punted().is_empty(), "Linux gets nothing back");
    let sent = rig.machine.take_sent();
    for (_, frame) in &sent {
        let checks = verify(frame).expect("a whole frame");
        assert!(checks.ip && checks.l4 != Some(false), "checksums");
    }
    sent
}

fn only_conn(rig: &Rig) -> Conn {
    let conns = rig.machine.conns(0);
    let mut live = conns.live_in(conns.ids());
    *live.next().expect("a conn").1
}

/// Packets and bytes of all destinations' answers, at all workers.
fn answered(rig: &Rig) -> (u64, u64) {
    let mut out = (0, 0);
    for worker in 0..rig.machine.workers() {
        for id in 0..50 {
            let totals = rig.machine.counters(worker).dest(DestId(id)).read();
            out = (out.0 + totals.out_packets, out.1 + totals.out_bytes);
        }
    }
    out
}

/// As the kernel's trace `local_node` has it, here with every time to live.
#[test]
fn linux_gets_a_clients_packets_with_the_time_to_live_they_came_with() {
    for ttl in [1, 2, 64, 255] {
        let mut rig = serving(tcp(VIP, 80), Masq);
        let syn = Frame::tcp(CLIENT, 4000, VIP, 80).ttl(ttl);
        let delivered = Frame::tcp(CLIENT, 4000, OWN, RPORT).ttl(ttl);
        let id = rig.control.dest_id(tcp(VIP, 80), OWN, RPORT);
        let expected = expect().punts(PuntClass::Rest, C, &delivered).dest(id, begun(40, true));
        rig.check("masq", &[(C, &syn)], expected);
        for method in [Gatewaying, Ipip] {
            let mut rig = serving(tcp(VIP, 80), method);
            let id = rig.id(tcp(VIP, 80), OWN);
            let expected = expect().punts(PuntClass::Rest, C, &syn).dest(id, begun(40, true));
            rig.check("as it is", &[(C, &syn)], expected);
        }
    }
    let mut rig = serving(tcp(VIP, 80), Masq);
    let id = rig.control.dest_id(tcp(VIP, 80), OWN, RPORT);
    rig.machine.feed(C, 0, &Frame::tcp(CLIENT, 4000, VIP, 80).ttl(0).build());
    rig.machine.settle(rig.now);
    assert_eq!(rig.machine.totals().dropped[DropReason::TtlExceeded.index()], 1);
    assert_eq!(rig.machine.counters(0).dest(id).read().in_packets, 1);
}

#[test]
fn replies_leave_from_the_virtual_address_and_move_the_state() {
    for method in [Masq, Gatewaying, Ipip] {
        let key = tcp(VIP, 80);
        let mut rig = serving(key, method);
        let from = if method == Masq { (OWN, RPORT) } else { (VIP, 80) };
        let reply = |(src, sport): (u32, u16), ttl| {
            let frame = Frame::tcp(src, sport, CLIENT, 4000).flags(SYN | ACK).payload(b"odd");
            to_client(frame.ttl(ttl))
        };
        let ask = |rig: &mut Rig, flags| {
            rig.machine.feed(C, 0, &Frame::tcp(CLIENT, 4000, VIP, 80).flags(flags).build());
            rig.machine.settle(rig.now);
            assert_eq!(rig.machine.take_punted().len(), 1);
        };
        ask(&mut rig, SYN);
        for ttl in [255, 1, 64] {
            let sent = linux_sends(&mut rig, 0, &[&reply(from, ttl)]);
            assert_eq!(sent, [(C, reply((VIP, 80), ttl).build())], "{method:?}");
        }
        assert_eq!(answered(&rig), (3, 3 * 43));
        assert_eq!(only_conn(&rig).state, state::SYN_RECV);
        ask(&mut rig, ACK);
        assert_eq!(only_conn(&rig).state, state::ESTABLISHED);
        ask(&mut rig, FIN | ACK);
        assert_eq!(only_conn(&rig).state, state::CLOSE_WAIT, "both directions are seen");
    }
}

#[test]
fn errors_of_linuxs_are_about_what_the_client_sent() {
    for method in [Masq, Gatewaying] {
        let key = udp(VIP, 53);
        let mut rig = serving(key, method);
        let query = |dst, dport| Frame::udp(CLIENT, 4000, dst, dport).payload(b"query");
        rig.machine.feed(C, 0, &query(VIP, 53).build());
        rig.machine.settle(rig.now);
        rig.machine.take_punted();
        let error = |from: u32, port| {
            to_client(Frame::icmp_error(from, CLIENT, 3, 3, &query(from, port).build(), 28))
        };
        let own = if method == Masq { error(OWN, RPORT) } else { error(VIP, 53) };
        let [(C, sent)] = &linux_sends(&mut rig, 0, &[&own])[..] else { panic!("one error") };
        // The quoted checksum of UDP stays what Linux quoted, as in the kernel.
        let mut wanted = error(VIP, 53).build();
        wanted[14 + 28 + 26..][..2].copy_from_slice(&sent[14 + 28 + 26..][..2]);
        assert_eq!(sent[36 + 2..], wanted[36 + 2..], "{method:?}");
        assert_eq!(answered(&rig), (1, 56));
    }
}

#[test]
fn what_linux_sends_of_its_own_leaves_as_it_is() {
    let mut rig = serving(tcp(VIP, 80), Masq);
    rig.control.server(tcp(VIP, 80), Server::new(rip(1), 80, Masq));
    rig.publish();
    for port in [4000, 4001] {
        rig.machine.feed(C, 0, &Frame::tcp(CLIENT, port, VIP, 80).build());
    }
    rig.machine.settle(rig.now);
    assert_eq!((rig.machine.take_sent().len(), rig.machine.take_punted().len()), (1, 1));
    let frames = [
        // Of no conn; of a conn of another real server, as a router forwards it; not IP; to itself.
        Frame::tcp(OWN, RPORT, CLIENT, 5000),
        Frame::tcp(OWN, RPORT + 1, CLIENT, 4000),
        Frame::tcp(rip(1), 80, CLIENT, 4000).ttl(63),
        Frame::tcp(rip(1), 80, CLIENT, 4001).ttl(63),
        Frame::icmp(OWN, CLIENT, 0, 0, 7).payload(b"pong"),
        Frame::raw(OWN, CLIENT, 112, &[0; 20]),
        Frame::udp(OWN, RPORT, CLIENT, 4000).fragment(64, false),
        Frame::tcp(OWN, RPORT, CLIENT, 4000).bad_ip_checksum(),
    ];
    for frame in frames {
        assert!(rig.machine.feed_from_twin(0, C, &frame.build()));
        rig.machine.settle(rig.now);
        rig.machine.check();
        assert_eq!(rig.machine.take_sent(), [(C, frame.build())]);
    }
    let arp = [&[0xff; 6][..], &[2, 0, 0, 0, 0x0d, 1, 8, 6], &[0; 28]].concat();
    assert!(rig.machine.feed_from_twin(0, C, &arp));
    rig.machine.settle(rig.now);
    assert_eq!(rig.machine.take_sent(), [(C, arp)]);
}

#[test]
fn replies_find_their_conn_at_whichever_worker_it_is() {
    const WORKERS: usize = 3;
    let mut rig = serving_with(tcp(VIP, 80), Masq, WORKERS);
    let mut elsewhere = 0;
    for port in 4000..4030 {
        rig.machine.feed(C, 0, &Frame::tcp(CLIENT, port, VIP, 80).build());
        rig.machine.settle(rig.now);
        assert_eq!(rig.machine.take_punted().len(), 1);
        let reply = |src, sport| to_client(Frame::tcp(src, sport, CLIENT, port).flags(SYN | ACK));
        let worker = usize::from(port) % WORKERS;
        elsewhere += usize::from(usize::from(owner::slot(CLIENT, port)) % WORKERS != worker);
        let sent = linux_sends(&mut rig, worker, &[&reply(OWN, RPORT)]);
        assert_eq!(sent, [(C, reply(VIP, 80).build())], "client's port {port}");
    }
    assert!(elsewhere > 10, "{elsewhere} replies were handed over");
    let mut states = (0..WORKERS).flat_map(|worker| {
        let conns = rig.machine.conns(worker);
        conns.live_in(conns.ids()).map(|(_, conn)| conn.in_packets).collect::<Vec<_>>()
    });
    assert!(states.all(|packets| packets == 1));
    assert_eq!(rig.machine.live_packets(), 0);
}

/// A datagram of 2000 bytes in two fragments between these ends.
fn datagram(src: (u32, u16), dst: (u32, u16), id: u16) -> [Frame; 2] {
    let whole = Frame::udp(src.0, src.1, dst.0, dst.1).payload(&[0x5a; 2000]).build_ip();
    let piece = |at: usize, to: usize, more| {
        let piece = Frame::raw(src.0, dst.0, protocol::UDP, &whole[20 + at..20 + to]);
        piece.id(id).fragment(at as u16, more)
    };
    [piece(0, 1480, true), piece(1480, 2008, false)]
}

#[test]
fn datagrams_in_fragments_go_both_ways() {
    for (workers, method) in [(1, Masq), (3, Masq), (1, Gatewaying), (3, Gatewaying)] {
        let key = udp(VIP, 53);
        let mut rig = serving_with(key, method, workers);
        let own = if method == Masq { (OWN, RPORT) } else { (VIP, 53) };
        for port in 4000..4010 {
            let client = (CLIENT, port);
            for frame in datagram(client, (VIP, 53), port) {
                rig.machine.feed(C, 0, &frame.build());
            }
            rig.machine.settle(rig.now);
            let got: Vec<_> = rig.machine.take_punted().into_iter().map(|it| it.2).collect();
            assert_eq!(got, datagram(client, own, port).map(|frame| frame.build()), "{method:?}");
            let answer = datagram(own, client, port).map(to_client);
            let worker = usize::from(port) % workers;
            let sent = linux_sends(&mut rig, worker, &[&answer[0], &answer[1]]);
            let wanted =
                datagram((VIP, 53), client, port).map(|frame| (C, to_client(frame).build()));
            assert_eq!(sent, wanted, "{method:?} with {workers} workers");
        }
        assert_eq!(answered(&rig), (10, 10 * 2028));
    }
}

#[test]
fn errors_about_replies_reach_linux() {
    for method in [Masq, Gatewaying, Ipip] {
        let mut rig = serving(tcp(VIP, 80), method);
        rig.machine.feed(C, 0, &Frame::tcp(CLIENT, 4000, VIP, 80).build());
        rig.machine.settle(rig.now);
        rig.machine.take_punted();
        let about = |dst, src, sport| {
            let reply = Frame::tcp(src, sport, CLIENT, 4000).ttl(50);
            Frame::icmp_error(ROUTER, dst, 3, 4, &reply.build(), 28).ttl(1)
        };
        let key = tcp(VIP, 80);
        let (own, id) = match method {
            Masq => (about(OWN, OWN, RPORT), rig.control.dest_id(key, OWN, RPORT)),
            _ => (about(VIP, VIP, 80), rig.id(key, OWN)),
        };
        let expected = expect().punts(PuntClass::Rest, C, &own).dest(id, inwards(1, 56));
        rig.check("from a router", &[(C, &about(VIP, VIP, 80))], expected);
    }
}

#[test]
fn gatewaying_to_the_director_needs_the_virtual_address_there() {
    let mut rig = serving(tcp(VIP, 80), Gatewaying);
    rig.control.routes.remove(VIP.ip(), 32);
    // Where Linux has a way to it, by a link of its own, it is not Linux's address either.
    rig.control.routes.insert(0_u32.ip(), 0, RouteTarget::Linux);
    rig.publish();
    let id = rig.id(tcp(VIP, 80), OWN);
    let expected = expect().drops(DropReason::NoRoute, 1).dest(id, begun(40, true));
    rig.check("no VIP", &[(C, &Frame::tcp(CLIENT, 4000, VIP, 80))], expected);
}

#[test]
fn without_any_service_linuxs_packets_leave_as_they_are() {
    let key = tcp(VIP, 80);
    let mut rig = serving(key, Masq);
    rig.machine.feed(C, 0, &Frame::tcp(CLIENT, 4000, VIP, 80).flags(SYN).build());
    rig.machine.settle(rig.now);
    assert_eq!(rig.machine.take_punted().len(), 1);
    rig.control.delete_service(key);
    rig.publish();
    let reply = to_client(Frame::tcp(OWN, RPORT, CLIENT, 4000).flags(SYN | ACK));
    assert_eq!(linux_sends(&mut rig, 0, &[&reply]), [(C, reply.build())]);
    assert_eq!(answered(&rig), (0, 0));
}

#[test]
fn fullnat_to_the_director_has_no_way() {
    let key = tcp(VIP, 80);
    let mut rig = serving(key, Fullnat);
    rig.control.fullnat(key, &[OWN + 1], ClientAddress::None);
    rig.publish();
    let id = rig.id(key, OWN);
    let expected = expect().drops(DropReason::NoRoute, 1).dest(id, begun(40, true));
    rig.check("fullnat", &[(C, &Frame::tcp(CLIENT, 4000, VIP, 80))], expected);
}

#[test]
fn a_header_cut_short_is_dropped_whatever_its_time_to_live() {
    let mut rig = serving(tcp(VIP, 80), Masq);
    let id = rig.control.dest_id(tcp(VIP, 80), OWN, RPORT);
    rig.machine.feed(C, 0, &Frame::tcp(CLIENT, 4000, VIP, 80).build());
    rig.machine.settle(rig.now);
    rig.machine.take_punted();
    let ports = [&4000u16.to_be_bytes()[..], &80u16.to_be_bytes(), &[0; 8]].concat();
    for ttl in [1, 64] {
        let cut = Frame::raw(CLIENT, VIP, protocol::TCP, &ports).ttl(ttl);
        let expected = expect().drops(DropReason::BadL4Header, 1).dest(id, inwards(1, 32));
        rig.check("cut", &[(C, &cut)], expected);
    }
}

/// An address that moves to the director, and away again.
#[test]
fn conns_follow_an_address_that_moves_here() {
    let mut rig = Rig::new();
    let key = tcp(VIP, 80);
    rig.control.service(key, SchedulerKind::Rr);
    rig.control.server(key, Server::new(rip(1), RPORT, Masq));
    rig.publish();
    let elsewhere = *rig.control.hop(rip(1));
    let ask = |rig: &mut Rig| {
        rig.machine.feed(C, 0, &Frame::tcp(CLIENT, 4000, VIP, 80).build());
        rig.machine.settle(rig.now);
        (rig.machine.take_sent().len(), rig.machine.take_punted().len())
    };
    assert_eq!(ask(&mut rig), (1, 0));
    *rig.control.hop(rip(1)) = NextHop::local(rip(1).ip());
    rig.control.routes.insert(rip(1).ip(), 32, RouteTarget::Local);
    rig.publish();
    assert_eq!(ask(&mut rig), (0, 1));
    let reply = |src, sport| to_client(Frame::tcp(src, sport, CLIENT, 4000).flags(SYN | ACK));
    let sent = linux_sends(&mut rig, 0, &[&reply(rip(1), RPORT)]);
    assert_eq!(sent, [(C, reply(VIP, 80).build())]);
    *rig.control.hop(rip(1)) = elsewhere;
    rig.control.routes.remove(rip(1).ip(), 32);
    rig.publish();
    assert_eq!(rig.control.hop(rip(1)).state, NextHopState::Resolved);
    assert_eq!(ask(&mut rig), (1, 0));
}

fn at(subnet: u128, host: u128) -> u128 {
    0x2001_0db8 << 96 | subnet << 80 | host
}

/// The same over IPv6, with these addresses of the director's.
fn serving_with_addresses(
    (own, vip): (u128, u128),
    key: ServiceKey,
    method: ForwardingMethod,
) -> Rig {
    let mut rig = Rig::new();
    rig.control.next_hops.push(NextHop::local(own.ip()));
    for address in [own, vip] {
        rig.control.routes.insert(address.ip(), 128, RouteTarget::Local);
    }
    rig.control.service(key, SchedulerKind::Rr);
    rig.control.server(key, Server::new(own, rport(key, method), method));
    rig.publish();
    rig
}

#[test]
fn ipv6_is_served_as_well() {
    let (client, vip, own) = (at(0xcc, 1), at(0xc, 0x100), at(5, 1));
    for method in [Masq, Gatewaying] {
        let key = tcp(vip, 80);
        let mut rig = serving_with_addresses((own, vip), key, method);
        let (address, port) = if method == Masq { (own, RPORT) } else { (vip, 80) };
        let id = rig.control.dest_id(key, own, rport(key, method));
        let delivered = Frame::tcp6(client, 4000, address, port).ttl(1);
        let expected = expect().punts(PuntClass::Rest, C, &delivered).dest(id, begun(60, true));
        rig.check("SYN", &[(C, &Frame::tcp6(client, 4000, vip, 80).ttl(1))], expected);
        let reply = |src, sport| to_client(Frame::tcp6(src, sport, client, 4000).flags(SYN | ACK));
        let sent = linux_sends(&mut rig, 0, &[&reply(address, port)]);
        assert_eq!(sent, [(C, reply(vip, 80).build())], "{method:?}");
    }
}

/// FTP's control connection with the director, both ways, and the data connections that it announces.
#[test]
fn ftp_of_the_directors_own_is_helped() {
    let key = tcp(VIP, 21);
    let mut rig = serving(key, Gatewaying);
    rig.control.delete_server(key, OWN, 21);
    rig.control.server(key, Server::new(OWN, 21, Masq));
    rig.publish();
    let client = |rig: &mut Rig, frame: &Frame| {
        rig.machine.feed(C, 0, &frame.build());
        rig.machine.settle(rig.now);
        let punted = rig.machine.take_punted();
        punted.into_iter().map(|it| it.2).collect::<Vec<_>>()
    };
    let asks = |flags, seq, payload: &[u8]| {
        Frame::tcp(CLIENT, 4000, VIP, 21).flags(flags).seq(seq).ack(9001).payload(payload)
    };
    let says = |(src, sport): (u32, u16), flags, payload: &[u8]| {
        let frame = Frame::tcp(src, sport, CLIENT, 4000).flags(flags).seq(9001).ack(1001);
        to_client(frame.payload(payload))
    };
    client(&mut rig, &asks(SYN, 1000, b""));
    linux_sends(&mut rig, 0, &[&says((OWN, 21), SYN | ACK, b"").seq(9000)]);
    client(&mut rig, &asks(ACK, 1001, b""));
    client(&mut rig, &asks(ACK, 1001, b"PASV\r\n"));
    let answer = says((OWN, 21), ACK, b"227 Entering Passive Mode (192,168,1,1,200,10)\r\n");
    let shown = says((VIP, 21), ACK, b"227 Entering Passive Mode (10,0,0,100,200,10)\r\n");
    assert_eq!(linux_sends(&mut rig, 0, &[&answer]), [(C, shown.build())]);
    let data = |dst| Frame::tcp(CLIENT, 4001, dst, 51210).build();
    rig.machine.feed(C, 0, &data(VIP));
    rig.machine.settle(rig.now);
    assert_eq!(rig.machine.take_punted()[0].2, data(OWN), "passive");

    client(&mut rig, &asks(ACK, 1007, b"PORT 172,16,0,1,100,5\r\n"));
    let active = |src| to_client(Frame::tcp(src, 20, CLIENT, 25605));
    assert_eq!(linux_sends(&mut rig, 0, &[&active(OWN)]), [(C, active(VIP).build())], "active");
}

#[test]
fn errors_of_linuxs_in_ipv6_are_about_what_the_client_sent() {
    let (client, vip, own) = (at(0xcc, 1), at(0xc, 0x100), at(5, 1));
    for method in [Masq, Gatewaying] {
        let key = udp(vip, 53);
        let mut rig = serving_with_addresses((own, vip), key, method);
        let query = |dst, dport| Frame::udp6(client, 4000, dst, dport).payload(b"query").build_ip();
        rig.machine.feed(C, 0, &Frame::udp6(client, 4000, vip, 53).payload(b"query").build());
        rig.machine.settle(rig.now);
        rig.machine.take_punted();
        let error =
            |from, quote: &[u8]| to_client(Frame::icmp6(from, client, 1, 4, 0).payload(quote));
        let (address, port) = if method == Masq { (own, RPORT) } else { (vip, 53) };
        let quoted = query(address, port);
        // The quoted checksum of UDP stays what Linux quoted, as in the kernel.
        let mut shown = query(vip, 53);
        shown[46..48].copy_from_slice(&quoted[46..48]);
        let sent = linux_sends(&mut rig, 0, &[&error(address, &quoted)]);
        assert_eq!(sent, [(C, error(vip, &shown).build())], "{method:?}");
        assert_eq!(answered(&rig), (1, 40 + 8 + quoted.len() as u64));
    }
}
