//! UDP header, RFC 768.

use super::be16;

/// Length of the header.
pub const HEADER_LEN: usize = 8;
/// Offset of the source port.
pub const SPORT: usize = 0;
/// Offset of the destination port.
pub const DPORT: usize = 2;
/// Offset of the length.
pub const LEN: usize = 4;
/// Offset of the checksum; 0 means that there is none.
pub const CHECKSUM: usize = 6;
/// What a checksum that computes to 0 is sent as.
pub const ZERO_CHECKSUM: u16 = 0xffff;

/// The length field: bytes of header and data.
#[inline(always)]
pub fn length(udp: &[u8]) -> u16 {
    be16(udp, LEN)
}
