//! ICMPv6, and the packet that an error quotes.

use super::l4::PORTS_LEN;
use super::{Content, Headers, IcmpHeaders, Parsed};
use crate::flow::{FlowKey, protocol};
use crate::verdict::{DropReason, PuntClass};
use crate::wire::{be16, icmp, icmpv6, ipv6, tcp};

/// Reads the message in a packet with `headers`.
pub(super) fn parse(headers: &Headers<u128>, message: &[u8]) -> Parsed {
    let Some((head, quote)) = message.split_first_chunk::<{ icmp::HEADER_LEN }>() else {
        return Parsed::Drop(DropReason::BadL4Header);
    };
    let kind = head[icmp::TYPE];
    if icmpv6::is_link_local(kind) {
        return Parsed::Other(PuntClass::Neighbor, headers.vlan);
    }
    let quoted = if icmpv6::is_error(kind) { quoted(quote) } else { None };
    let at_quote = usize::from(headers.l4) + icmp::HEADER_LEN;
    let (quoted, quoted_l4) =
        quoted.map_or_else(Default::default, |(key, len)| (key, (at_quote + len) as u16));
    Parsed::V6(Content::Icmp(IcmpHeaders {
        src: headers.key.src,
        dst: headers.key.dst,
        quoted,
        vlan: headers.vlan,
        ip_len: headers.ip_len,
        l3: headers.l3,
        l4: headers.l4,
        ttl: headers.ttl,
        kind,
        code: head[icmp::CODE],
        quoted_l4,
    }))
}

/// Key of a quoted packet, and the length of its headers. `None` if it does not reach to the ports
/// or is a later fragment, which has none (`ip_vs_in_icmp_v6`).
pub(super) fn quoted(ip: &[u8]) -> Option<(FlowKey<u128>, usize)> {
    let head = ip.first_chunk::<{ ipv6::HEADER_LEN }>()?;
    let chain = ipv6::chain(ip).ok().filter(|_| ipv6::version(head) == 6)?;
    let l4 = ip.get(chain.len..chain.len + PORTS_LEN)?;
    if chain.fragment.is_some_and(|fragment| fragment.offset != 0) {
        return None;
    }
    let (sport, dport) = match chain.proto {
        proto if protocol::has_ports(proto) => (be16(l4, tcp::SPORT), be16(l4, tcp::DPORT)),
        _ => (0, 0),
    };
    let (src, dst) = (ipv6::src(head), ipv6::dst(head));
    Some((FlowKey { src, dst, sport, dport, proto: chain.proto }, chain.len))
}
