//! IPv4, and what it carries.

use super::l4::{Front, rides};
use super::{Content, FragmentHeaders, Headers, Parsed, icmp};
use crate::flow::{FlowKey, protocol};
use crate::punt;
use crate::verdict::{DropReason, PuntClass};
use crate::wire::ethernet::Link;
use crate::wire::{be16, ipv4};

/// Reads an IPv4 frame, or says why it is dropped.
pub(super) fn parse(frame: &[u8], link: Link) -> Parsed {
    let bytes = &frame[link.payload.into()..];
    let Some(head) = bytes.first_chunk::<{ ipv4::MIN_LEN }>() else {
        return Parsed::Drop(DropReason::BadIpHeader);
    };
    let (ip, header_len) = match checked_packet(bytes, head) {
        Ok(checked) => checked,
        Err(reason) => return Parsed::Drop(reason),
    };
    let l4 = &ip[header_len..];
    let place = Place { head, header_len: header_len as u8, link };
    if ipv4::fragment(head) & (ipv4::MF | ipv4::OFFSET_MASK) != 0 {
        return Parsed::V4(Content::Fragment(fragment(&place, l4)));
    }
    match head[ipv4::PROTOCOL] {
        proto if protocol::has_ports(proto) => match Front::of(proto, l4) {
            Some(front) if front.cut => Parsed::V4(Content::CutFlow(place.headers(proto, &front))),
            Some(front) => Parsed::V4(Content::Flow(place.headers(proto, &front))),
            None => Parsed::Other(PuntClass::Rest, link.vlan),
        },
        protocol::ICMP => match icmp::parse(ip, header_len, link) {
            Ok(message) => Parsed::V4(Content::Icmp(message)),
            Err(reason) => Parsed::Drop(reason),
        },
        proto if rides::<u32>(proto) => {
            Parsed::V4(Content::Riding(place.headers(protocol::UDP, &Front::RIDING)))
        }
        proto => Parsed::Other(punt::class_of_protocol(proto), link.vlan),
    }
}

/// A checked packet's header, and where it is.
struct Place<'a> {
    head: &'a [u8; ipv4::MIN_LEN],
    header_len: u8,
    link: Link,
}

impl Place<'_> {
    #[inline(always)]
    fn headers(&self, proto: u8, front: &Front) -> Headers {
        let Place { head, header_len, link } = *self;
        Headers {
            key: FlowKey {
                src: ipv4::src(head),
                dst: ipv4::dst(head),
                sport: front.sport,
                dport: front.dport,
                proto,
            },
            vlan: link.vlan,
            ip_len: ipv4::total_len(head),
            l3: link.payload,
            l4: link.payload + header_len,
            event: front.event,
            ttl: head[ipv4::TTL],
            tos: head[ipv4::TOS],
            df: ipv4::fragment(head) & ipv4::DF != 0,
        }
    }
}

/// A fragment, whose L4 header is in the first one, if at all: it may be cut within.
fn fragment(place: &Place, payload: &[u8]) -> FragmentHeaders {
    let (fragment, proto) = (ipv4::fragment(place.head), place.head[ipv4::PROTOCOL]);
    let offset = (fragment & ipv4::OFFSET_MASK) * 8;
    let front = match offset {
        0 => Front::of_first_fragment(proto, payload),
        _ => Front::NONE,
    };
    FragmentHeaders {
        headers: place.headers(proto, &front),
        id: be16(place.head, ipv4::ID).into(),
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
