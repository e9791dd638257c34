//! Under a flood: every so many new conns refused, and entries dropped before their time.

use crate::rig::*;
use dataplane::service::DropPacket;
use dataplane::service::ForwardingMethod::Gatewaying;
use dataplane::testing::Frame;
use dataplane::testing::control::{tcp, udp};
use dataplane::time::TICKS_PER_SECOND;
use dataplane::verdict::DropReason;
use dataplane::wire::tcp::flags::ACK;
use std::sync::atomic::Ordering::Relaxed;

/// A rig of one TCP and one UDP service with these defences.
fn rig(drop_packet: DropPacket, drop_entry: bool) -> Rig {
    let mut rig = Rig::new();
    rig.add(tcp(VIP, 80), Gatewaying, 1);
    rig.add(udp(VIP, 53), Gatewaying, 1);
    (rig.control.settings.drop_packet, rig.control.settings.drop_entry) = (drop_packet, drop_entry);
    rig.publish();
    rig
}

/// Feeds frames one by one; which of them were sent.
fn sent(rig: &mut Rig, frames: impl Iterator<Item = Frame>) -> Vec<bool> {
    let sent = |frame: Frame| {
        rig.machine.feed(C, 0, &frame.build());
        rig.machine.settle(rig.now);
        rig.machine.check();
        !rig.machine.take_sent().is_empty()
    };
    frames.map(sent).collect()
}

fn syns(ports: std::ops::Range<u16>) -> impl Iterator<Item = Frame> {
    ports.map(|port| Frame::tcp(CLIENT, port, VIP, 80))
}

/// Lets seconds pass as a worker does, its housekeeping done several times in each.
fn pass(rig: &mut Rig, seconds: u32) {
    for _ in 0..seconds * 4 {
        rig.now = rig.now.after(TICKS_PER_SECOND / 4);
        rig.machine.settle(rig.now);
    }
}

/// Client ports of the conns there are.
fn ports(rig: &Rig) -> Vec<u16> {
    let conns = rig.machine.conns(0);
    let mut ports: Vec<u16> = conns.live_in(conns.ids()).map(|(_, conn)| conn.cport).collect();
    ports.sort_unstable();
    ports
}

#[test]
fn every_so_many_new_conns_are_refused_and_packets_of_conns_are_not() {
    let mut rig = rig(DropPacket { rate: 3, anew: false }, false);
    let pattern: Vec<bool> = (0..20).map(|place| place % 3 != 0).collect();
    assert_eq!(sent(&mut rig, syns(1000..1020)), pattern);
    let dropped = rig.machine.totals().dropped[DropReason::DropPacket.index()];
    assert_eq!(dropped, 7);
    let acks = syns(1001..1003).map(|syn| syn.flags(ACK));
    assert_eq!(sent(&mut rig, acks), [true; 2]);
    // UDP is in the same lot: the 18th was the last to be refused.
    let datagrams = (0..4).map(|place| Frame::udp(CLIENT, 2000 + place, VIP, 53));
    assert_eq!(sent(&mut rig, datagrams), [true, false, true, true]);
}

#[test]
fn what_no_service_takes_or_may_begin_nothing_is_not_in_the_lot() {
    let mut rig = rig(DropPacket { rate: 1, anew: false }, false);
    let others = [Frame::tcp(CLIENT, 1, VIP, 81), Frame::tcp(CLIENT, 1, VIP, 80).flags(ACK)];
    for frame in others {
        rig.machine.feed(C, 0, &frame.build());
        rig.machine.settle(rig.now);
        assert_eq!(rig.machine.take_punted().len(), 1);
    }
    assert_eq!(sent(&mut rig, syns(1000..1003)), [false; 3]);
}

#[test]
fn while_memory_is_low_the_lot_begins_anew_each_second() {
    let mut rig = rig(DropPacket { rate: 3, anew: true }, false);
    for second in 0..4 {
        pass(&mut rig, 1);
        let first = 1000 + 10 * second;
        assert_eq!(sent(&mut rig, syns(first..first + 4)), [true, true, false, true]);
    }
}

#[test]
fn half_open_entries_go_at_once_and_open_ones_stay_for_a_minute() {
    let mut rig = rig(DropPacket::default(), true);
    sent(&mut rig, syns(1000..1020));
    sent(&mut rig, syns(1010..1020).map(|syn| syn.flags(ACK)));
    // 50 s let SYN_RECV's own timeout no say in it.
    pass(&mut rig, 50);
    let half_open = ports(&rig).iter().filter(|port| **port < 1010).count();
    assert!(half_open < 8, "{half_open} of 10 left: each has a chance of 1/32 a second");
    assert_eq!(ports(&rig).iter().filter(|port| **port >= 1010).count(), 10);
    let dropped = rig.machine.counters(0).dropped_entries.load(Relaxed);
    assert_eq!(dropped, 10 - half_open as u64);
    // Of those of two packets every other one goes when it is looked at, sooner or later all.
    pass(&mut rig, 300);
    assert!(ports(&rig).len() < 8, "{:?}", ports(&rig));
    let counters =
        rig.machine.counters(0).dest(rig.control.dest_id(tcp(VIP, 80), rip(1), 80)).read();
    assert_eq!((counters.active, counters.inactive), (ports(&rig).len() as u64, 0));
}

#[test]
fn entries_of_many_packets_of_busy_conns_and_of_ending_ones_stay() {
    let mut rig = rig(DropPacket::default(), true);
    let datagrams = |port, count| (0..count).map(move |_| Frame::udp(CLIENT, port, VIP, 53));
    sent(&mut rig, datagrams(1, 9));
    sent(&mut rig, datagrams(2, 1));
    for _ in 0..5 {
        pass(&mut rig, 50);
        sent(&mut rig, datagrams(3, 1));
    }
    assert_eq!(ports(&rig), [1, 3], "9 packets; 5 with less than a minute between; not 1 and idle");
}

#[test]
fn without_the_defence_nothing_is_dropped() {
    let mut rig = rig(DropPacket::default(), false);
    sent(&mut rig, syns(1000..1020));
    pass(&mut rig, 50);
    assert_eq!(ports(&rig).len(), 20);
}
