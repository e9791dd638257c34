//! The way of nearly all packets, in one piece: a plain packet of a conn whose state it does not change,
//! to a neighbour that is known.
//!
//! It says nothing that the stages of [`super::existing`] and [`super::onward`] do not say of the same
//! packet; whatever is not so simple is left to them, untouched. A test runs the same traffic with
//! and without it.

use super::lane::{Flow, Shape};
use super::{Director, FlowFamily};
use crate::conn::{Conn, ConnFlags};
use crate::flow::{Direction, FlowKey, protocol};
use crate::forward::plain::Change;
use crate::forward::{self, link};
use crate::ids::PortId;
use crate::io::{Packet, Pool};
use crate::proto::{Side, tcp};
use crate::wire::checksum;
use crate::wire::ethernet;

impl<P: Packet, L: Pool<Packet = P>> Director<P, L> {
    /// Forwards the packet and says through which port; `None`, and nothing done, if it is not for
    /// this way.
    #[inline(always)]
    pub(super) fn express<A: FlowFamily>(
        &mut self,
        packet: &mut P,
        flow: &Flow<A>,
    ) -> Option<PortId> {
        if flow.shape != Shape::Plain || !self.express {
            return None;
        }
        match flow.candidate.direction() {
            Direction::Inbound => self.express_inbound(packet, flow),
            Direction::Outbound => self.express_outbound(packet, flow),
        }
    }

    /// A client's packet, by masq or gatewaying.
    #[inline(always)]
    fn express_inbound<A: FlowFamily>(&mut self, packet: &mut P, flow: &Flow<A>) -> Option<PortId> {
        let key = &flow.headers.key;
        let conn = self.conns.confirm(key, flow.candidate, Direction::Inbound)?;
        let input_only = conn.flags.contains(ConnFlags::NOOUTPUT);
        let side = if input_only { Side::InputOnly } else { Side::Input };
        let hop = self.tables.next_hops.plain(conn.next_hop);
        if !self.is_calm(conn, flow, side) || !forward::fits(flow.headers.ip_len, hop.mtu) {
            return None;
        }
        let frame = packet.bytes_mut();
        match conn.flags & ConnFlags::WAY {
            ConnFlags::MASQ => {
                let ends = FlowKey { dst: self.conns.rip(conn), dport: conn.rport, ..*key };
                let change = Change { ends, l3_delta: conn.l3_delta, l4_delta: conn.l4_delta };
                A::masq(frame, &change)?;
            }
            ConnFlags::GATEWAYING => A::pass(frame)?,
            _ => return None,
        }
        link::readdress(frame, &hop.macs);
        let port = hop.port;
        trim(packet, flow);
        let conn = self.seen(flow);
        conn.in_packets = conn.in_packets.wrapping_add(1);
        let dest = conn.dest;
        self.accounts.counters().dest(dest).inbound(flow.headers.ip_len.into());
        Some(port)
    }

    /// A real server's reply, by masq.
    #[inline(always)]
    fn express_outbound<A: FlowFamily>(
        &mut self,
        packet: &mut P,
        flow: &Flow<A>,
    ) -> Option<PortId> {
        let key = &flow.headers.key;
        let conn = self.conns.confirm(key, flow.candidate, Direction::Outbound)?;
        // A reply over UDP assures the conn's template.
        let assures = key.proto == protocol::UDP && conn.has_side();
        if conn.flags & ConnFlags::WAY != ConnFlags::MASQ || assures {
            return None;
        }
        let hop = self.tables.next_hops.plain(self.tables.known_hop(key.dst)?);
        if !self.is_calm(conn, flow, Side::Output) || !forward::fits(flow.headers.ip_len, hop.mtu) {
            return None;
        }
        let (_, vip) = self.conns.client_and_vip::<A>(conn);
        let change = Change {
            ends: FlowKey { src: vip, sport: conn.vport, ..*key },
            l3_delta: checksum::negate(conn.l3_delta),
            l4_delta: checksum::negate(conn.l4_delta),
        };
        let frame = packet.bytes_mut();
        A::masq(frame, &change)?;
        link::readdress(frame, &hop.macs);
        let port = hop.port;
        trim(packet, flow);
        let conn = self.seen(flow);
        conn.flags.remove(ConnFlags::NOOUTPUT);
        let dest = conn.dest;
        self.accounts.counters().dest(dest).outbound(flow.headers.ip_len.into());
        Some(port)
    }

    /// Whether the packet finds its conn alive and its destination there, goes on from here, and leaves
    /// the conn's state as it was.
    #[inline(always)]
    fn is_calm<A: FlowFamily>(&self, conn: &Conn, flow: &Flow<A>, side: Side) -> bool {
        let services = &self.tables.services;
        let headers = &flow.headers;
        let stays = headers.key.proto != protocol::TCP
            || tcp::stays(conn.state, side, headers.event, services.settings.secure_tcp);
        stays
            && !forward::expires(headers)
            && !conn.is_expired(self.now)
            && services.is_present(conn.dest)
    }

    /// The conn, its timer wound up.
    #[inline(always)]
    fn seen<A: FlowFamily>(&mut self, flow: &Flow<A>) -> &mut Conn {
        let timeouts = &self.tables.services.settings.timeouts;
        let conn = self.conns.get_mut(flow.candidate.conn());
        conn.timeout = timeouts.timeout(flow.headers.key.proto, conn.state);
        conn.last_seen = self.now;
        conn
    }
}

/// Takes Ethernet's padding off.
#[inline(always)]
fn trim<P: Packet, A>(packet: &mut P, flow: &Flow<A>) {
    let len = ethernet::HEADER_LEN + usize::from(flow.headers.ip_len);
    if packet.bytes().len() > len {
        packet.truncate(len);
    }
}
