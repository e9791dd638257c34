//! NAT: the destination's address and port inwards, the source's outwards (`ip_vs_nat_xmit`,
//! `tcp_dnat_handler`, `udp_snat_handler` and their twins; SCTP is in [`super::sctp`]).
//!
//! All checksums are adjusted by the difference, so a wrong one stays wrong by as much. One
//! exception: a UDP datagram without a checksum gets one, as from the kernel. It covers the
//! datagram by its own length; the kernel takes all bytes of the packet, which makes a wrong
//! checksum where bytes follow the datagram.

use super::{sctp, trimmed_ip};
use crate::flow::protocol;
use crate::io::Packet;
use crate::parse::Headers;
use crate::wire::checksum::{self, Delta};
use crate::wire::ip::IpHeader;
use crate::wire::{be16, put16, tcp, udp};

/// The changes of a conn's checksums inwards, VIP:VPORT to RIP:RPORT: the IP header's (address) and
/// TCP's or UDP's (address and port). Addresses and ports are host order.
pub fn deltas<A: IpHeader>(vip: A, vport: u16, rip: A, rport: u16) -> (Delta, Delta) {
    let address = A::delta(vip, rip);
    (address, checksum::combine(address, checksum::delta16(vport, rport)))
}

/// Client to real server: the destination VIP:VPORT becomes `rip`:`rport`, with the conn's
/// [`deltas`]. The time to live must be more than 1.
#[inline]
pub fn inbound<A: IpHeader, P: Packet>(
    packet: &mut P,
    headers: &Headers<A>,
    (rip, rport): (A, u16),
    (l3_delta, l4_delta): (Delta, Delta),
) {
    let (ip, l4) = parts(packet, headers);
    rip.put(ip, A::DST);
    A::take_hop(ip, l3_delta);
    let port = Port { at: tcp::DPORT, new: rport, of_sctp: sctp::inbound };
    finish::<A>(ip, l4, headers.key.proto, &port, l4_delta);
}

/// Real server to client: the source RIP:RPORT becomes `vip`:`vport`, with the conn's [`deltas`]
/// (those inwards). The time to live must be more than 1.
#[inline]
pub fn outbound<A: IpHeader, P: Packet>(
    packet: &mut P,
    headers: &Headers<A>,
    (vip, vport): (A, u16),
    (l3_delta, l4_delta): (Delta, Delta),
) {
    let (ip, l4) = parts(packet, headers);
    vip.put(ip, A::SRC);
    A::take_hop(ip, checksum::negate(l3_delta));
    let port = Port { at: tcp::SPORT, new: vport, of_sctp: sctp::outbound };
    finish::<A>(ip, l4, headers.key.proto, &port, checksum::negate(l4_delta));
}

/// Client to real server, AH or ESP: the address alone, as `ip_vs_proto_ah_esp.c` has no handler for
/// more. What is signed or encrypted does not survive it but in NAT traversal's UDP.
pub fn inbound_riding<A: IpHeader, P: Packet>(
    packet: &mut P,
    headers: &Headers<A>,
    rip: A,
    l3_delta: Delta,
) {
    let (ip, _) = parts(packet, headers);
    rip.put(ip, A::DST);
    A::take_hop(ip, l3_delta);
}

/// Real server to client, AH or ESP: see [`inbound_riding`].
pub fn outbound_riding<A: IpHeader, P: Packet>(
    packet: &mut P,
    headers: &Headers<A>,
    vip: A,
    l3_delta: Delta,
) {
    let (ip, _) = parts(packet, headers);
    vip.put(ip, A::SRC);
    A::take_hop(ip, checksum::negate(l3_delta));
}

/// The IP header without options, and what follows options and extension headers.
#[inline(always)]
pub(super) fn parts<'a, A: IpHeader, P: Packet>(
    packet: &'a mut P,
    headers: &Headers<A>,
) -> (&'a mut [u8], &'a mut [u8]) {
    let options_len = usize::from(headers.l4 - headers.l3) - A::HEADER_LEN;
    let (head, rest) = trimmed_ip(packet, headers).split_at_mut(A::HEADER_LEN);
    (head, &mut rest[options_len..])
}

/// The port that changes.
struct Port {
    /// Its offset in TCP's and UDP's header.
    at: usize,
    new: u16,
    /// What changes SCTP's, checksum included.
    of_sctp: fn(&mut [u8], u16) -> bool,
}

/// Port and checksum of the L4 header, after the address is written.
#[inline(always)]
fn finish<A: IpHeader>(ip: &[u8], l4: &mut [u8], proto: u8, port: &Port, l4_delta: Delta) {
    match proto {
        protocol::TCP => {
            put16(l4, port.at, port.new);
            let check = checksum::adjust(be16(l4, tcp::CHECKSUM), l4_delta);
            put16(l4, tcp::CHECKSUM, check);
        }
        protocol::UDP => {
            put16(l4, port.at, port.new);
            finish_udp::<A>(ip, l4, l4_delta);
        }
        _ => {
            let whole = (port.of_sctp)(l4, port.new);
            debug_assert!(whole, "the parser has seen a common header");
        }
    }
}

/// UDP's checksum; one that computes to 0 is sent as 0xffff (RFC 768).
#[inline(always)]
pub(super) fn finish_udp<A: IpHeader>(ip: &[u8], l4: &mut [u8], l4_delta: Delta) {
    let check = match be16(l4, udp::CHECKSUM) {
        0 => udp_checksum::<A>(ip, l4),
        check => checksum::adjust(check, l4_delta),
    };
    put16(l4, udp::CHECKSUM, if check == 0 { udp::ZERO_CHECKSUM } else { check });
}

