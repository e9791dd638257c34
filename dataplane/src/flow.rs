//! The five fields that name a flow in one direction, as a packet carries them.

/// Ports that IPVS treats apart.
pub mod port {
    /// Server's end of FTP's active data connections, RFC 959.
    pub const FTP_DATA: u16 = 20;
    /// FTP's control connection.
    pub const FTP: u16 = 21;
}

/// IP protocol numbers (IANA) that the director knows.
pub mod protocol {
    /// ICMP, RFC 792.
    pub const ICMP: u8 = 1;
    /// IP in IP, RFC 2003.
    pub const IPIP: u8 = 4;
    /// TCP, RFC 9293.
    pub const TCP: u8 = 6;
    /// UDP, RFC 768.
    pub const UDP: u8 = 17;
    /// IPv6 in IP, RFC 2473 and RFC 4213.
    pub const IPV6: u8 = 41;
    /// GRE, RFC 2784.
    pub const GRE: u8 = 47;
    /// ESP, RFC 4303.
    pub const ESP: u8 = 50;
    /// AH, RFC 4302.
    pub const AH: u8 = 51;
    /// ICMPv6, RFC 4443.
    pub const ICMPV6: u8 = 58;
    /// SCTP, RFC 9260.
    pub const SCTP: u8 = 132;

    /// Whether its packets begin with a source and a destination port and make conns.
    #[inline]
    pub fn has_ports(proto: u8) -> bool {
        matches!(proto, TCP | UDP | SCTP)
    }
}

/// A flow in one direction. Addresses and ports are host-order integers
/// (10.0.0.1 is `0x0a00_0001`), so `to_be_bytes` gives their wire form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct FlowKey<A = u32> {
    /// Source address.
    pub src: A,
    /// Destination address.
    pub dst: A,
    /// Source port.
    pub sport: u16,
    /// Destination port.
    pub dport: u16,
    /// IP protocol number.
    pub proto: u8,
}

impl<A> FlowKey<A> {
    /// The same flow as the other end's packets carry it.
    #[inline]
    pub fn reversed(self) -> FlowKey<A> {
        FlowKey {
            src: self.dst,
            dst: self.src,
            sport: self.dport,
            dport: self.sport,
            proto: self.proto,
        }
    }
}

/// Which way a packet of a conn goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// Client to real server.
    Inbound,
    /// Real server to client.
    Outbound,
}
