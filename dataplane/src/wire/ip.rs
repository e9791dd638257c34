//! The IP header of either family, for what is written over both once.
//!
//! As with [`super::ipv4`] and [`super::ipv6`], functions take the header's own slice and expect its
//! fixed part to be there.

use super::checksum::{self, Delta};
use super::{be32, be128, ipv4, ipv6, put32, put128};
use crate::address::Address;
use crate::flow::protocol;

/// The header that carries addresses of this family.
pub trait IpHeader: Address {
    /// Length of the header without options and extension headers.
    const HEADER_LEN: usize;
    /// Offset of the source address.
    const SRC: usize;
    /// Offset of the destination address.
    const DST: usize;
    /// Protocol number of the family's ICMP.
    const ICMP: u8;

    /// The address at `at`, host order.
    fn get(ip: &[u8], at: usize) -> Self;

    /// Writes the address to `at`.
    fn put(self, ip: &mut [u8], at: usize);

    /// Length of the packet as its header says, bytes.
    fn total_len(ip: &[u8]) -> usize;

    /// Time to live, or hop limit.
    fn ttl(ip: &[u8]) -> u8;

    /// Type of service, or traffic class.
    fn tos(ip: &[u8]) -> u8;

    /// Whether routers must not cut the packet; always so for IPv6.
    fn df(ip: &[u8]) -> bool;

    /// Takes one from the time to live, which must not be 0, after addresses were changed by
    /// `delta`. The checksum, which IPv6 has none of, follows both.
    fn take_hop(ip: &mut [u8], delta: Delta);

    /// Undoes [`IpHeader::take_hop`] without a delta.
    fn give_hop(ip: &mut [u8]);

    /// Computes the checksum of a header, given whole with its options, anew; IPv6 has none.
    fn write_checksum(header: &mut [u8]);

    /// The delta of an address's change.
    fn delta(old: Self, new: Self) -> Delta;

    /// Sum of the pseudo header of an L4 part of `len` bytes.
    fn pseudo_header(src: Self, dst: Self, proto: u8, len: u16) -> u64;

    /// What the pseudo header adds to the checksum of an ICMP message of `len` bytes: nothing in
    /// IPv4.
    fn icmp_pseudo_header(src: Self, dst: Self, len: u16) -> u64;
}

impl IpHeader for u32 {
    const HEADER_LEN: usize = ipv4::MIN_LEN;
    const SRC: usize = ipv4::SRC;
    const DST: usize = ipv4::DST;
    const ICMP: u8 = protocol::ICMP;

    #[inline(always)]
    fn get(ip: &[u8], at: usize) -> u32 {
        be32(ip, at)
    }

    #[inline(always)]
    fn put(self, ip: &mut [u8], at: usize) {
        put32(ip, at, self);
    }

    #[inline(always)]
    fn total_len(ip: &[u8]) -> usize {
        ipv4::total_len(ip).into()
    }

    #[inline(always)]
    fn ttl(ip: &[u8]) -> u8 {
        ip[ipv4::TTL]
    }

    #[inline(always)]
    fn tos(ip: &[u8]) -> u8 {
        ip[ipv4::TOS]
    }

    #[inline(always)]
    fn df(ip: &[u8]) -> bool {
        ipv4::fragment(ip) & ipv4::DF != 0
    }

    #[inline(always)]
    fn take_hop(ip: &mut [u8], delta: Delta) {
        let ttl_delta = ipv4::take_ttl(ip);
        ipv4::adjust_checksum(ip, checksum::combine(delta, ttl_delta));
    }

    fn give_hop(ip: &mut [u8]) {
        ipv4::increment_ttl(ip);
    }

    #[inline(always)]
    fn write_checksum(header: &mut [u8]) {
        ipv4::write_checksum(header);
    }

    #[inline]
    fn delta(old: u32, new: u32) -> Delta {
        checksum::delta32(old, new)
    }

    #[inline(always)]
    fn pseudo_header(src: u32, dst: u32, proto: u8, len: u16) -> u64 {
        checksum::pseudo_header(src, dst, proto, len)
    }

    #[inline(always)]
    fn icmp_pseudo_header(_: u32, _: u32, _: u16) -> u64 {
        0
    }
}

impl IpHeader for u128 {
    const HEADER_LEN: usize = ipv6::HEADER_LEN;
    const SRC: usize = ipv6::SRC;
    const DST: usize = ipv6::DST;
    const ICMP: u8 = protocol::ICMPV6;

    #[inline(always)]
    fn get(ip: &[u8], at: usize) -> u128 {
        be128(ip, at)
    }

    #[inline(always)]
    fn put(self, ip: &mut [u8], at: usize) {
        put128(ip, at, self);
    }

    #[inline(always)]
    fn total_len(ip: &[u8]) -> usize {
        ipv6::HEADER_LEN + usize::from(ipv6::payload_len(ip))
    }

    #[inline(always)]
    fn ttl(ip: &[u8]) -> u8 {
        ip[ipv6::HOP_LIMIT]
    }

    #[inline(always)]
    fn tos(ip: &[u8]) -> u8 {
        ipv6::traffic_class(ip)
    }

    #[inline(always)]
    fn df(_: &[u8]) -> bool {
        true
    }

    #[inline(always)]
    fn take_hop(ip: &mut [u8], _: Delta) {
        ipv6::decrement_hop_limit(ip);
    }

    fn give_hop(ip: &mut [u8]) {
        ip[ipv6::HOP_LIMIT] = ip[ipv6::HOP_LIMIT].wrapping_add(1);
    }

    #[inline(always)]
    fn write_checksum(_: &mut [u8]) {}

    #[inline]
    fn delta(old: u128, new: u128) -> Delta {
        checksum::delta128(old, new)
    }

    #[inline(always)]
    fn pseudo_header(src: u128, dst: u128, proto: u8, len: u16) -> u64 {
        checksum::pseudo_header_v6(src, dst, proto, len.into())
    }

    #[inline(always)]
    fn icmp_pseudo_header(src: u128, dst: u128, len: u16) -> u64 {
        checksum::pseudo_header_v6(src, dst, protocol::ICMPV6, len.into())
    }
}
