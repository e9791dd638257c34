//! Datagrams cut at random, their fragments in any order at any worker: what leaves, put together by
//! the plainest means, are the datagrams that whole ones would have become.

use crate::rig::*;
use dataplane::flow::protocol;
use dataplane::ids::PortId;
use dataplane::sched::SchedulerKind;
use dataplane::service::ForwardingMethod::{Gatewaying, Ipip, Masq};
use dataplane::testing::control::{Server, udp};
use dataplane::testing::{Frame, MAC_CLIENT, MAC_DIRECTOR, Rng};
use std::collections::{BTreeMap, BTreeSet};

const VIPS: [u32; 3] = [VIP, VIP + 1, VIP + 2];
const RPORT: u16 = 5353;
/// Datagrams at a time, and fragments of each at most: together less than may wait between two
/// addresses.
const DATAGRAMS: usize = 30;
const PIECES: usize = 4;

/// One datagram: ends, identification, and all behind the IP header.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Datagram {
    src: (u128, u16),
    dst: (u128, u16),
    v6: bool,
    id: u32,
    payload: Vec<u8>,
}

impl Datagram {
    fn data(&self) -> Vec<u8> {
        let ((src, sport), (dst, dport)) = (self.src, self.dst);
        let frame = match self.v6 {
            true => Frame::udp6(src, sport, dst, dport),
            false => Frame::udp(src as u32, sport, dst as u32, dport),
        };
        frame.payload(&self.payload).build_ip()[if self.v6 { 40 } else { 20 }..].to_vec()
    }

    /// Its fragments with these bounds, in frames to the director.
    fn cut(&self, bounds: &BTreeSet<usize>, macs: ([u8; 6], [u8; 6])) -> Vec<Vec<u8>> {
        let data = self.data();
        let starts = std::iter::once(0).chain(bounds.iter().copied());
        let ends = bounds.iter().copied().chain(std::iter::once(data.len()));
        let piece = |(from, to): (usize, usize)| {
            let (at, more, bytes) = (from as u16, to < data.len(), &data[from..to]);
            let frame = match self.v6 {
                true => Frame::raw6(self.src.0, self.dst.0, protocol::UDP, bytes)
                    .fragment6(self.id, at, more),
                false => Frame::raw(self.src.0 as u32, self.dst.0 as u32, protocol::UDP, bytes)
                    .id(self.id as u16)
                    .fragment(at, more),
            };
            frame.macs(macs.0, macs.1).build()
        };
        starts.zip(ends).map(piece).collect()
    }
}

/// What datagrams have in common: addresses, family and identification.
type Name = (u128, u128, bool, u32);

/// The fragments in frames, put together; panics where that cannot be.
fn put_together(frames: &[Vec<u8>]) -> BTreeMap<Name, Vec<u8>> {
    let mut parts: BTreeMap<Name, BTreeMap<usize, (bool, Vec<u8>)>> = BTreeMap::new();
    for frame in frames {
        let (name, at, more, bytes) = read(&frame[14..]);
        let before = parts.entry(name).or_default().insert(at, (more, bytes));
        assert!(before.is_none(), "{name:x?}: {at} came twice");
    }
    let whole = |pieces: BTreeMap<usize, (bool, Vec<u8>)>| {
        let mut data = Vec::new();
        let last = pieces.len() - 1;
        for (n, (at, (more, bytes))) in pieces.into_iter().enumerate() {
            assert_eq!((at, more), (data.len(), n < last));
            data.extend(bytes);
        }
        data
    };
    parts.into_iter().map(|(name, pieces)| (name, whole(pieces))).collect()
}

fn read(ip: &[u8]) -> (Name, usize, bool, Vec<u8>) {
    let number = |at: usize, len: usize| {
        ip[at..at + len].iter().fold(0_u128, |number, &byte| number << 8 | u128::from(byte))
    };
    if ip[0] >> 4 == 4 && ip[9] == protocol::IPIP {
        return read(&ip[20..]);
    }
    if ip[0] >> 4 == 4 {
        let (src, dst, field) = (number(12, 4), number(16, 4), number(6, 2) as usize);
        let name = (src, dst, false, number(4, 2) as u32);
        return (name, (field & 0x1fff) * 8, field & 0x2000 != 0, ip[20..].to_vec());
    }
    assert_eq!((ip[6], ip[40]), (44, protocol::UDP), "a fragment of UDP");
    let (src, dst, field) = (number(8, 16), number(24, 16), number(42, 2) as usize);
    let name = (src, dst, true, number(44, 4) as u32);
    (name, field & 0xfff8, field & 1 != 0, ip[48..].to_vec())
}

