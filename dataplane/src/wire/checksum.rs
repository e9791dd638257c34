//! The Internet checksum: in full (RFC 1071) and by difference (RFC 1624, equation 3).
//!
//! A [`Delta`] is the one's complement sum of all ~old and new words of a change. One's complement
//! has two zeros; a delta is never the positive one (0x0000), and then no result is the negative
//! one (0xffff). So [`adjust`] gives the very bits that Linux gives (`csum_fold` over
//! `ip_vs_check_diff4` and `ip_vs_check_diff2`), which also never writes 0xffff, and which a full
//! sum gives for anything but all-zero input.

/// A change of summed words; any but 0x0000. 0xffff changes nothing.
pub type Delta = u16;

/// The delta of a change of nothing.
pub const UNCHANGED: Delta = 0xffff;

/// A sum of 16-bit words brought into 16 bits, carries added back in. Non-zero sums stay non-zero.
#[inline(always)]
pub fn fold(sum: u64) -> u16 {
    let sum = (sum >> 32) + (sum & 0xffff_ffff);
    let sum = (sum >> 16) + (sum & 0xffff);
    let sum = (sum >> 16) + (sum & 0xffff);
    let sum = (sum >> 16) + (sum & 0xffff);
    sum as u16
}

/// The same for the sum of two words, whose carry added in makes no other.
#[inline(always)]
fn fold_pair(a: u16, b: u16) -> u16 {
    let (sum, carry) = a.overflowing_add(b);
    sum + u16::from(carry)
}

/// Sum of big-endian words, an odd last byte padded with zero; to be added up and [`fold`]ed.
#[inline]
pub fn sum(bytes: &[u8]) -> u64 {
    // 2³² − 1 is a multiple of 2¹⁶ − 1: summing 32-bit words folds to the same.
    let words = bytes.chunks_exact(4);
    let mut tail = [0; 4];
    tail[..words.remainder().len()].copy_from_slice(words.remainder());
    let whole: u64 = words.map(|w| u64::from(u32::from_be_bytes([w[0], w[1], w[2], w[3]]))).sum();
    whole + u64::from(u32::from_be_bytes(tail))
}

/// The checksum of `bytes`, whose checksum field is zero; 0 if it is filled in and right.
#[inline]
pub fn checksum(bytes: &[u8]) -> u16 {
    !fold(sum(bytes))
}

/// 1 / 0xffff modulo 2⁶⁴.
const INVERSE: u64 = 0xfffe_fffe_fffe_ffff;
const _: () = assert!(INVERSE.wrapping_mul(0xffff) == 1);

/// Whether the sum over 20 bytes, checksum included, is right: an IPv4 header without options. Nothing but
/// zeros, which is no header, passes too.
#[inline(always)]
pub fn is_true_20(header: &[u8; 20]) -> bool {
    // Right sums are right in either byte order and in words of any length (RFC 1071 section 2), so
    // these are as long as they get and no bytes are swapped.
    let word = |at: usize| {
        let mut word = [0; 8];
        word.copy_from_slice(&header[at..at + 8]);
        u64::from_ne_bytes(word)
    };
    let (sum, carry) = word(0).overflowing_add(word(8));
    let tail = [header[16], header[17], header[18], header[19]];
    let tail = u64::from(u32::from_ne_bytes(tail)) + u64::from(carry);
    let (sum, carry) = sum.overflowing_add(tail);
    // If it was carried, little is left of it. 0xffff divides what its inverse modulo 2⁶⁴ brings into
    // the first quotients (Warren, Hacker's Delight, section 10-17).
    (sum + u64::from(carry)).wrapping_mul(INVERSE) <= u64::MAX / 0xffff
}

/// Sum of the IPv4 pseudo header (RFC 9293 section 3.1) of an L4 part of `len` bytes.
#[inline]
pub fn pseudo_header(src: u32, dst: u32, proto: u8, len: u16) -> u64 {
    u64::from(src) + u64::from(dst) + u64::from(proto) + u64::from(len)
}

/// Sum of the IPv6 pseudo header (RFC 8200 section 8.1) of an L4 part of `len` bytes.
#[inline]
pub fn pseudo_header_v6(src: u128, dst: u128, proto: u8, len: u32) -> u64 {
    sum128(src) + sum128(dst) + u64::from(proto) + u64::from(len)
}

/// Sum of an IPv6 address.
#[inline]
fn sum128(address: u128) -> u64 {
    (0..4).map(|word| u64::from((address >> (32 * word)) as u32)).sum()
}

/// The delta of one word's change.
#[inline]
pub fn delta16(old: u16, new: u16) -> Delta {
    nonzero(fold(u64::from(!old) + u64::from(new)))
}

/// The delta of two adjacent words' change: of an address.
#[inline]
pub fn delta32(old: u32, new: u32) -> Delta {
    nonzero(fold(u64::from(!old) + u64::from(new)))
}

/// The delta of eight adjacent words' change: of an IPv6 address.
#[inline]
pub fn delta128(old: u128, new: u128) -> Delta {
    nonzero(fold(sum128(!old) + sum128(new)))
}

/// The delta of two changes together.
#[inline(always)]
pub fn combine(a: Delta, b: Delta) -> Delta {
    fold_pair(a, b)
}

