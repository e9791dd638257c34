//! Fragmentation, RFC 791 section 3.2 as `ip_do_fragment` does it: every fragment but the last as
//! large as the MTU allows, all headers of the same length, options that are not to be copied
//! overwritten by no-operation in all fragments but the first.

use crate::io::{Packet, Pool};
use crate::wire::{ipv4, put16};

/// Option kinds (RFC 791 section 3.1): end of list, no operation, and the bit "copied".
const OPTION_END: u8 = 0;
const OPTION_NOP: u8 = 1;
const OPTION_COPIED: u8 = 0x80;

/// Cuts the frame in `packet`, whose IP packet at `l3` is larger than `mtu`, into fragments of at most
/// `mtu` bytes, which have no DF: who cuts a packet that has it does so in spite of it. The first stays
/// in `packet`; the others, link header included, come from `pool` and are appended to `rest` in order,
/// at most `limit` of them. `false`, and nothing changed, if there would be more, the pool has too few
/// or `mtu` leaves no room for data.
#[must_use]
pub fn fragment<P: Pool>(
    packet: &mut P::Packet,
    l3: usize,
    mtu: u16,
    pool: &mut P,
    rest: &mut Vec<P::Packet>,
    limit: usize,
) -> bool {
    let ip = &packet.bytes()[l3..];
    let (header_len, total) = (ipv4::header_len(ip), usize::from(ipv4::total_len(ip)));
    let room = usize::from(mtu).saturating_sub(header_len) & !7;
    if room == 0 {
        return false;
    }
    let before = rest.len();
    let mut at = room;
    while at < total - header_len {
        // The last one needs no multiple of eight.
        let left = total - header_len - at;
        let len = if left > usize::from(mtu) - header_len { room } else { left };
        let allowed = rest.len() - before < limit;
        let piece = if allowed { later_fragment(packet, l3, at, len, pool) } else { None };
        let Some(piece) = piece else {
            rest.truncate(before);
            return false;
        };
        rest.push(piece);
        at += len;
    }
    packet.truncate(l3 + header_len + room);
    finish(&mut packet.bytes_mut()[l3..], header_len, 0, true);
    true
}

/// The fragment of `len` bytes of data from `at` on.
fn later_fragment<P: Pool>(
    whole: &P::Packet,
    l3: usize,
    at: usize,
    len: usize,
    pool: &mut P,
) -> Option<P::Packet> {
    let frame = whole.bytes();
    let header_len = ipv4::header_len(&frame[l3..]);
    let head_len = l3 + header_len;
    let data = &frame[head_len..l3 + usize::from(ipv4::total_len(&frame[l3..]))];
    let mut piece = pool.alloc()?;
    if !piece.grow_back(head_len + len) {
        return None;
    }
    piece.set_port(whole.port());
    let out = piece.bytes_mut();
    out[..head_len].copy_from_slice(&frame[..head_len]);
    out[head_len..].copy_from_slice(&data[at..at + len]);
    blank_options(&mut out[l3 + ipv4::MIN_LEN..head_len]);
    finish(&mut out[l3..], header_len, at, at + len < data.len());
    Some(piece)
}

/// Length, offset and checksum of a fragment whose bytes from the IP header on are `ip`. A packet
/// that was a fragment itself keeps its place in its datagram.
fn finish(ip: &mut [u8], header_len: usize, at: usize, more: bool) {
    let came = ipv4::fragment(ip);
    let more = if more { ipv4::MF } else { came & ipv4::MF };
    let offset = (came & ipv4::OFFSET_MASK) + (at / 8) as u16;
    let total_len = ip.len() as u16;
    put16(ip, ipv4::TOTAL_LEN, total_len);
    put16(ip, ipv4::FRAGMENT, more | offset & ipv4::OFFSET_MASK);
    ipv4::write_checksum(&mut ip[..header_len]);
}

