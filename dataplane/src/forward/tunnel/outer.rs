//! The outer IP header.

use super::{Encap, Inner};
use crate::address::Family;
use crate::wire::ethernet::ethertype;
use crate::wire::{checksum, ipv4, ipv6};
use std::net::IpAddr;

/// A tunnel: how packets are wrapped, and from where to where they go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Outer {
    /// What stands between the outer IP header and the inner packet.
    pub encap: Encap,
    /// The addresses of the outer header.
    pub ends: Ends,
}

/// The director's and the real server's address, of one family, host order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Ends {
    /// Over IPv4.
    V4 {
        /// The director's.
        local: u32,
        /// The real server's.
        remote: u32,
    },
    /// Over IPv6.
    V6 {
        /// The director's.
        local: u128,
        /// The real server's.
        remote: u128,
    },
}

impl Ends {
    /// The tunnel between these addresses, if they are of one family.
    #[inline]
    pub fn new(local: IpAddr, remote: IpAddr) -> Option<Ends> {
        match (local, remote) {
            (IpAddr::V4(local), IpAddr::V4(remote)) => {
                Some(Ends::V4 { local: local.to_bits(), remote: remote.to_bits() })
            }
            (IpAddr::V6(local), IpAddr::V6(remote)) => {
                Some(Ends::V6 { local: local.to_bits(), remote: remote.to_bits() })
            }
            _ => None,
        }
    }

    /// The family that the outer packet is of.
    #[inline]
    pub const fn family(&self) -> Family {
        match self {
            Ends::V4 { .. } => Family::V4,
            Ends::V6 { .. } => Family::V6,
        }
    }

    /// Length of the outer IP header.
    #[inline]
    pub(super) const fn header_len(&self) -> usize {
        match self {
            Ends::V4 { .. } => ipv4::MIN_LEN,
            Ends::V6 { .. } => ipv6::HEADER_LEN,
        }
    }

    /// The outer packet's ethertype.
    #[inline]
    pub(super) const fn ethertype(&self) -> u16 {
        match self {
            Ends::V4 { .. } => ethertype::IPV4,
            Ends::V6 { .. } => ethertype::IPV6,
        }
    }

    /// What an outer header in front of `payload_len` bytes has in its length field: all for IPv4,
    /// what follows the header for IPv6. `None` if it is too much.
    #[inline]
    pub(super) fn length_field(&self, payload_len: usize) -> Option<u16> {
        let len = match self {
            Ends::V4 { .. } => payload_len + ipv4::MIN_LEN,
            Ends::V6 { .. } => payload_len,
        };
        u16::try_from(len).ok()
    }

    /// Sum of the pseudo header of `len` bytes of `proto`.
    #[inline]
    pub(super) fn pseudo_header(&self, proto: u8, len: u16) -> u64 {
        match *self {
            Ends::V4 { local, remote } => checksum::pseudo_header(local, remote, proto, len),
            Ends::V6 { local, remote } => {
                checksum::pseudo_header_v6(local, remote, proto, len.into())
            }
        }
    }

    /// Writes the header, which takes after that of `inner`; `len` is its length field.
    #[inline]
    pub(super) fn write(
        &self,
        header: &mut [u8],
        inner: &Inner,
        len: u16,
        proto: u8,
        id: Option<u16>,
    ) {
        let ttl = inner.ttl - 1;
        match *self {
            Ends::V4 { local, remote } => ipv4::Template {
                tos: inner.outer_tos(),
                total_len: len,
                id: id.unwrap_or(0),
                fragment: if id.is_none() { ipv4::DF } else { 0 },
                ttl,
                proto,
                src: local,
                dst: remote,
            }
            .write(header),
            Ends::V6 { local, remote } => ipv6::Template {
                traffic_class: inner.outer_tos(),
                flow_label: 0,
                payload_len: len,
                next_header: proto,
                hop_limit: ttl,
                src: local,
                dst: remote,
            }
            .write(header),
        }
    }
}
