//! What an ICMP error about a fullnat conn quotes, without what the director told the real server
//! ([`super::toa`], [`crate::app::proxy`]): each end is to find the packet that it knows. Linux heeds an
//! error about a TCP segment only if the quoted sequence number is in flight (`tcp_v4_err`).
//!
//! Where a link's MTU is quoted, it is less by what the director adds: the client's next packet is to
//! fit with it. The quoted TCP checksum stays, as with all errors ([`super::icmp_related`]).

use super::fullnat::End;
use super::{icmp_related, toa};
use crate::address::Family;
use crate::app::seq::Shift;
use crate::io::Packet;
use crate::parse::IcmpHeaders;
use crate::wire::ip::IpHeader;
use crate::wire::{be16, be32, icmp, icmpv6, ipv4, ipv6, put16, put32, tcp};

/// Least MTU of a link (RFC 791 section 3.2, RFC 8200 section 5).
const LEAST_MTU: (u16, u32) = (68, 1280);

/// An error about a real server's packet, on its way there: what the packet acknowledges is in the
/// real server's numbers again.
pub fn about_reply<A: IpHeader, P: Packet>(
    packet: &mut P,
    headers: &IcmpHeaders<A>,
    shift: &Shift,
) {
    if let Some(quote) = segment(packet, headers).filter(|quote| quote.len() >= tcp::ACK + 4) {
        let acked = be32(quote, tcp::ACK);
        put32(quote, tcp::ACK, shift.forth(acked));
    }
}

/// An error about a packet of the `client`'s, on its way to it: sequence number and length are as it
/// sent them, and the option is gone where all of it is quoted, unless extensions follow the quote
/// (RFC 4884). `unheard`: the real server has not acknowledged the header that `shift` is of.
pub fn about_request<A: IpHeader, P: Packet>(
    packet: &mut P,
    headers: &mut IcmpHeaders<A>,
    client: End<A>,
    shift: &Shift,
    unheard: bool,
) {
    icmp_related::trim(packet, headers);
    let Some(quote) = segment(packet, headers).filter(|quote| quote.len() >= tcp::SEQ + 4) else {
        return;
    };
    let seq = be32(quote, tcp::SEQ);
    put32(quote, tcp::SEQ, shift.back(seq));
    let option = toa::option(client);
    let has_option = toa::is_in(quote, &option);
    if unheard && seq == shift.init_seq {
        lower_mtu(packet, headers, shift.delta.unsigned_abs());
    } else if has_option {
        lower_mtu(packet, headers, option.len() as u32);
        if !is_extended(packet, headers) {
            cut_option(packet, headers, option.len());
        }
    }
}

/// The quoted TCP segment, as far as it is quoted.
fn segment<'a, A: IpHeader, P: Packet>(
    packet: &'a mut P,
    headers: &IcmpHeaders<A>,
) -> Option<&'a mut [u8]> {
    let end = usize::from(headers.l3) + usize::from(headers.ip_len);
    packet.bytes_mut().get_mut(headers.quoted_l4()?..end)
}

/// Takes the first option out of the quote.
fn cut_option<A: IpHeader, P: Packet>(packet: &mut P, headers: &mut IcmpHeaders<A>, len: usize) {
    let quoted_ip = usize::from(headers.l4) + icmp::HEADER_LEN;
    let Some(quoted_l4) = headers.quoted_l4() else { return };
    let (at, end) = (quoted_l4 + tcp::MIN_LEN, packet.bytes().len());
    let frame = packet.bytes_mut();
    frame.copy_within(at + len..end, at);
    frame[quoted_l4 + tcp::DATA_OFFSET] -= ((len / 4) as u8) << 4;
    shorten::<A>(&mut frame[quoted_ip..], len as u16);
    shorten::<A>(&mut frame[headers.l3.into()..], len as u16);
    packet.truncate(end - len);
    headers.ip_len -= len as u16;
}

/// Takes bytes off the length field of an IP header.
fn shorten<A: IpHeader>(ip: &mut [u8], by: u16) {
    let at = match A::FAMILY {
        Family::V4 => ipv4::TOTAL_LEN,
        Family::V6 => ipv6::PAYLOAD_LEN,
    };
    put16(ip, at, be16(ip, at).wrapping_sub(by));
}

/// Whether the message says how long its quote is, behind which something else follows.
fn is_extended<A: IpHeader, P: Packet>(packet: &P, headers: &IcmpHeaders<A>) -> bool {
    let rest = &packet.bytes()[usize::from(headers.l4) + icmp::REST..];
    match A::FAMILY {
        Family::V4 => rest[1] != 0,
        Family::V6 => headers.kind != icmpv6::kind::PACKET_TOO_BIG && rest[0] != 0,
    }
}