/// The checksum of the datagram at the front of `l4`, whose checksum field is 0. One that lies about
/// its length is taken to be all there is.
#[cold]
fn udp_checksum<A: IpHeader>(ip: &[u8], l4: &[u8]) -> u16 {
    let is_true = (udp::HEADER_LEN..=l4.len()).contains(&udp::length(l4).into());
    let len = if is_true { udp::length(l4) } else { l4.len() as u16 };
    let (src, dst) = (A::get(ip, A::SRC), A::get(ip, A::DST));
    let pseudo = A::pseudo_header(src, dst, protocol::UDP, len);
    !checksum::fold(pseudo + checksum::sum(&l4[..usize::from(len)]))
}

#[cfg(test)]
mod riding_tests;
#[cfg(test)]
mod tests6;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::PortId;
    use crate::io::sim::SimPacket;
    use crate::parse::{Content, Parsed, parse};
    use crate::testing::{Frame, Rng, assert_frames_equal, verify};

    fn forwarded(frame: &[u8], leaf: impl FnOnce(&mut SimPacket, &Headers)) -> Vec<u8> {
        let Parsed::V4(Content::Flow(headers)) = parse(frame) else { panic!("a flow") };
        let mut packet = SimPacket::new(frame, PortId(0));
        leaf(&mut packet, &headers);
        packet.bytes().to_vec()
    }

    /// A frame of any shape, given its ends.
    fn shape(rng: &mut Rng) -> impl Fn((u32, u16), (u32, u16)) -> Frame + use<> {
        let (udp, tag, no_checksum, df) =
            (rng.one_in(2), rng.one_in(3), rng.one_in(4), rng.one_in(2));
        let (ip_options, tcp_options) = (rng.below(11) * 4, rng.below(11) * 4);
        let payload_len = if rng.one_in(3) { rng.below(4) } else { rng.below(1400) };
        let payload = match rng.below(4) {
            0 => vec![0; payload_len],
            1 => vec![0xff; payload_len],
            _ => rng.bytes(payload_len),
        };
        let (id, tos, flags, seq) = (rng.next(), rng.next(), rng.next(), rng.next());
        move |(src, sport), (dst, dport)| {
            let frame = match udp {
                true if no_checksum => Frame::udp(src, sport, dst, dport).no_checksum(),
                true => Frame::udp(src, sport, dst, dport),
                false => Frame::tcp(src, sport, dst, dport).tcp_options(&vec![1; tcp_options]),
            };
            let frame = frame.ip_options(&vec![1; ip_options]).payload(&payload);
            let frame = frame.id(id as u16).tos(tos as u8).flags(flags as u8).seq(seq as u32);
            let frame = if tag { frame.tag(0x0123) } else { frame };
            if df { frame.df() } else { frame }
        }
    }

    fn end(rng: &mut Rng) -> (u32, u16) {
        // Small numbers and all ones come up often enough to meet both zeros.
        let address = [rng.next() as u32, 0, u32::MAX, 1][rng.below(4)];
        let port = [rng.next() as u16, 0, u16::MAX, 80][rng.below(4)];
        (address, port)
    }

    #[test]
    fn a_rewritten_frame_equals_the_one_built_with_the_new_ends() {
        let mut rng = Rng::new(20);
        for round in 0..4000 {
            let (client, vip, rip) = (end(&mut rng), end(&mut rng), end(&mut rng));
            let frame = shape(&mut rng);
            let deltas = deltas(vip.0, vip.1, rip.0, rip.1);
            // A datagram without a checksum leaves with one.
            let rebuilt = |frame: Frame| frame.ttl(9).with_checksum().build();
            let into = forwarded(&frame(client, vip).ttl(10).build(), |packet, headers| {
                inbound(packet, headers, rip, deltas);
            });
            assert_frames_equal(&into, &rebuilt(frame(client, rip)), &format!("in, {round}"));
            let out = forwarded(&frame(rip, client).ttl(10).build(), |packet, headers| {
                outbound(packet, headers, vip, deltas);
            });
            assert_frames_equal(&out, &rebuilt(frame(vip, client)), &format!("out, {round}"));
        }
    }

    #[test]
    fn bad_checksums_stay_bad_and_by_as_much() {
        let (client, vip, rip) = ((1, 4000), (0x0a00_0064, 80), (0xc0a8_010b, 8080));
        let deltas = deltas(vip.0, vip.1, rip.0, rip.1);
        for make in [Frame::tcp, Frame::udp] {
            let bad = |dst: (u32, u16)| make(client.0, client.1, dst.0, dst.1).bad_l4_checksum();
            let into = forwarded(&bad(vip).build(), |packet, headers| {
                inbound(packet, headers, rip, deltas);
            });
            assert_eq!(verify(&into).expect("whole").l4, Some(false));
            let deltas = super::deltas(rip.0, rip.1, vip.0, vip.1);
            let back = forwarded(&into, |packet, headers| inbound(packet, headers, vip, deltas));
            assert_frames_equal(&back, &bad(vip).ttl(62).build(), "there and back");
        }
    }

    #[test]
    fn a_given_checksum_leaves_out_what_follows_the_datagram() {
        let frame = Frame::udp(1, 2, 3, 4).no_checksum().payload(b"abc").build();
        let mut longer = frame[14..].to_vec();
        longer.extend(b"trailer");
        longer[3] += 7;
        crate::wire::ipv4::write_checksum(&mut longer[..20]);
        let frame = [&frame[..14], &longer].concat();
        let out = forwarded(&frame, |packet, headers| {
            inbound(packet, headers, (9, 9), deltas(3_u32, 4, 9, 9));
        });
        assert_ne!(be16(&out, 14 + 20 + 6), 0);
        assert_eq!(verify(&out).expect("whole").l4, Some(true));
    }
}