fn rig(workers: usize, window: usize) -> Rig {
    let mut rig = Rig::with(|config| {
        (config.workers, config.window) = (workers, window);
        config.queues = vec![workers; 2];
    });
    rig.speak_v6();
    for (vip, method) in VIPS.into_iter().zip([Masq, Gatewaying, Ipip]) {
        let rport = if method == Masq { RPORT } else { 53 };
        rig.control.service(udp(vip, 53), SchedulerKind::Rr);
        rig.control.server(udp(vip, 53), Server::new(rip(1), rport, method));
    }
    rig.control.service(udp(VIP_V6, 53), SchedulerKind::Rr);
    rig.control.server(udp(VIP_V6, 53), Server::new(RIP_V6, RPORT, Masq));
    rig.publish();
    rig
}

/// A query and what it is to become, by the service that it is for.
fn query(rng: &mut Rng, n: usize) -> (Datagram, Datagram) {
    let v6 = n % 4 == 3;
    let client = if v6 { CLIENT_V6 } else { u128::from(CLIENT) };
    let vip = if v6 { VIP_V6 } else { u128::from(VIPS[n % 4]) };
    let len = 24 + rng.below(1380);
    let came = Datagram {
        src: (client, 4000 + n as u16),
        dst: (vip, 53),
        v6,
        id: n as u32,
        payload: rng.bytes(len),
    };
    let dst = match n % 4 {
        0 => (u128::from(rip(1)), RPORT),
        3 => (RIP_V6, RPORT),
        _ => came.dst,
    };
    (came.clone(), Datagram { dst, ..came })
}

/// Feeds the datagrams' fragments in any order; each must leave as it is to be.
fn check(
    rig: &mut Rig,
    rng: &mut Rng,
    port: PortId,
    macs: ([u8; 6], [u8; 6]),
    datagrams: &[(Datagram, Datagram)],
) {
    let mut frames = Vec::new();
    for (came, _) in datagrams {
        let words = came.data().len() / 8;
        let bounds = (0..rng.below(PIECES - 1) + 1).map(|_| 8 * (1 + rng.below(words - 1)));
        frames.extend(came.cut(&bounds.collect(), macs));
    }
    while !frames.is_empty() {
        let frame = frames.swap_remove(rng.below(frames.len()));
        rig.machine.feed(port, rng.below(rig.machine.workers()), &frame);
        if rng.one_in(3) {
            rig.machine.step(rng.below(rig.machine.workers()), rig.now);
        }
    }
    rig.machine.settle(rig.now);
    rig.machine.check();
    let sent: Vec<_> = rig.machine.take_sent().into_iter().map(|(_, frame)| frame).collect();
    let name = |of: &Datagram| (of.src.0, of.dst.0, of.v6, of.id);
    let expected = datagrams.iter().map(|(_, leaves)| (name(leaves), leaves.data()));
    assert_eq!(put_together(&sent), expected.collect());
    assert_eq!(rig.machine.live_packets(), 0);
}

#[test]
fn datagrams_survive_any_order_of_their_fragments_at_any_workers() {
    let mut rng = Rng::new(71);
    for round in 0..120 {
        let workers = [1, 2, 3][round % 3];
        let mut rig = rig(workers, [128, 1, 7][rng.below(3)]);
        let queries: Vec<_> = (0..DATAGRAMS).map(|n| query(&mut rng, n)).collect();
        check(&mut rig, &mut rng, C, (MAC_DIRECTOR, MAC_CLIENT), &queries);
        let (masq, conns): (Vec<_>, usize) = {
            let masq = queries.iter().filter(|(came, leaves)| came.dst != leaves.dst);
            (masq.collect(), (0..workers).map(|worker| rig.machine.conns(worker).len()).sum())
        };
        assert_eq!(conns, DATAGRAMS);
        let answers: Vec<_> = masq
            .into_iter()
            .map(|(came, leaves)| {
                let len = 24 + rng.below(1380);
                let payload = rng.bytes(len);
                let answer =
                    Datagram { src: leaves.dst, dst: leaves.src, payload, ..leaves.clone() };
                (answer.clone(), Datagram { src: came.dst, ..answer })
            })
            .collect();
        check(&mut rig, &mut rng, S, (MAC_DS, mac(1)), &answers);
        let dropped: u64 = rig.machine.totals().dropped.iter().sum();
        assert_eq!(dropped, 0, "round {round}");
    }
}
