use super::*;
use crate::ids::PortId;
use crate::io::sim::SimPacket;
use crate::parse::{Content, Parsed, parse};
use crate::testing::{Frame, Rng, assert_frames_equal, verify};

type End = (u32, u16);

const CLIENT: End = (0xac10_0001, 4000);
const VIP: End = (0x0a00_0064, 80);
const RIP: End = (0xc0a8_010b, 8080);
const ROUTER: u32 = 0x0a00_0002;
const LOCAL: u32 = 0xc0a8_0101;

fn headers(frame: &[u8]) -> IcmpHeaders {
    match parse(frame) {
        Parsed::V4(Content::Icmp(headers)) => headers,
        other => panic!("not ICMP: {other:?}"),
    }
}

fn rewritten(frame: &[u8], leaf: impl FnOnce(&mut SimPacket, &IcmpHeaders)) -> Vec<u8> {
    let mut packet = SimPacket::new(frame, PortId(0));
    assert!(checksum_ok(&packet, &headers(frame)));
    leaf(&mut packet, &headers(frame));
    packet.bytes().to_vec()
}

/// The packet that an error quotes: any shape, given its ends; its L4 checksum is that of the ends
/// in `summed`, since rewriting leaves it.
fn quoted(rng: &mut Rng) -> impl Fn([End; 2], [End; 2]) -> Vec<u8> + use<> {
    let (udp, options) = (rng.one_in(2), vec![1; rng.below(11) * 4]);
    let payload_len = rng.below(40);
    let (payload, id) = (rng.bytes(payload_len), rng.next() as u16);
    let cut = rng.below(60);
    move |[from, to], [summed_from, summed_to]| {
        let make = if udp { Frame::udp } else { Frame::tcp };
        let build = |from: End, to: End| {
            let frame = make(from.0, from.1, to.0, to.1).payload(&payload).id(id);
            frame.ip_options(&options).build_ip()
        };
        let (mut ip, summed) = (build(from, to), build(summed_from, summed_to));
        let check = 20 + options.len() + if udp { 6 } else { 16 };
        ip[check..check + 2].copy_from_slice(&summed[check..check + 2]);
        ip.truncate((24 + options.len() + cut).min(ip.len()));
        ip
    }
}

#[test]
fn a_rewritten_error_equals_the_one_built_with_the_new_ends() {
    let mut rng = Rng::new(31);
    for round in 0..4000 {
        let quote = quoted(&mut rng);
        let kind = [3, 4, 11][rng.below(3)];
        let (options, tagged, rest) = (rng.below(11) * 4, rng.one_in(3), rng.next() as u32);
        let padding = rng.below(9);
        let error = |src: u32, dst: u32, ttl: u8, quote: Vec<u8>| {
            let frame = Frame::icmp(src, dst, kind, 1, rest).payload(&quote).ttl(ttl);
            let frame = frame.ip_options(&vec![1; options]);
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
fn a_wrong_checksum_of_the_message_is_seen_and_ethernet_padding_is_no_part_of_it() {
    let reply = Frame::tcp(VIP.0, VIP.1, CLIENT.0, CLIENT.1).build();
    let error = Frame::icmp_error(ROUTER, VIP.0, 3, 3, &reply, 28);
    let is_ok = |mut frame: Vec<u8>, extra: &[u8]| {
        frame.extend(extra);
        checksum_ok(&SimPacket::new(&frame, PortId(0)), &headers(&frame))
    };
    assert!(is_ok(error.build(), &[]) && is_ok(error.build(), b"padding"));
    assert!(!is_ok(error.bad_l4_checksum().build(), &[]));
}

/// An error about an outer packet whose inner one is `inner`, quoted to `len` bytes of the latter.
fn about_tunnel(inner: &[u8], len: usize) -> Frame {
    let outer = Frame::raw(LOCAL, RIP.0, 4, inner).build();
    Frame::icmp_error(ROUTER, LOCAL, 3, 1, &outer, 20 + len)
}

#[test]
fn an_unwrapped_packet_is_the_inner_one_as_far_as_it_was_quoted() {
    let inner = Frame::tcp(CLIENT.0, CLIENT.1, VIP.0, VIP.1).df().tos(8).payload(&[7; 30]).ttl(63);
    let whole = inner.build_ip();
    for tagged in [false, true] {
        for len in 24..=whole.len() {
            let frame = about_tunnel(&whole, len);
            let frame = if tagged { frame.tag(5) } else { frame }.padding(3).build();
            let icmp = headers(&frame);
            assert!(icmp.tunnelled);
            let mut packet = SimPacket::new(&frame, PortId(0));
            assert_eq!(tunnel_ends(&packet, &icmp), (LOCAL, RIP.0));
            let got = unwrap(&mut packet, &icmp);
            let l3 = if tagged { 18 } else { 14 };
            assert_frames_equal(packet.bytes(), &[&frame[..l3], &whole[..len]].concat(), "inner");
            let key = FlowKey { src: CLIENT.0, dst: VIP.0, sport: 4000, dport: 80, proto: 6 };
            assert_eq!((got.key, got.ip_len, got.l4), (key, len as u16, l3 as u8 + 20));
            assert_eq!((got.ttl, got.tos, got.df, got.vlan), (63, 8, true, icmp.vlan));
        }
    }
}

#[test]
fn an_inner_length_that_lies_is_kept_between_the_ports_and_what_is_there() {
    let mut inner = Frame::udp(CLIENT.0, CLIENT.1, VIP.0, VIP.1).payload(&[7; 30]).build_ip();
    for (said, taken) in [(0, 24), (20, 24), (25, 25), (58, 58), (59, 58), (u16::MAX, 58)] {
        put16(&mut inner, ipv4::TOTAL_LEN, said);
        let frame = about_tunnel(&inner, inner.len()).build();
        let mut packet = SimPacket::new(&frame, PortId(0));
        assert_eq!(unwrap(&mut packet, &headers(&frame)).ip_len, taken, "said {said}");
    }
}

#[test]
fn the_mtu_of_the_inner_packet_is_the_paths_less_the_outer_header_within_its_bounds() {
    let inner = Frame::tcp(CLIENT.0, CLIENT.1, VIP.0, VIP.1).build_ip();
    let outer = Frame::raw(LOCAL, RIP.0, 4, &inner).build_ip();
    let cases =
        [(1200, 1180), (1499, 1479), (1500, 1480), (9000, 1480), (88, 68), (70, 68), (0, 68)];
    for (path, told) in cases {
        let frame = Frame::icmp(ROUTER, LOCAL, 3, 4, path).payload(&outer).build();
        let packet = SimPacket::new(&frame, PortId(0));
        assert_eq!(inner_mtu(&packet, &headers(&frame), 1480), told, "path MTU {path}");
        assert_eq!(rest(&packet, &headers(&frame)), path);
    }
}

#[test]
fn the_message_as_a_packet_has_its_outer_headers_fields() {
    let frame = Frame::icmp(ROUTER, VIP.0, 3, 1, 0).payload(&[9; 40]).df().tos(0xb8).ttl(7).build();
    let packet = as_packet(&SimPacket::new(&frame, PortId(0)), &headers(&frame));
    assert_eq!((packet.key.src, packet.key.dst, packet.key.proto), (ROUTER, VIP.0, 1));
    assert_eq!((packet.ttl, packet.tos, packet.df, packet.ip_len), (7, 0xb8, true, 68));
    assert!(verify(&frame).is_some_and(|checks| checks.ip));
}
