//! NAT of a datagram's first fragment, which has the ports and the checksum of all of it. Later
//! fragments have an address to change and nothing else: [`masq::inbound_riding`],
//! [`masq::outbound_riding`].
//!
//! The kernel rewrites the datagram put together, and cuts it again. Here the same bytes leave, but
//! for what takes the whole datagram to compute: UDP without a checksum stays without one, and
//! SCTP's port does not change.

use super::masq;
use crate::flow::protocol;
use crate::io::Packet;
use crate::parse::Headers;
use crate::wire::checksum::{self, Delta};
use crate::wire::ip::IpHeader;
use crate::wire::{be16, put16, tcp, udp};

/// Client to real server: the destination VIP:VPORT becomes `rip`:`rport`, with the conn's
/// [`masq::deltas`]. The time to live must be more than 1. `false`, and nothing changed but padding,
/// if the L4 header is not all there or its checksum cannot follow the port.
#[must_use]
pub fn inbound<A: IpHeader, P: Packet>(
    packet: &mut P,
    headers: &Headers<A>,
    (rip, rport): (A, u16),
    (l3_delta, l4_delta): (Delta, Delta),
) -> bool {
    let (ip, l4) = masq::parts(packet, headers);
    let done = change_port(l4, headers.key.proto, (tcp::DPORT, rport), l4_delta);
    if done {
        rip.put(ip, A::DST);
        A::take_hop(ip, l3_delta);
    }
    done
}

/// Real server to client: the source RIP:RPORT becomes `vip`:`vport`, with the conn's deltas (those
/// inwards). See [`inbound`].
#[must_use]
pub fn outbound<A: IpHeader, P: Packet>(
    packet: &mut P,
    headers: &Headers<A>,
    (vip, vport): (A, u16),
    (l3_delta, l4_delta): (Delta, Delta),
) -> bool {
    let (ip, l4) = masq::parts(packet, headers);
    let l4_delta = checksum::negate(l4_delta);
    let done = change_port(l4, headers.key.proto, (tcp::SPORT, vport), l4_delta);
    if done {
        vip.put(ip, A::SRC);
        A::take_hop(ip, checksum::negate(l3_delta));
    }
    done
}

/// Writes the port at `at` and adjusts the checksum by the change of port and address.
pub(super) fn change_port(
    l4: &mut [u8],
    proto: u8,
    (at, port): (usize, u16),
    delta: Delta,
) -> bool {
    let checksum_at = match proto {
        protocol::TCP => tcp::CHECKSUM,
        protocol::UDP => udp::CHECKSUM,
        _ => return l4.len() >= at + 2 && be16(l4, at) == port,
    };
    if l4.len() < checksum_at + 2 {
        return false;
    }
    put16(l4, at, port);
    let check = match be16(l4, checksum_at) {
        0 if proto == protocol::UDP => 0,
        check => match checksum::adjust(check, delta) {
            0 if proto == protocol::UDP => udp::ZERO_CHECKSUM,
            adjusted => adjusted,
        },
    };
    put16(l4, checksum_at, check);
    true
}

#[cfg(test)]
mod tests;
