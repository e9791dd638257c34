use super::*;
use crate::forward::golden_tests::exchanges;
use crate::forward::{fragment, masq};
use crate::fragments::{Fragment, FragmentCache, Refusal, Taken};
use crate::ids::PortId;
use crate::io::sim::{SimPacket, SimPool};
use crate::parse::{Content, FragmentHeaders, Parsed, parse};
use crate::testing::{Frame, Rng, assert_frames_equal};
use crate::time::Tick;
use crate::wire::{be32, ipv4, ipv6};
use std::collections::BTreeMap;

const CLIENT: (u32, u16) = (0xac10_0001, 4000);
const VIP: (u32, u16) = (0x0a00_0064, 53);
const RIP: (u32, u16) = (0xc0a8_010b, 5353);

/// A NAT rule: the service's end and the real server's.
#[derive(Clone, Copy)]
struct Nat<A> {
    vip: (A, u16),
    rip: (A, u16),
}

impl<A: IpHeader> Nat<A> {
    /// Translates a fragment of the client's or, `from_server`, of the real server's.
    fn translate(
        &self,
        frame: &[u8],
        headers: &Headers<A>,
        first: bool,
        from_server: bool,
    ) -> Vec<u8> {
        let mut packet = SimPacket::new(frame, PortId(0));
        let deltas = masq::deltas(self.vip.0, self.vip.1, self.rip.0, self.rip.1);
        match (first, from_server) {
            (true, false) => assert!(inbound(&mut packet, headers, self.rip, deltas)),
            (true, true) => assert!(outbound(&mut packet, headers, self.vip, deltas)),
            (false, false) => masq::inbound_riding(&mut packet, headers, self.rip.0, deltas.0),
            (false, true) => masq::outbound_riding(&mut packet, headers, self.vip.0, deltas.0),
        }
        packet.bytes().to_vec()
    }
}

fn fragment_of(frame: &[u8]) -> FragmentHeaders {
    match parse(frame) {
        Parsed::V4(Content::Fragment(fragment)) => fragment,
        other => panic!("a fragment: {other:?}"),
    }
}

fn cut(frame: &[u8], mtu: u16) -> Vec<Vec<u8>> {
    let (mut packet, mut rest) = (SimPacket::new(frame, PortId(0)), Vec::new());
    assert!(fragment::fragment(&mut packet, 14, mtu, &mut SimPool::new(99), &mut rest, 99));
    [packet].iter().chain(&rest).map(|piece| piece.bytes().to_vec()).collect()
}

#[test]
fn translated_fragments_are_the_fragments_of_the_translated_datagram() {
    let mut rng = Rng::new(73);
    for round in 0..2000 {
        let payload_len = 100 + rng.below(1400);
        let payload = if rng.one_in(3) { vec![0xff; payload_len] } else { rng.bytes(payload_len) };
        let rip = [RIP, (rng.next() as u32, rng.next() as u16), VIP][rng.below(3)];
        let (nat, make) = (Nat { vip: VIP, rip }, [Frame::udp, Frame::tcp][rng.below(2)]);
        let frame = |src: (u32, u16), dst: (u32, u16), ttl| {
            make(src.0, src.1, dst.0, dst.1).payload(&payload).id(7).ttl(ttl).build()
        };
        let mtu = 44 + rng.below(80) as u16;
        for (from_server, before, after) in [
            (false, frame(CLIENT, VIP, 9), frame(CLIENT, rip, 8)),
            (true, frame(rip, CLIENT, 9), frame(VIP, CLIENT, 8)),
        ] {
            for (piece, expected) in cut(&before, mtu).iter().zip(cut(&after, mtu)) {
                let FragmentHeaders { headers, offset, .. } = fragment_of(piece);
                let ours = nat.translate(piece, &headers, offset == 0, from_server);
                assert_frames_equal(&ours, &expected, &format!("{round}, at {offset}"));
            }
        }
    }
}

#[test]
fn a_checksum_that_comes_to_zero_is_sent_as_all_ones() {
    let head =
        |dst: (u32, u16)| Frame::udp(CLIENT.0, CLIENT.1, dst.0, dst.1).build_ip()[20..].to_vec();
    let mut zeros = 0;
    for rport in 0..=u16::MAX {
        let (mut l4, (_, delta)) = (head(VIP), masq::deltas(VIP.0, VIP.1, RIP.0, rport));
        assert!(change_port(&mut l4, protocol::UDP, (tcp::DPORT, rport), delta));
        assert_eq!(l4, head((RIP.0, rport)), "port {rport}");
        zeros += u32::from(be16(&l4, udp::CHECKSUM) == udp::ZERO_CHECKSUM);
    }
    assert!(zeros > 0);
}

