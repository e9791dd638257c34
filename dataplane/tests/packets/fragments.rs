//! Datagrams in fragments: the way of the first, whichever comes first and wherever.

use crate::rig::*;
use dataplane::address::Address;
use dataplane::flow::protocol;
use dataplane::ids::PortId;
use dataplane::sched::SchedulerKind;
use dataplane::service::ForwardingMethod::{self, Gatewaying, Masq};
use dataplane::service::ServiceKey;
use dataplane::testing::Frame;
use dataplane::testing::control::{Server, tcp, udp};
use dataplane::verdict::{DropReason, PuntClass};
use dataplane::wire::tcp::flags::{ACK, RST};

/// The datagram of a frame in fragments with `most` bytes of data.
fn cut(frame: &Frame, (src, dst): (u32, u32), proto: u8, id: u16, most: usize) -> Vec<Frame> {
    let data = frame.build_ip()[20..].to_vec();
    let pieces = data.chunks(most).enumerate();
    let piece = |(n, bytes): (usize, &[u8])| {
        let at = n * most;
        let more = at + bytes.len() < data.len();
        Frame::raw(src, dst, proto, bytes).id(id).fragment(at as u16, more)
    };
    pieces.map(piece).collect()
}

/// A query of 2000 bytes as it comes, or to real server 1 at `port`, in two fragments.
fn query(to: (u32, u16)) -> [Frame; 2] {
    let whole = Frame::udp(CLIENT, 4000, to.0, to.1).payload(&[0x5a; 2000]);
    cut(&whole, (CLIENT, to.0), protocol::UDP, 77, 1480).try_into().expect("two")
}

/// The answer from real server 1, or as it leaves.
fn answer(from: (u32, u16)) -> [Frame; 2] {
    let whole = Frame::udp(from.0, from.1, CLIENT, 4000).payload(&[0xa5; 2500]);
    cut(&whole, (from.0, CLIENT), protocol::UDP, 78, 1480).try_into().expect("two")
}

fn forwarded(frame: Frame) -> Frame {
    let (dst, src) = to_server(1);
    frame.ttl(63).macs(dst, src)
}

/// A service on real server 1, whose port differs.
fn serving(key: ServiceKey, rport: u16, method: ForwardingMethod) -> Rig {
    let mut rig = Rig::new();
    rig.control.service(key, SchedulerKind::Rr);
    rig.control.server(key, Server::new(rip(1), rport, method));
    rig.publish();
    rig
}

fn masq() -> Rig {
    serving(udp(VIP, 53), 5353, Masq)
}

#[test]
fn masq_translates_a_datagram_in_fragments_and_counts_it_once() {
    let mut rig = masq();
    let id = rig.control.dest_id(udp(VIP, 53), rip(1), 5353);
    let ([first, last], [to_first, to_last]) =
        (query((VIP, 53)), query((rip(1), 5353)).map(forwarded));
    let expected = expect().sends(S, &to_first).dest(id, begun(1500, false));
    rig.check("first", &[(C, &first)], expected);
    let expected = expect().sends(S, &to_last).dest(id, inwards(0, 528));
    rig.check("last", &[(C, &last)], expected);
    let [first, last] = answer((rip(1), 5353)).map(|frame| from_server(1, frame));
    let [to_first, to_last] = answer((VIP, 53)).map(|frame| to_client(frame.ttl(63)));
    let expected = expect().sends(C, &to_first).sends(C, &to_last);
    rig.check("answer", &[(S, &first), (S, &last)], expected.dest(id, outwards(1, 2528)));
}

