//! The table when it is full, and tuples that collide.

use crate::rig::*;
use dataplane::ids::DestId;
use dataplane::service::ForwardingMethod::Masq;
use dataplane::testing::Frame;
use dataplane::testing::control::{tcp, udp};
use dataplane::verdict::DropReason;
use dataplane::wire::tcp::flags::{ACK, SYN};
use std::sync::atomic::Ordering::Relaxed;

const CAPACITY: usize = 4;

fn small() -> (Rig, DestId, DestId) {
    let (web, dns) = (tcp(VIP, 80), udp(VIP, 53));
    let mut rig = Rig::with(|config| config.capacity = CAPACITY);
    rig.add(web, Masq, 1);
    rig.add(dns, Masq, 1);
    rig.publish();
    let ids = (rig.id(web, rip(1)), rig.id(dns, rip(1)));
    (rig, ids.0, ids.1)
}

fn client(port: u16, flags: u8) -> (Frame, Frame) {
    let (dst, src) = to_server(1);
    let sent = Frame::tcp(CLIENT, port, rip(1), 80).flags(flags).ttl(63).macs(dst, src);
    (Frame::tcp(CLIENT, port, VIP, 80).flags(flags), sent)
}

fn evicted(rig: &Rig) -> u64 {
    rig.machine.counters(0).evicted.load(Relaxed)
}

#[test]
fn the_oldest_half_open_conn_gives_way_else_the_new_one_is_refused() {
    let (mut rig, web, _) = small();
    for port in 1..=CAPACITY as u16 {
        let (frame, sent) = client(port, SYN);
        let expected = expect().sends(S, &sent).dest(web, begun(40, true));
        rig.check("room", &[(C, &frame)], expected);
        rig.pass(1);
    }
    // The first is established, so the second is the oldest of those that are not.
    let (frame, sent) = client(1, ACK);
    rig.check("ACK", &[(C, &frame)], expect().sends(S, &sent).dest(web, inwards(1, 40)));
    let (frame, sent) = client(5, SYN);
    let expected = expect().sends(S, &sent).dest(web, Moved { active: 0, ..begun(40, true) });
    rig.check("evicts", &[(C, &frame)], expected);
    assert_eq!(evicted(&rig), 1);
    let left: Vec<u16> = rig.machine.conns(0).live_in(0..u32::MAX).map(|(_, c)| c.cport).collect();
    assert_eq!((left.len(), left.contains(&2)), (CAPACITY, false));
    for port in [3, 4, 5] {
        let (frame, sent) = client(port, ACK);
        rig.check("ACK", &[(C, &frame)], expect().sends(S, &sent).dest(web, inwards(1, 40)));
    }
    let (frame, _) = client(6, SYN);
    rig.check("full", &[(C, &frame)], expect().drops(DropReason::TableFull, 1));
    assert_eq!(rig.control.shared(web).conns.load(Relaxed), CAPACITY as u32);
    let (frame, sent) = client(1, ACK);
    rig.check("ACK", &[(C, &frame)], expect().sends(S, &sent).dest(web, inwards(1, 40)));
    assert_eq!(evicted(&rig), 1);
}

#[test]
fn a_flood_never_uses_an_entry_twice_in_one_window() {
    let (mut rig, web, _) = small();
    let pairs: Vec<(Frame, Frame)> = (1001..=1300).map(|port| client(port, SYN)).collect();
    let frames: Vec<_> = pairs.iter().map(|(frame, _)| (C, frame)).collect();
    let expected = pairs.iter().fold(expect(), |expected, (_, sent)| expected.sends(S, sent));
    let left = CAPACITY as i64;
    let moved =
        Moved { conns: 300, in_packets: 300, in_bytes: 12000, active: left, ..Moved::default() };
    rig.check("300 SYNs, room for 4", &frames, expected.dest(web, moved));
    assert_eq!(evicted(&rig), 300 - CAPACITY as u64);
}

/// Two services on one real server: it cannot tell one client port's conns apart, so all replies are
/// the later one's, as the kernel has it.
#[test]
fn replies_of_two_conns_with_one_reply_tuple_are_the_later_ones() {
    let (first, second) = (udp(VIP, 53), udp(VIP + 1, 53));
    let mut rig = Rig::new();
    rig.add(first, Masq, 1);
    rig.add(second, Masq, 1);
    rig.publish();
    let (one, two) = (rig.id(first, rip(1)), rig.id(second, rip(1)));
    let (dst, src) = to_server(1);
    let sent = Frame::udp(CLIENT, 4000, rip(1), 53).ttl(63).macs(dst, src);
    let to = |vip| Frame::udp(CLIENT, 4000, vip, 53);
    rig.check("first", &[(C, &to(VIP))], expect().sends(S, &sent).dest(one, begun(28, false)));
    rig.check("second", &[(C, &to(VIP + 1))], expect().sends(S, &sent).dest(two, begun(28, false)));
    let reply = from_server(1, Frame::udp(rip(1), 53, CLIENT, 4000));
    rig.machine.feed(S, 0, &reply.build());
    rig.machine.settle(rig.now);
    let [(C, answer)] = &rig.machine.take_sent()[..] else { panic!("one answer to the client") };
    assert_eq!(answer[26..30], (VIP + 1).to_be_bytes());
    rig.check("first again", &[(C, &to(VIP))], expect().sends(S, &sent).dest(one, inwards(1, 28)));
}