#[test]
fn a_datagram_without_a_checksum_stays_without_one() {
    let whole = Frame::udp(CLIENT.0, CLIENT.1, VIP.0, VIP.1).payload(&[1; 200]).no_checksum();
    let piece = &cut(&whole.build(), 100)[0];
    let nat = Nat { vip: VIP, rip: RIP };
    let ours = nat.translate(piece, &fragment_of(piece).headers, true, false);
    assert_eq!((be16(&ours, 14 + 20 + 2), be16(&ours, 14 + 20 + 6)), (RIP.1, 0));
}

#[test]
fn what_cannot_be_translated_is_left_as_it_was() {
    let deltas = masq::deltas(VIP.0, VIP.1, RIP.0, RIP.1);
    let refused = |proto, len: usize, rport| {
        let share: Vec<u8> = [&CLIENT.1.to_be_bytes()[..], &VIP.1.to_be_bytes(), &[7; 96]].concat();
        let frame = Frame::raw(CLIENT.0, VIP.0, proto, &share[..len]).fragment(0, true).build();
        let mut packet = SimPacket::new(&frame, PortId(0));
        let done = inbound(&mut packet, &fragment_of(&frame).headers, (RIP.0, rport), deltas);
        assert!(done || packet.bytes() == frame);
        !done
    };
    assert!(refused(protocol::SCTP, 96, RIP.1), "the checksum covers the port and all data");
    assert!(!refused(protocol::SCTP, 96, VIP.1), "the same port");
    assert!(refused(protocol::TCP, 16, RIP.1) && !refused(protocol::TCP, 24, RIP.1));
    assert!(refused(protocol::UDP, 0, RIP.1) && !refused(protocol::UDP, 8, RIP.1));
    assert!(refused(protocol::SCTP, 0, VIP.1));
}

/// What the cache and NAT make of every fragment of a trace, datagram by datagram, and what the
/// kernel sent for it. A datagram is named by its identification.
#[derive(Default)]
struct Datagrams {
    ours: BTreeMap<u32, Vec<Vec<u8>>>,
    refused: BTreeMap<u32, Vec<Refusal>>,
    kernels: BTreeMap<u32, Vec<Vec<u8>>>,
    held: usize,
}

/// Replays the fragments of a trace. `read` gives the headers of a fragment of the family.
fn replay<A: IpHeader>(
    name: &str,
    nats: &[Nat<A>],
    read: fn(&[u8]) -> Option<FragmentHeaders<A>>,
) -> Datagrams {
    let mut all = Datagrams::default();
    let mut cache = FragmentCache::new([1, 2]);
    for exchange in exchanges(name) {
        let Some(found) = read(&exchange.sent) else { continue };
        let (frame, server) = (exchange.sent, exchange.from_server);
        all.kernels.entry(found.id).or_default().extend(exchange.came);
        let fragment = Fragment::from(&found);
        let ours = all.ours.entry(found.id).or_default();
        // Every conn of these traces has the client's port 4000.
        let key = found.headers.key;
        let is_of = |nat: &&Nat<A>| match server {
            true => (nat.rip, CLIENT.1) == ((key.src, key.sport), key.dport),
            false => nat.vip == (key.dst, key.dport),
        };
        match cache.take(&fragment, (frame, found.headers), Tick(0)) {
            Taken::First((frame, headers)) => {
                let nat = nats.iter().find(is_of).copied();
                let mut released = Vec::new();
                cache.learn(&fragment.datagram, nat, &mut released);
                if let Some(nat) = nat {
                    ours.push(nat.translate(&frame, &headers, true, server));
                    let later = released.iter();
                    ours.extend(later.map(|(frame, h)| nat.translate(frame, h, false, server)));
                }
            }
            Taken::Later((frame, headers), nat) => {
                ours.extend(nat.map(|nat| nat.translate(&frame, &headers, false, server)));
            }
            Taken::Refused(_, why) => all.refused.entry(found.id).or_default().push(why),
            Taken::Held => {}
            Taken::Whole(_) => panic!("a fragment"),
        }
    }
    all.held = cache.held();
    all
}

