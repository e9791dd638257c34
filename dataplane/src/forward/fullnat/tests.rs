use super::*;
use crate::ids::PortId;
use crate::io::sim::SimPacket;
use crate::parse::{Content, Parsed, parse};
use crate::testing::{Frame, Rng, assert_frames_equal, verify};

/// How a family's frames are made and read.
trait Framed: IpHeader {
    fn any(rng: &mut Rng) -> Self;
    fn tcp(src: End<Self>, dst: End<Self>) -> Frame;
    fn udp(src: End<Self>, dst: End<Self>) -> Frame;
    fn headers(frame: &[u8]) -> Headers<Self>;
}

impl Framed for u32 {
    fn any(rng: &mut Rng) -> u32 {
        [rng.next() as u32, 0, u32::MAX, 1][rng.below(4)]
    }
    fn tcp(src: End<u32>, dst: End<u32>) -> Frame {
        Frame::tcp(src.0, src.1, dst.0, dst.1)
    }
    fn udp(src: End<u32>, dst: End<u32>) -> Frame {
        Frame::udp(src.0, src.1, dst.0, dst.1)
    }
    fn headers(frame: &[u8]) -> Headers {
        let Parsed::V4(Content::Flow(headers)) = parse(frame) else { panic!("a flow") };
        headers
    }
}

impl Framed for u128 {
    fn any(rng: &mut Rng) -> u128 {
        let any = u128::from(rng.next()) << 64 | u128::from(rng.next());
        [any, 0, u128::MAX, 1][rng.below(4)]
    }
    fn tcp(src: End<u128>, dst: End<u128>) -> Frame {
        Frame::tcp6(src.0, src.1, dst.0, dst.1)
    }
    fn udp(src: End<u128>, dst: End<u128>) -> Frame {
        Frame::udp6(src.0, src.1, dst.0, dst.1)
    }
    fn headers(frame: &[u8]) -> Headers<u128> {
        let Parsed::V6(Content::Flow(headers)) = parse(frame) else { panic!("a flow") };
        headers
    }
}

fn rewritten<A: Framed>(frame: &[u8], ends: &Ends<A>, deltas: (Delta, Delta)) -> Vec<u8> {
    let mut packet = SimPacket::new(frame, PortId(0));
    rewrite(&mut packet, &A::headers(frame), ends, deltas);
    packet.bytes().to_vec()
}

fn end<A: Framed>(rng: &mut Rng) -> End<A> {
    (A::any(rng), [rng.next() as u16, 0, u16::MAX, 80][rng.below(4)])
}

/// A frame of any shape, given its ends.
fn shape<A: Framed>(rng: &mut Rng) -> impl Fn(Ends<A>) -> Frame + use<A> {
    let (udp, no_checksum, tag) = (rng.one_in(2), rng.one_in(4), rng.one_in(3));
    let (len, tcp_options, ip_options) = (rng.below(600), rng.below(11) * 4, rng.below(11) * 4);
    let (payload, seq) = (rng.bytes(len), rng.next() as u32);
    move |Ends { src, dst }| {
        let frame = match udp {
            true if no_checksum => A::udp(src, dst).no_checksum(),
            true => A::udp(src, dst),
            false => A::tcp(src, dst).tcp_options(&vec![1; tcp_options]).seq(seq),
        };
        let options = if A::BITS == 32 { ip_options } else { 0 };
        let frame = frame.payload(&payload).ip_options(&vec![1; options]);
        if tag { frame.tag(0x0123) } else { frame }
    }
}

fn frames_equal_those_built_with_the_new_ends<A: Framed>(seed: u64) {
    let mut rng = Rng::new(seed);
    for round in 0..3000 {
        let (client, vip): (End<A>, End<A>) = (end(&mut rng), end(&mut rng));
        let (local, rip) = (end(&mut rng), end(&mut rng));
        let frame = shape::<A>(&mut rng);
        let (came, leaves) = (Ends { src: client, dst: vip }, Ends { src: local, dst: rip });
        let (l3, l4) = deltas(&came, &leaves);
        let rebuilt = |ends| frame(ends).ttl(9).with_checksum().build();
        let into = rewritten(&frame(came).ttl(10).padding(round % 7).build(), &leaves, (l3, l4));
        assert_frames_equal(&into, &rebuilt(leaves), &format!("in, {round}"));
        let reply = frame(Ends { src: rip, dst: local }).ttl(10).build();
        let ends = Ends { src: vip, dst: client };
        let back = rewritten(&reply, &ends, (checksum::negate(l3), checksum::negate(l4)));
        assert_frames_equal(&back, &rebuilt(ends), &format!("out, {round}"));
    }
}

