//! Every combination, with contents from a seed: what arrives is what was sent.

use super::super::{Ends, Inner, Outer, Unfinished, encapsulate, source_port};
use super::receiver::receive;
use super::{Encap, GueChecksum, ends, every_encap, inner_of};
use crate::address::Family;
use crate::ids::PortId;
use crate::io::Packet;
use crate::io::sim::{HEADROOM, SimPacket};
use crate::testing::{Rng, assert_frames_equal, naive_checksum, naive_sum};

const FAMILIES: [Family; 2] = [Family::V4, Family::V6];
const PORT: u16 = 6080;

/// A frame with random contents behind a true IP header.
fn frame(rng: &mut Rng, family: Family) -> Vec<u8> {
    let len = [0, 1, 7, 8, 20, 21, 700, 1399, 1400][rng.below(9)];
    let mut payload = rng.bytes(len);
    if rng.one_in(4) {
        // Sums that come to either zero.
        payload.fill([0, 0xff][rng.below(2)]);
    }
    let (ip, ethertype) = match family {
        Family::V4 => (ipv4(rng, &payload), [0x08, 0x00]),
        Family::V6 => (ipv6(rng, &payload), [0x86, 0xdd]),
    };
    let tag: &[u8] = if rng.one_in(3) { &[0x81, 0x00, 0x20, 0x05] } else { &[] };
    [&[2, 0, 0, 0, 0x0d, 1, 2, 0, 0, 0, 0x0c, 1], tag, &ethertype, &ip].concat()
}

fn ipv4(rng: &mut Rng, payload: &[u8]) -> Vec<u8> {
    let words = 5 + rng.below(3);
    let mut header = rng.bytes(4 * words);
    header[0] = 0x40 | words as u8;
    header[2..4].copy_from_slice(&((4 * words + payload.len()) as u16).to_be_bytes());
    header[6] &= 0x40;
    header[7] = 0;
    header[8] = header[8].max(2);
    header[10..12].fill(0);
    let check = naive_checksum(&header);
    header[10..12].copy_from_slice(&check.to_be_bytes());
    [&header, payload].concat()
}

fn ipv6(rng: &mut Rng, payload: &[u8]) -> Vec<u8> {
    let mut header = rng.bytes(40);
    header[0] = 0x60 | header[0] & 0x0f;
    header[4..6].copy_from_slice(&(payload.len() as u16).to_be_bytes());
    header[7] = header[7].max(2);
    [&header, payload].concat()
}

/// The IP packet with its time to live less one, header summed anew.
fn one_hop_further(ip: &[u8]) -> Vec<u8> {
    let mut ip = ip.to_vec();
    if ip[0] >> 4 == 6 {
        ip[7] -= 1;
        return ip;
    }
    let len = usize::from(ip[0] & 15) * 4;
    ip[8] -= 1;
    ip[10..12].fill(0);
    let check = naive_checksum(&ip[..len]);
    ip[10..12].copy_from_slice(&check.to_be_bytes());
    ip
}

fn every_tunnel() -> impl Iterator<Item = (Family, Outer)> {
    let outers = every_encap(PORT).map(|encap| FAMILIES.map(|f| Outer { encap, ends: ends(f, 1) }));
    outers.into_iter().flatten().flat_map(|outer| FAMILIES.map(|inner| (inner, outer)))
}

fn addresses(ends: Ends) -> Vec<u8> {
    match ends {
        Ends::V4 { local, remote } => [local.to_be_bytes(), remote.to_be_bytes()].concat(),
        Ends::V6 { local, remote } => [local.to_be_bytes(), remote.to_be_bytes()].concat(),
    }
}

#[test]
fn what_arrives_is_what_was_sent() {
    let mut rng = Rng::new(1);
    for (family, outer) in every_tunnel() {
        for _ in 0..500 {
            let came = frame(&mut rng, family);
            let (inner, entropy) = (inner_of(&came), rng.next() as u16);
            let padding = rng.below(30);
            let id = rng.one_in(2).then_some(rng.next() as u16);
            let mut packet = SimPacket::new(&[&came[..], &rng.bytes(padding)].concat(), PortId(0));
            assert!(encapsulate(&mut packet, &inner, &outer, id, entropy));
            check(&came, packet.bytes(), &inner, &outer, id, entropy);
        }
    }
}

fn check(came: &[u8], left: &[u8], inner: &Inner, outer: &Outer, id: Option<u16>, entropy: u16) {
    let l3 = usize::from(inner.l3);
    assert_eq!(left[..l3 - 2], came[..l3 - 2], "link header");
    let v4 = outer.ends.family() == Family::V4;
    assert_eq!(left[l3 - 2..l3], if v4 { [0x08, 0x00] } else { [0x86, 0xdd] });
    let added = left.len() - came.len();
    assert_eq!(added, usize::from(outer.encap.overhead(outer.ends.family())));
    let arrived = receive(&left[l3..]);
    assert_frames_equal(&arrived.ip, &one_hop_further(&came[l3..]), "inner packet");
    let experienced = inner.tos & 3 == 3;
    let tos = if experienced { inner.tos - 1 } else { inner.tos };
    assert_eq!((arrived.ttl, arrived.tos), (inner.ttl - 1, tos));
    assert_eq!(arrived.addresses, addresses(outer.ends));
    assert_eq!(arrived.fragment, v4.then_some(id.map_or((0x4000, 0), |id| (0, id))));
    let is_gue = matches!(outer.encap, Encap::Gue { .. });
    assert_eq!(arrived.ports, is_gue.then_some((source_port(entropy), PORT)));
    let plain = [Encap::Ipip, Encap::Gre { checksum: false }];
    let unsummed = Encap::Gue { port: PORT, checksum: GueChecksum::Absent };
    assert_eq!(arrived.summed, !plain.contains(&outer.encap) && outer.encap != unsummed);
    assert!(!arrived.was_unfinished);
}

