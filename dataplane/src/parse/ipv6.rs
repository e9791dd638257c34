//! IPv6 and its extension headers.

use super::l4::{Front, rides};
use super::{Content, FragmentHeaders, Headers, Parsed, icmpv6};
use crate::flow::{FlowKey, protocol};
use crate::punt;
use crate::verdict::{DropReason, PuntClass};
use crate::wire::ethernet::Link;
use crate::wire::ipv6::{self, Chain, ChainError};

/// The next header of hop-by-hop options, which alone may say how long a packet without a payload
/// length is (RFC 2675).
const HOP_BY_HOP: u8 = 0;

/// Reads an IPv6 frame, or says why it is dropped.
pub(super) fn parse(frame: &[u8], link: Link) -> Parsed {
    let (ip, chain) = match checked_packet(&frame[link.payload.into()..]) {
        Ok(checked) => checked,
        Err(reason) => return Parsed::Drop(reason),
    };
    let (place, l4) = (Place { ip, chain, link }, &ip[chain.len..]);
    if let Some(fragment) = chain.fragment {
        return Parsed::V6(Content::Fragment(self::fragment(&place, fragment, l4)));
    }
    match chain.proto {
        proto if protocol::has_ports(proto) => match Front::of(proto, l4) {
            Some(front) if front.cut => Parsed::V6(Content::CutFlow(place.headers(proto, &front))),
            Some(front) => Parsed::V6(Content::Flow(place.headers(proto, &front))),
            None => Parsed::Other(PuntClass::Rest, link.vlan),
        },
        protocol::ICMPV6 => icmpv6::parse(&place.headers(protocol::ICMPV6, &Front::NONE), l4),
        proto if rides::<u128>(proto) => {
            Parsed::V6(Content::Riding(place.headers(protocol::UDP, &Front::RIDING)))
        }
        proto => Parsed::Other(punt::class_of_protocol(proto), link.vlan),
    }
}

/// The packet without Ethernet padding, and where its extension headers lead (`ip6_rcv_core`).
fn checked_packet(bytes: &[u8]) -> Result<(&[u8], Chain), DropReason> {
    let head = bytes.first_chunk::<{ ipv6::HEADER_LEN }>().ok_or(DropReason::BadIpHeader)?;
    let payload_len = ipv6::payload_len(head);
    if ipv6::version(head) != 6 {
        return Err(DropReason::BadIpHeader);
    }
    if payload_len == 0 && head[ipv6::NEXT_HEADER] == HOP_BY_HOP {
        return Err(DropReason::Jumbogram);
    }
    let total = payload_len.checked_add(ipv6::HEADER_LEN as u16).ok_or(DropReason::BadIpHeader)?;
    let ip = bytes.get(..total.into()).ok_or(DropReason::BadIpHeader)?;
    match ipv6::chain(ip) {
        Ok(chain) => Ok((ip, chain)),
        Err(ChainError::Cut) => Err(DropReason::BadIpHeader),
        Err(ChainError::TooLong) => Err(DropReason::ExtHeaders),
    }
}

/// A checked packet, and where it is.
struct Place<'a> {
    ip: &'a [u8],
    chain: Chain,
    link: Link,
}

impl Place<'_> {
    #[inline(always)]
    fn headers(&self, proto: u8, front: &Front) -> Headers<u128> {
        let Place { ip, chain, link } = self;
        Headers {
            key: FlowKey {
                src: ipv6::src(ip),
                dst: ipv6::dst(ip),
                sport: front.sport,
                dport: front.dport,
                proto,
            },
            vlan: link.vlan,
            ip_len: ip.len() as u16,
            l3: link.payload,
            // At most 18 + 40 + EXT_HEADERS_LEN.
            l4: link.payload + chain.len as u8,
            event: front.event,
            ttl: ip[ipv6::HOP_LIMIT],
            tos: ipv6::traffic_class(ip),
            df: true,
        }
    }
}

/// A fragment, whose protocol is what the fragment header names: in all fragments of the datagram the
/// same, an extension header's perhaps.
fn fragment(place: &Place, fragment: ipv6::Fragment, payload: &[u8]) -> FragmentHeaders<u128> {
    let (ipv6::Fragment { id, offset, more }, proto) = (fragment, place.chain.proto);
    let front = match offset {
        0 => Front::of_first_fragment(proto, payload),
        _ => Front::NONE,
    };
    FragmentHeaders { headers: place.headers(proto, &front), id, offset, more }
}
