//! Plain IPv6.

use super::{PlainForm, adjust_l4, holds_l4, is_summed, ports};
use crate::flow::{FlowKey, protocol};
use crate::parse::Headers;
use crate::wire::checksum::Delta;
use crate::wire::ethernet::{self, ethertype};
use crate::wire::{be16, be32, ipv6, put16, put128, tcp};

const L3: usize = ethernet::HEADER_LEN;
const L4: usize = L3 + ipv6::HEADER_LEN;

impl PlainForm for u128 {
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
        let ip = &head[L3..];
        let ip_len = ipv6::HEADER_LEN + usize::from(ipv6::payload_len(ip));
        be16(head, ethernet::ETHERTYPE) == ethertype::IPV6
            && ipv6::version(ip) == 6
            && ip_len <= len - L3
            && ip_len <= usize::from(u16::MAX)
            && holds_l4(ip[ipv6::NEXT_HEADER], ip_len, ipv6::HEADER_LEN)
    }

    #[inline(always)]
    fn key(head: &Self::Head) -> FlowKey<u128> {
        let (ip, (sport, dport)) = (&head[L3..], ports(be32(head, L4)));
        let (src, dst) = (ipv6::src(ip), ipv6::dst(ip));
        FlowKey { src, dst, sport, dport, proto: ip[ipv6::NEXT_HEADER] }
    }

    #[inline(always)]
    fn ip_len(head: &Self::Head) -> u16 {
        ipv6::payload_len(&head[L3..]) + ipv6::HEADER_LEN as u16
    }

    #[inline(always)]
    fn hops_left(head: &Self::Head) -> u8 {
        head[L3 + ipv6::HOP_LIMIT]
    }

    #[inline(always)]
    fn tcp_flags(head: &Self::Head) -> u8 {
        head[L4 + tcp::FLAGS]
    }

    #[inline(always)]
    fn headers(head: &Self::Head) -> Headers<u128> {
        let key = Self::key(head);
        Headers {
            key,
            vlan: 0,
            ip_len: Self::ip_len(head),
            l3: L3 as u8,
            l4: L4 as u8,
            event: if key.proto == protocol::TCP { Self::tcp_flags(head) } else { 0 },
            ttl: Self::hops_left(head),
            tos: ipv6::traffic_class(&head[L3..]),
            df: true,
        }
    }

    #[inline(always)]
    fn pass(head: &mut Self::Head) {
        head[L3 + ipv6::HOP_LIMIT] -= 1;
    }

    #[inline(always)]
    fn is_summed(head: &Self::Head, proto: u8) -> bool {
        is_summed(&head[L4..], proto)
    }

    #[inline(always)]
    fn pass_adjusted(head: &mut Self::Head, proto: u8, _l3_delta: Delta, l4_delta: Delta) {
        Self::pass(head);
        adjust_l4(&mut head[L4..], proto, l4_delta);
    }

    #[inline(always)]
    fn set_source(head: &mut Self::Head, address: u128, port: u16) {
        put128(head, L3 + ipv6::SRC, address);
        put16(head, L4 + tcp::SPORT, port);
    }

    #[inline(always)]
    fn set_destination(head: &mut Self::Head, address: u128, port: u16) {
        put128(head, L3 + ipv6::DST, address);
        put16(head, L4 + tcp::DPORT, port);
    }
}
