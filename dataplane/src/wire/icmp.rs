//! ICMP header, RFC 792; the fields are the same in ICMPv6.

use super::{checksum, put16};

/// Length of the header, the four bytes of rest included.
pub const HEADER_LEN: usize = 8;
/// Offset of the type.
pub const TYPE: usize = 0;
/// Offset of the code.
pub const CODE: usize = 1;
/// Offset of the checksum.
pub const CHECKSUM: usize = 2;
/// Offset of the four bytes whose meaning depends on type and code.
pub const REST: usize = 4;
/// Offset of the next hop's MTU in fragmentation-needed (RFC 1191 section 4).
pub const MTU: usize = 6;

/// Message types.
pub mod kind {
    /// Echo reply.
    pub const ECHO_REPLY: u8 = 0;
    /// Destination unreachable.
    pub const UNREACHABLE: u8 = 3;
    /// Source quench.
    pub const SOURCE_QUENCH: u8 = 4;
    /// Redirect.
    pub const REDIRECT: u8 = 5;
    /// Echo request.
    pub const ECHO: u8 = 8;
    /// Time exceeded.
    pub const TIME_EXCEEDED: u8 = 11;
    /// Parameter problem.
    pub const PARAMETER_PROBLEM: u8 = 12;
}

/// Codes of destination unreachable.
pub mod code {
    /// The last router cannot reach the host.
    pub const HOST_UNREACHABLE: u8 = 1;
    /// Nobody listens on the port.
    pub const PORT_UNREACHABLE: u8 = 3;
    /// Too large for the next hop, and DF is set.
    pub const FRAGMENTATION_NEEDED: u8 = 4;
    /// The network is administratively prohibited.
    pub const NET_PROHIBITED: u8 = 9;
    /// The host is.
    pub const HOST_PROHIBITED: u8 = 10;
    /// A filter says so (RFC 1812 section 5.2.7.1).
    pub const PROHIBITED: u8 = 13;
}

/// Whether a type is an error message, about which no error is ever sent (RFC 1122 3.2.2).
#[inline]
pub fn is_error(kind: u8) -> bool {
    use kind::*;
    matches!(kind, UNREACHABLE | SOURCE_QUENCH | REDIRECT | TIME_EXCEEDED | PARAMETER_PROBLEM)
}

/// Whether IPVS follows messages of this type to the conn of the packet they quote
/// (`ip_vs_in_icmp`, `ip_vs_out_icmp`).
#[inline]
pub fn is_conn_error(kind: u8) -> bool {
    matches!(kind, kind::UNREACHABLE | kind::SOURCE_QUENCH | kind::TIME_EXCEEDED)
}

/// Fills in the checksum of a whole message. The sum of its pseudo header is 0 in IPv4, which has
/// none for ICMP.
pub fn write_checksum(message: &mut [u8], pseudo_header: u64) {
    put16(message, CHECKSUM, 0);
    let check = !checksum::fold(pseudo_header + checksum::sum(message));
    put16(message, CHECKSUM, check);
}

/// Whether the checksum of a whole message is right, given the sum of its pseudo header.
pub fn checksum_ok(message: &[u8], pseudo_header: u64) -> bool {
    checksum::fold(pseudo_header + checksum::sum(message)) == 0xffff
}
