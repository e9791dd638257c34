//! ICMP errors about conns: where they go, what they count for, and what is none of the director's.

use crate::rig::*;
use dataplane::address::Address;
use dataplane::flow::protocol::{TCP, UDP};
use dataplane::ids::{DestId, PortId};
use dataplane::nexthop::NextHopState;
use dataplane::sched::SchedulerKind;
use dataplane::service::ForwardingMethod::{self, Gatewaying, Ipip, Masq};
use dataplane::service::ServiceKey;
use dataplane::testing::control::{Server, tcp, udp};
use dataplane::testing::{Frame, Rng};
use dataplane::verdict::{DropReason, PuntClass};
use dataplane::wire::tcp::flags::{ACK, SYN};

const RPORT: u16 = 8080;

/// One conn of CLIENT:4000 with VIP:80, masq to port 8080, other methods to port 80.
fn with_conn(method: ForwardingMethod) -> (Rig, DestId) {
    let mut rig = Rig::new();
    let key = tcp(VIP, 80);
    rig.control.service(key, SchedulerKind::Rr);
    let rport = if method == Masq { RPORT } else { 80 };
    rig.control.server(key, Server::new(rip(1), rport, method));
    rig.publish();
    let id = rig.control.dest_id(key, rip(1), rport);
    rig.machine.feed(C, 0, &Frame::tcp(CLIENT, 4000, VIP, 80).build());
    rig.machine.settle(rig.now);
    assert_eq!(rig.machine.take_sent().len(), 1);
    (rig, id)
}

/// What a client's packet and its reply are where an error may quote them.
fn reply() -> Frame {
    Frame::tcp(VIP, 80, CLIENT, 4000).flags(SYN | ACK).ttl(50)
}

fn reply_at_server() -> Frame {
    Frame::tcp(rip(1), RPORT, CLIENT, 4000).flags(SYN | ACK).ttl(50)
}

fn request() -> Frame {
    Frame::tcp(CLIENT, 4000, VIP, 80).ttl(63)
}

fn request_at_server() -> Frame {
    Frame::tcp(CLIENT, 4000, rip(1), RPORT).ttl(63)
}

/// An error that quotes a header and the ports, as little as is enough.
fn about(src: u32, dst: u32, quoted: &Frame) -> Frame {
    Frame::icmp_error(src, dst, 3, 1, &quoted.build(), 24)
}

/// Runs a check and asserts that the only conn is as it was but for `in_packets` more.
fn check_untouched(
    rig: &mut Rig,
    what: &str,
    frames: &[(PortId, &Frame)],
    in_packets: u32,
    expected: Expect,
) {
    rig.pass(3);
    let conn = |rig: &Rig| {
        let conns = rig.machine.conns(0);
        let conn = conns.live_in(conns.ids()).next().map(|(_, conn)| *conn).expect("a conn");
        (conn.state, conn.last_seen, conn.timeout, conn.flags, conn.in_packets)
    };
    let before = conn(rig);
    rig.check(what, frames, expected);
    let after = conn(rig);
    assert_eq!(after, (before.0, before.1, before.2, before.3, before.4 + in_packets), "{what}");
}

/// RFC 4443 keeps errors below 1280 bytes; an attacker does not.
#[test]
fn an_icmpv6_error_too_large_for_the_servers_link_is_dropped_and_never_cut() {
    let mut rig = Rig::new();
    rig.speak_v6();
    rig.control.hop(RIP_V6).mtu = 1400;
    rig.control.service(udp(VIP_V6, 53), SchedulerKind::Rr);
    rig.control.server(udp(VIP_V6, 53), Server::new(RIP_V6, 53, Masq));
    rig.publish();
    rig.machine.feed(C, 0, &Frame::udp6(CLIENT_V6, 4000, VIP_V6, 53).build());
    rig.machine.settle(rig.now);
    assert_eq!(rig.machine.take_sent().len(), 1);
    let quoted = Frame::udp6(VIP_V6, 53, CLIENT_V6, 4000).payload(&[7; 1380]).build_ip();
    let error = Frame::icmp6(CLIENT_V6, VIP_V6, 1, 4, 0).payload(&quoted);
    rig.machine.feed(C, 0, &error.build());
    rig.machine.settle(rig.now);
    rig.machine.check();
    let dropped = rig.machine.totals().dropped[DropReason::FragNeeded.index()];
    assert_eq!((dropped, rig.machine.take_sent().len()), (1, 0));
}