#[test]
fn a_udp_checksum_of_zero_is_sent_as_all_ones() {
    let mut rng = Rng::new(5);
    let encap = Encap::Gue { port: PORT, checksum: GueChecksum::Full };
    for (family, outer) in every_tunnel().filter(|(_, outer)| outer.encap == encap) {
        let mut came = frame(&mut rng, family);
        came.resize(1000, 0);
        let mut inner = inner_of(&came);
        inner.ip_len = (came.len() - usize::from(inner.l3)) as u16;
        let check_at =
            usize::from(inner.l3) + if outer.ends.family() == Family::V4 { 26 } else { 46 };
        let sent = |came: &[u8]| {
            let mut packet = SimPacket::new(came, PortId(0));
            assert!(encapsulate(&mut packet, &inner, &outer, None, 0));
            packet.bytes()[check_at..check_at + 2].to_vec()
        };
        // The last word, once 0, becomes what the sum lacks to all ones, whose complement is 0.
        came[998..].fill(0);
        let lacking = sent(&came);
        came[998..].copy_from_slice(&lacking);
        assert_eq!(sent(&came), [0xff, 0xff]);
    }
}

/// Leaves the pseudo header's sum (any will do) in the checksum field of the L4 part, and says what
/// the frame is when all is summed.
fn begin(rng: &mut Rng, came: &mut [u8], inner: &mut Inner) -> Vec<u8> {
    let l3 = usize::from(inner.l3);
    let ip = &mut came[l3..];
    let start = if ip[0] >> 4 == 6 { 40 } else { usize::from(ip[0] & 15) * 4 };
    let field = start + [6, 16][rng.below(2)];
    let pseudo_header = [0, 0xffff, rng.next() as u16][rng.below(3)];
    ip[field..field + 2].copy_from_slice(&pseudo_header.to_be_bytes());
    inner.unfinished = Some(Unfinished { start: start as u16, field: field as u16 });
    let sum = naive_sum(&ip[start..]);
    let mut finished = one_hop_further(ip);
    finished[field..field + 2].copy_from_slice(&(!sum).to_be_bytes());
    finished
}

#[test]
fn remote_checksum_offload_undone_gives_the_finished_packet_and_others_carry_it_as_it_is() {
    let mut rng = Rng::new(2);
    let (mut undone, mut carried) = (0, 0);
    for (family, outer) in every_tunnel() {
        for _ in 0..200 {
            let mut came = frame(&mut rng, family);
            let mut inner = inner_of(&came);
            if came.len() < 60 + 20 + usize::from(inner.l3) {
                continue;
            }
            let finished = begin(&mut rng, &mut came, &mut inner);
            let mut packet = SimPacket::new(&came, PortId(0));
            assert!(encapsulate(&mut packet, &inner, &outer, None, 7));
            let arrived = receive(&packet.bytes()[inner.l3.into()..]);
            let remote = Encap::Gue { port: PORT, checksum: GueChecksum::Remote };
            assert_eq!(arrived.was_unfinished, outer.encap == remote);
            if arrived.was_unfinished {
                assert_frames_equal(&arrived.ip, &finished, "finished");
                undone += 1;
            } else {
                let carried_on = one_hop_further(&came[inner.l3.into()..]);
                assert_frames_equal(&arrived.ip, &carried_on, "unfinished");
                carried += 1;
            }
        }
    }
    assert!(undone > 100 && carried > 500, "{undone} undone, {carried} carried");
}

#[test]
fn without_headroom_the_packet_stays_as_it_was() {
    let mut rng = Rng::new(3);
    for (family, outer) in every_tunnel() {
        let room = usize::from(outer.encap.overhead(outer.ends.family()));
        for (headroom, enough) in [(0, false), (room - 1, false), (room, true)] {
            let came = [frame(&mut rng, family), vec![0; 5]].concat();
            let mut packet = SimPacket::new(&came, PortId(0));
            assert!(packet.grow_front(HEADROOM - headroom));
            packet.bytes_mut()[..came.len()].copy_from_slice(&came);
            packet.truncate(came.len());
            let inner = inner_of(&came);
            assert_eq!(encapsulate(&mut packet, &inner, &outer, None, 0), enough, "{outer:?}");
            if !enough {
                assert_frames_equal(packet.bytes(), &came, "no headroom");
            }
        }
    }
}

#[test]
fn what_does_not_fit_the_length_field_stays_as_it_was() {
    let mut rng = Rng::new(4);
    for (family, outer) in every_tunnel() {
        let came = frame(&mut rng, family);
        // IPv4 counts its own header.
        let over = outer.ends.family();
        let counted = outer.encap.overhead(over) - if over == Family::V4 { 0 } else { 40 };
        // The claim alone decides: nothing is read at the packet's end.
        let Some(ip_len) = (u16::MAX - counted).checked_add(1) else { continue };
        let inner = Inner { ip_len, ..inner_of(&came) };
        let mut packet = SimPacket::new(&came, PortId(0));
        assert!(!encapsulate(&mut packet, &inner, &outer, None, 0), "{outer:?}");
        assert_frames_equal(packet.bytes(), &came, "too long");
    }
}
