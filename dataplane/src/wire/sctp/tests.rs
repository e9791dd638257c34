//! CRC32c against published values and bit by bit; chunks against an index that walks by itself.

use super::*;
use crate::testing::{Rng, from_hex};

/// CRC32c one bit after the other: the polynomial 0x1edc6f41, reflected (RFC 9260 appendix A).
fn naive_crc(bytes: impl IntoIterator<Item = u8>) -> u32 {
    let crc = bytes.into_iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| {
            crc >> 1 ^ if crc & 1 != 0 { 0x82f6_3b78 } else { 0 }
        })
    });
    !crc
}

#[test]
fn the_crc_is_castagnolis_as_published() {
    // RFC 3720 section B.4, in its order: zeroes, ones, ascending, descending, an iSCSI read.
    let read = "01c00000 00000000 00000000 00000000 14000000 00000400 00000014 00000018 28000000
                00000000 02000000 00000000";
    let published: [(Vec<u8>, u32); 6] = [
        (vec![0; 32], 0x8a91_36aa),
        (vec![0xff; 32], 0x62a8_ab43),
        ((0..32).collect(), 0x46dd_794e),
        ((0..32).rev().collect(), 0x113f_db5c),
        (from_hex(read), 0xd996_3a56),
        // The check value of the catalogues of CRCs.
        (b"123456789".to_vec(), 0xe306_9283),
    ];
    for (bytes, crc) in published {
        assert_eq!(naive_crc(bytes.iter().copied()), crc, "{bytes:x?}, bit by bit");
        assert_eq!(crc32c::crc32c(&bytes), crc, "{bytes:x?}");
    }
}

#[test]
fn a_checksum_of_any_length_and_place_equals_the_naive_one() {
    let mut rng = Rng::new(1);
    for len in (HEADER_LEN..300).chain([768, 780, 1480, 9000]) {
        for begin in 0..8 {
            let bytes = rng.bytes(begin + len);
            let packet = &bytes[begin..];
            let zeroed = packet.iter().enumerate().map(|(at, &byte)| match at {
                CHECKSUM..HEADER_LEN => 0,
                _ => byte,
            });
            assert_eq!(checksum(packet), naive_crc(zeroed), "{len} bytes from {begin}");
        }
    }
}

#[test]
fn a_written_checksum_is_right_and_one_wrong_bit_makes_it_wrong() {
    let mut packet = Rng::new(2).bytes(40);
    write_checksum(&mut packet);
    assert!(checksum_ok(&packet));
    for bit in 0..packet.len() * 8 {
        packet[bit / 8] ^= 1 << (bit % 8);
        assert!(!checksum_ok(&packet), "bit {bit}");
        packet[bit / 8] ^= 1 << (bit % 8);
    }
}

/// A packet of these chunks, each a type, the length it says and the bytes that follow its header.
fn packet(chunks: &[(u8, u16, usize)]) -> Vec<u8> {
    let mut packet = vec![0; HEADER_LEN];
    for &(kind, len, bytes) in chunks {
        packet.extend([kind, 0]);
        packet.extend(len.to_be_bytes());
        packet.resize(packet.len() + bytes, 0xee);
    }
    packet
}

fn kinds(packet: &[u8]) -> Vec<u8> {
    chunks(packet).map(|chunk| chunk.kind).collect()
}

#[test]
fn chunks_are_found_behind_padding() {
    let three = packet(&[(kind::COOKIE_ECHO, 7, 4), (kind::DATA, 20, 16), (kind::ABORT, 4, 0)]);
    let found: Vec<_> = chunks(&three).map(|chunk| (chunk.kind, chunk.len)).collect();
    assert_eq!(found, [(kind::COOKIE_ECHO, 7), (kind::DATA, 20), (kind::ABORT, 4)]);
}

#[test]
fn a_chunk_that_lies_about_its_length_is_the_last() {
    for len in [0, 1, 2, 3, 29, 30, 1000, 0xfffd, 0xffff] {
        let lying = packet(&[(kind::COOKIE_ACK, len, 16), (kind::ABORT, 4, 0)]);
        assert_eq!(kinds(&lying), [kind::COOKIE_ACK], "length {len}");
    }
}

#[test]
fn a_packet_cut_anywhere_holds_the_chunks_whose_headers_are_there() {
    let whole = packet(&[(kind::COOKIE_ECHO, 7, 4), (kind::DATA, 20, 16), (kind::ABORT, 4, 0)]);
    for len in 0..=whole.len() {
        let begun = [12, 20, 40].iter().filter(|&&at| at + CHUNK_HEADER_LEN <= len).count();
        assert_eq!(chunks(&whole[..len]).count(), begun, "{len} bytes");
    }
}

/// Where each chunk begins, by an index into the packet.
fn naive_kinds(packet: &[u8]) -> Vec<u8> {
    let (mut kinds, mut at) = (Vec::new(), HEADER_LEN);
    while at + 4 <= packet.len() {
        kinds.push(packet[at]);
        let len = usize::from(packet[at + 2]) << 8 | usize::from(packet[at + 3]);
        if len < 4 {
            break;
        }
        at += len + (4 - len % 4) % 4;
    }
    kinds
}

#[test]
fn any_bytes_walk_as_the_naive_index_does() {
    let mut rng = Rng::new(3);
    let mut several = 0;
    for _ in 0..50_000 {
        let len = rng.below(120);
        let mut bytes = rng.bytes(len);
        // Lengths that stay inside the packet come up often.
        bytes.iter_mut().skip(HEADER_LEN).for_each(|byte| *byte &= [0, 0x1f][rng.below(2)]);
        assert_eq!(kinds(&bytes), naive_kinds(&bytes), "{bytes:x?}");
        several += usize::from(kinds(&bytes).len() > 1);
    }
    assert!(several > 5_000, "{several} packets of several chunks");
}