#[test]
fn an_error_about_a_reply_goes_to_the_real_server_and_leaves_the_conn_as_it_is() {
    let to = to_server(1);
    for from in [CLIENT, ROUTER] {
        let came = about(from, VIP, &reply());
        let passed = came.clone().ttl(63).macs(to.0, to.1);
        let inner = came.clone().ttl(63).build_ip();
        let cases = [
            (Masq, 0, about(from, rip(1), &reply_at_server()).ttl(63).macs(to.0, to.1)),
            (Gatewaying, 1, passed),
            (Ipip, 1, Frame::raw(0xc0a8_0101, rip(1), 4, &inner).id(2).ttl(63).macs(to.0, to.1)),
        ];
        for (method, in_packets, left) in cases {
            let (mut rig, id) = with_conn(method);
            let expected = expect().sends(S, &left).dest(id, inwards(1, 52));
            let what = format!("{method:?}");
            check_untouched(&mut rig, &what, &[(C, &came)], in_packets, expected);
        }
    }
}

#[test]
fn an_error_about_a_request_goes_to_the_client_from_the_vip_whoever_sent_it() {
    let (mut rig, id) = with_conn(Masq);
    for from in [rip(1), rip(3)] {
        let came = from_server(3, about(from, CLIENT, &request_at_server()));
        let left = to_client(about(VIP, CLIENT, &request()).ttl(63));
        let expected = expect().sends(C, &left).dest(id, outwards(1, 52));
        check_untouched(&mut rig, "from the servers' side", &[(S, &came)], 0, expected);
    }
}

/// The kernel counts it among the real server's packets.
#[test]
fn a_servers_error_about_a_gatewaying_conn_is_linuxs_and_counts_for_nobody() {
    let (mut rig, _) = with_conn(Gatewaying);
    let came = from_server(1, about(rip(1), CLIENT, &request()));
    let expected = expect().punts(PuntClass::Icmp, S, &came);
    check_untouched(&mut rig, "from the server", &[(S, &came)], 0, expected);
}

#[test]
fn a_wrong_checksum_is_dropped_by_name_and_counts_for_nobody() {
    let (mut rig, _) = with_conn(Masq);
    let dropped = || expect().drops(DropReason::BadIcmpChecksum, 1);
    let bad = about(CLIENT, VIP, &reply()).bad_l4_checksum();
    check_untouched(&mut rig, "from the client", &[(C, &bad)], 0, dropped());
    let bad = from_server(1, about(rip(1), CLIENT, &request_at_server()).bad_l4_checksum());
    check_untouched(&mut rig, "from the server", &[(S, &bad)], 0, dropped());
}

#[test]
fn what_is_about_no_conn_is_linuxs_and_begins_none() {
    let (mut rig, _) = with_conn(Masq);
    let ports = |from, to| Frame::tcp(VIP, from, CLIENT, to);
    let quote =
        |kind, frame: &Frame, len| Frame::icmp_error(ROUTER, VIP, kind, 1, &frame.build(), len);
    let cases = [
        ("another port of the client", about(CLIENT, VIP, &ports(80, 4001))),
        ("another port of the VIP", about(CLIENT, VIP, &ports(81, 4000))),
        ("the conn's packet itself", about(CLIENT, VIP, &request())),
        ("UDP of the same ends", about(CLIENT, VIP, &Frame::udp(VIP, 80, CLIENT, 4000))),
        ("redirect", quote(5, &reply(), 24)),
        ("parameter problem", quote(12, &reply(), 24)),
        ("three bytes of the ports", quote(3, &reply(), 23)),
        ("echo", Frame::icmp(CLIENT, VIP, 8, 0, 1)),
        ("a later fragment", about(CLIENT, VIP, &reply().fragment(8, false))),
        ("to a group", about(CLIENT, VIP, &reply()).macs([0xff; 6], [2, 0, 0, 0, 0x0c, 1])),
        ("a tunnel that is not there", tunnel_error(&tunnelled(), rip(1), 24)),
    ];
    for (what, frame) in cases {
        let expected = expect().punts(PuntClass::Icmp, C, &frame);
        check_untouched(&mut rig, what, &[(C, &frame)], 0, expected);
    }
    assert_eq!(rig.machine.conns(0).len(), 1);
}

