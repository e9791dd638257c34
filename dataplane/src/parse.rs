//! From bytes to headers and flow key, or to the reason why not. Any bytes: nothing here panics.
//!
//! A plain TCP or UDP packet costs its first cache line and no more: addresses, ports and TCP flags
//! all lie in the first 48 bytes of an untagged frame; of an IPv6 one in the first 68. L4 checksums are not looked at: a wrong one
//! stays wrong on its way through (as in the kernel), and the end drops it.

mod icmp;
mod icmpv6;
mod ipv4;
mod ipv6;
mod l4;
mod tunnelled;

pub use tunnelled::{Tunnelled, TunnelledFlow, tunnelled};

use crate::address::Address;
use crate::flow::{FlowKey, protocol};
use crate::plain;
use crate::verdict::{DropReason, PuntClass};
use crate::wire::ethernet::{self, ethertype};

/// Where things are in a whole (unfragmented) packet of a protocol with ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Headers<A = u32> {
    /// The flow, as the packet carries it.
    pub key: FlowKey<A>,
    /// VLAN id, 0 for none.
    pub vlan: u16,
    /// Total length of the IP packet, bytes; the frame may be longer (Ethernet padding).
    pub ip_len: u16,
    /// Offset of the IP header in the frame: 14 or 18.
    pub l3: u8,
    /// Offset of the L4 header in the frame, behind IPv4 options and IPv6 extension headers.
    pub l4: u8,
    /// What moves the protocol's state machine: TCP's flags byte, SCTP's
    /// [event](crate::proto::sctp::Event), 0 for UDP.
    pub event: u8,
    /// Time to live, or hop limit.
    pub ttl: u8,
    /// Type of service, or traffic class.
    pub tos: u8,
    /// Don't fragment; always so for IPv6.
    pub df: bool,
}

/// Where things are in a whole ICMP or ICMPv6 message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IcmpHeaders<A = u32> {
    /// Source address, host order.
    pub src: A,
    /// Destination address, host order.
    pub dst: A,
    quoted: FlowKey<A>,
    /// VLAN id, 0 for none.
    pub vlan: u16,
    /// Total length of the IP packet, bytes.
    pub ip_len: u16,
    /// Offset of the IP header in the frame.
    pub l3: u8,
    /// Offset of the ICMP header in the frame; the quoted IP header is 8 bytes further.
    pub l4: u8,
    /// Time to live.
    pub ttl: u8,
    /// ICMP type.
    pub kind: u8,
    /// ICMP code.
    pub code: u8,
    quoted_l4: u16,
}

impl<A: Address> IcmpHeaders<A> {
    /// For an error about a flow (types 3, 4 and 11, of ICMPv6 all below 128): the key as the quoted packet carries it, so
    /// the *sender* of that packet is its `src`. Ports are 0 unless it is TCP, UDP or SCTP.
    #[inline]
    pub fn quoted(&self) -> Option<FlowKey<A>> {
        (self.quoted_l4 != 0).then_some(self.quoted)
    }

    /// The key that packets of the flow which the error is about carry *towards* whoever sent the
    /// quoted packet, for TCP, UDP and SCTP: by it the flow's conn and owner are found, since an error
    /// goes that way too.
    #[inline]
    pub fn flow(&self) -> Option<FlowKey<A>> {
        let quoted = self.quoted()?;
        protocol::has_ports(quoted.proto).then_some(quoted.reversed())
    }

    /// Offset of the quoted packet's L4 header in the frame, if there is a [`Self::quoted`] flow.
    /// At least the four bytes of the ports are there.
    #[inline]
    pub fn quoted_l4(&self) -> Option<usize> {
        (self.quoted_l4 != 0).then_some(usize::from(self.quoted_l4))
    }
}

/// A fragment of a datagram: the first, or a later one without an L4 header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FragmentHeaders<A = u32> {
    /// As of a whole packet. Ports and event are 0 but in a first fragment that holds them; `ip_len`
    /// is the fragment's own, and its share of the datagram begins at `l4`.
    pub headers: Headers<A>,
    /// Identification, which all fragments of the datagram share: 16 bits of IPv4, 32 of IPv6.
    pub id: u32,
    /// Where in the datagram it belongs, bytes; 0 is the first fragment.
    pub offset: u16,
    /// Whether others follow.
    pub more: bool,
}

