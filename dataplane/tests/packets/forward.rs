//! What is forwarded: each method, each protocol, tags in and out.

use crate::rig::*;
use dataplane::address::Address;
use dataplane::service::ForwardingMethod::{Fullnat, Gatewaying, Ipip, Masq};
use dataplane::testing::Frame;
use dataplane::testing::control::{Server, tcp, udp};
use dataplane::verdict::{DropReason, PuntClass};
use dataplane::wire::tcp::flags::{ACK, FIN, SYN};

fn syn() -> Frame {
    Frame::tcp(CLIENT, 4000, VIP, 80)
}

#[test]
fn masq_rewrites_both_directions_and_counts_them() {
    let key = tcp(VIP, 80);
    let mut rig = Rig::new();
    rig.control.service(key, dataplane::sched::SchedulerKind::Rr);
    rig.control.server(key, Server::new(rip(1), 8080, Masq));
    rig.publish();
    let id = rig.control.dest_id(key, rip(1), 8080);
    let out = |flags| {
        let (dst, src) = to_server(1);
        Frame::tcp(CLIENT, 4000, rip(1), 8080).flags(flags).ttl(63).macs(dst, src)
    };
    let expected = expect().sends(S, &out(SYN)).dest(id, begun(40, true));
    rig.check("SYN", &[(C, &syn())], expected);
    let back = |ttl| Frame::tcp(rip(1), 8080, CLIENT, 4000).flags(SYN | ACK).payload(b"x").ttl(ttl);
    let reply = to_client(Frame::tcp(VIP, 80, CLIENT, 4000).flags(SYN | ACK).payload(b"x").ttl(63));
    let expected = expect().sends(C, &reply).dest(id, outwards(1, 41));
    rig.check("SYN+ACK", &[(S, &from_server(1, back(64)))], expected);
    let expected = expect().sends(S, &out(ACK)).dest(id, inwards(1, 40));
    rig.check("ACK", &[(C, &syn().flags(ACK))], expected);
    let fin = Moved { active: -1, inactive: 1, ..inwards(1, 40) };
    let expected = expect().sends(S, &out(FIN | ACK)).dest(id, fin);
    rig.check("FIN", &[(C, &syn().flags(FIN | ACK))], expected);
}

#[test]
fn gatewaying_changes_the_link_header_and_the_time_to_live() {
    let key = tcp(VIP, 80);
    let mut rig = Rig::serving(key, Gatewaying, 1);
    let id = rig.id(key, rip(1));
    let (dst, src) = to_server(1);
    let expected = expect().sends(S, &syn().ttl(63).macs(dst, src)).dest(id, begun(40, true));
    rig.check("SYN", &[(C, &syn().padding(6))], expected);
    let reply = from_server(1, Frame::tcp(rip(1), 80, CLIENT, 4000).flags(ACK));
    let expected = expect().punts(PuntClass::Rest, S, &reply);
    rig.check("what looks like a reply is Linux's", &[(S, &reply)], expected);
}

#[test]
fn ipip_puts_a_header_in_front() {
    let key = udp(VIP, 53);
    let mut rig = Rig::serving(key, Ipip, 1);
    let id = rig.id(key, rip(1));
    let (dst, src) = to_server(1);
    let asked = Frame::udp(CLIENT, 4000, VIP, 53).payload(b"query");
    let outer = |inner: Frame| {
        Frame::raw(0xc0a8_0101, rip(1), 4, &inner.ttl(63).build_ip()).ttl(63).macs(dst, src)
    };
    let expected = expect().sends(S, &outer(asked.clone()).id(1)).dest(id, begun(33, false));
    rig.check("without DF", &[(C, &asked)], expected);
    let df = asked.df();
    let expected = expect().sends(S, &outer(df.clone()).df()).dest(id, inwards(1, 33));
    rig.check("with DF", &[(C, &df)], expected);
}

