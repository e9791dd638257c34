//! IPv6: no service takes it, so all that matters is the class it is punted with.

use super::Parsed;
use crate::flow::protocol;
use crate::punt;
use crate::verdict::{DropReason, PuntClass};
use crate::wire::be16;

const HEADER_LEN: usize = 40;
const NEXT_HEADER: usize = 6;
/// Next-header values of RFC 8200 and RFC 4443.
const HOP_BY_HOP: u8 = 0;
const ICMPV6: u8 = 58;

/// The punt class of the packet in `ip`. Extension headers but hop-by-hop make it the rest.
pub(super) fn parse(ip: &[u8], vlan: u16) -> Parsed {
    let Some(head) = ip.first_chunk::<HEADER_LEN>() else {
        return Parsed::Drop(DropReason::BadIpHeader);
    };
    let (next, l4) = skip_hop_by_hop(head[NEXT_HEADER], &ip[HEADER_LEN..]);
    Parsed::Other(class(next, l4), vlan)
}

/// Multicast listener reports come behind a hop-by-hop header (RFC 3810 section 5).
fn skip_hop_by_hop(next: u8, payload: &[u8]) -> (u8, &[u8]) {
    match payload {
        [after, len, ..] if next == HOP_BY_HOP => {
            (*after, payload.get((usize::from(*len) + 1) * 8..).unwrap_or(&[]))
        }
        _ => (next, payload),
    }
}

fn class(next: u8, l4: &[u8]) -> PuntClass {
    match (next, l4) {
        // Listener query, report, done; router and neighbour solicitation and advertisement,
        // redirect; listener report version 2.
        (ICMPV6, [130..=137 | 143, ..]) => PuntClass::Neighbor,
        (ICMPV6, _) => PuntClass::Icmp,
        (protocol::TCP | protocol::UDP, [_, _, _, _, ..]) => {
            let flags = if next == protocol::TCP { l4.get(13).copied().unwrap_or(0) } else { 0 };
            punt::class_of_ports(next, be16(l4, 0), be16(l4, 2), flags)
        }
        _ => punt::class_of_protocol(next),
    }
}
