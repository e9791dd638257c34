//! One fragment: its datagram, its place in it, and what is wrong with it by itself.

use super::Refusal;
use crate::address::{Address, Family};
use crate::flow::protocol;
use crate::parse::FragmentHeaders;
use crate::time::ticks;
use crate::wire::{ipv6, tcp, udp};

/// Length of the Fragment header of IPv6 (RFC 8200 section 4.5).
const FRAGMENT_HEADER_LEN: u16 = 8;
/// SCTP's common header and the header of the first chunk, which moves the state machine.
const SCTP_LEAST: u16 = 12 + 4;

/// What all fragments of one datagram share: addresses, identification and, for IPv4, the protocol
/// (RFC 791 section 3.2; RFC 8200 section 4.5 leaves the protocol out).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Datagram {
    pub(super) src: u128,
    pub(super) dst: u128,
    pub(super) id: u32,
    proto: u8,
    family: Family,
}

impl Datagram {
    /// Of a family, between two addresses (host order), with an identification of 16 bits (IPv4)
    /// or 32 (IPv6) and IPv4's protocol, which is not looked at for IPv6.
    pub fn new<A: Address>(src: A, dst: A, id: u32, proto: u8) -> Datagram {
        let proto = if A::FAMILY == Family::V4 { proto } else { 0 };
        Datagram { src: src.into(), dst: dst.into(), id, proto, family: A::FAMILY }
    }

    /// How long after its first fragment arrived it may still become whole, in ticks: what Linux's
    /// reassembly grants (`net.ipv4.ipfrag_time` and `net.ipv6.ip6frag_time`). The receiver gives
    /// up then, too, so nothing that is let through later completes it, or overlaps what it has.
    pub(super) fn lifetime(&self) -> u32 {
        match self.family {
            Family::V4 => ticks(30),
            Family::V6 => ticks(60),
        }
    }
}

/// A fragment as its headers tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fragment {
    /// What it is a part of.
    pub datagram: Datagram,
    /// Where in the datagram its data begins, bytes: a multiple of 8.
    pub start: u16,
    /// Bytes of its data.
    pub len: u16,
    /// Whether others follow.
    pub more: bool,
    /// Bytes of headers that the whole datagram's 16-bit length would count besides its data.
    pub overhead: u16,
    /// The protocol of the data.
    pub proto: u8,
}

impl<A: Address> From<&FragmentHeaders<A>> for Fragment {
    fn from(from: &FragmentHeaders<A>) -> Fragment {
        let headers = &from.headers;
        let before = u16::from(headers.l4 - headers.l3);
        let key = &headers.key;
        Fragment {
            datagram: Datagram::new(key.src, key.dst, from.id, key.proto),
            start: from.offset,
            len: headers.ip_len - before,
            more: from.more,
            overhead: match A::FAMILY {
                Family::V4 => before,
                Family::V6 => before - ipv6::HEADER_LEN as u16 - FRAGMENT_HEADER_LEN,
            },
            proto: key.proto,
        }
    }
}

impl Fragment {
    /// Whether it is a whole datagram with a Fragment header: an atomic fragment, which is to be
    /// processed apart from any other fragment (RFC 6946 section 4).
    pub fn is_whole(&self) -> bool {
        self.start == 0 && !self.more
    }

    /// Whether it holds the datagram's beginning, and with it the L4 header.
    pub fn is_first(&self) -> bool {
        self.start == 0
    }

    /// Whether it is one of IPv6 whose length alone is wrong: others follow, and it is no multiple of
    /// 8. Its sender is to be told by whoever it is for (RFC 8200 section 4.5), and the kernel lets
    /// it pass to there (`nf_ct_frag6_gather`).
    pub fn is_misfit(&self) -> bool {
        let odd = self.more && self.len % 8 != 0;
        odd && self.datagram.family == Family::V6 && !self.is_too_long() && !self.is_tiny()
    }

    fn is_too_long(&self) -> bool {
        u32::from(self.overhead) + self.end() > u32::from(u16::MAX)
    }

    /// Where the first byte after its data is in the datagram.
    pub(super) fn end(&self) -> u32 {
        u32::from(self.start) + u32::from(self.len)
    }

    /// What is wrong with it, whatever else arrived of its datagram.
    pub(super) fn fault(&self) -> Result<(), Refusal> {
        if self.len == 0 || self.more && self.len % 8 != 0 {
            return Err(Refusal::BadLength);
        }
        if self.is_too_long() {
            return Err(Refusal::TooLong);
        }
        if self.is_tiny() { Err(Refusal::Tiny) } else { Ok(()) }
    }

    /// Whether the L4 header does not lie in the first fragment alone: the first is too short for
    /// it (RFC 1858 section 3, RFC 7112), or a later one reaches into it (RFC 3128).
    fn is_tiny(&self) -> bool {
        let least = match self.proto {
            protocol::TCP => tcp::MIN_LEN as u16,
            protocol::UDP => udp::HEADER_LEN as u16,
            protocol::SCTP => SCTP_LEAST,
            _ => 0,
        };
        let reaches = if self.is_first() { self.len } else { self.start };
        reaches < least
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::FlowKey;
    use crate::parse::Headers;

    /// A fragment of 100 bytes at 800 behind headers of `before` bytes.
    fn read<A: Address>(src: A, before: u8) -> Fragment {
        let key = FlowKey { src, dst: A::default(), sport: 0, dport: 0, proto: protocol::UDP };
        let (ip_len, l4) = (u16::from(before) + 100, 18 + before);
        let headers =
            Headers { key, vlan: 5, ip_len, l3: 18, l4, event: 0, ttl: 64, tos: 0, df: false };
        Fragment::from(&FragmentHeaders { headers, id: 7, offset: 800, more: false })
    }

    #[test]
    fn headers_count_as_the_familys_length_field_counts_them() {
        let v4 = read(1_u32, 60);
        assert_eq!((v4.start, v4.len, v4.more, v4.overhead), (800, 100, false, 60));
        assert_eq!(v4.datagram, Datagram::new(1_u32, 0, 7, protocol::UDP));
        // IPv6's counts neither its header nor, put together, the Fragment header.
        assert_eq!((read(1_u128, 48).overhead, read(1_u128, 48 + 16).overhead), (0, 16));
        assert_eq!((read(1_u128, 64).len, read(1_u128, 64).proto), (100, protocol::UDP));
    }
}