#[test]
fn udp_through_masq_gets_a_checksum_and_stays_inactive() {
    let key = udp(VIP, 53);
    let mut rig = Rig::serving(key, Masq, 1);
    let id = rig.id(key, rip(1));
    let (dst, src) = to_server(1);
    let asked = Frame::udp(CLIENT, 4000, VIP, 53).payload(b"query");
    let sent = Frame::udp(CLIENT, 4000, rip(1), 53).payload(b"query").ttl(63).macs(dst, src);
    let expected = expect().sends(S, &sent).dest(id, begun(33, false));
    rig.check("query", &[(C, &asked.no_checksum())], expected);
    let answer = from_server(1, Frame::udp(rip(1), 53, CLIENT, 4000).payload(b"answer"));
    let sent = to_client(Frame::udp(VIP, 53, CLIENT, 4000).payload(b"answer").ttl(63));
    let expected = expect().sends(C, &sent).dest(id, outwards(1, 34));
    rig.check("answer", &[(S, &answer)], expected);
}

/// Tag in, tag out, retag and untag: the way in and the way out each have their own.
#[test]
fn frames_leave_with_the_tag_of_the_interface_they_leave_through() {
    for method in [Masq, Gatewaying, Ipip] {
        for (from, tag_in) in [(CLIENT, None), (TAGGED_CLIENT, Some(VLAN_C))] {
            for (to, tag_out) in [(rip(1), None), (TAGGED_RIP, Some(VLAN_S))] {
                tagged_way(method, (from, tag_in), (to, tag_out));
            }
        }
    }
}

fn tagged_way(
    method: dataplane::service::ForwardingMethod,
    (from, tag_in): (u32, Option<u16>),
    (to, tag_out): (u32, Option<u16>),
) {
    let key = tcp(VIP, 80);
    let mut rig = Rig::new();
    rig.control.service(key, dataplane::sched::SchedulerKind::Rr);
    rig.control.server(key, Server::new(to, 80, method));
    rig.publish();
    let id = rig.id(key, to);
    let tagged = |frame: Frame, tag: Option<u16>| tag.map_or(frame.clone(), |tag| frame.tag(tag));
    let peer = if tag_out.is_some() { [2, 0, 0, 0, 0x0e, 0x21] } else { mac(1) };
    let router =
        if tag_in.is_some() { [2, 0, 0, 0, 0x0c, 2] } else { dataplane::testing::MAC_CLIENT };
    let came = Frame::tcp(from, 4000, VIP, 80);
    let left = match method {
        Masq => Frame::tcp(from, 4000, to, 80).ttl(63),
        Gatewaying => came.clone().ttl(63),
        Fullnat => panic!("its frames are in fullnat.rs"),
        Ipip => {
            Frame::raw(to & 0xffff_ff00 | 1, to, 4, &came.clone().ttl(63).build_ip()).id(1).ttl(63)
        }
    };
    // The priority bits of a tag go no further than the link it came over.
    let came = tagged(came, tag_in.map(|tag| tag | 0x6000));
    let left = tagged(left.macs(peer, MAC_DS), tag_out);
    let what = format!("{method:?} {tag_in:?} {tag_out:?}");
    let expected = expect().sends(S, &left).dest(id, begun(40, true));
    rig.check(&what, &[(C, &came)], expected);
    if method == Masq {
        let reply = Frame::tcp(to, 80, from, 4000).flags(SYN | ACK).macs(MAC_DS, peer);
        let left = Frame::tcp(VIP, 80, from, 4000).flags(SYN | ACK).ttl(63);
        let left = tagged(left.macs(router, dataplane::testing::MAC_DIRECTOR), tag_in);
        let expected = expect().sends(C, &left).dest(id, outwards(1, 40));
        rig.check(&what, &[(S, &tagged(reply, tag_out))], expected);
    }
}

#[test]
fn port_0_keeps_the_packets_own_port() {
    let key = tcp(VIP, 0);
    let mut rig = Rig::serving(key, Masq, 1);
    let id = rig.id(key, rip(1));
    let (dst, src) = to_server(1);
    for port in [1, 80, 65535] {
        let sent = Frame::tcp(CLIENT, 4000, rip(1), port).ttl(63).macs(dst, src);
        let expected = expect().sends(S, &sent).dest(id, begun(40, true));
        rig.check("any port", &[(C, &Frame::tcp(CLIENT, 4000, VIP, port))], expected);
    }
}