#[test]
fn a_rewritten_frame_equals_the_one_built_with_the_new_ends() {
    frames_equal_those_built_with_the_new_ends::<u32>(51);
    frames_equal_those_built_with_the_new_ends::<u128>(52);
}

#[test]
fn bad_checksums_stay_bad_and_by_as_much() {
    let came = Ends { src: (1_u32, 4000), dst: (0x0a00_0064, 80) };
    let leaves = Ends { src: (0xc0a8_0101, 61_000), dst: (0xc0a8_010b, 8080) };
    for make in [u32::tcp as fn(End<u32>, End<u32>) -> Frame, u32::udp] {
        let bad = |ends: Ends<u32>| make(ends.src, ends.dst).bad_l4_checksum();
        let into = rewritten(&bad(came).build(), &leaves, deltas(&came, &leaves));
        assert_eq!(verify(&into).expect("whole").l4, Some(false));
        let back = rewritten(&into, &came, deltas(&leaves, &came));
        assert_frames_equal(&back, &bad(came).ttl(62).build(), "there and back");
    }
}

#[test]
fn an_error_is_as_if_it_were_about_the_packet_with_the_new_ends() {
    let client_side = Ends { src: (0x0a00_0064, 80), dst: (0xac10_0001, 4000) };
    let server_side = Ends { src: (0xc0a8_010b, 8080), dst: (0xc0a8_0101, 61_000) };
    let quoted = |Ends { src, dst }| Frame::tcp(src.0, src.1, dst.0, dst.1).bad_l4_checksum();
    let error =
        |from, to, about, len| Frame::icmp_error(from, to, 3, 4, &quoted(about).build(), 20 + len);
    let (from, to) = (0x0808_0808, client_side.src.0);
    for len in [8, 20] {
        let frame = error(from, to, client_side, len).ttl(10).padding(3).build();
        let Parsed::V4(Content::Icmp(headers)) = parse(&frame) else { panic!("an error") };
        let mut packet = SimPacket::new(&frame, PortId(0));
        let outer = (server_side.dst.0, server_side.src.0);
        rewrite_error(&mut packet, &headers, &server_side);
        // The quoted TCP checksum stays that of the packet which was sent.
        let came = &frame[14 + 28..14 + 28 + 20 + len];
        let mut wanted = error(outer.0, outer.1, server_side, len).ttl(9).build();
        wanted[14 + 28 + 20 + 4..].copy_from_slice(&came[24..]);
        put16(&mut wanted, 14 + 20 + 2, 0);
        let check = checksum::checksum(&wanted[14 + 20..]);
        put16(&mut wanted, 14 + 20 + 2, check);
        assert_frames_equal(packet.bytes(), &wanted, "error");
        assert!(verify(packet.bytes()).expect("whole").ip);
    }
}

#[test]
fn sctp_gets_a_true_checksum() {
    let chunk = [0, 3, 0, 4];
    let mut bytes = vec![0; 12];
    (bytes[0], bytes[3]) = (9, 80);
    bytes.extend(chunk);
    let frame = Frame::raw(1_u32, 2, protocol::SCTP, &bytes).build();
    let ends = Ends { src: (3_u32, 4), dst: (5, 6) };
    let came = Ends { src: (1, 9 << 8), dst: (2, 80) };
    let out = rewritten(&frame, &ends, deltas(&came, &ends));
    assert_eq!((u32::headers(&out).key.sport, u32::headers(&out).key.dport), (4, 6));
    assert!(sctp::checksum_ok(&out[34..]));
    let key = u32::headers(&out).key;
    assert_eq!((key.src, key.dst), (3, 5));
}
