//! The way back: which tunnel a packet belongs to that an ICMP or ICMPv6 error quotes
//! (`ip_vs_in_icmp`, `ipvs_udp_decap`, `ipvs_gre_decap`).

use super::{Encap, Ends};
use crate::address::Family;
use crate::flow::protocol;
use crate::wire::ethernet::ethertype;
use crate::wire::ipv6::chain;
use crate::wire::{be16, gre, gue, ipv4, ipv6, udp};

/// L4 bytes of the inner packet that must be quoted: its ports.
const PORTS_LEN: usize = 4;

/// The type of a tunnel, as far as its packets tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// IP in IP.
    Ipip,
    /// GRE.
    Gre,
    /// What may be GUE. Only who knows the ports of tunnels can tell it from other UDP.
    Gue {
        /// The real server's port.
        port: u16,
    },
}

impl Kind {
    /// The type of a tunnel that wraps so.
    pub const fn of(encap: Encap) -> Kind {
        match encap {
            Encap::Ipip => Kind::Ipip,
            Encap::Gre { .. } => Kind::Gre,
            Encap::Gue { port, .. } => Kind::Gue { port },
        }
    }
}

/// A tunnel's packet in a quote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quoted {
    /// The tunnel's type.
    pub kind: Kind,
    /// The tunnel's ends; `local` is who sent the packet.
    pub ends: Ends,
    /// Offset of the inner IP header in the quote: what the tunnel added.
    pub inner_at: u16,
    /// The inner packet's family.
    pub family: Family,
}

/// Reads a quoted packet, given from its IP header to where the quote ends. `None` unless it is a
/// packet that [`encapsulate`](super::encapsulate) could have made, or the first fragment of one,
/// quoted at least as far as the inner IP header and four bytes more. Checksums and lengths in the
/// outer headers are not looked at: routers on the way may have changed the one, and the quote is
/// cut anyway. Whether there is such a tunnel is the caller's to know.
pub fn unwrap_quoted(quote: &[u8]) -> Option<Quoted> {
    let (ends, proto, shim_at) = match quote.first()? >> 4 {
        4 => outer_v4(quote)?,
        6 => outer_v6(quote)?,
        _ => return None,
    };
    let (kind, family, shim_len) = shim(proto, quote.get(shim_at..)?)?;
    let inner_at = shim_at + shim_len;
    is_quoted_far_enough(quote.get(inner_at..)?, family).then_some(Quoted {
        kind,
        ends,
        inner_at: inner_at as u16,
        family,
    })
}

/// Addresses, protocol and length of an outer IPv4 header.
fn outer_v4(ip: &[u8]) -> Option<(Ends, u8, usize)> {
    let head = ip.first_chunk::<{ ipv4::MIN_LEN }>()?;
    let header_len = ipv4::header_len(head);
    let later_fragment = ipv4::fragment(head) & ipv4::OFFSET_MASK != 0;
    let ends = Ends::V4 { local: ipv4::src(head), remote: ipv4::dst(head) };
    let whole = header_len >= ipv4::MIN_LEN && !later_fragment;
    whole.then_some((ends, head[ipv4::PROTOCOL], header_len))
}

/// The same of IPv6, with the length of all headers.
fn outer_v6(ip: &[u8]) -> Option<(Ends, u8, usize)> {
    let head = ip.first_chunk::<{ ipv6::HEADER_LEN }>()?;
    let chain = chain(ip).ok()?;
    let later_fragment = chain.fragment.is_some_and(|fragment| fragment.offset != 0);
    let ends = Ends::V6 { local: ipv6::src(head), remote: ipv6::dst(head) };
    (!later_fragment).then_some((ends, chain.proto, chain.len))
}

/// The tunnel's type, the inner packet's family and the length of what is between the IP headers.
fn shim(proto: u8, shim: &[u8]) -> Option<(Kind, Family, usize)> {
    match proto {
        protocol::IPIP | protocol::IPV6 => Some((Kind::Ipip, family_of(proto)?, 0)),
        protocol::GRE => {
            let head = shim.first_chunk::<{ gre::MIN_LEN }>()?;
            let family = match be16(head, gre::PROTOCOL) {
                ethertype::IPV4 => Family::V4,
                ethertype::IPV6 => Family::V6,
                _ => return None,
            };
            Some((Kind::Gre, family, gre::header_len(be16(head, gre::FLAGS))?))
        }
        protocol::UDP => {
            let head = shim.first_chunk::<{ udp::HEADER_LEN + gue::MIN_LEN }>()?;
            let (udp, gue) = head.split_at(udp::HEADER_LEN);
            let len = udp::HEADER_LEN + gue::header_len(gue[gue::VERSION_AND_LEN])?;
            let kind = Kind::Gue { port: be16(udp, udp::DPORT) };
            Some((kind, family_of(gue[gue::PROTOCOL])?, len))
        }
        _ => None,
    }
}

/// The family of the packet that an IP header or GUE names by this number.
fn family_of(proto: u8) -> Option<Family> {
    match proto {
        protocol::IPIP => Some(Family::V4),
        protocol::IPV6 => Some(Family::V6),
        _ => None,
    }
}

/// Whether an inner packet of this family has its header and the bytes of the ports here.
fn is_quoted_far_enough(ip: &[u8], family: Family) -> bool {
    let header_len = match (ip.first().map(|first| first >> 4), family) {
        (Some(4), Family::V4) => ipv4::header_len(ip),
        (Some(6), Family::V6) => ipv6::HEADER_LEN,
        _ => return false,
    };
    header_len >= ipv4::MIN_LEN && ip.len() >= header_len + PORTS_LEN
}