/// Of an error that quotes an MTU, one that is less.
fn lower_mtu<A: IpHeader, P: Packet>(packet: &mut P, headers: &IcmpHeaders<A>, by: u32) {
    let message = &mut packet.bytes_mut()[headers.l4.into()..];
    let needed = (icmp::kind::UNREACHABLE, icmp::code::FRAGMENTATION_NEEDED);
    match A::FAMILY {
        Family::V4 if (headers.kind, headers.code) == needed => {
            let mtu = be16(message, icmp::MTU);
            // 0 is a router's that knows no RFC 1191.
            if mtu != 0 {
                put16(message, icmp::MTU, mtu.saturating_sub(by as u16).max(LEAST_MTU.0));
            }
        }
        Family::V6 if headers.kind == icmpv6::kind::PACKET_TOO_BIG => {
            let mtu = be32(message, icmp::REST);
            put32(message, icmp::REST, mtu.saturating_sub(by).max(LEAST_MTU.1));
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::PortId;
    use crate::io::sim::SimPacket;
    use crate::parse::{Content, Parsed, parse};
    use crate::testing::{Frame, Rng, assert_frames_equal};

    const CLIENT: End<u32> = (0xac10_0001, 4000);
    const CLIENT6: End<u128> = (0x2001_0db8 << 96 | 9, 4000);
    const INIT: u32 = u32::MAX - 7;

    /// A message of the family, `rest` behind its checksum; of `ttl`.
    fn error(v6: bool, (kind, code): (u8, u8), rest: u32, quote: &[u8], ttl: u8) -> Frame {
        let frame = match v6 {
            false => Frame::icmp(7, 8, kind, code, rest),
            true => Frame::icmp6(7, 8, kind, code, rest),
        };
        frame.payload(quote).ttl(ttl)
    }

    /// The error as it reaches the client.
    fn passed_on(frame: &Frame, shift: &Shift, unheard: bool) -> Vec<u8> {
        let came = frame.build();
        let mut packet = SimPacket::new(&came, PortId(0));
        match parse(&came) {
            Parsed::V4(Content::Icmp(mut headers)) => {
                about_request(&mut packet, &mut headers, CLIENT, shift, unheard);
                icmp_related::finish(&mut packet, &headers);
            }
            Parsed::V6(Content::Icmp(mut headers)) => {
                about_request(&mut packet, &mut headers, CLIENT6, shift, unheard);
                icmp_related::finish(&mut packet, &headers);
            }
            other => panic!("an error: {other:?}"),
        }
        packet.bytes().to_vec()
    }

    fn sent(v6: bool, options: &[u8], seq: u32, data: &[u8]) -> Vec<u8> {
        let frame = match v6 {
            false => Frame::tcp(CLIENT.0, CLIENT.1, 2, 80),
            true => Frame::tcp6(CLIENT6.0, CLIENT6.1, 2, 80),
        };
        frame.tcp_options(options).seq(seq).payload(data).build_ip()
    }

    #[test]
    fn the_option_leaves_no_trace_wherever_the_quote_ends() {
        let mut rng = Rng::new(6);
        for round in 0..2_000 {
            let v6 = round % 2 == 0;
            let option: Vec<u8> = match v6 {
                false => toa::option(CLIENT).to_vec(),
                true => toa::option(CLIENT6).to_vec(),
            };
            let (own, data) = (vec![1; rng.below(5) * 4], rng.bytes(60));
            let clients = sent(v6, &own, 9, &data);
            let servers = sent(v6, &[&option[..], &own].concat(), 9, &data);
            let l4 = if v6 { 40 } else { 20 };
            let quoted = l4 + 8 + rng.below(servers.len() - l4 - 7);
            let whole = quoted >= l4 + 20 + option.len();
            // The checksum of the quoted segment stays.
            let mut wanted = clients.clone();
            wanted[l4 + 16..l4 + 18].copy_from_slice(&servers[l4 + 16..l4 + 18]);
            let (wanted, gone) = if whole { (wanted, option.len()) } else { (servers.clone(), 0) };
            let kind = if v6 { (1, 4) } else { (3, 1) };
            let came = error(v6, kind, 0, &servers[..quoted], 64).padding(round % 3);
            let wanted = error(v6, kind, 0, &wanted[..quoted - gone], 63).build();
            let shift = Shift::default();
            assert_frames_equal(&passed_on(&came, &shift, false), &wanted, &format!("{round}"));
        }
    }

    #[test]
    fn a_quote_that_something_follows_keeps_its_length() {
        let servers = sent(false, &toa::option(CLIENT), 9, &[7; 200]);
        let came = error(false, (3, 1), 32 << 16, &servers[..128], 64);
        let wanted = error(false, (3, 1), 32 << 16, &servers[..128], 63).build();
        assert_eq!(passed_on(&came, &Shift::default(), false), wanted);
    }

    #[test]
    fn the_sequence_number_and_the_mtu_are_the_clients() {
        let shift = Shift { init_seq: INIT, delta: 28, previous_delta: 0 };
        // The header's own segment, one behind it, one behind it since it was acknowledged.
        let heard = Shift { init_seq: INIT.wrapping_sub(1), ..shift };
        let at = |offset: u32| INIT.wrapping_add(offset);
        for (shift, unheard, seq, clients, mtu) in [
            (shift, true, at(0), at(0), 1372),
            (shift, true, at(28), at(0), 1400),
            (shift, true, at(128), at(100), 1400),
            (heard, false, at(28), at(0), 1400),
            (Shift::default(), false, at(5), at(5), 1400),
        ] {
            for v6 in [false, true] {
                let (kind, l4) = if v6 { ((2, 0), 40) } else { ((3, 4), 20) };
                let quote = |seq| sent(v6, &[], seq, b"data")[..l4 + 8].to_vec();
                let came = error(v6, kind, 1400, &quote(seq), 64);
                let wanted = error(v6, kind, mtu, &quote(clients), 63).build();
                assert_frames_equal(&passed_on(&came, &shift, unheard), &wanted, "the client's");
            }
        }
        let small = error(true, (2, 0), 1290, &sent(true, &[], INIT, b"")[..48], 64);
        let wanted = error(true, (2, 0), 1280, &sent(true, &[], INIT, b"")[..48], 63).build();
        assert_frames_equal(&passed_on(&small, &shift, true), &wanted, "the least there is");
    }
}
