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

#[test]
fn the_message_as_a_packet_has_its_outer_headers_fields() {
    let frame = Frame::icmp(ROUTER, VIP.0, 3, 1, 0).payload(&[9; 40]).df().tos(0xb8).ttl(7).build();
    let packet = as_packet(&SimPacket::new(&frame, PortId(0)), &headers(&frame));
    assert_eq!((packet.key.src, packet.key.dst, packet.key.proto), (ROUTER, VIP.0, 1));
    assert_eq!((packet.ttl, packet.tos, packet.df, packet.ip_len), (7, 0xb8, true, 68));
    assert!(verify(&frame).is_some_and(|checks| checks.ip));
}
