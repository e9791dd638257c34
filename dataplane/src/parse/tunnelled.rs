//! The client's packet in a tunnel's packet that an error quotes.

use super::l4::PORTS_LEN;
use super::{IcmpHeaders, icmp, icmpv6};
use crate::address::{Address, Family};
use crate::flow::{FlowKey, protocol};
use crate::forward::tunnel::{Quoted, unwrap_quoted};
use crate::wire::icmp::HEADER_LEN;

/// A quoted packet that may be a tunnel's: any UDP packet may look like GUE.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tunnelled {
    /// The tunnel.
    pub tunnel: Quoted,
    /// Offset of the inner IP header in the frame.
    pub at: u16,
    /// Length of the inner packet's headers before its ports, bytes.
    pub header_len: u16,
    /// The flow of the inner packet.
    pub flow: TunnelledFlow,
}

/// The key that an inner packet carries. It is a client's own packet, and so is its key: nothing is
/// reversed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TunnelledFlow {
    /// Of IPv4.
    V4(FlowKey),
    /// Of IPv6.
    V6(FlowKey<u128>),
}

/// The tunnelled packet that an error is about: TCP, UDP or SCTP, quoted to the ports.
pub fn tunnelled<A: Address>(frame: &[u8], headers: &IcmpHeaders<A>) -> Option<Tunnelled> {
    headers.quoted_l4()?;
    let quote_at = usize::from(headers.l4) + HEADER_LEN;
    let end = usize::from(headers.l3) + usize::from(headers.ip_len);
    let quote = frame.get(quote_at..end)?;
    let tunnel = unwrap_quoted(quote)?;
    let inner = &quote[tunnel.inner_at.into()..];
    let (flow, proto, header_len) = match tunnel.family {
        Family::V4 => {
            icmp::quoted(inner).map(|(key, len)| (TunnelledFlow::V4(key), key.proto, len))
        }
        Family::V6 => {
            icmpv6::quoted(inner).map(|(key, len)| (TunnelledFlow::V6(key), key.proto, len))
        }
    }?;
    debug_assert!(inner.len() >= header_len + PORTS_LEN);
    protocol::has_ports(proto).then_some(Tunnelled {
        tunnel,
        at: quote_at as u16 + tunnel.inner_at,
        header_len: header_len as u16,
        flow,
    })
}
