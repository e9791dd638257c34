//! IPv6 and its extension headers.

use super::{Content, FragmentHeaders, Headers, Parsed, icmpv6, l4};
use crate::flow::{FlowKey, protocol};
use crate::punt;
use crate::verdict::DropReason;
use crate::wire::ethernet::Link;
use crate::wire::ipv6::{self, Chain, ChainError};

/// The next header of hop-by-hop options, which alone may say how long a packet without a payload
/// length is (RFC 2675).
const HOP_BY_HOP: u8 = 0;

/// Reads an IPv6 frame, or says why it is dropped.
pub(super) fn parse(frame: &[u8], link: Link) -> Parsed {
    content(&frame[link.payload.into()..], link).unwrap_or_else(Parsed::Drop)
}

fn content(bytes: &[u8], link: Link) -> Result<Parsed, DropReason> {
    let ip = checked_packet(bytes)?;
    let chain = ipv6::chain(ip).map_err(|error| match error {
        ChainError::Cut => DropReason::BadIpHeader,
        ChainError::TooLong => DropReason::ExtHeaders,
    })?;
    let (headers, l4) = (headers(ip, &chain, link), &ip[chain.len..]);
    if let Some(fragment) = chain.fragment {
        return Ok(Parsed::V6(Content::Fragment(self::fragment(headers, fragment, l4))));
    }
    Ok(match chain.proto {
        proto if protocol::has_ports(proto) => Parsed::V6(l4::flow(headers, l4)?),
        protocol::ICMPV6 => icmpv6::parse(&headers, l4)?,
        // AH is an extension header, behind which the flow shows.
        protocol::ESP => Parsed::V6(l4::riding(headers)),
        proto => Parsed::Other(punt::class_of_protocol(proto), link.vlan),
    })
}

/// The packet without Ethernet padding (`ip6_rcv_core`).
fn checked_packet(bytes: &[u8]) -> Result<&[u8], DropReason> {
    let head = bytes.first_chunk::<{ ipv6::HEADER_LEN }>().ok_or(DropReason::BadIpHeader)?;
    let payload_len = ipv6::payload_len(head);
    if ipv6::version(head) != 6 {
        return Err(DropReason::BadIpHeader);
    }
    if payload_len == 0 && head[ipv6::NEXT_HEADER] == HOP_BY_HOP {
        return Err(DropReason::Jumbogram);
    }
    let total = payload_len.checked_add(ipv6::HEADER_LEN as u16).ok_or(DropReason::BadIpHeader)?;
    bytes.get(..total.into()).ok_or(DropReason::BadIpHeader)
}

/// All but ports and event.
fn headers(ip: &[u8], chain: &Chain, link: Link) -> Headers<u128> {
    let (src, dst, proto) = (ipv6::src(ip), ipv6::dst(ip), chain.proto);
    Headers {
        key: FlowKey { src, dst, sport: 0, dport: 0, proto },
        vlan: link.vlan,
        ip_len: ip.len() as u16,
        l3: link.payload,
        // At most 18 + 40 + EXT_HEADERS_LEN.
        l4: link.payload + chain.len as u8,
        event: 0,
        ttl: ip[ipv6::HOP_LIMIT],
        tos: ipv6::traffic_class(ip),
        df: true,
    }
}

/// A fragment, whose protocol is what the fragment header names: in all fragments of the datagram the
/// same, an extension header's perhaps.
fn fragment(
    headers: Headers<u128>,
    fragment: ipv6::Fragment,
    payload: &[u8],
) -> FragmentHeaders<u128> {
    let ipv6::Fragment { id, offset, more } = fragment;
    let headers = if offset == 0 { l4::first_fragment(headers, payload) } else { headers };
    FragmentHeaders { headers, id, offset, more }
}
