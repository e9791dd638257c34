use super::*;
use crate::ids::PortId;
use crate::io::sim::SimPacket;
use crate::parse::{Content, Parsed, parse};
use crate::testing::{Frame, Rng, assert_frames_equal, verify};

type End = (u128, u16);

fn forwarded(frame: &[u8], leaf: impl FnOnce(&mut SimPacket, &Headers<u128>)) -> Vec<u8> {
    let Parsed::V6(Content::Flow(headers)) = parse(frame) else { panic!("a flow") };
    let mut packet = SimPacket::new(frame, PortId(0));
    leaf(&mut packet, &headers);
    packet.bytes().to_vec()
}

/// A frame of any shape, given its ends.
fn shape(rng: &mut Rng) -> impl Fn(End, End) -> Frame + use<> {
    let (udp, tag, no_checksum) = (rng.one_in(2), rng.one_in(3), rng.one_in(4));
    let (ext, tcp_options) = (rng.below(3), rng.below(11) * 4);
    let payload_len = if rng.one_in(3) { rng.below(4) } else { rng.below(1400) };
    let payload = match rng.below(4) {
        0 => vec![0; payload_len],
        1 => vec![0xff; payload_len],
        _ => rng.bytes(payload_len),
    };
    let (label, class, flags, seq) = (rng.next(), rng.next(), rng.next(), rng.next());
    move |(src, sport), (dst, dport)| {
        let frame = match udp {
            true if no_checksum => Frame::udp6(src, sport, dst, dport).no_checksum(),
            true => Frame::udp6(src, sport, dst, dport),
            false => Frame::tcp6(src, sport, dst, dport).tcp_options(&vec![1; tcp_options]),
        };
        let frame = frame.flow_label(label as u32 & 0xf_ffff).tos(class as u8).payload(&payload);
        let frame = frame.flags(flags as u8).seq(seq as u32);
        let frame = (0..ext).fold(frame, |frame, round| frame.ext_of_len(60, 8 + 16 * round));
        if tag { frame.tag(0x0123) } else { frame }
    }
}

fn end(rng: &mut Rng) -> End {
    // Small numbers and all ones come up often enough to meet both zeros.
    let any = u128::from(rng.next()) << 64 | u128::from(rng.next());
    let address = [any, 0, u128::MAX, 1][rng.below(4)];
    (address, [rng.next() as u16, 0, u16::MAX, 80][rng.below(4)])
}

#[test]
fn a_rewritten_frame_equals_the_one_built_with_the_new_ends() {
    let mut rng = Rng::new(62);
    for round in 0..4000 {
        let (client, vip, rip) = (end(&mut rng), end(&mut rng), end(&mut rng));
        let frame = shape(&mut rng);
        let deltas = deltas(vip.0, vip.1, rip.0, rip.1);
        // A datagram without a checksum, which IPv6 forbids, leaves with one.
        let rebuilt = |frame: Frame| frame.ttl(9).with_checksum().build();
        let came = frame(client, vip).ttl(10).padding(round % 5).build();
        let into = forwarded(&came, |packet, headers| inbound(packet, headers, rip, deltas));
        assert_frames_equal(&into, &rebuilt(frame(client, rip)), &format!("in, {round}"));
        let came = frame(rip, client).ttl(10).build();
        let out = forwarded(&came, |packet, headers| outbound(packet, headers, vip, deltas));
        assert_frames_equal(&out, &rebuilt(frame(vip, client)), &format!("out, {round}"));
    }
}

#[test]
fn bad_checksums_stay_bad_and_by_as_much() {
    let (client, vip, rip) = ((1, 4000), (2, 80), (u128::MAX, 8080));
    for make in [Frame::tcp6, Frame::udp6] {
        let bad = |dst: End| make(client.0, client.1, dst.0, dst.1).bad_l4_checksum();
        let (there, back) =
            (deltas(vip.0, vip.1, rip.0, rip.1), deltas(rip.0, rip.1, vip.0, vip.1));
        let into = forwarded(&bad(vip).build(), |packet, headers| {
            inbound(packet, headers, rip, there);
        });
        assert_eq!(verify(&into).expect("whole").l4, Some(false));
        let again = forwarded(&into, |packet, headers| inbound(packet, headers, vip, back));
        assert_frames_equal(&again, &bad(vip).ttl(62).build(), "there and back");
    }
}
