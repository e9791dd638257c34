//! Several workers: whose flow it is, what crosses between them, and how often, exactly.

use crate::rig::*;
use dataplane::ids::PortId;
use dataplane::limits::{HAND_OVER_RING, WINDOW};
use dataplane::owner;
use dataplane::service::ForwardingMethod::{Gatewaying, Masq};
use dataplane::testing::Frame;
use dataplane::testing::control::tcp;
use dataplane::verdict::DropReason;
use dataplane::wire::tcp::flags::{ACK, SYN};

const FLOWS: u16 = 30;

fn workers(workers: usize, queues: usize) -> Rig {
    let mut rig = Rig::with(|config| {
        config.workers = workers;
        config.queues = vec![queues; 2];
        config.buffers = 10_000;
    });
    rig.add(tcp(VIP, 80), Masq, 1);
    rig.publish();
    rig
}

/// The owner of the client's port by the rule itself: slots dealt in turn.
fn owner_of(port: u16, workers: usize) -> usize {
    usize::from(owner::slot(CLIENT, port)) % workers
}

fn to_vip(port: u16, flags: u8) -> Frame {
    Frame::tcp(CLIENT, port, VIP, 80).flags(flags)
}

fn forwarded(port: u16, flags: u8) -> Frame {
    let (dst, src) = to_server(1);
    Frame::tcp(CLIENT, port, rip(1), 80).flags(flags).ttl(63).macs(dst, src)
}

#[test]
fn each_flow_is_its_owners_whatever_queue_its_packets_come_in_by() {
    let mut rig = workers(3, 3);
    let ports = 4000..4000 + FLOWS;
    for port in ports.clone() {
        rig.machine.feed(C, 0, &to_vip(port, SYN).build());
    }
    rig.machine.settle(rig.now);
    for port in ports.clone() {
        let reply = from_server(1, Frame::tcp(rip(1), 80, CLIENT, port).flags(SYN | ACK));
        rig.machine.feed(S, usize::from(port) % 3, &reply.build());
    }
    rig.machine.settle(rig.now);
    rig.machine.check();
    let clients = ports.clone().filter(|&port| owner_of(port, 3) != 0).count() as u64;
    let replies = ports.clone().filter(|&port| owner_of(port, 3) != usize::from(port) % 3).count();
    let totals = rig.machine.totals();
    assert_eq!((totals.handed_out, totals.handed_in), (44, 44));
    assert_eq!(clients + replies as u64, 44);
    assert_eq!((totals.received, totals.sent), (60, 60));
    for worker in 0..3 {
        let owned = ports.clone().filter(|&port| owner_of(port, 3) == worker).count();
        let conns = rig.machine.conns(worker);
        assert_eq!(conns.len(), owned, "worker {worker}");
        assert!(conns.live_in(conns.ids()).all(|(_, conn)| owner_of(conn.cport, 3) == worker));
    }
}

/// Workers without a queue live on hand-over, both ways.
#[test]
fn with_fewer_queues_than_workers_frames_leave_through_the_right_port() {
    for queues in [1, 2] {
        let mut rig = workers(3, queues);
        let mut sent = Vec::new();
        for port in 4000..4000 + FLOWS {
            rig.machine.feed(C, 0, &to_vip(port, SYN).build());
            sent.push((S, forwarded(port, SYN).build()));
        }
        rig.machine.settle(rig.now);
        let reply = from_server(1, Frame::tcp(rip(1), 80, CLIENT, 4000).flags(SYN | ACK));
        let left = to_client(Frame::tcp(VIP, 80, CLIENT, 4000).flags(SYN | ACK).ttl(63));
        rig.machine.feed(S, 0, &reply.build());
        sent.push((C, left.build()));
        rig.machine.settle(rig.now);
        rig.machine.check();
        let mut got = rig.machine.take_sent();
        got.sort();
        sent.sort();
        assert_eq!(got, sent, "{queues} queues");
        assert_eq!(rig.machine.live_packets(), 0);
    }
}

/// A worker that has not read of a new VIP yet takes a client's packet for a reply and hands it to
/// the wrong worker.
#[test]
fn no_conn_begins_at_a_worker_that_will_not_be_its_owner() {
    let mut rig = workers(2, 2);
    let vip = (VIP + 1..).find(|&vip| owner::slot(vip, 80) % 2 == 1).unwrap();
    let port = (4000..).find(|&port| owner_of(port, 2) == 0).unwrap();
    rig.add(tcp(vip, 80), Gatewaying, 1);
    rig.publish_quietly();
    rig.machine.step(1, rig.now);
    let syn = Frame::tcp(CLIENT, port, vip, 80);
    rig.machine.feed(C, 0, &syn.build());
    rig.machine.worker_mut(0).turn(rig.now);
    rig.machine.step(1, rig.now);
    rig.machine.check();
    assert_eq!(rig.machine.totals().dropped[DropReason::Strayed.index()], 1);
    assert!(rig.machine.take_sent().is_empty());
    // When both have read of it, it has its owner.
    rig.machine.step(0, rig.now);
    rig.machine.feed(C, 1, &syn.build());
    rig.machine.settle(rig.now);
    assert_eq!([0, 1].map(|worker| rig.machine.conns(worker).len()), [1, 0]);
    let (dst, src) = to_server(1);
    assert_eq!(rig.machine.take_sent(), [(S, syn.ttl(63).macs(dst, src).build())]);
}

