//! The way of nearly all packets: untagged, IPv4 without options, whole, TCP or UDP, all true.
//!
//! The general reader says the same of these frames (a test and the fuzzer hold the two together)
//! with twice the instructions; here every offset is a constant of the first cache line.

use super::Headers;
use crate::flow::{FlowKey, protocol};
use crate::wire::ethernet::{self, ethertype};
use crate::wire::{be16, checksum, ipv4, tcp, udp};

const L3: usize = ethernet::HEADER_LEN;
const L4: usize = L3 + ipv4::MIN_LEN;
/// Bytes up to the end of a TCP header. A shorter UDP packet comes padded from a real network.
const HEAD_LEN: usize = L4 + tcp::MIN_LEN;
/// Version 4, five words of header.
const VERSION_AND_LEN: u8 = 0x45;

/// The headers of a plain packet; `None` for all others, whatever they are.
#[inline(always)]
pub(super) fn parse(frame: &[u8]) -> Option<Headers> {
    let head = frame.first_chunk::<HEAD_LEN>()?;
    let fragment = be16(head, L3 + ipv4::FRAGMENT);
    let ip_len = usize::from(be16(head, L3 + ipv4::TOTAL_LEN));
    let proto = head[L3 + ipv4::PROTOCOL];
    let (l4_len, event) = match proto {
        protocol::TCP => (tcp::MIN_LEN, head[L4 + tcp::FLAGS]),
        protocol::UDP => (udp::HEADER_LEN, 0),
        _ => return None,
    };
    let (_, ip) = head.split_first_chunk::<L3>()?;
    let plain = be16(head, ethernet::ETHERTYPE) == ethertype::IPV4
        && head[L3] == VERSION_AND_LEN
        && fragment & (ipv4::MF | ipv4::OFFSET_MASK) == 0
        && ip_len <= frame.len() - L3
        && ipv4::MIN_LEN + l4_len <= ip_len
        && checksum::is_true_20(ip.first_chunk()?);
    if !plain {
        return None;
    }
    Some(Headers {
        key: FlowKey {
            src: ipv4::src(ip),
            dst: ipv4::dst(ip),
            sport: be16(head, L4 + tcp::SPORT),
            dport: be16(head, L4 + tcp::DPORT),
            proto,
        },
        vlan: 0,
        ip_len: ip_len as u16,
        l3: L3 as u8,
        l4: L4 as u8,
        event,
        ttl: head[L3 + ipv4::TTL],
        tos: head[L3 + ipv4::TOS],
        df: fragment & ipv4::DF != 0,
    })
}
