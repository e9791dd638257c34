//! An outer IPv6 packet that is too large, cut where it is made (RFC 8200 section 4.5,
//! `ip6_fragment`): routers would not cut it, and an inner IPv4 packet without DF must pass.

use crate::io::{Packet, Pool};
use crate::wire::ipv6::{self, HEADER_LEN, fragment_header};
use crate::wire::{put16, put32};

/// Cuts the frame in `packet`, an IPv6 packet at `l3` without extension headers and larger than
/// `mtu`, into fragments of at most `mtu` bytes with identification `id`. The first stays in
/// `packet`; the others, link header included, come from `pool` and are appended to `rest` in order,
/// at most `limit` of them. `false`, and nothing changed, if there would be more, the pool has too
/// few, there is no headroom for eight bytes or `mtu` leaves no room for data.
#[must_use]
pub fn fragment<P: Pool>(
    packet: &mut P::Packet,
    l3: usize,
    mtu: u16,
    id: u32,
    pool: &mut P,
    rest: &mut Vec<P::Packet>,
    limit: usize,
) -> bool {
    let before = rest.len();
    let most = usize::from(mtu).saturating_sub(HEADER_LEN + fragment_header::LEN);
    let first_len = most & !7;
    let done = first_len > 0
        && later_fragments(packet, l3, most, id, pool, rest, limit)
        && packet.grow_front(fragment_header::LEN);
    if !done {
        rest.truncate(before);
        return false;
    }
    let head_len = l3 + HEADER_LEN;
    let frame = packet.bytes_mut();
    frame.copy_within(fragment_header::LEN..fragment_header::LEN + head_len, 0);
    packet.truncate(head_len + fragment_header::LEN + first_len);
    finish(&mut packet.bytes_mut()[l3..], id, 0, true);
    true
}

/// Appends all fragments but the first to `rest`, of at most `most` bytes of data; `false` if not
/// all can be had.
fn later_fragments<P: Pool>(
    whole: &P::Packet,
    l3: usize,
    most: usize,
    id: u32,
    pool: &mut P,
    rest: &mut Vec<P::Packet>,
    limit: usize,
) -> bool {
    let (head, ip) = whole.bytes().split_at(l3);
    let (header, data) = ip.split_at(HEADER_LEN);
    let data = &data[..ipv6::payload_len(header).into()];
    let room = most & !7;
    let (mut at, before) = (room, rest.len());
    while at < data.len() {
        // The last one needs no multiple of eight.
        let left = data.len() - at;
        let len = if left > most { room } else { left };
        let allowed = rest.len() - before < limit;
        let Some(mut piece) = allowed.then(|| pool.alloc()).flatten() else { return false };
        let data_at = l3 + HEADER_LEN + fragment_header::LEN;
        if !piece.grow_back(data_at + len) {
            return false;
        }
        piece.set_port(whole.port());
        let out = piece.bytes_mut();
        out[..l3].copy_from_slice(head);
        out[l3..l3 + HEADER_LEN].copy_from_slice(header);
        out[data_at..].copy_from_slice(&data[at..at + len]);
        finish(&mut out[l3..], id, at, len < left);
        rest.push(piece);
        at += len;
    }
    true
}

/// Writes the fragment header behind the IPv6 header, which is that of the whole packet, and mends
/// the latter. `at` is the fragment's place in the packet.
fn finish(ip: &mut [u8], id: u32, at: usize, more: bool) {
    let payload_len = (ip.len() - HEADER_LEN) as u16;
    put16(ip, ipv6::PAYLOAD_LEN, payload_len);
    let proto = std::mem::replace(&mut ip[ipv6::NEXT_HEADER], fragment_header::PROTOCOL);
    let header = &mut ip[HEADER_LEN..];
    header[0] = proto;
    header[1] = 0;
    put16(header, fragment_header::OFFSET, at as u16 | if more { fragment_header::MF } else { 0 });
    put32(header, fragment_header::ID, id);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::PortId;
    use crate::io::sim::{HEADROOM, SimPacket, SimPool};
    use crate::testing::{Rng, assert_frames_equal};
    use crate::wire::ethernet::TAGGED_LEN;

    /// A tagged frame with `len` bytes of data behind its IPv6 header.
    fn whole(rng: &mut Rng, len: usize) -> Vec<u8> {
        let mut frame = rng.bytes(TAGGED_LEN + HEADER_LEN + len);
        let ip = &mut frame[TAGGED_LEN..];
        put16(ip, ipv6::PAYLOAD_LEN, len as u16);
        ip[ipv6::NEXT_HEADER] = 47;
        frame
    }

    #[test]
    fn pieces_fit_and_make_the_whole_again() {
        let mut rng = Rng::new(1);
        for _ in 0..2000 {
            let (len, mtu) = (1 + rng.below(2000), 56 + rng.below(600));
            if HEADER_LEN + len <= mtu {
                continue;
            }
            let came = whole(&mut rng, len);
            let mut packet = SimPacket::new(&came, PortId(3));
            let (mut pool, mut pieces) = (SimPool::new(1000), Vec::new());
            let mtu16 = mtu as u16;
            assert!(fragment(&mut packet, TAGGED_LEN, mtu16, 77, &mut pool, &mut pieces, 1000));
            pieces.insert(0, packet);
            let (mut data, last) = (Vec::new(), pieces.len() - 1);
            for (number, piece) in pieces.iter().enumerate() {
                let (head, ip) = piece.bytes().split_at(TAGGED_LEN);
                assert_eq!((head, piece.port()), (&came[..TAGGED_LEN], PortId(3)));
                assert!(ip.len() <= mtu);
                let offset = data.len() as u16 | u16::from(number < last);
                let [high, low] = offset.to_be_bytes();
                assert_eq!(ip[40..48], [47, 0, high, low, 0, 0, 0, 77]);
                let mut header = came[TAGGED_LEN..TAGGED_LEN + HEADER_LEN].to_vec();
                put16(&mut header, 4, (ip.len() - 40) as u16);
                header[6] = 44;
                assert_eq!(ip[..40], header);
                data.extend(&ip[48..]);
            }
            assert_frames_equal(&data, &came[TAGGED_LEN + HEADER_LEN..], "data");
        }
    }

    #[test]
    fn what_cannot_be_cut_stays_as_it_was() {
        let came = whole(&mut Rng::new(2), 1000);
        // MTU, packets in the pool, most fragments after the first, headroom.
        let cases = [(55, 99, 99, 8), (300, 3, 99, 8), (300, 99, 2, 8), (300, 99, 99, 7)];
        for (mtu, pool, limit, headroom) in cases {
            let mut packet = SimPacket::new(&came, PortId(0));
            assert!(packet.grow_front(HEADROOM - headroom));
            packet.bytes_mut()[..came.len()].copy_from_slice(&came);
            packet.truncate(came.len());
            let (mut pool, mut rest) = (SimPool::new(pool), Vec::new());
            assert!(!fragment(&mut packet, TAGGED_LEN, mtu, 1, &mut pool, &mut rest, limit));
            assert_frames_equal(packet.bytes(), &came, "uncut");
            assert!(rest.is_empty() && pool.live() == 0);
        }
    }
}
