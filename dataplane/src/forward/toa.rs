//! The TCP option that tells a real server behind fullnat who the client is, as the `toa` module of
//! DPVS and LVS reads it from the segment that completes the handshake (`kmod/toa/toa.c`,
//! `get_toa_data`): kind 254, length 8 or 20, port, address.

use crate::address::{Address, Family};
use crate::app::edit::write_lengths;
use crate::io::Packet;
use crate::parse::Headers;
use crate::wire::checksum;
use crate::wire::{be16, put16, tcp};
use arrayvec::ArrayVec;

/// The option's kind, of those for experiments (RFC 4727 section 7).
pub const KIND: u8 = 254;
/// Longest TCP header.
const MAX_HEADER: usize = 60;

/// Bytes of the option.
pub fn option_len<A: Address>() -> usize {
    match A::FAMILY {
        Family::V4 => 8,
        Family::V6 => 20,
    }
}

/// The option about a client's end, host order.
pub fn option<A: Address>((address, port): (A, u16)) -> ArrayVec<u8, 20> {
    let mut option = ArrayVec::new();
    option.extend([KIND, option_len::<A>() as u8]);
    option.extend(port.to_be_bytes());
    option.extend(address.bytes());
    option
}

/// Whether a TCP segment, of which any part may be there, begins its options with this one.
pub fn is_in(segment: &[u8], option: &[u8]) -> bool {
    let end = tcp::MIN_LEN + option.len();
    let found = segment.get(tcp::MIN_LEN..end).filter(|_| tcp::header_len(segment) >= end);
    found.is_some_and(|found| found == option)
}

/// Puts the option with the client's end, host order, in front of the others of a whole TCP segment.
/// Ethernet padding goes, lengths and checksums follow, `headers.ip_len` is kept up. `false`, and
/// nothing changed but padding, if the header or the buffer has no room.
#[must_use]
pub fn insert<A: Address, P: Packet>(
    packet: &mut P,
    headers: &mut Headers<A>,
    client: (A, u16),
) -> bool {
    let (l4, len) = (usize::from(headers.l4), option_len::<A>());
    let end = usize::from(headers.l3) + usize::from(headers.ip_len);
    packet.truncate(end);
    let header_len = tcp::header_len(&packet.bytes()[l4..]);
    let Some(ip_len) = headers.ip_len.checked_add(len as u16) else { return false };
    if header_len + len > MAX_HEADER || !packet.grow_back(len) {
        return false;
    }
    let frame = packet.bytes_mut();
    let at = l4 + tcp::MIN_LEN;
    frame.copy_within(at..end, at + len);
    let option = option(client);
    frame[at..at + len].copy_from_slice(&option);
    let added = checksum::fold(checksum::sum(&option));
    let segment_len = (end - l4) as u16;
    headers.ip_len = ip_len;
    write_lengths(&mut frame[headers.l3.into()..], headers);
    let tcp = &mut frame[l4..];
    let before = be16(tcp, tcp::DATA_OFFSET);
    tcp[tcp::DATA_OFFSET] += ((len / 4) as u8) << 4;
    let grown = checksum::delta16(segment_len, segment_len + len as u16);
    let offset = checksum::delta16(before, be16(tcp, tcp::DATA_OFFSET));
    let delta = checksum::combine(checksum::combine(grown, offset), added);
    let check = checksum::adjust(be16(tcp, tcp::CHECKSUM), delta);
    put16(tcp, tcp::CHECKSUM, check);
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::PortId;
    use crate::io::sim::SimPacket;
    use crate::parse::{Content, Parsed, parse};
    use crate::testing::{Frame, Rng, assert_frames_equal};

    #[test]
    fn a_segment_with_the_option_equals_the_one_built_with_it() {
        let mut rng = Rng::new(8);
        for round in 0..500 {
            let options = vec![1; rng.below(9) * 4];
            let len = rng.below(300);
            let payload = rng.bytes(len);
            let frame = |options: &[u8]| {
                Frame::tcp(1, 4000, 2, 80).tcp_options(options).payload(&payload).ttl(9)
            };
            let came = frame(&options).padding(round % 6).build();
            let Parsed::V4(Content::Flow(mut headers)) = parse(&came) else { panic!("a flow") };
            let mut packet = SimPacket::new(&came, PortId(0));
            assert!(insert(&mut packet, &mut headers, (0xc0a8_0001, 4000)));
            let with = [&[254, 8, 0x0f, 0xa0, 192, 168, 0, 1], &options[..]].concat();
            assert_frames_equal(packet.bytes(), &frame(&with).build(), &format!("{round}"));
            assert_eq!(usize::from(headers.ip_len), packet.bytes().len() - 14);
        }
    }

    #[test]
    fn ipv6_has_the_longer_form() {
        let came = Frame::tcp6(1, 4000, 2, 80).payload(b"x").build();
        let Parsed::V6(Content::Flow(mut headers)) = parse(&came) else { panic!("a flow") };
        let mut packet = SimPacket::new(&came, PortId(0));
        assert!(insert(&mut packet, &mut headers, (1_u128 << 120 | 9, 0x1234)));
        let mut option = [0; 20];
        option[..5].copy_from_slice(&[254, 20, 0x12, 0x34, 1]);
        option[19] = 9;
        let wanted = Frame::tcp6(1, 4000, 2, 80).tcp_options(&option).payload(b"x").build();
        assert_frames_equal(packet.bytes(), &wanted, "with the option");
    }

    #[test]
    fn a_full_header_stays_as_it_is() {
        let came = Frame::tcp(1, 4000, 2, 80).tcp_options(&[1; 36]).build();
        let Parsed::V4(Content::Flow(mut headers)) = parse(&came) else { panic!("a flow") };
        let mut packet = SimPacket::new(&came, PortId(0));
        assert!(!insert(&mut packet, &mut headers, (1, 1)));
        assert_eq!(packet.bytes(), came);
    }
}
