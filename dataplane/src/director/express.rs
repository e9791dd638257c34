//! The way of nearly all packets, in one piece: a plain packet of a conn whose state it does not change,
//! to a neighbour that is known.
//!
//! It says nothing that the stages of [`super::existing`] and [`super::onward`] do not say of the same
//! packet; whatever is not so simple is left to them, untouched. A test runs the same traffic with
//! and without it.

use super::lane::{Aside, Flow, Shape};
use super::send::IpIds;
use super::{Director, FlowFamily, Tables};
use crate::address::Family;
use crate::conn::{Conn, ConnFlags};
use crate::flow::{Direction, FlowKey, protocol};
use crate::forward::plain::Change;
use crate::forward::tunnel::{Encap, Inner, four_in_four};
use crate::forward::{self, ipip, link, tcp_options, toa};
use crate::ids::PortId;
use crate::io::{Packet, Pool};
use crate::nexthop::{NextHop, PlainHop};
use crate::parse::Headers;
use crate::proto::{Side, tcp};
use crate::wire::checksum;
use crate::wire::ethernet;
use std::net::IpAddr;

impl<P: Packet, L: Pool<Packet = P>> Director<P, L> {
    /// Forwards the packet and says through which port; `None`, and nothing done, if it is not for
    /// this way.
    #[inline(always)]
    pub(super) fn express<A: FlowFamily>(
        &mut self,
        packet: &mut P,
        flow: &Flow<A>,
    ) -> Option<PortId> {
        if flow.shape != Shape::Plain {
            return None;
        }
        match flow.candidate.direction() {
            Direction::Inbound => self.express_inbound(packet, flow),
            Direction::Outbound => self.express_outbound(packet, flow),
        }
    }

    /// The same for what is not an IPv4 flow.
    #[inline(never)]
    pub(super) fn express_aside(&mut self, packet: &mut P, aside: &Aside) -> Option<PortId> {
        match aside {
            Aside::FlowV6(flow) => self.express(packet, flow),
            _ => None,
        }
    }

    /// A client's packet, by any method.
    #[inline(always)]
    fn express_inbound<A: FlowFamily>(&mut self, packet: &mut P, flow: &Flow<A>) -> Option<PortId> {
        let headers = &flow.headers;
        let conn = self.conns.confirm(&headers.key, flow.candidate, Direction::Inbound)?;
        let input_only = conn.flags.contains(ConnFlags::NOOUTPUT);
        let side = if input_only { Side::InputOnly } else { Side::Input };
        let hop = self.tables.next_hops.plain(conn.next_hop);
        if !self.is_calm(conn, flow, side) || !forward::fits(headers.ip_len, hop.mtu) {
            return None;
        }
        match conn.flags & ConnFlags::WAY {
            ConnFlags::MASQ => {
                let ends = FlowKey { dst: self.conns.rip(conn), dport: conn.rport, ..headers.key };
                rewrite(packet, flow, &inwards(conn, ends), hop)?;
            }
            ConnFlags::GATEWAYING => pass(packet, flow, hop)?,
            ConnFlags::FULLNAT if is_quiet(conn) => {
                let (local, rip) = (self.conns.local(conn), self.conns.rip(conn));
                fullnat_inwards(packet, flow, conn, (local, rip), hop)?;
            }
            ConnFlags::IPIP => {
                let (tables, ids) = (&self.tables, &mut self.ip_ids);
                let path_mtu = |hop: &NextHop| self.path_mtus.mtu(conn.next_hop, hop, self.now);
                express_tunnel(packet, headers, (tables, conn), path_mtu, ids)?;
                link::readdress(packet.bytes_mut(), &hop.macs);
            }
            _ => return None,
        }
        let port = hop.port;
        let conn = self.seen(flow);
        conn.in_packets = conn.in_packets.wrapping_add(1);
        let dest = conn.dest;
        self.accounts.counters().dest(dest).inbound(flow.headers.ip_len.into());
        Some(port)
    }

