//! TCP options of a client's that a real server behind fullnat must not see: no operation takes their
//! place, so that no length changes.

use crate::address::Address;
use crate::io::Packet;
use crate::parse::Headers;
use crate::wire::{be16, checksum, put16, tcp};

/// What ends the options, and what fills them (RFC 9293 section 3.1).
const END: u8 = 0;
const NO_OPERATION: u8 = 1;
/// A cookie, or the wish for one: data may come with the SYN (RFC 7413 section 4.1.1).
pub const FAST_OPEN: u8 = 34;

/// Blanks all options of a kind in a whole TCP segment, found as Linux finds them
/// (`tcp_parse_options`): those behind one that lies about its length are none. The checksum is as
/// true as before.
pub fn blank<A: Address, P: Packet>(packet: &mut P, headers: &Headers<A>, kind: u8) {
    let tcp = &mut packet.bytes_mut()[headers.l4.into()..];
    let header_len = tcp::header_len(tcp);
    let Some(header) = tcp.get_mut(..header_len).filter(|_| header_len > tcp::MIN_LEN) else {
        return;
    };
    // Most have time stamps alone.
    if !header[tcp::MIN_LEN..].contains(&kind) {
        return;
    }
    let before = checksum::fold(checksum::sum(header));
    if !blank_in(&mut header[tcp::MIN_LEN..], kind) {
        return;
    }
    let delta = checksum::delta16(before, checksum::fold(checksum::sum(header)));
    let check = checksum::adjust(be16(header, tcp::CHECKSUM), delta);
    put16(header, tcp::CHECKSUM, check);
}

/// Whether there were any.
fn blank_in(mut options: &mut [u8], kind: u8) -> bool {
    let mut found = false;
    while let Some(&first) = options.first() {
        let len = match first {
            END => break,
            NO_OPERATION => 1,
            _ => options.get(1).map_or(0, |&len| usize::from(len)),
        };
        if len == 0 || len > options.len() || len == 1 && first != NO_OPERATION {
            break;
        }
        let (option, rest) = options.split_at_mut(len);
        if first == kind {
            option.fill(NO_OPERATION);
            found = true;
        }
        options = rest;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::PortId;
    use crate::io::sim::SimPacket;
    use crate::parse::{Content, Parsed, parse};
    use crate::testing::{Frame, Rng, assert_frames_equal};

    fn blanked(frame: &[u8], kind: u8) -> Vec<u8> {
        let mut packet = SimPacket::new(frame, PortId(0));
        match parse(frame) {
            Parsed::V4(Content::Flow(headers)) => blank(&mut packet, &headers, kind),
            Parsed::V6(Content::Flow(headers)) => blank(&mut packet, &headers, kind),
            other => panic!("a flow: {other:?}"),
        }
        packet.bytes().to_vec()
    }

    fn check(came: &[u8], wanted: &[u8]) {
        let v4 = |options: &[u8]| {
            Frame::tcp(1, 4000, 2, 80).tcp_options(options).payload(b"odd").padding(5).build()
        };
        let v6 = |options: &[u8]| Frame::tcp6(1, 4000, 2, 80).tcp_options(options).build();
        assert_frames_equal(&blanked(&v4(came), 254), &v4(wanted), &format!("{came:?}"));
        assert_frames_equal(&blanked(&v6(came), 254), &v6(wanted), &format!("{came:?}"));
    }

    #[test]
    fn every_one_of_the_kind_is_blanked_and_nothing_else() {
        check(&[], &[]);
        check(&[1, 1, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8], &[1, 1, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8]);
        check(&[254, 8, 9, 9, 9, 9, 9, 9], &[1; 8]);
        // At odd offsets, twice, beside others, and of any length.
        check(&[1, 254, 3, 7, 254, 2, 3, 2], &[1, 1, 1, 1, 1, 1, 3, 2]);
        check(&[3, 3, 254, 254, 5, 1, 2, 3], &[3, 3, 254, 1, 1, 1, 1, 1]);
    }

    #[test]
    fn behind_the_end_and_behind_a_lie_there_are_none() {
        for options in [
            [0, 254, 2, 0],
            [2, 0, 254, 2],
            [2, 1, 254, 2],
            [254, 5, 1, 1],
            [254, 0, 254, 2],
            [1, 1, 1, 254],
        ] {
            check(&options, &options);
        }
    }

    #[test]
    fn no_options_make_it_panic_or_the_checksum_untrue() {
        let mut rng = Rng::new(4);
        for _ in 0..2_000 {
            let options = rng.bytes(40);
            let came = Frame::tcp(1, 4000, 2, 80).tcp_options(&options).build();
            let left = blanked(&came, options[0]);
            let options = &left[14 + 20 + 20..];
            let wanted = Frame::tcp(1, 4000, 2, 80).tcp_options(options).build();
            assert_frames_equal(&left, &wanted, "as one built so");
        }
    }
}
