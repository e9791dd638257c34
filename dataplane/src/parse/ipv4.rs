//! IPv4, and what it carries.

use super::{Content, FragmentHeaders, Headers, Parsed, icmp, l4};
use crate::flow::{FlowKey, protocol};
use crate::punt;
use crate::verdict::DropReason;
use crate::wire::ethernet::Link;
use crate::wire::{be16, ipv4};

/// Reads an IPv4 frame, or says why it is dropped.
pub(super) fn parse(frame: &[u8], link: Link) -> Parsed {
    content(&frame[link.payload.into()..], link).unwrap_or_else(Parsed::Drop)
}

fn content(bytes: &[u8], link: Link) -> Result<Parsed, DropReason> {
    let head = bytes.first_chunk::<{ ipv4::MIN_LEN }>().ok_or(DropReason::BadIpHeader)?;
    let (ip, header_len) = checked_packet(bytes, head)?;
    let (headers, l4) = (headers(head, header_len, link), &ip[header_len..]);
    if ipv4::fragment(head) & (ipv4::MF | ipv4::OFFSET_MASK) != 0 {
        return Ok(Parsed::V4(Content::Fragment(fragment(headers, head, l4))));
    }
    Ok(match headers.key.proto {
        proto if protocol::has_ports(proto) => Parsed::V4(l4::flow(headers, l4)?),
        protocol::ICMP => Parsed::V4(Content::Icmp(icmp::parse(ip, header_len, link)?)),
        protocol::AH | protocol::ESP => Parsed::V4(l4::riding(headers)),
        proto => Parsed::Other(punt::class_of_protocol(proto), link.vlan),
    })
}

/// All but ports and event.
fn headers(head: &[u8; ipv4::MIN_LEN], header_len: usize, link: Link) -> Headers {
    let (src, dst, proto) = (ipv4::src(head), ipv4::dst(head), head[ipv4::PROTOCOL]);
    Headers {
        key: FlowKey { src, dst, sport: 0, dport: 0, proto },
        vlan: link.vlan,
        ip_len: ipv4::total_len(head),
        l3: link.payload,
        l4: link.payload + header_len as u8,
        event: 0,
        ttl: head[ipv4::TTL],
        tos: head[ipv4::TOS],
        df: ipv4::fragment(head) & ipv4::DF != 0,
    }
}

/// A fragment, whose L4 header is in the first one, if at all: it may be cut within.
fn fragment(headers: Headers, head: &[u8; ipv4::MIN_LEN], payload: &[u8]) -> FragmentHeaders {
    let fragment = ipv4::fragment(head);
    let offset = (fragment & ipv4::OFFSET_MASK) * 8;
    FragmentHeaders {
        headers: if offset == 0 { l4::first_fragment(headers, payload) } else { headers },
        id: be16(head, ipv4::ID).into(),
        offset,
        more: fragment & ipv4::MF != 0,
    }
}

/// The packet without Ethernet padding, and its header's length (RFC 1812 section 5.2.2).
fn checked_packet<'a>(
    bytes: &'a [u8],
    head: &[u8; ipv4::MIN_LEN],
) -> Result<(&'a [u8], usize), DropReason> {
    let (header_len, total) = (ipv4::header_len(head), usize::from(ipv4::total_len(head)));
    let version_4 = head[0] >> 4 == 4;
    if !version_4 || header_len < ipv4::MIN_LEN || total < header_len || total > bytes.len() {
        return Err(DropReason::BadIpHeader);
    }
    if !ipv4::checksum_ok(&bytes[..header_len]) {
        return Err(DropReason::BadIpChecksum);
    }
    Ok((&bytes[..total], header_len))
}
