//! IPv4 and the L4 headers that matter.

use super::{FragmentHeaders, Headers, Parsed, icmp};
use crate::flow::{FlowKey, protocol};
use crate::punt;
use crate::verdict::DropReason;
use crate::wire::ethernet::Link;
use crate::wire::{be16, ipv4, tcp, udp};

/// Bytes of the ports, which TCP and UDP begin with.
pub(super) const PORTS_LEN: usize = 4;

/// Reads an IPv4 frame, or says why it is dropped.
#[inline]
pub(super) fn parse(frame: &[u8], link: Link) -> Result<Parsed, DropReason> {
    let l3 = usize::from(link.payload);
    let (ip, header_len) = checked_packet(&frame[l3..])?;
    let fragment = ipv4::fragment(ip);
    if fragment & (ipv4::MF | ipv4::OFFSET_MASK) != 0 {
        return Ok(Parsed::Fragment(FragmentHeaders {
            src: ipv4::src(ip),
            dst: ipv4::dst(ip),
            id: be16(ip, ipv4::ID),
            vlan: link.vlan,
            proto: ip[ipv4::PROTOCOL],
            l3: link.payload,
            first: fragment & ipv4::OFFSET_MASK == 0,
        }));
    }
    let l4 = &ip[header_len..];
    let proto = ip[ipv4::PROTOCOL];
    let tcp_flags = match proto {
        protocol::TCP => checked_tcp_flags(l4)?,
        protocol::UDP => checked_udp(l4)?,
        protocol::ICMP => return icmp::parse(ip, header_len, link).map(Parsed::Icmp),
        _ => return Ok(Parsed::Other(punt::class_of_protocol(proto), link.vlan)),
    };
    let headers = Headers {
        key: FlowKey {
            src: ipv4::src(ip),
            dst: ipv4::dst(ip),
            sport: be16(l4, tcp::SPORT),
            dport: be16(l4, tcp::DPORT),
            proto,
        },
        vlan: link.vlan,
        ip_len: ip.len() as u16,
        l3: link.payload,
        l4: link.payload + header_len as u8,
        tcp_flags: tcp_flags.unwrap_or(0),
        ttl: ip[ipv4::TTL],
        tos: ip[ipv4::TOS],
        df: fragment & ipv4::DF != 0,
    };
    Ok(if tcp_flags.is_some() { Parsed::Flow(headers) } else { Parsed::CutFlow(headers) })
}

/// The packet without Ethernet padding, and its header's length (RFC 1812 section 5.2.2).
#[inline(always)]
fn checked_packet(bytes: &[u8]) -> Result<(&[u8], usize), DropReason> {
    let head = bytes.first_chunk::<{ ipv4::MIN_LEN }>().ok_or(DropReason::BadIpHeader)?;
    let (header_len, total) = (ipv4::header_len(head), usize::from(ipv4::total_len(head)));
    let version_4 = head[0] >> 4 == 4;
    if !version_4 || header_len < ipv4::MIN_LEN || total < header_len || total > bytes.len() {
        return Err(DropReason::BadIpHeader);
    }
    // The usual header has a length the compiler knows, and so a sum without a loop.
    let plain = header_len == ipv4::MIN_LEN;
    let sum_ok =
        if plain { ipv4::checksum_ok(head) } else { ipv4::checksum_ok(&bytes[..header_len]) };
    if !sum_ok {
        return Err(DropReason::BadIpChecksum);
    }
    Ok((&bytes[..total], header_len))
}

/// The flags of a TCP packet, `None` if its header is cut.
#[inline(always)]
fn checked_tcp_flags(l4: &[u8]) -> Result<Option<u8>, DropReason> {
    let Some(head) = l4.first_chunk::<{ tcp::MIN_LEN }>() else { return cut(l4) };
    let header_len = tcp::header_len(head);
    if header_len < tcp::MIN_LEN || header_len > l4.len() {
        return Err(DropReason::BadL4Header);
    }
    Ok(Some(head[tcp::FLAGS]))
}

/// The flags of a UDP packet (no bits), if its length can be; `None` if its header is cut. Bytes
/// after the datagram are legal.
#[inline(always)]
fn checked_udp(l4: &[u8]) -> Result<Option<u8>, DropReason> {
    let Some(head) = l4.first_chunk::<{ udp::HEADER_LEN }>() else { return cut(l4) };
    let len = usize::from(udp::length(head));
    if len < udp::HEADER_LEN || len > l4.len() {
        return Err(DropReason::BadL4Header);
    }
    Ok(Some(0))
}

/// A header that is cut, before or after the ports.
#[cold]
fn cut(l4: &[u8]) -> Result<Option<u8>, DropReason> {
    if l4.len() < PORTS_LEN { Err(DropReason::BadL4Header) } else { Ok(None) }
}
