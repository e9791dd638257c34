//! IPv4 and the L4 headers that matter.

use super::{Content, FragmentHeaders, Headers, Parsed, icmp};
use crate::flow::{FlowKey, protocol};
use crate::punt;
use crate::verdict::DropReason;
use crate::wire::ethernet::Link;
use crate::wire::{be16, ipv4, tcp, udp};

/// Bytes of the ports, which TCP and UDP begin with.
pub(super) const PORTS_LEN: usize = 4;

/// Reads an IPv4 frame, or says why it is dropped.
pub(super) fn parse(frame: &[u8], link: Link) -> Parsed {
    let bytes = &frame[usize::from(link.payload)..];
    let Some(head) = bytes.first_chunk::<{ ipv4::MIN_LEN }>() else {
        return Parsed::Drop(DropReason::BadIpHeader);
    };
    let (ip, header_len) = match checked_packet(bytes, head) {
        Ok(checked) => checked,
        Err(reason) => return Parsed::Drop(reason),
    };
    let l4 = &ip[header_len..];
    let place = Place { head, ip_len: ip.len() as u16, header_len: header_len as u8, link };
    if ipv4::fragment(head) & (ipv4::MF | ipv4::OFFSET_MASK) != 0 {
        return Parsed::V4(Content::Fragment(fragment(&place, l4)));
    }
    let event = match head[ipv4::PROTOCOL] {
        protocol::TCP => checked_tcp_flags(l4),
        protocol::UDP => checked_udp(l4),
        _ => return without_ports(ip, header_len, link),
    };
    let Some((ports, _)) = l4.split_first_chunk::<PORTS_LEN>() else {
        return Parsed::Drop(DropReason::BadL4Header);
    };
    let headers = place.headers(ports, event.unwrap_or(0));
    match event {
        Ok(_) => Parsed::V4(Content::Flow(headers)),
        Err(Broken::Cut) => Parsed::V4(Content::CutFlow(headers)),
        Err(Broken::Lying) => Parsed::Drop(DropReason::BadL4Header),
    }
}

/// A checked packet's header, and where it is.
struct Place<'a> {
    head: &'a [u8; ipv4::MIN_LEN],
    ip_len: u16,
    header_len: u8,
    link: Link,
}

impl Place<'_> {
    fn headers(&self, ports: &[u8; PORTS_LEN], event: u8) -> Headers {
        let Place { head, ip_len, header_len, link } = *self;
        Headers {
            key: FlowKey {
                src: ipv4::src(head),
                dst: ipv4::dst(head),
                sport: be16(ports, tcp::SPORT),
                dport: be16(ports, tcp::DPORT),
                proto: head[ipv4::PROTOCOL],
            },
            vlan: link.vlan,
            ip_len,
            l3: link.payload,
            l4: link.payload + header_len,
            event,
            ttl: head[ipv4::TTL],
            tos: head[ipv4::TOS],
            df: ipv4::fragment(head) & ipv4::DF != 0,
        }
    }
}

/// A fragment, whose L4 header is in the first one, if at all: it may be cut within.
fn fragment(place: &Place, payload: &[u8]) -> FragmentHeaders {
    let fragment = ipv4::fragment(place.head);
    let offset = (fragment & ipv4::OFFSET_MASK) * 8;
    let ports = payload.first_chunk().filter(|_| offset == 0);
    let flags = match place.head[ipv4::PROTOCOL] {
        protocol::TCP if offset == 0 => payload.get(tcp::FLAGS).copied(),
        _ => None,
    };
    FragmentHeaders {
        headers: place.headers(ports.unwrap_or(&[0; PORTS_LEN]), flags.unwrap_or(0)),
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

/// ICMP and what is Linux's anyway.
fn without_ports(ip: &[u8], header_len: usize, link: Link) -> Parsed {
    match ip[ipv4::PROTOCOL] {
        protocol::ICMP => match icmp::parse(ip, header_len, link) {
            Ok(message) => Parsed::V4(Content::Icmp(message)),
            Err(reason) => Parsed::Drop(reason),
        },
        proto => Parsed::Other(punt::class_of_protocol(proto), link.vlan),
    }
}

/// What is wrong with an L4 header.
#[derive(Clone, Copy)]
enum Broken {
    /// The packet ends before it does.
    Cut,
    /// Its own length cannot be.
    Lying,
}

/// The flags of a TCP packet.
fn checked_tcp_flags(l4: &[u8]) -> Result<u8, Broken> {
    let head = l4.first_chunk::<{ tcp::MIN_LEN }>().ok_or(Broken::Cut)?;
    let header_len = tcp::header_len(head);
    if header_len < tcp::MIN_LEN || header_len > l4.len() {
        return Err(Broken::Lying);
    }
    Ok(head[tcp::FLAGS])
}

/// The flags of a UDP packet: no bits. Bytes after the datagram are legal.
fn checked_udp(l4: &[u8]) -> Result<u8, Broken> {
    let head = l4.first_chunk::<{ udp::HEADER_LEN }>().ok_or(Broken::Cut)?;
    let len = usize::from(udp::length(head));
    if len < udp::HEADER_LEN || len > l4.len() {
        return Err(Broken::Lying);
    }
    Ok(0)
}
