//! The packet that a tunnel carries.

use super::{Encap, GueChecksum};
use crate::address::{Address, Family};
use crate::flow::protocol;
use crate::parse::Headers;
use crate::wire::ethernet::ethertype;
use crate::wire::{gue, ipv4, ipv6};

/// What a tunnel must know of the packet it is to carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Inner {
    /// Its family.
    pub family: Family,
    /// Offset of its IP header in the frame: 14 or 18.
    pub l3: u8,
    /// Total length of the IP packet, header included, bytes.
    pub ip_len: u16,
    /// Type of service or traffic class.
    pub tos: u8,
    /// Time to live or hop limit, as the packet came.
    pub ttl: u8,
    /// Don't fragment.
    pub df: bool,
    /// For a packet that never was on a wire: what is left to be summed.
    pub unfinished: Option<Unfinished>,
}

/// An L4 checksum that is only begun: its field has the sum of the pseudo header, not complemented
/// (the kernel's `CHECKSUM_PARTIAL`). Packets of local guests come so; packets from a wire never do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unfinished {
    /// Offset from the inner IP header of the first byte to be summed.
    pub start: u16,
    /// Offset from the inner IP header of the checksum field.
    pub field: u16,
}

impl<A: Address> From<&Headers<A>> for Inner {
    #[inline(always)]
    fn from(headers: &Headers<A>) -> Inner {
        Inner {
            family: A::FAMILY,
            l3: headers.l3,
            ip_len: headers.ip_len,
            tos: headers.tos,
            ttl: headers.ttl,
            df: headers.df,
            unfinished: None,
        }
    }
}

impl Inner {
    /// Whether an outer IPv4 header has DF: it is copied from an inner IPv4 header, unless the sysctl
    /// `pmtu_disc` is off. An inner IPv6 packet, though routers never cut it, gets none.
    #[inline]
    pub fn outer_df(&self, pmtu_disc: bool) -> bool {
        pmtu_disc && self.df && self.family == Family::V4
    }

    /// TOS or traffic class of the outer header: the inner one's, but for congestion experienced, which
    /// the tunnel has not (`INET_ECN_encapsulate`, RFC 3168 section 9.1.1).
    #[inline]
    pub fn outer_tos(&self) -> u8 {
        const ECN: u8 = 0b11;
        const ECT_0: u8 = 0b10;
        if self.tos & ECN == ECN { self.tos & !ECN | ECT_0 } else { self.tos }
    }

    /// Bytes of the option that tells GUE's receiver what to finish.
    #[inline]
    pub(super) fn option_len(&self, encap: Encap) -> usize {
        match encap {
            Encap::Gue { checksum: GueChecksum::Remote, .. } if self.unfinished.is_some() => {
                gue::REMCSUM_LEN
            }
            _ => 0,
        }
    }

    /// Its protocol number where an IP header or GUE names it.
    #[inline]
    pub(super) fn protocol(&self) -> u8 {
        match self.family {
            Family::V4 => protocol::IPIP,
            Family::V6 => protocol::IPV6,
        }
    }

    /// Its ethertype, by which GRE names it.
    #[inline]
    pub(super) fn ethertype(&self) -> u16 {
        match self.family {
            Family::V4 => ethertype::IPV4,
            Family::V6 => ethertype::IPV6,
        }
    }

    /// Takes one from its time to live.
    #[inline]
    pub(super) fn decrement(&self, ip: &mut [u8]) {
        match self.family {
            Family::V4 => ipv4::decrement_ttl(ip),
            Family::V6 => ipv6::decrement_hop_limit(ip),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn congestion_that_was_experienced_before_the_tunnel_stays_inside() {
        let outer = |tos| Inner { tos, ..Inner::from(&headers()) }.outer_tos();
        assert_eq!([0x30, 0x31, 0x32, 0x33].map(outer), [0x30, 0x31, 0x32, 0x32]);
    }

    fn headers() -> Headers {
        use crate::parse::{Content, Parsed, parse};
        let frame = crate::testing::Frame::udp(1, 2, 3, 4).build();
        let Parsed::V4(Content::Flow(headers)) = parse(&frame) else { panic!("a flow") };
        headers
    }
}