#[test]
fn what_comes_before_the_first_fragment_waits_and_follows_it() {
    let mut rig = masq();
    let id = rig.control.dest_id(udp(VIP, 53), rip(1), 5353);
    let ([first, last], [to_first, to_last]) =
        (query((VIP, 53)), query((rip(1), 5353)).map(forwarded));
    rig.check("last", &[(C, &last)], expect().holds(1));
    let expected = expect().holds(-1).sends(S, &to_first).sends(S, &to_last);
    rig.check("first", &[(C, &first)], expected.dest(id, begun(2028, false)));
    let [first, last] = answer((rip(1), 5353)).map(|frame| from_server(1, frame));
    let [to_first, to_last] = answer((VIP, 53)).map(|frame| to_client(frame.ttl(63)));
    let expected = expect().sends(C, &to_first).sends(C, &to_last);
    rig.check("answer", &[(S, &last), (S, &first)], expected.dest(id, outwards(1, 2528)));
}

#[test]
fn gatewaying_passes_fragments_and_cuts_them_again() {
    let mut rig = Rig::serving(udp(VIP, 53), Gatewaying, 1);
    let id = rig.id(udp(VIP, 53), rip(1));
    rig.control.hop(rip(1)).mtu = 1400;
    rig.publish();
    let [first, last] = query((VIP, 53));
    let data = query((VIP, 53)).map(|frame| frame.build_ip()[20..].to_vec()).concat();
    let piece = |from: usize, to: usize, more| {
        let piece = Frame::raw(CLIENT, VIP, protocol::UDP, &data[from..to]);
        forwarded(piece.id(77).fragment(from as u16, more))
    };
    let expected = expect().sends(S, &piece(0, 1376, true)).sends(S, &piece(1376, 1480, true));
    let expected = expected.sends(S, &piece(1480, 2008, false)).makes(1);
    let moved = begun(2028, false);
    rig.check("1400", &[(C, &first), (C, &last)], expected.dest(id, moved));
}

#[test]
fn fragments_of_what_no_service_takes_reach_linux_with_the_class_of_the_first() {
    let mut rig = masq();
    let bfd = Frame::udp(CLIENT, 4000, VIP + 1, 4784).payload(&[1; 100]);
    let pieces = cut(&bfd, (CLIENT, VIP + 1), protocol::UDP, 5, 48);
    let in_order = [&pieces[0], &pieces[1], &pieces[2]];
    for order in [[0, 1, 2], [2, 0, 1]] {
        let frames: Vec<_> = order.iter().map(|&n: &usize| (C, in_order[n])).collect();
        let first = order.iter().position(|&n| n == 0).expect("it is there");
        let mut out = vec![0];
        out.extend(&order[..first]);
        out.extend(&order[first + 1..]);
        let punt = |expected: Expect, n: usize| expected.punts(PuntClass::Control, C, in_order[n]);
        rig.check("BFD", &frames, out.into_iter().fold(expect(), punt));
    }
    let ping = Frame::icmp(CLIENT, VIP, 8, 0, 1).payload(&[0; 64]);
    let pieces = cut(&ping, (CLIENT, VIP), protocol::ICMP, 5, 48);
    let expected = expect().punts(PuntClass::Icmp, C, &pieces[1]);
    rig.check("a ping's", &[(C, &pieces[1])], expected);
}

#[test]
fn what_answers_the_first_fragment_stops_the_others() {
    let mut rig = masq();
    let id = rig.control.dest_id(udp(VIP, 53), rip(1), 5353);
    let [first, last] = query((VIP, 53)).map(|frame| frame.ttl(1));
    let quoted = first.build();
    let error = to_client(Frame::icmp_error(VIP, CLIENT, 11, 0, &quoted, 548).tos(0xc0).id(1));
    let expected = expect().sends(C, &error).makes(1).drops(DropReason::TtlExceeded, 2);
    let frames = [(C, &last), (C, &first)];
    rig.check("time to live", &frames, expected.dest(id, begun(2028, false)));
    let lone = query((VIP, 53)).map(|frame| frame.id(9));
    rig.check("first", &[(C, &lone[0])], {
        let sent = query((rip(1), 5353)).map(|frame| forwarded(frame.id(9)));
        expect().sends(S, &sent[0]).dest(id, inwards(1, 1500))
    });
    let expected = expect().drops(DropReason::TtlExceeded, 1).dest(id, inwards(0, 528));
    rig.check("no error about a later one", &[(C, &lone[1].clone().ttl(1))], expected);
}