    /// A real server's reply, by masq or fullnat.
    #[inline(always)]
    fn express_outbound<A: FlowFamily>(
        &mut self,
        packet: &mut P,
        flow: &Flow<A>,
    ) -> Option<PortId> {
        let headers = &flow.headers;
        let conn = self.conns.confirm(&headers.key, flow.candidate, Direction::Outbound)?;
        match conn.flags & ConnFlags::WAY {
            // A reply over UDP assures the conn's template.
            ConnFlags::MASQ if headers.key.proto == protocol::TCP || !conn.has_side() => {}
            ConnFlags::FULLNAT if is_quiet(conn) => {}
            _ => return None,
        }
        let (client, vip) = self.conns.client_and_vip::<A>(conn);
        let hop = self.tables.next_hops.plain(self.tables.known_hop(client)?);
        if !self.is_calm(conn, flow, Side::Output) || !forward::fits(headers.ip_len, hop.mtu) {
            return None;
        }
        let ((src, sport), (dst, dport)) = ((vip, conn.vport), (client, conn.cport));
        let change = Change {
            ends: FlowKey { src, sport, dst, dport, ..headers.key },
            l3_delta: checksum::negate(conn.l3_delta),
            l4_delta: checksum::negate(conn.l4_delta),
        };
        rewrite(packet, flow, &change, hop)?;
        let port = hop.port;
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

/// Whether nothing is told in a fullnat conn's packets (any more), and nothing shifted.
#[inline(always)]
fn is_quiet(conn: &Conn) -> bool {
    let answered = conn.proto != protocol::TCP || conn.flags.contains(ConnFlags::ANSWERED);
    answered && !conn.has_side()
}

#[inline(always)]
fn inwards<A>(conn: &Conn, ends: FlowKey<A>) -> Change<A> {
    Change { ends, l3_delta: conn.l3_delta, l4_delta: conn.l4_delta }
}

#[inline(always)]
fn rewrite<P: Packet, A: FlowFamily>(
    packet: &mut P,
    flow: &Flow<A>,
    change: &Change<A>,
    hop: &PlainHop,
) -> Option<()> {
    let frame = packet.bytes_mut();
    A::masq(frame, change)?;
    link::readdress(frame, &hop.macs);
    if frame.len() > len(flow) {
        packet.truncate(len(flow));
    }
    Some(())
}

#[inline(always)]
fn pass<P: Packet, A: FlowFamily>(packet: &mut P, flow: &Flow<A>, hop: &PlainHop) -> Option<()> {
    let frame = packet.bytes_mut();
    A::pass(frame)?;
    link::readdress(frame, &hop.macs);
    if frame.len() > len(flow) {
        packet.truncate(len(flow));
    }
    Some(())
}

/// Fullnat, from `local` to `rip`. Out of line, as the tunnel: inlined they cost masq 30 instructions.
#[inline(never)]
fn fullnat_inwards<P: Packet, A: FlowFamily>(
    packet: &mut P,
    flow: &Flow<A>,
    conn: &Conn,
    (local, rip): (A, A),
    hop: &PlainHop,
) -> Option<()> {
    let ((src, sport), (dst, dport)) = ((local, conn.lport), (rip, conn.rport));
    let ends = FlowKey { src, sport, dst, dport, ..flow.headers.key };
    if conn.proto == protocol::TCP {
        // The whole way, if it has to do the rest, finds none.
        tcp_options::blank(packet, &flow.headers, toa::KIND);
    }
    rewrite(packet, flow, &inwards(conn, ends), hop)
}

/// IPv4 in IPv4, whole.
#[inline(never)]
fn express_tunnel<P: Packet, A: FlowFamily>(
    packet: &mut P,
    headers: &Headers<A>,
    (tables, conn): (&Tables, &Conn),
    path_mtu: impl Fn(&NextHop) -> u16,
    ids: &mut IpIds,
) -> Option<()> {
    let hop = tables.next_hops.get(conn.next_hop);
    let (IpAddr::V4(local), IpAddr::V4(remote)) = (hop.local, hop.target) else { return None };
    let is_plain = A::FAMILY == Family::V4 && tables.services.encap(conn.dest) == Some(Encap::Ipip);
    let outer_len = headers.ip_len.saturating_add(ipip::OVERHEAD);
    if !is_plain || !forward::fits(outer_len, path_mtu(hop)) {
        return None;
    }
    let inner = Inner::from(headers);
    let id = (!inner.outer_df(tables.services.settings.pmtu_disc)).then(|| ids.next());
    four_in_four(packet, &inner, local.to_bits(), remote.to_bits(), id).then_some(())
}

/// The frame's length without Ethernet's padding.
#[inline(always)]
fn len<A>(flow: &Flow<A>) -> usize {
    ethernet::HEADER_LEN + usize::from(flow.headers.ip_len)
}
