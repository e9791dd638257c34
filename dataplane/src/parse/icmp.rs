//! ICMP, and the packet that an error quotes.

use super::IcmpHeaders;
use super::l4::PORTS_LEN;
use crate::flow::{FlowKey, protocol};
use crate::verdict::DropReason;
use crate::wire::ethernet::Link;
use crate::wire::{be16, icmp, ipv4, tcp};

/// Reads the message in the checked packet `ip`, whose header has `header_len` bytes.
pub(super) fn parse(ip: &[u8], header_len: usize, link: Link) -> Result<IcmpHeaders, DropReason> {
    let message = &ip[header_len..];
    let head = message.first_chunk::<{ icmp::HEADER_LEN }>().ok_or(DropReason::BadL4Header)?;
    let kind = head[icmp::TYPE];
    let l4 = link.payload + header_len as u8;
    let about_conn = icmp::is_conn_error(kind);
    let quote = &message[icmp::HEADER_LEN..];
    let at_quote = usize::from(l4) + icmp::HEADER_LEN;
    let quoted = if about_conn { quoted(quote) } else { None };
    let (quoted, quoted_l4) =
        quoted.map_or_else(Default::default, |(key, len)| (key, (at_quote + len) as u16));
    Ok(IcmpHeaders {
        src: ipv4::src(ip),
        dst: ipv4::dst(ip),
        quoted,
        vlan: link.vlan,
        ip_len: ip.len() as u16,
        l3: link.payload,
        l4,
        ttl: ip[ipv4::TTL],
        kind,
        code: head[icmp::CODE],
        quoted_l4,
    })
}

/// Key and header length of a quoted packet. `None` if it does not reach to the ports or is a later
/// fragment, which has none. Its checksum and total length are not looked at, as in the kernel:
/// routers on the way may have changed them, and the quote is cut anyway.
pub(super) fn quoted(ip: &[u8]) -> Option<(FlowKey, usize)> {
    let head = ip.first_chunk::<{ ipv4::MIN_LEN }>()?;
    let header_len = ipv4::header_len(head);
    let later_fragment = ipv4::fragment(head) & ipv4::OFFSET_MASK != 0;
    if head[0] >> 4 != 4 || header_len < ipv4::MIN_LEN || later_fragment {
        return None;
    }
    let l4 = ip.get(header_len..header_len + PORTS_LEN)?;
    let proto = head[ipv4::PROTOCOL];
    let (sport, dport) = match proto {
        proto if protocol::has_ports(proto) => (be16(l4, tcp::SPORT), be16(l4, tcp::DPORT)),
        _ => (0, 0),
    };
    let key = FlowKey { src: ipv4::src(head), dst: ipv4::dst(head), sport, dport, proto };
    Some((key, header_len))
}