#[test]
fn a_full_ring_drops_what_it_does_not_take() {
    let mut rig = workers(2, 2);
    let port = (4000..).find(|&port| owner_of(port, 2) == 1).unwrap();
    let surplus = 7;
    for _ in 0..HAND_OVER_RING + surplus {
        rig.machine.feed(C, 0, &to_vip(port, SYN).build());
    }
    while rig.machine.step(0, rig.now) > 0 {}
    rig.machine.check();
    let tally = rig.machine.counters(0).read();
    assert_eq!(tally.handed_out, HAND_OVER_RING as u64);
    assert_eq!(tally.dropped[DropReason::HandOverFull.index()], surplus as u64);
    rig.machine.settle(rig.now);
    assert_eq!(rig.machine.take_sent().len(), HAND_OVER_RING);
    assert_eq!(rig.machine.live_packets(), 0);
}

#[test]
fn what_linux_sends_leaves_as_it_is_and_is_counted() {
    let mut rig = Rig::serving(tcp(VIP, 80), Gatewaying, 1);
    let before = rig.machine.totals();
    let frame = to_client(Frame::tcp(VIP, 81, CLIENT, 4000).flags(SYN).ttl(64)).build();
    assert!(rig.machine.feed_from_twin(0, C, &frame));
    rig.machine.settle(rig.now);
    rig.machine.check();
    let after = rig.machine.totals();
    assert_eq!((after.from_twin - before.from_twin, after.sent - before.sent), (1, 1));
    assert_eq!(rig.machine.take_sent(), [(C, frame)]);
}

#[test]
fn what_is_under_way_to_a_worker_that_stops_is_dropped_and_counted() {
    let mut rig = workers(2, 2);
    let port = (4000..).find(|&port| owner_of(port, 2) == 1).expect("half of all ports");
    rig.machine.feed(C, 0, &to_vip(port, SYN).build());
    assert!(rig.machine.feed_from_twin(1, C, &to_vip(port, SYN).build()));
    rig.machine.step(0, rig.now);

    let tallies = rig.machine.stop();
    assert_eq!((tallies[0].handed_out, tallies[1].handed_in, tallies[1].from_twin), (1, 1, 1));
    assert_eq!(tallies[1].dropped[DropReason::Stopping.index()], 2);
    assert!(tallies.iter().all(|tally| tally.is_conserved()), "{tallies:?}");
}

/// Windows of four are never sorted, full ones are once they hold many packets of other workers.
#[test]
fn a_sorted_window_changes_nothing_and_no_flow_is_out_of_order() {
    const ROUNDS: u32 = 21;
    let ports = 4000..4000 + 2 * FLOWS;
    let run = |window: usize| {
        let mut rig = Rig::with(|config| {
            config.workers = 3;
            config.queues = vec![1; 2];
            config.buffers = 10_000;
            config.window = window;
        });
        rig.add(tcp(VIP, 80), Masq, 1);
        rig.publish();
        for round in 0..ROUNDS {
            for port in ports.clone() {
                let frame = to_vip(port, if round == 0 { SYN } else { ACK }).seq(round);
                let is_plain = (u32::from(port) + round) % 40 != 0;
                let frame = if is_plain { frame } else { frame.ip_options(&[1; 4]) };
                rig.machine.feed(C, 0, &frame.build());
            }
            if round % 3 == 2 {
                rig.machine.settle(rig.now);
            }
        }
        rig.machine.check();
        (rig.machine.take_sent(), rig.machine.totals())
    };
    let [(unsorted, before), (sorted, after)] = [4, WINDOW].map(run);
    assert_eq!((after.received, after.sent), (u64::from(ROUNDS) * 60, u64::from(ROUNDS) * 60));
    assert_eq!(after, before);
    for port in ports {
        let of_flow = |sent: &[(PortId, Vec<u8>)]| -> Vec<Vec<u8>> {
            let has_port = |frame: &[u8]| {
                let at = 14 + 4 * usize::from(frame[14] & 0xf);
                frame[at..at + 2] == port.to_be_bytes()
            };
            sent.iter()
                .filter(|(_, frame)| has_port(frame))
                .map(|(_, frame)| frame.clone())
                .collect()
        };
        let frames = of_flow(&sorted);
        assert_eq!(frames, of_flow(&unsorted), "port {port}");
        let seq = |frame: &Vec<u8>| frame[14 + 4 * usize::from(frame[14] & 0xf) + 7];
        assert!(frames.iter().map(seq).eq(0..ROUNDS as u8), "port {port}");
    }
}