/// Overwrites options without the copied bit (`ip_options_fragment`); stops at a broken one.
fn blank_options(mut options: &mut [u8]) {
    while let [kind, ..] = *options {
        let len = match (kind, options.get(1)) {
            (OPTION_END, _) => return,
            (OPTION_NOP, _) => 1,
            (_, Some(&len)) if len >= 2 && usize::from(len) <= options.len() => usize::from(len),
            _ => return,
        };
        let (option, after) = options.split_at_mut(len);
        if kind & OPTION_COPIED == 0 {
            option.fill(OPTION_NOP);
        }
        options = after;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::PortId;
    use crate::io::sim::{SimPacket, SimPool};
    use crate::testing::{Frame, Rng, assert_frames_equal, verify};

    fn cut(frame: &[u8], mtu: u16) -> Vec<Vec<u8>> {
        let l3 = if frame[12] == 0x81 { 18 } else { 14 };
        let mut packet = SimPacket::new(frame, PortId(3));
        let (mut pool, mut rest) = (SimPool::new(64), Vec::new());
        assert!(fragment(&mut packet, l3, mtu, &mut pool, &mut rest, 64));
        assert!(rest.iter().all(|piece| piece.port() == PortId(3)));
        [packet].iter().chain(&rest).map(|piece| piece.bytes().to_vec()).collect()
    }

    #[test]
    fn options_that_are_not_copied_become_no_operation_after_the_first_fragment() {
        // Record route (7, not copied), strict source route (137, copied), end of list.
        let options = [7, 7, 4, 0, 0, 0, 0, 137, 3, 4, 0, 0];
        let blanked = [1, 1, 1, 1, 1, 1, 1, 137, 3, 4, 0, 0];
        let data: Vec<u8> = (0..100).collect();
        let piece = |options: &[u8], from: usize, to: usize, more| {
            Frame::raw(1, 2, 99, &data[from..to]).ip_options(options).fragment(from as u16, more)
        };
        let whole = Frame::raw(1, 2, 99, &data).ip_options(&options).tag(6).build();
        let pieces = cut(&whole, 32 + 47);
        let expected = [
            piece(&options, 0, 40, true),
            piece(&blanked, 40, 80, true),
            piece(&blanked, 80, 100, false),
        ];
        assert_eq!(pieces.len(), expected.len());
        for (piece, expected) in pieces.iter().zip(expected) {
            assert_frames_equal(piece, &expected.tag(6).build(), "fragment");
        }
    }

    #[test]
    fn fragments_fit_the_mtu_and_join_to_what_was_cut() {
        let mut rng = Rng::new(30);
        for _ in 0..2000 {
            let mtu = 68 + rng.below(1400) as u16;
            let len = usize::from(mtu) - 19 + rng.below(600);
            let data = rng.bytes(len);
            let pieces = cut(&Frame::raw(1, 2, 99, &data).id(7).build(), mtu);
            let mut joined: Vec<u8> = Vec::new();
            for (number, piece) in pieces.iter().enumerate() {
                let ip = &piece[14..];
                assert!(ip.len() <= mtu.into() && verify(piece).expect("true lengths").ip);
                let at = (joined.len() / 8) as u16;
                let more = if number + 1 < pieces.len() { ipv4::MF } else { 0 };
                assert_eq!(ipv4::fragment(ip), more | at);
                joined.extend(&ip[20..]);
            }
            assert_eq!(joined, data);
        }
    }

    #[test]
    fn a_fragment_is_cut_further_without_losing_its_place() {
        let data = [7; 100];
        let middle = Frame::raw(1, 2, 17, &data).fragment(800, true).build();
        let pieces = cut(&middle, 84);
        let expected = |from: usize, to: usize| {
            Frame::raw(1, 2, 17, &data[from..to]).fragment(800 + from as u16, true).build()
        };
        assert_frames_equal(&pieces[0], &expected(0, 64), "first piece");
        assert_frames_equal(&pieces[1], &expected(64, 100), "last piece, of the middle");
    }

    #[test]
    fn an_exhausted_pool_changes_nothing_and_leaks_nothing() {
        let frame = Frame::raw(1, 2, 99, &[1; 900]).build();
        let mut pool = SimPool::new(3);
        let mut packet = pool.packet(&frame, PortId(0));
        let mut rest = vec![pool.alloc().expect("one of three")];
        assert!(!fragment(&mut packet, 14, 300, &mut pool, &mut rest, 64));
        assert!(!fragment(&mut packet, 14, 27, &mut pool, &mut rest, 64));
        assert_frames_equal(packet.bytes(), &frame, "uncut");
        assert_eq!((rest.len(), pool.live()), (1, 2));
    }
}