#[test]
fn an_error_about_a_conn_whose_time_is_over_is_linuxs() {
    let (mut rig, id) = with_conn(Masq);
    rig.pass(59);
    let frame = about(CLIENT, VIP, &reply());
    let to = to_server(1);
    let left = about(CLIENT, rip(1), &reply_at_server()).ttl(63).macs(to.0, to.1);
    rig.check("in time", &[(C, &frame)], expect().sends(S, &left).dest(id, inwards(1, 52)));
    rig.now = rig.now.after(16);
    rig.machine.feed(C, 0, &frame.build());
    rig.machine.settle(rig.now);
    assert_eq!(rig.machine.take_sent(), []);
    assert_eq!(rig.machine.take_punted().len(), 1);
    assert_eq!(rig.machine.conns(0).len(), 0);
}

#[test]
fn a_removed_destinations_conn_lets_errors_pass_uncounted() {
    let (mut rig, _) = with_conn(Masq);
    rig.control.delete_server(tcp(VIP, 80), rip(1), RPORT);
    rig.publish();
    let to = to_server(1);
    let left = about(CLIENT, rip(1), &reply_at_server()).ttl(63).macs(to.0, to.1);
    let came = about(CLIENT, VIP, &reply());
    check_untouched(&mut rig, "in", &[(C, &came)], 0, expect().sends(S, &left));
    let came = from_server(1, about(rip(1), CLIENT, &request_at_server()));
    let left = to_client(about(VIP, CLIENT, &request()).ttl(63));
    check_untouched(&mut rig, "out", &[(S, &came)], 0, expect().sends(C, &left));
}

#[test]
fn the_last_hop_of_an_error_is_a_drop_inwards_and_linuxs_outwards() {
    for (method, in_packets) in [(Masq, 0), (Gatewaying, 1), (Ipip, 1)] {
        let (mut rig, id) = with_conn(method);
        let came = about(CLIENT, VIP, &reply()).ttl(1);
        let expected = expect().drops(DropReason::TtlExceeded, 1).dest(id, inwards(1, 52));
        check_untouched(&mut rig, "inwards", &[(C, &came)], in_packets, expected);
    }
    let (mut rig, _) = with_conn(Masq);
    let too_big = Frame::icmp_error(
        rip(1),
        CLIENT,
        3,
        3,
        &request_at_server().payload(&[7; 1440]).build(),
        1480,
    );
    let cases = [
        ("time to live", about(rip(1), CLIENT, &request_at_server()).ttl(1)),
        ("DF and too big", too_big.df()),
        ("no route", about(rip(1), 0x0808_0808, &request_at_server())),
    ];
    for (what, frame) in cases {
        let frame = from_server(1, frame);
        let expected = expect().punts(PuntClass::Icmp, S, &frame);
        check_untouched(&mut rig, what, &[(S, &frame)], 0, expected);
    }
}

#[test]
fn an_error_waits_for_its_next_hop_like_any_packet() {
    let (mut rig, id) = with_conn(Masq);
    rig.resolve(rip(1), NextHopState::Unresolved);
    let came = about(CLIENT, VIP, &reply());
    rig.check("held", &[(C, &came)], expect().holds(1).dest(id, inwards(1, 52)));
    rig.resolve(rip(1), NextHopState::Resolved);
    let to = to_server(1);
    let left = about(CLIENT, rip(1), &reply_at_server()).ttl(63).macs(to.0, to.1);
    rig.check("released", &[], expect().sends(S, &left).holds(-1));
}

/// A client's packet as it travels in the tunnel.
fn tunnelled() -> Frame {
    request().flags(ACK).df().payload(b"data")
}

/// Fragmentation-needed, MTU 1200, about the outer packet from the director to `rip`, of whose inner
/// packet `len` bytes are quoted.
fn tunnel_error(inner: &Frame, rip: u32, len: usize) -> Frame {
    let outer = Frame::raw(0xc0a8_0101, rip, 4, &inner.build_ip()).build_ip();
    Frame::icmp(rip, 0xc0a8_0101, 3, 4, 1200).payload(&outer[..20 + len])
}

#[test]
fn an_error_about_a_tunnel_reaches_the_client_about_its_own_packet() {
    let (mut rig, id) = with_conn(Ipip);
    let came = from_server(1, tunnel_error(&tunnelled(), rip(1), 28));
    let quote = &tunnelled().build_ip()[..28];
    let left = Frame::icmp(VIP, CLIENT, 3, 4, 1180).payload(quote).tos(0xc0).id(2);
    // The kernel counts the quote and the error.
    let expected = expect().sends(C, &to_client(left)).makes(1).dest(id, outwards(2, 28 + 56));
    let expected = expected.drops(DropReason::TunnelError, 1);
    check_untouched(&mut rig, "with DF", &[(S, &came)], 0, expected);
    let came = from_server(1, tunnel_error(&request(), rip(1), 28));
    let expected = expect().drops(DropReason::TunnelError, 1);
    check_untouched(&mut rig, "without DF", &[(S, &came)], 0, expected);
    let bad = from_server(1, tunnel_error(&tunnelled(), rip(1), 28).bad_l4_checksum());
    let expected = expect().drops(DropReason::BadIcmpChecksum, 1);
    check_untouched(&mut rig, "bad", &[(S, &bad)], 0, expected);
}