/// The delta of the change back.
#[inline(always)]
pub fn negate(delta: Delta) -> Delta {
    nonzero(!delta)
}

/// The checksum after a change; as true or as false as `check` was. Never 0xffff.
#[inline(always)]
pub fn adjust(check: u16, delta: Delta) -> u16 {
    !fold_pair(!check, delta)
}

#[inline(always)]
fn nonzero(delta: u16) -> Delta {
    if delta == 0 { UNCHANGED } else { delta }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Rng, naive_sum};

    #[test]
    fn the_example_of_rfc_1071_sums_as_printed() {
        let bytes = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7];
        assert_eq!(fold(sum(&bytes)), 0xddf2);
        assert_eq!(checksum(&bytes), !0xddf2);
    }

    #[test]
    fn the_example_of_rfc_1624_gives_zero_and_not_minus_zero() {
        // Section 4: HC = 0xdd2f, m = 0x5555, m' = 0x3285.
        assert_eq!(adjust(0xdd2f, delta16(0x5555, 0x3285)), 0x0000);
    }

    #[test]
    fn the_fast_sum_equals_the_naive_one_for_every_length_and_many_contents() {
        let mut rng = Rng::new(1);
        for len in 0..200 {
            let mut bytes = vec![0; len];
            rng.fill(&mut bytes);
            assert_eq!(fold(sum(&bytes)), naive_sum(&bytes), "length {len}");
            bytes.fill(0xff);
            assert_eq!(fold(sum(&bytes)), naive_sum(&bytes), "all ones, length {len}");
        }
    }

    #[test]
    fn twenty_bytes_are_true_exactly_when_their_checksum_is_zero() {
        let mut rng = Rng::new(3);
        for _ in 0..10_000 {
            let mut header = [0; 20];
            rng.fill(&mut header);
            crate::wire::put16(&mut header, 10, 0);
            let check = checksum(&header);
            for wrong in [0, 1, 0x0100, 0x8000] {
                crate::wire::put16(&mut header, 10, check ^ wrong);
                assert_eq!(is_true_20(&header), wrong == 0);
                assert_eq!(checksum(&header) == 0, wrong == 0);
            }
        }
        assert!(is_true_20(&[0; 20]) && is_true_20(&[0xff; 20]));
    }

    #[test]
    fn a_checksum_adjusted_for_any_word_equals_the_one_computed_anew() {
        let mut rng = Rng::new(2);
        for round in 0..200_000u32 {
            let mut bytes = [0; 12];
            rng.fill(&mut bytes);
            let check = checksum(&bytes);
            let old = crate::wire::be16(&bytes, 4);
            // Values around both zeros come up often.
            let new = [0, 1, 0xffff, 0xfffe, old, !old, rng.next() as u16][round as usize % 7];
            crate::wire::put16(&mut bytes, 4, new);
            assert_eq!(adjust(check, delta16(old, new)), checksum(&bytes), "{old:#x} to {new:#x}");
        }
    }

    #[test]
    fn no_delta_is_positive_zero_and_no_result_is_negative_zero() {
        for word in [0, 1, 0x7fff, 0x8000, 0xfffe, 0xffff] {
            assert_eq!(delta16(word, word), UNCHANGED);
            assert_ne!(negate(delta16(word, word)), 0);
            for check in 0..=u16::MAX {
                assert_ne!(adjust(check, delta16(word, 0x1234)), 0xffff);
                assert_ne!(adjust(check, negate(delta16(word, 0x1234))), 0xffff);
            }
        }
        // ~old and new both zero.
        assert_eq!((delta16(0xffff, 0), delta32(u32::MAX, 0)), (UNCHANGED, UNCHANGED));
    }

    #[test]
    fn the_ipv6_pseudo_header_sums_as_its_bytes_do() {
        let mut rng = Rng::new(4);
        for _ in 0..1000 {
            // Source, destination, length, three zero bytes, protocol.
            let mut bytes = [0; 40];
            rng.fill(&mut bytes);
            bytes[36..39].fill(0);
            let (src, dst) = (crate::wire::be128(&bytes, 0), crate::wire::be128(&bytes, 16));
            let sum = pseudo_header_v6(src, dst, bytes[39], crate::wire::be32(&bytes, 32));
            assert_eq!(fold(sum), naive_sum(&bytes));
        }
    }

    #[test]
    fn the_delta_of_an_ipv6_address_is_that_of_its_words_together() {
        let mut rng = Rng::new(5);
        let mut any = || match rng.below(4) {
            0 => 0,
            1 => u128::MAX,
            _ => u128::from(rng.next()) << 64 | u128::from(rng.next()),
        };
        for _ in 0..1000 {
            let (old, new) = (any(), any());
            let words = (0..4).map(|word| {
                let part = |address: u128| (address >> (32 * word)) as u32;
                delta32(part(old), part(new))
            });
            let together = words.fold(UNCHANGED, combine);
            assert_eq!(delta128(old, new) % 0xffff, together % 0xffff);
            assert_ne!(delta128(old, new), 0);
        }
    }

    #[test]
    fn a_change_and_its_way_back_leave_a_checksum_as_it_was() {
        let there = combine(delta32(0x0a00_0064, 0xc0a8_010b), delta16(80, 8080));
        for check in 0..0xffff {
            assert_eq!(adjust(adjust(check, there), negate(there)), check);
        }
    }
}
