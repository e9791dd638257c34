//! ICMPv6, RFC 4443. The header's fields are where [`super::icmp`] has them.

/// Message types.
pub mod kind {
    /// Destination unreachable.
    pub const UNREACHABLE: u8 = 1;
    /// Packet too big for the next hop; the rest is the next hop's MTU.
    pub const PACKET_TOO_BIG: u8 = 2;
    /// Time exceeded.
    pub const TIME_EXCEEDED: u8 = 3;
    /// Parameter problem.
    pub const PARAMETER_PROBLEM: u8 = 4;
    /// Echo request.
    pub const ECHO: u8 = 128;
    /// Echo reply.
    pub const ECHO_REPLY: u8 = 129;
    /// Multicast listener query (RFC 2710), the first of the three of version 1.
    pub const LISTENER_QUERY: u8 = 130;
    /// Redirect (RFC 4861), the last of the five of neighbour discovery, which follow those.
    pub const REDIRECT: u8 = 137;
    /// Multicast listener report of version 2 (RFC 3810).
    pub const LISTENER_REPORT_2: u8 = 143;
}

/// Codes of destination unreachable.
pub mod code {
    /// Administratively prohibited.
    pub const PROHIBITED: u8 = 1;
    /// The address cannot be reached.
    pub const ADDRESS_UNREACHABLE: u8 = 3;
    /// Nobody listens on the port.
    pub const PORT_UNREACHABLE: u8 = 4;
}

/// Whether a type is an error message (section 2.1), about which no error is ever sent. IPVS follows
/// all of them to the conn of the packet they quote (`ip_vs_in_icmp_v6`).
#[inline]
pub fn is_error(kind: u8) -> bool {
    kind < 128
}

/// Whether a message is between the stations of a link: neighbour discovery, multicast listeners.
#[inline]
pub fn is_link_local(kind: u8) -> bool {
    matches!(kind, kind::LISTENER_QUERY..=kind::REDIRECT | kind::LISTENER_REPORT_2)
}