impl<A: Address> FragmentHeaders<A> {
    /// Whether its datagram, once whole, could be a [`Content::Flow`] or [`Content::Riding`].
    pub fn may_be_of_flow(&self) -> bool {
        let proto = self.headers.key.proto;
        protocol::has_ports(proto) || l4::rides::<A>(proto)
    }

    /// The headers of a first fragment as those of its datagram would be, but for the length: a
    /// [`Content::Riding`]'s have the key of its key exchange. And whether it is one.
    pub fn of_flow(&self) -> (Headers<A>, bool) {
        if !l4::rides::<A>(self.headers.key.proto) {
            return (self.headers, false);
        }
        let l4::Front { sport, dport, .. } = l4::Front::RIDING;
        let key = FlowKey { sport, dport, proto: protocol::UDP, ..self.headers.key };
        (Headers { key, ..self.headers }, true)
    }
}

/// What an IP packet that could be a service's holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content<A> {
    /// A whole packet of a protocol with ports.
    Flow(Headers<A>),
    /// One of TCP, UDP or SCTP that ends after the ports and within the header, so `event` is 0: it
    /// never opens a conn, but may belong to one.
    CutFlow(Headers<A>),
    /// AH or ESP, which ride on the conn of their key exchange: `key` is that of ISAKMP between the
    /// same ends, UDP from port 500 to port 500 (`ip_vs_proto_ah_esp.c`). In IPv6 ESP alone: there AH
    /// is an extension header like others (`ipv6_find_hdr`), and what follows it counts.
    Riding(Headers<A>),
    /// A whole ICMP or ICMPv6 message; those of neighbour discovery and multicast listeners are
    /// [`Parsed::Other`].
    Icmp(IcmpHeaders<A>),
    /// A fragment.
    Fragment(FragmentHeaders<A>),
}

/// What a frame turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parsed {
    /// An IPv4 packet that could be a service's.
    V4(Content<u32>),
    /// An IPv6 packet that could be a service's.
    V6(Content<u128>),
    /// Linux's, whatever it holds: the class and the VLAN id (0 for none) it goes with.
    Other(PuntClass, u16),
    /// Nothing that could be forwarded or punted.
    Drop(DropReason),
}

impl Parsed {
    /// VLAN id of the frame, 0 for none or unknown.
    #[inline]
    pub fn vlan(&self) -> u16 {
        match self {
            Parsed::V4(content) => content.vlan(),
            Parsed::V6(content) => content.vlan(),
            Parsed::Other(_, vlan) => *vlan,
            Parsed::Drop(_) => 0,
        }
    }
}

impl<A> Content<A> {
    #[inline]
    fn vlan(&self) -> u16 {
        match self {
            Content::Flow(headers) | Content::CutFlow(headers) | Content::Riding(headers) => {
                headers.vlan
            }
            Content::Icmp(message) => message.vlan,
            Content::Fragment(fragment) => fragment.headers.vlan,
        }
    }
}

/// Reads the headers of a frame. IP headers must be true in lengths and checksum, and the L4 header
/// must be there: what the kernel's `ip_rcv`, `ipv6_rcv` and protocol handlers drop is dropped.
#[inline]
pub fn parse(frame: &[u8]) -> Parsed {
    if let Some(headers) = plain::headers(frame) {
        return Parsed::V4(Content::Flow(headers));
    }
    match plain::headers(frame) {
        Some(headers) => Parsed::V6(Content::Flow(headers)),
        None => parse_any(frame),
    }
}

/// The same, without the short way for [plain] packets: what that is held to.
pub fn parse_any(frame: &[u8]) -> Parsed {
    let Some(link) = ethernet::link(frame) else {
        return Parsed::Drop(DropReason::TruncatedL2);
    };
    match link.ethertype {
        ethertype::IPV4 => ipv4::parse(frame, link),
        ethertype::IPV6 => ipv6::parse(frame, link),
        ethertype::ARP => Parsed::Other(PuntClass::Neighbor, link.vlan),
        _ => Parsed::Other(PuntClass::Rest, link.vlan),
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests6;