#[test]
fn one_packet_scheduling_sends_all_of_a_datagram_to_one_server() {
    let key = udp(VIP, 53);
    let mut rig = Rig::new();
    rig.add(key, Gatewaying, 2);
    rig.control.one_packet(key, true);
    rig.publish();
    for (n, order) in [(1, [0, 1]), (2, [1, 0]), (1, [1, 0])] {
        let id = rig.id(key, rip(n));
        let (dst, src) = to_server(n);
        let [to_first, to_last] = query((VIP, 53)).map(|frame| frame.ttl(63).macs(dst, src));
        let came = query((VIP, 53));
        let moved = Moved { conns: 1, ..inwards(1, 2028) };
        let expected = expect().sends(S, &to_first).sends(S, &to_last).dest(id, moved);
        rig.check("a query", &order.map(|n: usize| (C, &came[n])), expected);
    }
}

#[test]
fn a_removed_destination_stops_what_is_left_of_a_datagram() {
    let mut rig = masq();
    let key = udp(VIP, 53);
    let id = rig.control.dest_id(key, rip(1), 5353);
    let ([first, last], [to_first, _]) = (query((VIP, 53)), query((rip(1), 5353)).map(forwarded));
    let expected = expect().sends(S, &to_first).dest(id, begun(1500, false));
    rig.check("first", &[(C, &first)], expected);
    rig.control.delete_server(key, rip(1), 5353);
    rig.publish();
    let expected = expect().drops(DropReason::DestinationRemoved, 1);
    rig.check("last", &[(C, &last)], expected);
    let [first, last] = query((VIP, 53)).map(|frame| frame.id(78));
    let quoted = first.build();
    let error = to_client(Frame::icmp_error(VIP, CLIENT, 3, 3, &quoted, 548).tos(0xc0).id(1));
    let moved = Moved { inactive: -1, ..Moved::default() };
    let expected = expect().sends(C, &error).makes(1).drops(DropReason::NoDestination, 2);
    rig.check("the next", &[(C, &last), (C, &first)], expected.dest(id, moved));
}

#[test]
fn later_fragments_of_a_conn_that_ended_are_dropped() {
    let key = tcp(VIP, 80);
    let mut rig = serving(key, 80, Masq);
    let id = rig.id(key, rip(1));
    let syn = Frame::tcp(CLIENT, 4000, VIP, 80);
    let sent = forwarded(Frame::tcp(CLIENT, 4000, rip(1), 80));
    rig.check("SYN", &[(C, &syn)], expect().sends(S, &sent).dest(id, begun(40, true)));
    let reset = from_server(1, Frame::tcp(rip(1), 80, CLIENT, 4000).flags(RST));
    let sent = to_client(Frame::tcp(VIP, 80, CLIENT, 4000).flags(RST).ttl(63));
    let moved = Moved { active: -1, inactive: 1, ..outwards(1, 40) };
    rig.check("RST", &[(S, &reset)], expect().sends(C, &sent).dest(id, moved));
    let data = |to| {
        let whole = Frame::tcp(CLIENT, 4000, to, 80).flags(ACK).payload(&[1; 200]);
        cut(&whole, (CLIENT, to), protocol::TCP, 6, 200)
    };
    let (came, sent) = (data(VIP), forwarded(data(rip(1))[0].clone()));
    rig.check("first", &[(C, &came[0])], expect().sends(S, &sent).dest(id, inwards(1, 220)));
    rig.pass(11);
    let moved = Moved { inactive: -1, ..Moved::default() };
    let expected = expect().drops(DropReason::FragmentOrphan, 1).dest(id, moved);
    rig.check("10 seconds of CLOSE later", &[(C, &came[1])], expected);
}

