//! Plain IPv4.

use super::{PlainForm, adjust_l4, holds_l4, is_summed, ports};
use crate::flow::{FlowKey, protocol};
use crate::forward::tunnel::Inner;
use crate::io::Packet;
use crate::parse::Headers;
use crate::wire::checksum::{self, Delta};
use crate::wire::ethernet::{self, ethertype};
use crate::wire::ipv4::Template;
use crate::wire::{be16, be32, be64, ipv4, put16, put32, tcp};

const L3: usize = ethernet::HEADER_LEN;
const L4: usize = L3 + ipv4::MIN_LEN;
/// Version 4, five words of header.
const VERSION_AND_LEN: u8 = 0x45;

impl PlainForm for u32 {
    type Head = [u8; L4 + tcp::MIN_LEN];

    #[inline(always)]
    fn head(frame: &[u8]) -> Option<&Self::Head> {
        frame.first_chunk()
    }

    #[inline(always)]
    fn head_mut(frame: &mut [u8]) -> Option<&mut Self::Head> {
        frame.first_chunk_mut()
    }

    #[inline(always)]
    fn is_plain(head: &Self::Head, len: usize) -> bool {
        let ip_len = usize::from(Self::ip_len(head));
        be16(head, ethernet::ETHERTYPE) == ethertype::IPV4
            && head[L3] == VERSION_AND_LEN
            && be16(head, L3 + ipv4::FRAGMENT) & (ipv4::MF | ipv4::OFFSET_MASK) == 0
            && ip_len <= len - L3
            && holds_l4(head[L3 + ipv4::PROTOCOL], ip_len, ipv4::MIN_LEN)
            && head[L3..].first_chunk().is_some_and(checksum::is_true_20)
    }

    #[inline(always)]
    fn key(head: &Self::Head) -> FlowKey {
        let (addresses, (sport, dport)) = (be64(head, L3 + ipv4::SRC), ports(be32(head, L4)));
        let (src, dst) = ((addresses >> 32) as u32, addresses as u32);
        FlowKey { src, dst, sport, dport, proto: head[L3 + ipv4::PROTOCOL] }
    }

    #[inline(always)]
    fn ip_len(head: &Self::Head) -> u16 {
        be16(head, L3 + ipv4::TOTAL_LEN)
    }

    #[inline(always)]
    fn hops_left(head: &Self::Head) -> u8 {
        head[L3 + ipv4::TTL]
    }

    #[inline(always)]
    fn tcp_flags(head: &Self::Head) -> u8 {
        head[L4 + tcp::FLAGS]
    }

    #[inline(always)]
    fn headers(head: &Self::Head) -> Headers {
        let key = Self::key(head);
        Headers {
            key,
            vlan: 0,
            ip_len: Self::ip_len(head),
            l3: L3 as u8,
            l4: L4 as u8,
            event: if key.proto == protocol::TCP { Self::tcp_flags(head) } else { 0 },
            ttl: Self::hops_left(head),
            tos: head[L3 + ipv4::TOS],
            df: be16(head, L3 + ipv4::FRAGMENT) & ipv4::DF != 0,
        }
    }

    #[inline(always)]
    fn pass(head: &mut Self::Head) {
        take_hop(head, checksum::UNCHANGED);
    }

    #[inline(always)]
    fn is_summed(head: &Self::Head, proto: u8) -> bool {
        is_summed(&head[L4..], proto)
    }

    #[inline(always)]
    fn pass_adjusted(head: &mut Self::Head, proto: u8, l3_delta: Delta, l4_delta: Delta) {
        take_hop(head, l3_delta);
        adjust_l4(&mut head[L4..], proto, l4_delta);
    }

    #[inline(always)]
    fn set_source(head: &mut Self::Head, address: u32, port: u16) {
        put32(head, L3 + ipv4::SRC, address);
        put16(head, L4 + tcp::SPORT, port);
    }

    #[inline(always)]
    fn set_destination(head: &mut Self::Head, address: u32, port: u16) {
        put32(head, L3 + ipv4::DST, address);
        put16(head, L4 + tcp::DPORT, port);
    }
}

/// Takes a hop from a plain packet and puts it into an outer IPv4 packet, all but the MAC addresses in
/// front of that: what [`crate::forward::tunnel::encapsulate`] makes of it. `inner` is what it says of the
/// packet. With an `id` the outer packet has it and may be fragmented, without one it has DF. `false`, and
/// nothing changed, if there is no headroom or the outer length does not fit 16 bits.
#[inline(always)]
#[must_use]
pub fn pass_in_ipip<P: Packet>(
    packet: &mut P,
    inner: &Inner,
    (src, dst): (u32, u32),
    id: Option<u16>,
) -> bool {
    let Some(total_len) = inner.ip_len.checked_add(ipv4::MIN_LEN as u16) else { return false };
    if !packet.grow_front(ipv4::MIN_LEN) {
        return false;
    }
    let frame = packet.bytes_mut();
    let frame_len = frame.len();
    let Some(head) = frame.first_chunk_mut::<{ L4 + ipv4::MIN_LEN }>() else { return false };
    ipv4::decrement_ttl(&mut head[L4..]);
    put16(head, ethernet::ETHERTYPE, ethertype::IPV4);
    let header = Template {
        tos: inner.outer_tos(),
        total_len,
        id: id.unwrap_or(0),
        fragment: if id.is_none() { ipv4::DF } else { 0 },
        ttl: inner.ttl - 1,
        proto: protocol::IPIP,
        src,
        dst,
    };
    header.write(&mut head[L3..]);
    let end = L3 + usize::from(total_len);
    if frame_len > end {
        packet.truncate(end);
    }
    true
}

/// Takes one from the time to live, and changes the header's checksum by that and by `delta`.
#[inline(always)]
fn take_hop(head: &mut [u8; L4 + tcp::MIN_LEN], delta: Delta) {
    let ip = &mut head[L3..];
    let ttl_delta = ipv4::take_ttl(ip);
    ipv4::adjust_checksum(ip, checksum::combine(delta, ttl_delta));
}
