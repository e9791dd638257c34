//! IPv6 header, RFC 8200.

use super::{be16, be32, be128, put16, put32, put128};

mod chain;

pub use chain::{Chain, ChainError, Fragment, chain};

/// Length of the header, without extension headers.
pub const HEADER_LEN: usize = 40;
/// Offset of the payload length.
pub const PAYLOAD_LEN: usize = 4;
/// Offset of the next header's protocol.
pub const NEXT_HEADER: usize = 6;
/// Offset of the hop limit.
pub const HOP_LIMIT: usize = 7;
/// Offset of the source address.
pub const SRC: usize = 8;
/// Offset of the destination address.
pub const DST: usize = 24;

/// Smallest MTU that IPv6 knows (section 5).
pub const MIN_MTU: u16 = 1280;
/// Bits of the first word that are the flow label.
pub const FLOW_LABEL_MASK: u32 = 0x000f_ffff;

/// The fragment header (section 4.5).
pub mod fragment_header {
    /// Next-header value that announces it.
    pub const PROTOCOL: u8 = 44;
    /// Length of the header.
    pub const LEN: usize = 8;
    /// Offset of the fragment's place and flags.
    pub const OFFSET: usize = 2;
    /// Offset of the identification.
    pub const ID: usize = 4;
    /// Bits of the place, in units of 8 bytes as they stand: with the others 0 it is in bytes.
    pub const OFFSET_MASK: u16 = 0xfff8;
    /// More fragments.
    pub const MF: u16 = 1;
}

/// Version, traffic class and flow label: the first word.
#[inline(always)]
fn first_word(ip: &[u8]) -> u32 {
    be32(ip, 0)
}

/// The version field: 6 unless the header lies.
#[inline(always)]
pub fn version(ip: &[u8]) -> u8 {
    ip[0] >> 4
}

/// The traffic class: what IPv4 calls type of service.
#[inline(always)]
pub fn traffic_class(ip: &[u8]) -> u8 {
    (first_word(ip) >> 20) as u8
}

/// The flow label, 20 bits.
#[inline(always)]
pub fn flow_label(ip: &[u8]) -> u32 {
    first_word(ip) & FLOW_LABEL_MASK
}

/// The payload length field, bytes: what follows the header, extension headers included.
#[inline(always)]
pub fn payload_len(ip: &[u8]) -> u16 {
    be16(ip, PAYLOAD_LEN)
}

/// Source address, host order.
#[inline(always)]
pub fn src(ip: &[u8]) -> u128 {
    be128(ip, SRC)
}

/// Destination address, host order.
#[inline(always)]
pub fn dst(ip: &[u8]) -> u128 {
    be128(ip, DST)
}

/// Takes one from the hop limit, which must not be 0.
#[inline(always)]
pub fn decrement_hop_limit(ip: &mut [u8]) {
    debug_assert!(ip[HOP_LIMIT] > 0, "an expired packet is not forwarded");
    ip[HOP_LIMIT] = ip[HOP_LIMIT].wrapping_sub(1);
}

/// A header without extension headers, to be written by [`Template::write`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Template {
    /// Traffic class.
    pub traffic_class: u8,
    /// Flow label; the upper 12 bits do not count.
    pub flow_label: u32,
    /// Bytes that follow the header.
    pub payload_len: u16,
    /// Protocol of what follows.
    pub next_header: u8,
    /// Hop limit.
    pub hop_limit: u8,
    /// Source address, host order.
    pub src: u128,
    /// Destination address, host order.
    pub dst: u128,
}

impl Template {
    /// Writes the 40 bytes of the header to the front of `ip`.
    #[inline]
    pub fn write(&self, ip: &mut [u8]) {
        let header = &mut ip[..HEADER_LEN];
        let label = self.flow_label & FLOW_LABEL_MASK;
        put32(header, 0, 6 << 28 | u32::from(self.traffic_class) << 20 | label);
        put16(header, PAYLOAD_LEN, self.payload_len);
        header[NEXT_HEADER] = self.next_header;
        header[HOP_LIMIT] = self.hop_limit;
        put128(header, SRC, self.src);
        put128(header, DST, self.dst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::from_hex;

    #[test]
    fn a_header_is_written_byte_for_byte_and_read_back() {
        let header = Template {
            traffic_class: 0xb9,
            flow_label: 0xfff5_4321,
            payload_len: 24,
            next_header: 6,
            hop_limit: 64,
            src: 0x2001_0db8_00cc << 80 | 1,
            dst: 0x2001_0db8_000c << 80 | 0x100,
        };
        let mut ip = [0xee; 41];
        header.write(&mut ip);
        // The header of a frame of the trace tun_ipip_v6.
        let expected = from_hex(
            "6b954321 00180640 20010db800cc00000000000000000001
             20010db8000c00000000000000000100 ee",
        );
        assert_eq!(ip.as_slice(), expected);
        assert_eq!((version(&ip), traffic_class(&ip), flow_label(&ip)), (6, 0xb9, 0x5_4321));
        assert_eq!((payload_len(&ip), src(&ip), dst(&ip)), (24, header.src, header.dst));
        decrement_hop_limit(&mut ip);
        assert_eq!((ip[NEXT_HEADER], ip[HOP_LIMIT]), (6, 63));
    }
}