#[test]
fn an_error_about_a_tunnel_that_is_not_ours_is_linuxs() {
    let elsewhere = |src, dst| {
        let outer = Frame::raw(src, rip(1), 4, &tunnelled().build_ip()).build();
        Frame::icmp_error(rip(1), dst, 3, 1, &outer, 60)
    };
    let cases = [
        ("another real server", tunnel_error(&tunnelled(), rip(2), 28)),
        ("another source", elsewhere(0xc0a8_0163, 0xc0a8_0101)),
        ("to another address", elsewhere(0xc0a8_0101, VIP)),
        (
            "a plain error",
            about(rip(1), 0xc0a8_0101, &Frame::raw(0xc0a8_0101, rip(1), 4, &[9; 40])),
        ),
    ];
    for (what, frame) in cases {
        for method in [Ipip, Gatewaying] {
            let (mut rig, _) = with_conn(method);
            let frame = from_server(1, frame.clone());
            let expected = expect().punts(PuntClass::Icmp, S, &frame);
            check_untouched(&mut rig, what, &[(S, &frame)], 0, expected);
        }
    }
}

/// What a crowd of clients, and errors about their conns and others, came to.
#[derive(Debug, Default, PartialEq)]
struct Story {
    sent: Vec<(PortId, Vec<u8>)>,
    punted: Vec<Vec<u8>>,
    /// Packets and bytes, in and out, of all destinations.
    work: [u64; 4],
}

const SERVICES: [(u8, u16, ForwardingMethod); 4] =
    [(TCP, 80, Masq), (UDP, 53, Masq), (TCP, 81, Gatewaying), (TCP, 82, Ipip)];

/// Frames that are fed before the director works.
const BATCH: usize = 200;

impl Story {
    fn run(workers: usize, window: usize) -> Story {
        let mut rig = Rig::with(|config| {
            (config.workers, config.window, config.queues) = (workers, window, vec![workers; 2]);
        });
        for (proto, vport, method) in SERVICES {
            rig.add(ServiceKey::Address { proto, vip: VIP.ip(), vport }, method, 1);
        }
        rig.publish();
        for cport in 4000..4040 {
            for (proto, vport, _) in SERVICES {
                let frame = packet(proto, (CLIENT, cport), (VIP, vport));
                rig.machine.feed(C, 0, &frame.build());
            }
        }
        let (mut story, mut rng) = (Story::default(), Rng::new(7));
        story.gather(&mut rig);
        for n in 1..=10 * BATCH {
            // One port at a time: the order of two is the window's own.
            let (port, frame) = random_error(&mut rng, n / BATCH % 2 == 0);
            rig.machine.feed(port, rng.below(6) % workers, &frame.build());
            if n % BATCH == BATCH - 1 {
                story.gather(&mut rig);
            }
        }
        story.gather(&mut rig);
        story.count(&rig);
        story
    }

    fn gather(&mut self, rig: &mut Rig) {
        rig.machine.settle(rig.now);
        rig.machine.check();
        for (port, mut frame) in rig.machine.take_sent() {
            // Workers count the identifications of what they make each for itself.
            if frame[15] == 0xc0 || frame[23] == 4 {
                [18, 19, 24, 25].into_iter().for_each(|at| frame[at] = 0);
            }
            self.sent.push((port, frame));
        }
        self.punted.extend(rig.machine.take_punted().into_iter().map(|punted| punted.2));
    }

    fn count(&mut self, rig: &Rig) {
        for worker in 0..rig.machine.workers() {
            for id in 0..10 {
                let all = rig.machine.counters(worker).dest(DestId(id)).read();
                let part = [all.in_packets, all.in_bytes, all.out_packets, all.out_bytes];
                self.work.iter_mut().zip(part).for_each(|(sum, part)| *sum += part);
            }
        }
    }

    fn sorted(mut self) -> Story {
        self.sent.sort();
        self.punted.sort();
        self
    }
}