#[test]
fn sctp_in_fragments_keeps_its_port_or_is_dropped_by_name() {
    for (rport, passes) in [(7777, true), (7778, false)] {
        let key = ServiceKey::Address { proto: protocol::SCTP, vip: VIP.ip(), vport: 7777 };
        let mut rig = serving(key, rport, Masq);
        let id = rig.control.dest_id(key, rip(1), rport);
        // Ports, tag, checksum, and a chunk INIT.
        let mut data = [0x0f, 0xa0, 0x1e, 0x61, 0, 0, 0, 0, 1, 2, 3, 4, 1, 0, 0, 84].to_vec();
        data.resize(96, 7);
        let pieces = |to| {
            let whole = Frame::raw(CLIENT, to, protocol::SCTP, &data);
            cut(&whole, (CLIENT, to), protocol::SCTP, 6, 48)
        };
        let (came, sent) = (pieces(VIP), pieces(rip(1)));
        let expected = if passes {
            let sent: Vec<_> = sent.into_iter().map(forwarded).collect();
            expect().sends(S, &sent[0]).sends(S, &sent[1])
        } else {
            expect().drops(DropReason::FragmentSctp, 2)
        };
        let before = rig.machine.counters(0).dest(id).read();
        rig.check("SCTP", &[(C, &came[0]), (C, &came[1])], expected.dest(id, begun(116, false)));
        assert_eq!(before.conns, 0);
    }
}

#[test]
fn esp_in_fragments_rides_on_the_conn_of_its_key_exchange() {
    let key = udp(VIP, 500);
    let mut rig = serving(key, 500, Masq);
    let id = rig.id(key, rip(1));
    let exchange = |to| Frame::udp(CLIENT, 500, to, 500).payload(&[3; 20]);
    let sent = forwarded(exchange(rip(1)));
    let expected = expect().sends(S, &sent).dest(id, begun(48, false));
    rig.check("ISAKMP", &[(C, &exchange(VIP))], expected);
    let pieces = |to| {
        let whole = Frame::raw(CLIENT, to, protocol::ESP, &[9; 100]);
        cut(&whole, (CLIENT, to), protocol::ESP, 6, 64)
    };
    let (came, sent) = (pieces(VIP), pieces(rip(1)));
    let sent: Vec<_> = sent.into_iter().map(forwarded).collect();
    let expected = expect().sends(S, &sent[0]).sends(S, &sent[1]).dest(id, inwards(1, 120));
    rig.check("ESP", &[(C, &came[1]), (C, &came[0])], expected);
}

#[test]
fn what_is_wrong_with_a_fragment_has_a_name_and_stops_its_datagram() {
    let mut rig = masq();
    let [first, last] = query((VIP, 53));
    let tiny = Frame::raw(CLIENT, VIP, protocol::TCP, &[0; 16]).fragment(0, true);
    rig.check("tiny", &[(C, &tiny)], expect().drops(DropReason::FragmentTiny, 1));
    let overlap = Frame::raw(CLIENT, VIP, protocol::UDP, &[0; 16]).id(77).fragment(1472, true);
    let expected = expect().drops(DropReason::FragmentOverlap, 3);
    rig.check("overlap", &[(C, &last), (C, &overlap), (C, &first)], expected);
}

#[test]
fn who_waits_in_vain_is_dropped_after_a_second() {
    let mut rig = masq();
    let [_, last] = query((VIP, 53));
    rig.check("last", &[(C, &last)], expect().holds(1));
    rig.pass(1);
    let late = expect().holds(-1).drops(DropReason::FragmentTimeout, 1);
    rig.check("a second later", &[], late);
    rig.check("last again", &[(C, &last.id(3))], expect().holds(1));
    let tallies = rig.machine.stop();
    assert_eq!(tallies[0].dropped[DropReason::Stopping.index()], 1);
    assert!(tallies[0].is_conserved(), "{tallies:?}");
}

#[test]
fn without_services_fragments_are_linuxs_as_they_come() {
    let mut rig = Rig::new();
    let [_, last] = query((VIP, 53));
    let expected = expect().punts(PuntClass::Rest, PortId(0), &last);
    rig.check("last", &[(C, &last)], expected);
}

