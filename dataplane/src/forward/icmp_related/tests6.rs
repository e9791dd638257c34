use super::*;
use crate::ids::PortId;
use crate::io::sim::SimPacket;
use crate::parse::{Content, Parsed, parse};
use crate::testing::{Frame, Rng, assert_frames_equal};

type End = (u128, u16);

const CLIENT: End = (0x2001_0db8_00cc << 80 | 1, 4000);
const VIP: End = (0x2001_0db8_000c << 80 | 0x100, 80);
const RIP: End = (0x2001_0db8_0005 << 80 | 0x11, 8080);
const ROUTER: u128 = 0x2001_0db8_000c << 80 | 2;

fn headers(frame: &[u8]) -> IcmpHeaders<u128> {
    match parse(frame) {
        Parsed::V6(Content::Icmp(headers)) => headers,
        other => panic!("not ICMPv6: {other:?}"),
    }
}

fn rewritten(frame: &[u8], leaf: impl FnOnce(&mut SimPacket, &IcmpHeaders<u128>)) -> Vec<u8> {
    let mut packet = SimPacket::new(frame, PortId(0));
    assert!(checksum_ok(&packet, &headers(frame)));
    leaf(&mut packet, &headers(frame));
    packet.bytes().to_vec()
}

/// The packet that an error quotes: any shape, given its ends; its L4 checksum is that of the ends
/// in `summed`, since rewriting leaves it.
fn quoted(rng: &mut Rng) -> impl Fn([End; 2], [End; 2]) -> Vec<u8> + use<> {
    let (udp, ext) = (rng.one_in(2), rng.below(3) * 16);
    let payload_len = rng.below(40);
    let (payload, cut) = (rng.bytes(payload_len), rng.below(60));
    move |[from, to], [summed_from, summed_to]| {
        let make = if udp { Frame::udp6 } else { Frame::tcp6 };
        let build = |from: End, to: End| {
            let frame = make(from.0, from.1, to.0, to.1).payload(&payload);
            if ext == 0 { frame } else { frame.ext_of_len(60, ext) }.build_ip()
        };
        let (mut ip, summed) = (build(from, to), build(summed_from, summed_to));
        let check = 40 + ext + if udp { 6 } else { 16 };
        ip[check..check + 2].copy_from_slice(&summed[check..check + 2]);
        ip.truncate((44 + ext + cut).min(ip.len()));
        ip
    }
}

#[test]
fn a_rewritten_error_equals_the_one_built_with_the_new_ends() {
    let mut rng = Rng::new(63);
    for round in 0..4000 {
        let quote = quoted(&mut rng);
        let (kind, rest) = (1 + rng.below(4) as u8, rng.next() as u32);
        let (ext, tagged, padding) = (rng.below(3) * 8, rng.one_in(3), rng.below(9));
        let error = |src: u128, dst: u128, hop_limit: u8, quote: Vec<u8>| {
            let frame = Frame::icmp6(src, dst, kind, 1, rest).payload(&quote).ttl(hop_limit);
            let frame = if ext == 0 { frame } else { frame.ext_of_len(0, ext) };
            if tagged { frame.tag(9) } else { frame }
        };
        let reply = [VIP, CLIENT];
        let came = error(ROUTER, VIP.0, 9, quote(reply, reply)).padding(padding).build();
        let left = error(ROUTER, RIP.0, 8, quote([RIP, CLIENT], reply)).build();
        let got = rewritten(&came, |packet, headers| inbound(packet, headers, RIP.0, RIP.1));
        assert_frames_equal(&got, &left, &format!("in, {round}"));
        let request = [CLIENT, RIP];
        let came = error(RIP.0, CLIENT.0, 9, quote(request, request)).padding(padding).build();
        let left = error(VIP.0, CLIENT.0, 8, quote([CLIENT, VIP], request)).build();
        let got = rewritten(&came, |packet, headers| outbound(packet, headers, VIP.0, VIP.1));
        assert_frames_equal(&got, &left, &format!("out, {round}"));
    }
}

#[test]
fn a_wrong_checksum_is_seen_and_the_addresses_are_part_of_it() {
    let reply = Frame::tcp6(VIP.0, VIP.1, CLIENT.0, CLIENT.1).build_ip();
    let error = Frame::icmp6(ROUTER, VIP.0, 1, 4, 0).payload(&reply);
    let is_ok = |frame: &[u8]| checksum_ok(&SimPacket::new(frame, PortId(0)), &headers(frame));
    let right = error.build();
    assert!(is_ok(&right) && is_ok(&error.clone().padding(5).build()));
    assert!(!is_ok(&error.bad_l4_checksum().build()));
    let mut other_source = right;
    other_source[14 + 8] ^= 1;
    assert!(!is_ok(&other_source));
}

#[test]
fn the_message_as_a_packet_has_its_outer_headers_fields() {
    let frame = Frame::icmp6(ROUTER, VIP.0, 2, 0, 1300).payload(&[9; 60]).tos(0xb8).ttl(7).build();
    let packet = SimPacket::new(&frame, PortId(0));
    let outer = as_packet(&packet, &headers(&frame));
    assert_eq!((outer.key.src, outer.key.dst, outer.key.proto), (ROUTER, VIP.0, 58));
    assert_eq!((outer.ttl, outer.tos, outer.df, outer.ip_len), (7, 0xb8, true, 108));
    assert_eq!(rest(&packet, &headers(&frame)), 1300);
}