fn packet(proto: u8, from: (u32, u16), to: (u32, u16)) -> Frame {
    let make = if proto == TCP { Frame::tcp } else { Frame::udp };
    make(from.0, from.1, to.0, to.1)
}

/// An error about one of the crowd's conns, or none, from one side or the other.
fn random_error(rng: &mut Rng, from_clients: bool) -> (PortId, Frame) {
    let (proto, vport, method) = SERVICES[rng.below(SERVICES.len())];
    let (client, server) = ((CLIENT, 3990 + rng.below(60) as u16), (rip(1), vport));
    let serial = rng.next() as u16;
    let (port, frame) = match method {
        _ if from_clients => (C, about(ROUTER, VIP, &packet(proto, (VIP, vport), client))),
        Ipip => {
            let inner = packet(proto, client, (VIP, vport)).id(serial).df();
            (S, from_server(1, tunnel_error(&inner, rip(1), 30)))
        }
        _ => (S, from_server(1, about(rip(1), CLIENT, &packet(proto, client, server)))),
    };
    let frame = frame.id(serial);
    (port, if rng.one_in(10) { frame.bad_l4_checksum() } else { frame })
}

#[test]
fn windows_and_workers_change_nothing_about_errors() {
    let alone = Story::run(1, 1);
    let [sent, punted] = [alone.sent.len(), alone.punted.len()];
    assert!(sent > 1000 && punted > 500, "{sent} sent, {punted} punted");
    assert!(Story::run(1, 128) == alone, "a window of 128");
    let alone = alone.sorted();
    for window in [1, 128] {
        let three = Story::run(3, window).sorted();
        assert!(three == alone, "three workers, window {window}");
    }
}

/// A masq service on two real servers, and `schedule_icmp`.
fn scheduling(key: ServiceKey, change: impl FnOnce(&mut Rig)) -> Rig {
    let mut rig = Rig::new();
    rig.add(key, Masq, 2);
    rig.control.settings.schedule_icmp = true;
    change(&mut rig);
    rig.publish();
    rig
}

#[test]
fn an_error_that_begins_a_conn_is_no_packet_of_it() {
    let mut rig = scheduling(tcp(VIP, 80), |_| ());
    let id = rig.id(tcp(VIP, 80), rip(1));
    let to = to_server(1);
    let left = about(ROUTER, rip(1), &Frame::tcp(rip(1), 80, CLIENT, 4000)).ttl(63);
    let came = about(ROUTER, VIP, &Frame::tcp(VIP, 80, CLIENT, 4000));
    let expected = expect().sends(S, &left.macs(to.0, to.1)).dest(id, begun(52, false));
    rig.check("the error", &[(C, &came)], expected);
    let conns = rig.machine.conns(0);
    let conn = conns.live_in(conns.ids()).next().map(|(_, conn)| *conn).expect("a conn");
    assert_eq!((conn.state, conn.in_packets, conn.timeout), (0, 0, 48));
}

#[test]
fn a_one_packet_services_conn_of_an_error_ends_with_it() {
    let key = ServiceKey::Address { proto: UDP, vip: VIP.ip(), vport: 53 };
    let mut rig = scheduling(key, |rig| rig.control.one_packet(key, true));
    let came = about(ROUTER, VIP, &Frame::udp(VIP, 53, CLIENT, 4000));
    rig.machine.feed(C, 0, &came.build());
    rig.machine.settle(rig.now);
    rig.machine.check();
    assert_eq!(rig.machine.take_sent().len(), 1);
    assert_eq!(rig.machine.conns(0).len(), 0);
}

#[test]
fn what_begins_no_conn_by_itself_begins_none_by_an_error() {
    let mut rig = scheduling(tcp(VIP, 80), |_| ());
    let cases = [
        ("FTP's data port", Frame::tcp(VIP, 80, CLIENT, 20)),
        ("no service", Frame::tcp(VIP, 81, CLIENT, 4000)),
        ("another protocol", Frame::udp(VIP, 80, CLIENT, 4000)),
    ];
    for (what, quoted) in cases {
        let frame = about(ROUTER, VIP, &quoted);
        rig.check(what, &[(C, &frame)], expect().punts(PuntClass::Icmp, C, &frame));
    }
    for n in 1..=2 {
        rig.control.delete_server(tcp(VIP, 80), rip(n), 80);
    }
    rig.publish();
    let frame = about(ROUTER, VIP, &Frame::tcp(VIP, 80, CLIENT, 4000));
    let dropped = expect().drops(DropReason::NoDestination, 1);
    rig.check("no destination", &[(C, &frame)], dropped);
}
