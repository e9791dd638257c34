use super::*;
use crate::ids::PortId;
use crate::io::sim::{ROOM, SimPacket};
use crate::parse::{Content, Parsed, parse};
use crate::testing::{Frame, Rng, assert_frames_equal, naive_sum, verify};
use crate::wire::{ethernet, put128};

fn flow(frame: &[u8]) -> Headers {
    match parse(frame) {
        Parsed::V4(Content::Flow(headers)) => headers,
        other => panic!("a flow: {other:?}"),
    }
}

fn control(payload: &[u8]) -> Frame {
    Frame::tcp(0xc0a8_010b, 21, 0xac10_0001, 4000).payload(payload)
}

#[test]
fn an_edited_frame_equals_the_one_built_with_the_new_payload() {
    let mut rng = Rng::new(3);
    for round in 0..3000 {
        let (old_len, new_len) = (rng.below(80), rng.below(40));
        let (mut payload, with) = (rng.bytes(old_len), rng.bytes(new_len));
        let start = rng.below(payload.len() + 1);
        let end = start + rng.below(payload.len() - start + 1);
        let (options, padding) = (vec![1; rng.below(11) * 4], rng.below(30));
        let shape = |payload: &[u8]| {
            let frame = control(payload).ip_options(&options).tcp_options(&options).seq(7);
            if round % 3 == 0 { frame.tag(5) } else { frame }
        };
        let came = shape(&payload).padding(padding).build();
        let mut packet = SimPacket::new(&came, PortId(0));
        let mut headers = flow(&came);
        let diff = replace(&mut packet, &mut headers, start..end, &with);
        assert_eq!(diff, Ok(with.len() as i32 - (end - start) as i32));
        payload.splice(start..end, with);
        assert_frames_equal(packet.bytes(), &shape(&payload).build(), &format!("round {round}"));
        assert_eq!(headers, flow(packet.bytes()));
    }
}

#[test]
fn a_refused_packet_is_as_it_was() {
    let wrong = control(b"227 x").bad_l4_checksum().padding(3).build();
    let right = control(b"227 x").padding(3).build();
    let mut lying = right.clone();
    for (frame, span, refused) in [
        (&wrong, 0..1, Refused::BadChecksum),
        (&right, 0..6, Refused::BadHeader),
        (&right, 6..6, Refused::BadHeader),
    ] {
        let mut packet = SimPacket::new(frame, PortId(0));
        let mut headers = flow(frame);
        assert_eq!(replace(&mut packet, &mut headers, span, b"long enough"), Err(refused));
        assert_frames_equal(packet.bytes(), frame, "refused");
        assert_eq!(headers, flow(frame));
    }
    let mut headers = flow(&right);
    for offset in [0, 4, 7, 15] {
        lying[14 + 20 + tcp::DATA_OFFSET] = offset << 4;
        assert_eq!(payload(&lying, &headers), None, "header of {offset} words");
        let mut packet = SimPacket::new(&lying, PortId(0));
        assert_eq!(replace(&mut packet, &mut headers, 0..0, b""), Err(Refused::BadHeader));
    }
    assert_eq!(Refused::BadChecksum.reason().name(), "bad_tcp_checksum");
}

#[test]
fn a_packet_that_fills_its_buffer_does_not_grow() {
    let frame = control(&vec![7; ROOM - 14 - 40]).build();
    let mut packet = SimPacket::new(&frame, PortId(0));
    let mut headers = flow(&frame);
    assert_eq!(replace(&mut packet, &mut headers, 3..4, b"12"), Err(Refused::NoRoom));
    assert_frames_equal(packet.bytes(), &frame, "unchanged");
    assert_eq!(replace(&mut packet, &mut headers, 3..4, b"1"), Ok(0));
    assert_eq!(replace(&mut packet, &mut headers, 3..4, b""), Ok(-1));
    assert_eq!(verify(packet.bytes()).expect("whole").l4, Some(true));
}

/// A TCP segment over IPv6, summed by the naive oracle.
fn ipv6_frame(payload: &[u8]) -> (Vec<u8>, Headers<u128>) {
    let (src, dst) = (0x2001_0db8_0005u128 << 80 | 0x11, 0x2001_0db8_00ccu128 << 80 | 1);
    let segment = &control(payload).build()[14 + 20..];
    let template = ipv6::Template {
        traffic_class: 0,
        flow_label: 0,
        payload_len: segment.len() as u16,
        next_header: 6,
        hop_limit: 64,
        src,
        dst,
    };
    let mut frame = vec![2; 12];
    frame.extend([0x86, 0xdd]);
    frame.resize(14 + 40, 0);
    template.write(&mut frame[14..]);
    frame.extend(segment);
    put16(&mut frame, 54 + tcp::CHECKSUM, 0);
    let check = !naive_ipv6_sum(&frame);
    put16(&mut frame, 54 + tcp::CHECKSUM, check);
    let key = crate::flow::FlowKey { src, dst, sport: 21, dport: 4000, proto: 6 };
    let ip_len = (frame.len() - 14) as u16;
    let (tos, event) = (0, 0);
    (frame, Headers { key, vlan: 0, ip_len, l3: 14, l4: 54, event, ttl: 64, tos, df: true })
}

fn naive_ipv6_sum(frame: &[u8]) -> u16 {
    let mut covered = frame[14 + 8..].to_vec();
    covered.extend(((frame.len() - 54) as u32).to_be_bytes());
    covered.extend([0, 0, 0, 6]);
    // An odd segment is padded before the rest of the pseudo header follows.
    if frame.len() % 2 == 1 {
        let at = frame.len() - 22;
        covered.insert(at, 0);
    }
    naive_sum(&covered)
}

#[test]
fn ipv6_is_edited_alike() {
    for with in [b"|||5|".as_slice(), b"|||51211|", b""] {
        let (frame, mut headers) = ipv6_frame(b"229 ok (|||512|)\r\n");
        assert!(checksum_ok(&frame, &headers));
        let mut packet = SimPacket::new(&frame, PortId(0));
        assert_eq!(replace(&mut packet, &mut headers, 8..15, with), Ok(with.len() as i32 - 7));
        let new = [b"229 ok (".as_slice(), with, b")\r\n"].concat();
        assert_frames_equal(packet.bytes(), &ipv6_frame(&new).0, "IPv6");
    }
    let (mut frame, headers) = ipv6_frame(b"odd");
    put128(&mut frame, 14 + ipv6::SRC, 1);
    assert!(!checksum_ok(&frame, &headers));
    assert_eq!(ethernet::link(&frame).map(|link| link.payload), Some(14));
}