/// One-arm: everything on one port. And a real server that is a client of another service: what it
/// sends to a VIP is a client's packet, though its address is a real server's.
#[test]
fn a_real_server_may_be_the_client_of_another_service() {
    let (web, dns) = (tcp(VIP, 80), tcp(VIP + 1, 53));
    let mut rig = Rig::new();
    rig.add(web, Masq, 1);
    rig.control.service(dns, dataplane::sched::SchedulerKind::Rr);
    rig.control.server(dns, Server::new(rip(2), 53, Masq));
    // Replies to real server 1 go to it, through the port they came from.
    let hop = rig.control.next_hops.iter().position(|hop| hop.target == rip(1).ip()).unwrap();
    let target = dataplane::route::RouteTarget::Via(dataplane::ids::NextHopId(hop as u16));
    rig.control.routes.insert(rip(1).ip(), 32, target);
    rig.publish();
    let id = rig.id(dns, rip(2));
    let asked = from_server(1, Frame::tcp(rip(1), 4000, VIP + 1, 53));
    let (dst, src) = to_server(2);
    let sent = Frame::tcp(rip(1), 4000, rip(2), 53).ttl(63).macs(dst, src);
    let expected = expect().sends(S, &sent).dest(id, begun(40, true));
    rig.check("in and out of one port", &[(S, &asked)], expected);
    let answer = from_server(2, Frame::tcp(rip(2), 53, rip(1), 4000).flags(SYN | ACK));
    let (dst, src) = to_server(1);
    let sent = Frame::tcp(VIP + 1, 53, rip(1), 4000).flags(SYN | ACK).ttl(63).macs(dst, src);
    let expected = expect().sends(S, &sent).dest(id, outwards(1, 40));
    rig.check("and back", &[(S, &answer)], expected);
}

#[test]
fn a_new_flow_twice_in_one_window_is_one_conn() {
    let key = tcp(VIP, 80);
    let mut rig = Rig::serving(key, Gatewaying, 3);
    let (dst, src) = to_server(1);
    let sent = |flags| syn().flags(flags).ttl(63).macs(dst, src);
    let id = rig.id(key, rip(1));
    let three = Moved { in_packets: 3, in_bytes: 120, ..begun(40, true) };
    let expected = expect().sends(S, &sent(SYN)).sends(S, &sent(SYN)).sends(S, &sent(ACK));
    let frames = [(C, &syn()), (C, &syn()), (C, &syn().flags(ACK))];
    rig.check("SYN, SYN, ACK", &frames, expected.dest(id, three));
    assert_eq!(rig.machine.conns(0).len(), 1);
}

#[test]
fn a_cut_header_is_counted_for_its_conn_then_dropped_where_it_would_be_rewritten() {
    let key = udp(VIP, 53);
    let whole = || Frame::udp(CLIENT, 4000, VIP, 53);
    let cut = || Frame::raw(CLIENT, VIP, 17, &[0x0f, 0xa0, 0, 53, 0, 8]);
    let dropped = || expect().drops(DropReason::BadL4Header, 1);
    let (dst, src) = to_server(1);
    for method in [Gatewaying, Masq] {
        let mut rig = Rig::serving(key, method, 1);
        let id = rig.id(key, rip(1));
        rig.check("no conn", &[(C, &cut())], dropped());
        let end = if method == Masq { rip(1) } else { VIP };
        let sent = Frame::udp(CLIENT, 4000, end, 53).ttl(63).macs(dst, src);
        rig.check("new", &[(C, &whole())], expect().sends(S, &sent).dest(id, begun(28, false)));
        let expected = match method {
            Masq => dropped(),
            _ => expect().sends(S, &cut().ttl(63).macs(dst, src)),
        };
        rig.check("a conn", &[(C, &cut())], expected.dest(id, inwards(1, 26)));
    }
    let mut rig = Rig::serving(key, Masq, 1);
    rig.machine.feed(C, 0, &whole().build());
    rig.machine.settle(rig.now);
    rig.machine.take_sent();
    let reply = from_server(1, Frame::raw(rip(1), CLIENT, 17, &[0, 53, 0x0f, 0xa0, 0, 8]));
    rig.check("a reply", &[(S, &reply)], dropped());
}
