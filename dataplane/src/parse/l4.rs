//! The front of the protocols with ports, the same over IPv4 and IPv6.

use super::{Content, Headers};
use crate::flow::{FlowKey, protocol};
use crate::proto::sctp::Event;
use crate::verdict::DropReason;
use crate::wire::{be16, sctp, tcp, udp};

/// Bytes of the ports, which TCP, UDP and SCTP begin with.
pub(super) const PORTS_LEN: usize = 4;
/// The port of ISAKMP (RFC 2408), at both ends.
const ISAKMP: u16 = 500;

/// What is wrong with an L4 header.
#[derive(Clone, Copy)]
enum Broken {
    /// The packet ends before it does.
    Cut,
    /// Its own length cannot be.
    Lying,
}

/// A whole packet of a protocol with ports: `headers` with the ports and the event that `l4` has.
pub(super) fn flow<A>(headers: Headers<A>, l4: &[u8]) -> Result<Content<A>, DropReason> {
    let event = match headers.key.proto {
        protocol::TCP => tcp_flags(l4),
        protocol::UDP => udp(l4),
        _ => sctp_event(l4),
    };
    let ports = l4.first_chunk::<PORTS_LEN>().ok_or(DropReason::BadL4Header)?;
    let headers = with(headers, ports, event.unwrap_or(0));
    match event {
        Ok(_) => Ok(Content::Flow(headers)),
        Err(Broken::Cut) => Ok(Content::CutFlow(headers)),
        Err(Broken::Lying) => Err(DropReason::BadL4Header),
    }
}

/// The headers of a first fragment, which may be cut within its L4 header, or before.
pub(super) fn first_fragment<A>(headers: Headers<A>, payload: &[u8]) -> Headers<A> {
    let ports = payload.first_chunk().unwrap_or(&[0; PORTS_LEN]);
    let event = match headers.key.proto {
        protocol::TCP => payload.get(tcp::FLAGS).copied().unwrap_or(0),
        protocol::SCTP => Event::of(payload) as u8,
        _ => 0,
    };
    with(headers, ports, event)
}

/// AH or ESP: the flow is that of their key exchange.
pub(super) fn riding<A>(headers: Headers<A>) -> Content<A> {
    let Headers { key: FlowKey { src, dst, .. }, .. } = headers;
    let key = FlowKey { src, dst, sport: ISAKMP, dport: ISAKMP, proto: protocol::UDP };
    Content::Riding(Headers { key, ..headers })
}

fn with<A>(headers: Headers<A>, ports: &[u8; PORTS_LEN], event: u8) -> Headers<A> {
    let (sport, dport) = (be16(ports, tcp::SPORT), be16(ports, tcp::DPORT));
    Headers { key: FlowKey { sport, dport, ..headers.key }, event, ..headers }
}

/// The flags of a TCP packet.
fn tcp_flags(l4: &[u8]) -> Result<u8, Broken> {
    let head = l4.first_chunk::<{ tcp::MIN_LEN }>().ok_or(Broken::Cut)?;
    let header_len = tcp::header_len(head);
    if header_len < tcp::MIN_LEN || header_len > l4.len() {
        return Err(Broken::Lying);
    }
    Ok(head[tcp::FLAGS])
}

/// Nothing moves UDP's state. Bytes after the datagram are legal.
fn udp(l4: &[u8]) -> Result<u8, Broken> {
    let head = l4.first_chunk::<{ udp::HEADER_LEN }>().ok_or(Broken::Cut)?;
    let len = usize::from(udp::length(head));
    if len < udp::HEADER_LEN || len > l4.len() {
        return Err(Broken::Lying);
    }
    Ok(0)
}

/// The event of an SCTP packet, whose chunks may be cut.
fn sctp_event(l4: &[u8]) -> Result<u8, Broken> {
    if l4.len() < sctp::HEADER_LEN {
        return Err(Broken::Cut);
    }
    Ok(Event::of(l4) as u8)
}