#[test]
fn fragments_with_df_that_fit_pass() {
    let mut rig = masq();
    let id = rig.control.dest_id(udp(VIP, 53), rip(1), 5353);
    let [first, last] = query((VIP, 53)).map(Frame::df);
    let [to_first, to_last] = query((rip(1), 5353)).map(|frame| forwarded(frame.df()));
    let expected = expect().sends(S, &to_first).sends(S, &to_last);
    rig.check("DF", &[(C, &first), (C, &last)], expected.dest(id, begun(2028, false)));
}

/// A service of IPv6 on a real server at this port, by masq.
fn v6(rport: u16) -> Rig {
    let mut rig = Rig::new();
    rig.speak_v6();
    let key = udp(VIP_V6, 53);
    rig.control.service(key, SchedulerKind::Rr);
    rig.control.server(key, Server::new(RIP_V6, rport, Masq));
    rig.publish();
    rig
}

#[test]
fn a_first_fragment_of_ipv6_that_is_too_big_is_answered_for_all() {
    let mut rig = v6(53);
    rig.control.hop(RIP_V6).mtu = 1400;
    let key = udp(VIP_V6, 53);
    rig.publish();
    let id = rig.control.dest_id(key, RIP_V6, 53);
    let data =
        Frame::udp6(CLIENT_V6, 4000, VIP_V6, 53).payload(&[7; 1600]).build_ip()[40..].to_vec();
    let piece = |bytes: &[u8], at, more| {
        Frame::raw6(CLIENT_V6, VIP_V6, protocol::UDP, bytes).fragment6(7, at, more)
    };
    let (first, last) = (piece(&data[..1440], 0, true), piece(&data[1440..], 1440, false));
    let quoted = first.clone().ttl(63).build_ip();
    let error = Frame::icmp6(VIP_V6, CLIENT_V6, 2, 0, 1400).payload(&quoted[..1232]);
    let expected = expect().sends(C, &to_client(error)).makes(1).drops(DropReason::FragNeeded, 2);
    let counted = begun(40 + data.len() as i64, false);
    rig.check("1488 bytes", &[(C, &last), (C, &first)], expected.dest(id, counted));
}

/// As the kernel's trace `fragments_v6_bad` has it.
#[test]
fn an_ipv6_fragment_of_an_odd_length_goes_alone_to_who_is_to_refuse_it() {
    let mut rig = v6(5353);
    let id = rig.control.dest_id(udp(VIP_V6, 53), RIP_V6, 5353);
    let whole = |dst, dport| {
        let whole = Frame::udp6(CLIENT_V6, 4000, dst, dport).payload(&[0x5a; 2000]);
        whole.build_ip()[40..].to_vec()
    };
    let piece = |dst, dport, at: usize, to: usize, more| {
        let piece = Frame::raw6(CLIENT_V6, dst, protocol::UDP, &whole(dst, dport)[at..to]);
        piece.fragment6(9, at as u16, more)
    };
    let first = piece(VIP_V6, 53, 0, 1445, true);
    let to_first = forwarded(piece(RIP_V6, 5353, 0, 1445, true));
    let expected = expect().sends(S, &to_first).dest(id, begun(1485, false));
    rig.check("first", &[(C, &first)], expected);
    let later = piece(VIP_V6, 53, 1448, 1549, true);
    rig.check("later", &[(C, &later)], expect().punts(PuntClass::Rest, C, &later));
    let last = piece(VIP_V6, 53, 1448, 2008, false);
    let expected = expect().drops(DropReason::FragmentBadLength, 1);
    rig.check("what is left of it", &[(C, &last)], expected);
    let tiny = piece(VIP_V6, 53, 0, 7, true);
    let expected = expect().drops(DropReason::FragmentBadLength, 1);
    rig.check("without ports", &[(C, &tiny)], expected);
}