impl Datagrams {
    /// The IP packets of ours and the kernel's, each by offset.
    fn of(&mut self, id: u32, offset: fn(&[u8]) -> u16) -> [Vec<Vec<u8>>; 2] {
        [&mut self.ours, &mut self.kernels].map(|of| {
            let frames = of.remove(&id).expect("a datagram of the trace").into_iter();
            let mut packets: Vec<_> = frames.map(|frame| frame[14..].to_vec()).collect();
            packets.sort_by_key(|packet| offset(packet));
            packets
        })
    }
}

fn offset_v4(ip: &[u8]) -> u16 {
    ipv4::fragment(ip) & ipv4::OFFSET_MASK
}

/// The offset of a fragment whose Fragment header follows the IPv6 header.
fn offset_v6(ip: &[u8]) -> u16 {
    be16(ip, ipv6::HEADER_LEN + 2) >> 3
}

#[test]
fn what_leaves_for_a_datagram_equals_what_the_kernel_sent_for_it() {
    let nats = [(53, 53), (80, 80)].map(|(v, r)| Nat { vip: (VIP.0, v), rip: (RIP.0, r) });
    let mut all = replay("nat_fragments", &nats, |frame| match parse(frame) {
        Parsed::V4(Content::Fragment(fragment)) => Some(fragment),
        _ => None,
    });
    // In order, reversed, small, and replies in order and reversed.
    for (id, pieces) in [(0x77, 3), (0x78, 4), (0x79, 2), (0x87, 3), (0x88, 3)] {
        let [ours, kernels] = all.of(id, offset_v4);
        assert_eq!((ours.len(), kernels.len()), (pieces, pieces), "{id:#x}");
        for (ours, kernels) in ours.iter().zip(&kernels) {
            assert_frames_equal(ours, kernels, &format!("datagram {id:#x}"));
        }
    }
    // With DF: the kernel finds the whole too long; each fragment fits.
    let [ours, kernels] = all.of(0x7a, offset_v4);
    assert_eq!((ours.len(), kernels.len()), (2, 1));
    // First fragment only, later fragment only: the kernel sends nothing.
    assert_eq!(all.of(0x7b, offset_v4).map(|packets| packets.len()), [1, 0]);
    assert_eq!((all.of(0x7c, offset_v4).map(|packets| packets.len()), all.held), ([0, 0], 1));
    // Without a conn and without a service: Linux's, both times.
    assert_eq!(all.of(0x89, offset_v4).map(|packets| packets.len()), [0, 2]);
    assert_eq!(all.of(0x91, offset_v4).map(|packets| packets.len()), [0, 1]);
    // A TCP header in two fragments: the kernel puts it together.
    assert_eq!(all.of(0x90, offset_v4).map(|packets| packets.len()), [0, 2]);
    assert_eq!(all.refused[&0x90], [Refusal::Tiny; 3]);
    assert_eq!(all.refused.len(), 1);
}

#[test]
fn over_ipv6_nothing_differs_but_the_identification() {
    let vip = 0x2001_0db8_000c << 80 | 0x100;
    let nat = Nat { vip: (vip, 53), rip: (0x2001_0db8_0005 << 80 | 0x11, 5353) };
    let mut all = replay("nat_v6", &[nat], |frame| match parse(frame) {
        Parsed::V6(Content::Fragment(fragment)) => Some(fragment),
        _ => None,
    });
    let [ours, mut kernels] = all.of(0x4321, offset_v6);
    assert_eq!((ours.len(), kernels.len()), (2, 2));
    for (ours, kernels) in ours.iter().zip(&mut kernels) {
        let id_at = ipv6::HEADER_LEN + 4;
        assert_eq!(be32(ours, id_at), 0x4321);
        kernels[id_at..id_at + 4].copy_from_slice(&ours[id_at..id_at + 4]);
        assert_frames_equal(ours, kernels, "reply");
    }
    // The server's side takes 1400 bytes: the kernel says so, and the first fragment is longer.
    let [ours, kernels] = all.of(0x1234, offset_v6);
    assert_eq!((ours[0].len(), ours[1].len(), kernels.len()), (1496, 608, 1));
}
