//! Leaves that rewrite one packet: everything between "this conn" and "these bytes leave". What IPv4
//! and IPv6 have in common is written once, over [`IpHeader`](crate::wire::ip::IpHeader).
//!
//! The bytes equal those of Linux IPVS (`ip_vs_xmit.c`, `ip_vs_proto_tcp.c`, `ip_vs_proto_udp.c`,
//! `icmp.c`, `ip_output.c` of Linux 6.1). A leaf gets the packet as it came and the headers that
//! [`crate::parse`] found in it; it removes Ethernet padding first. Offsets in the headers stay
//! good for every leaf that follows, with one exception: after [`ipip`], [`tunnel`] and
//! [`icmp_error`] only `l3` and `vlan` still tell the truth, and after [`link`] nothing does.

pub mod fragment;
pub mod fullnat;
pub mod gatewaying;
pub mod icmp_error;
pub mod icmp_related;
pub mod ipip;
pub mod link;
pub mod masq;
pub mod masq_fragment;
pub mod sctp;
pub mod tcp_options;
pub mod toa;
pub mod told_quote;
pub mod tunnel;

use crate::io::Packet;
use crate::parse::Headers;

/// Whether an IP packet of `ip_len` bytes leaves whole through an MTU of `mtu`.
#[inline]
pub fn fits(ip_len: u16, mtu: u16) -> bool {
    ip_len <= mtu
}

/// Whether the time to live or hop limit runs out here: the packet is not forwarded (RFC 1812 section
/// 5.3.1, RFC 8200 section 3).
#[inline]
pub fn expires<A>(headers: &Headers<A>) -> bool {
    headers.ttl <= 1
}

/// The bytes from the IP header on, Ethernet padding removed.
#[inline(always)]
fn trimmed_ip<'a, A, P: Packet>(packet: &'a mut P, headers: &Headers<A>) -> &'a mut [u8] {
    let l3 = usize::from(headers.l3);
    let end = l3 + usize::from(headers.ip_len);
    if packet.bytes().len() > end {
        packet.truncate(end);
    }
    &mut packet.bytes_mut()[l3..]
}

#[cfg(test)]
mod golden_tests;
