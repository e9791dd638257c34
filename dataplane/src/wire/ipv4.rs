//! IPv4 header, RFC 791.

use super::{be16, be32, checksum, put16, put32};

/// Length of a header without options.
pub const MIN_LEN: usize = 20;
/// Smallest MTU that IPv4 knows (RFC 791).
pub const MIN_MTU: u16 = 68;
/// Offset of the type of service.
pub const TOS: usize = 1;
/// Offset of the total length.
pub const TOTAL_LEN: usize = 2;
/// Offset of the identification.
pub const ID: usize = 4;
/// Offset of flags and fragment offset.
pub const FRAGMENT: usize = 6;
/// Offset of the time to live.
pub const TTL: usize = 8;
/// Offset of the protocol.
pub const PROTOCOL: usize = 9;
/// Offset of the header checksum.
pub const CHECKSUM: usize = 10;
/// Offset of the source address.
pub const SRC: usize = 12;
/// Offset of the destination address.
pub const DST: usize = 16;

/// Don't fragment.
pub const DF: u16 = 0x4000;
/// More fragments.
pub const MF: u16 = 0x2000;
/// Bits of the fragment offset, in units of 8 bytes.
pub const OFFSET_MASK: u16 = 0x1fff;

/// Length of the header in bytes, options included; below 20 if the header lies.
#[inline(always)]
pub fn header_len(ip: &[u8]) -> usize {
    usize::from(ip[0] & 0x0f) * 4
}

/// The total length field, bytes.
#[inline(always)]
pub fn total_len(ip: &[u8]) -> u16 {
    be16(ip, TOTAL_LEN)
}

/// Flags and fragment offset together: [`DF`], [`MF`], [`OFFSET_MASK`].
#[inline(always)]
pub fn fragment(ip: &[u8]) -> u16 {
    be16(ip, FRAGMENT)
}

/// Source address, host order.
#[inline(always)]
pub fn src(ip: &[u8]) -> u32 {
    be32(ip, SRC)
}

/// Destination address, host order.
#[inline(always)]
pub fn dst(ip: &[u8]) -> u32 {
    be32(ip, DST)
}

/// Whether the checksum of a header, given whole with its options, is right.
#[inline(always)]
pub fn checksum_ok(header: &[u8]) -> bool {
    checksum::checksum(header) == 0
}

/// Fills in the checksum of a header, given whole with its options.
#[inline]
pub fn write_checksum(header: &mut [u8]) {
    put16(header, CHECKSUM, 0);
    let check = checksum::checksum(header);
    put16(header, CHECKSUM, check);
}

/// Adjusts the checksum by `delta`.
#[inline(always)]
pub fn adjust_checksum(ip: &mut [u8], delta: checksum::Delta) {
    let check = checksum::adjust(be16(ip, CHECKSUM), delta);
    put16(ip, CHECKSUM, check);
}

/// Takes one from the time to live and gives the delta for the header checksum, which is left as
/// it was. The time to live must not be 0.
#[inline(always)]
pub fn take_ttl(ip: &mut [u8]) -> checksum::Delta {
    debug_assert!(ip[TTL] > 0, "an expired packet is not forwarded");
    ip[TTL] = ip[TTL].wrapping_sub(1);
    // The word of TTL and protocol loses 0x0100: minus that, in one's complement.
    !0x0100
}

/// Takes one from the time to live, header checksum included.
#[inline(always)]
pub fn decrement_ttl(ip: &mut [u8]) {
    let delta = take_ttl(ip);
    adjust_checksum(ip, delta);
}

/// Gives back what [`decrement_ttl`] took.
pub fn increment_ttl(ip: &mut [u8]) {
    ip[TTL] = ip[TTL].wrapping_add(1);
    adjust_checksum(ip, 0x0100);
}

/// A header without options, to be written by [`Template::write`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Template {
    /// Type of service.
    pub tos: u8,
    /// Total length, bytes.
    pub total_len: u16,
    /// Identification.
    pub id: u16,
    /// Flags and fragment offset.
    pub fragment: u16,
    /// Time to live.
    pub ttl: u8,
    /// Protocol of the payload.
    pub proto: u8,
    /// Source address, host order.
    pub src: u32,
    /// Destination address, host order.
    pub dst: u32,
}

impl Template {
    /// Writes the 20 bytes of the header to the front of `ip`, checksum filled in.
    #[inline(always)]
    pub fn write(&self, ip: &mut [u8]) {
        let header = &mut ip[..MIN_LEN];
        let pair = |high: u16, low: u16| u32::from(high) << 16 | u32::from(low);
        let (tos, life) =
            (u16::from_be_bytes([0x45, self.tos]), u16::from_be_bytes([self.ttl, self.proto]));
        let (first, second, third) =
            (pair(tos, self.total_len), pair(self.id, self.fragment), pair(life, 0));
        // Summed before they are written: what was just written in parts is slow to read back.
        let sum = u64::from(first) + u64::from(second) + u64::from(third);
        let check = !checksum::fold(sum + u64::from(self.src) + u64::from(self.dst));
        put32(header, 0, first);
        put32(header, ID, second);
        put32(header, TTL, third | u32::from(check));
        put32(header, SRC, self.src);
        put32(header, DST, self.dst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_written_byte_for_byte() {
        let mut ip = [0xee; 21];
        let (src, dst) = (0xc0a8_0101, 0xc0a8_010b);
        Template { tos: 0xb9, total_len: 64, id: 7, fragment: DF, ttl: 63, proto: 4, src, dst }
            .write(&mut ip);
        let expected = [
            0x45, 0xb9, 0x00, 0x40, 0x00, 0x07, 0x40, 0x00, 0x3f, 0x04, 0xb7, 0x9d, 192, 168, 1, 1,
            192, 168, 1, 11, 0xee,
        ];
        assert_eq!(ip, expected);
        assert!(checksum_ok(&ip[..20]));
    }

    #[test]
    fn a_decremented_ttl_leaves_the_checksum_of_every_header_right() {
        let mut ip = [0; 20];
        for id in 0..=u16::MAX {
            let (src, dst) = (0x0a00_0001, 0x0a00_0002);
            Template { tos: 0, total_len: 40, id, fragment: 0, ttl: 64, proto: 6, src, dst }
                .write(&mut ip);
            decrement_ttl(&mut ip);
            let adjusted = be16(&ip, CHECKSUM);
            write_checksum(&mut ip);
            assert_eq!((ip[TTL], adjusted), (63, be16(&ip, CHECKSUM)));
        }
    }
}
