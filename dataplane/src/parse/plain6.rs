//! The way of nearly all IPv6 packets: untagged, without extension headers, TCP or UDP, all true.
//!
//! As with [`super::plain`], the general reader says the same, more slowly; a test and the fuzzer
//! hold the two together.

use super::Headers;
use crate::flow::{FlowKey, protocol};
use crate::wire::ethernet::{self, ethertype};
use crate::wire::{be16, ipv6, tcp, udp};

const L3: usize = ethernet::HEADER_LEN;
const L4: usize = L3 + ipv6::HEADER_LEN;
/// Bytes up to the end of a TCP header. UDP with less than 12 bytes of data goes the general way.
const HEAD_LEN: usize = L4 + tcp::MIN_LEN;

/// The headers of a plain packet; `None` for all others, whatever they are.
#[inline(always)]
pub(super) fn parse(frame: &[u8]) -> Option<Headers<u128>> {
    let head = frame.first_chunk::<HEAD_LEN>()?;
    let (_, ip) = head.split_first_chunk::<L3>()?;
    let payload_len = usize::from(ipv6::payload_len(ip));
    let ip_len = ipv6::HEADER_LEN + payload_len;
    let proto = ip[ipv6::NEXT_HEADER];
    let (l4_len, event) = match proto {
        protocol::TCP => (tcp::MIN_LEN, head[L4 + tcp::FLAGS]),
        protocol::UDP => (udp::HEADER_LEN, 0),
        _ => return None,
    };
    let plain = be16(head, ethernet::ETHERTYPE) == ethertype::IPV6
        && ipv6::version(ip) == 6
        && ip_len <= frame.len() - L3
        && ip_len <= usize::from(u16::MAX)
        && l4_len <= payload_len;
    if !plain {
        return None;
    }
    Some(Headers {
        key: FlowKey {
            src: ipv6::src(ip),
            dst: ipv6::dst(ip),
            sport: be16(head, L4 + tcp::SPORT),
            dport: be16(head, L4 + tcp::DPORT),
            proto,
        },
        vlan: 0,
        ip_len: ip_len as u16,
        l3: L3 as u8,
        l4: L4 as u8,
        event,
        ttl: ip[ipv6::HOP_LIMIT],
        tos: ipv6::traffic_class(ip),
        df: true,
    })
}
