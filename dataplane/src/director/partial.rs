//! Masq of what has no whole L4 part to rewrite: fragments, AH and ESP.

use super::FlowFamily;
use super::lane::{Flow, Shape};
use super::onward::Way;
use crate::forward::{masq, masq_fragment};
use crate::io::Packet;
use crate::wire::checksum::Delta;

/// Client to real server, for any shape but whole packets. `false` if the L4 checksum cannot follow
/// the change of port.
#[cold]
#[must_use]
pub(super) fn inbound<A: FlowFamily, P: Packet>(
    packet: &mut P,
    flow: &Flow<A>,
    way: &Way<A>,
) -> bool {
    let headers = &flow.headers;
    if flow.shape == Shape::First {
        return masq_fragment::inbound(packet, headers, (way.rip, way.rport), way.deltas);
    }
    masq::inbound_riding(packet, headers, way.rip, way.deltas.0);
    true
}

/// Real server to client, from the VIP and its port. See [`inbound`].
#[cold]
#[must_use]
pub(super) fn outbound<A: FlowFamily, P: Packet>(
    packet: &mut P,
    flow: &Flow<A>,
    vip: (A, u16),
    deltas: (Delta, Delta),
) -> bool {
    let headers = &flow.headers;
    if flow.shape == Shape::First {
        return masq_fragment::outbound(packet, headers, vip, deltas);
    }
    masq::outbound_riding(packet, headers, vip.0, deltas.0);
    true
}
