//! The way of nearly all packets, in one piece: a plain packet of a conn whose state it does not change,
//! to a neighbour that is known.
//!
//! It says nothing that the stages of [`super::existing`] and [`super::onward`] do not say of the same
//! packet; whatever is not so simple is left to them, untouched. A test runs the same traffic with
//! and without it.

use super::lane::Kind;
use super::send::IpIds;
use super::{Director, FlowFamily, Tables};
use crate::address::Family;
use crate::conn::{Candidate, Conn, ConnFlags};
use crate::flow::{Direction, protocol};
use crate::forward::tunnel::{Encap, Inner};
use crate::forward::{self, ipip, link, tcp_options, toa};
use crate::ids::PortId;
use crate::io::{Packet, Pool};
use crate::nexthop::NextHop;
use crate::plain::pass_in_ipip;
use crate::proto::{Side, tcp};
use crate::service::Settings;
use crate::wire::checksum;
use crate::wire::ethernet;
use std::net::IpAddr;

impl<P: Packet, L: Pool<Packet = P>> Director<P, L> {
    /// Forwards the packet and says through which port; `None`, and nothing done, if it is not for
    /// this way.
    #[inline(always)]
    pub(super) fn express(
        &mut self,
        packet: &mut P,
        kind: Kind,
        candidate: Candidate,
    ) -> Option<PortId> {
        match kind {
            Kind::PlainV4 => self.express_plain::<u32>(packet, candidate),
            Kind::PlainV6 => self.express_v6(packet, candidate),
            Kind::Other => None,
        }
    }

    #[inline(never)]
    fn express_v6(&mut self, packet: &mut P, candidate: Candidate) -> Option<PortId> {
        self.express_plain::<u128>(packet, candidate)
    }

    #[inline(always)]
    fn express_plain<A: FlowFamily>(
        &mut self,
        packet: &mut P,
        candidate: Candidate,
    ) -> Option<PortId> {
        match candidate.direction() {
            Direction::Inbound => self.express_inbound::<A>(packet, candidate),
            Direction::Outbound => self.express_outbound::<A>(packet, candidate),
        }
    }

    /// A client's packet, by any method.
    #[inline(always)]
    fn express_inbound<A: FlowFamily>(
        &mut self,
        packet: &mut P,
        candidate: Candidate,
    ) -> Option<PortId> {
        let frame = packet.bytes_mut();
        let frame_len = frame.len();
        let head = A::head_mut(frame)?;
        let ip_len = A::ip_len(head);
        let conn = self.conns.confirm(&A::key(head), candidate, Direction::Inbound)?;
        let input_only = conn.flags.contains(ConnFlags::NOOUTPUT);
        let side = if input_only { Side::InputOnly } else { Side::Input };
        let timeout = self.calm_timeout::<A>(conn, head, side)?;
        let hop = self.tables.next_hops.plain(conn.next_hop);
        if !forward::fits(ip_len, hop.mtu) {
            return None;
        }
        let (port, macs) = (hop.port, hop.macs);
        let way = conn.flags & ConnFlags::WAY;
        if way == ConnFlags::MASQ && A::is_summed(head, conn.proto) {
            let (rip, rport) = (self.conns.rip(conn), conn.rport);
            let (proto, l3_delta, l4_delta) = (conn.proto, conn.l3_delta, conn.l4_delta);
            self.goes_in(candidate, ip_len, timeout);
            A::pass_adjusted(head, proto, l3_delta, l4_delta);
            A::set_destination(head, rip, rport);
        } else if way == ConnFlags::GATEWAYING {
            self.goes_in(candidate, ip_len, timeout);
            A::pass(head);
        } else {
            self.express_otherwise::<A>(packet, candidate, timeout)?;
            link::readdress(packet.bytes_mut(), &macs);
            return Some(port);
        }
        link::readdress(frame, &macs);
        if is_padded(frame_len, ip_len) {
            packet.truncate(trimmed(ip_len));
        }
        Some(port)
    }

    /// By fullnat or ipip. Out of line: inlined they cost masq 30 instructions.
    #[inline(never)]
    fn express_otherwise<A: FlowFamily>(
        &mut self,
        packet: &mut P,
        candidate: Candidate,
        timeout: u32,
    ) -> Option<()> {
        let conn = self.conns.get(candidate.conn());
        let ip_len = A::ip_len(A::head(packet.bytes())?);
        match conn.flags & ConnFlags::WAY {
            ConnFlags::FULLNAT if is_quiet(conn) => {
                let (local, rip) = (self.conns.local::<A>(conn), self.conns.rip::<A>(conn));
                fullnat_inwards(packet, conn, local, rip)?;
            }
            ConnFlags::IPIP => {
                let (tables, ids) = (&self.tables, &mut self.ip_ids);
                let path_mtu = |hop: &NextHop| self.path_mtus.mtu(conn.next_hop, hop, self.now);
                express_tunnel::<P, A>(packet, (tables, conn), path_mtu, ids)?;
            }
            _ => return None,
        }
        self.goes_in(candidate, ip_len, timeout);
        Some(())
    }

    /// A real server's reply, by masq or fullnat.
    #[inline(always)]
    fn express_outbound<A: FlowFamily>(
        &mut self,
        packet: &mut P,
        candidate: Candidate,
    ) -> Option<PortId> {
        let frame = packet.bytes_mut();
        let frame_len = frame.len();
        let head = A::head_mut(frame)?;
        let ip_len = A::ip_len(head);
        let conn = self.conns.confirm(&A::key(head), candidate, Direction::Outbound)?;
        let way = conn.flags & ConnFlags::WAY;
        match way {
            // A reply over UDP assures the conn's template.
            ConnFlags::MASQ if conn.proto == protocol::TCP || !conn.has_side() => {}
            ConnFlags::FULLNAT if is_quiet(conn) => {}
            _ => return None,
        }
        let timeout = self.calm_timeout::<A>(conn, head, Side::Output)?;
        let (client, vip) = self.conns.client_and_vip::<A>(conn);
        let hop = self.tables.next_hops.plain(self.tables.known_hop(client)?);
        if !A::is_summed(head, conn.proto) || !forward::fits(ip_len, hop.mtu) {
            return None;
        }
        let (port, macs) = (hop.port, hop.macs);
        let (proto, cport, vport) = (conn.proto, conn.cport, conn.vport);
        let (l3_delta, l4_delta) =
            (checksum::negate(conn.l3_delta), checksum::negate(conn.l4_delta));
        self.goes_out(candidate, ip_len, timeout);
        A::pass_adjusted(head, proto, l3_delta, l4_delta);
        A::set_source(head, vip, vport);
        if way == ConnFlags::FULLNAT {
            A::set_destination(head, client, cport);
        }
        link::readdress(frame, &macs);
        if is_padded(frame_len, ip_len) {
            packet.truncate(trimmed(ip_len));
        }
        Some(port)
    }

    /// Whether the packet finds its conn alive and its destination there, goes on from here, and leaves
    /// the conn's state as it was: then that state's timeout.
    #[inline(always)]
    fn calm_timeout<A: FlowFamily>(&self, conn: &Conn, head: &A::Head, side: Side) -> Option<u32> {
        let services = &self.tables.services;
        let Settings { timeouts, secure_tcp, .. } = &services.settings;
        let timeout = if conn.proto == protocol::TCP {
            if !tcp::stays(conn.state, side, A::tcp_flags(head), *secure_tcp) {
                return None;
            }
            timeouts.timeout(protocol::TCP, conn.state)
        } else {
            timeouts.timeout(conn.proto, conn.state)
        };
        let calm =
            A::hops_left(head) > 1 && !conn.is_expired(self.now) && services.is_present(conn.dest);
        calm.then_some(timeout)
    }

    /// Counts a client's packet of `ip_len` bytes and winds the conn's timer up.
    #[inline(always)]
    fn goes_in(&mut self, candidate: Candidate, ip_len: u16, timeout: u32) {
        let conn = self.conns.get_mut(candidate.conn());
        (conn.timeout, conn.last_seen) = (timeout, self.now);
        conn.in_packets = conn.in_packets.wrapping_add(1);
        let dest = conn.dest;
        self.accounts.counters().dest(dest).inbound(ip_len.into());
    }

    /// The same for a real server's.
    #[inline(always)]
    fn goes_out(&mut self, candidate: Candidate, ip_len: u16, timeout: u32) {
        let conn = self.conns.get_mut(candidate.conn());
        (conn.timeout, conn.last_seen) = (timeout, self.now);
        conn.flags.remove(ConnFlags::NOOUTPUT);
        let dest = conn.dest;
        self.accounts.counters().dest(dest).outbound(ip_len.into());
    }
}

/// Whether nothing is told in a fullnat conn's packets (any more), and nothing shifted.
#[inline(always)]
fn is_quiet(conn: &Conn) -> bool {
    let answered = conn.proto != protocol::TCP || conn.flags.contains(ConnFlags::ANSWERED);
    answered && !conn.has_side()
}

/// Fullnat, from `local` to `rip`.
#[inline(always)]
fn fullnat_inwards<P: Packet, A: FlowFamily>(
    packet: &mut P,
    conn: &Conn,
    local: A,
    rip: A,
) -> Option<()> {
    let head = A::head(packet.bytes())?;
    if !A::is_summed(head, conn.proto) {
        return None;
    }
    let headers = A::headers(head);
    if conn.proto == protocol::TCP {
        tcp_options::blank(packet, &headers, toa::KIND);
    }
    let head = A::head_mut(packet.bytes_mut())?;
    A::pass_adjusted(head, conn.proto, conn.l3_delta, conn.l4_delta);
    A::set_source(head, local, conn.lport);
    A::set_destination(head, rip, conn.rport);
    if is_padded(packet.bytes().len(), headers.ip_len) {
        packet.truncate(trimmed(headers.ip_len));
    }
    Some(())
}

/// IPv4 in IPv4, whole.
#[inline(always)]
fn express_tunnel<P: Packet, A: FlowFamily>(
    packet: &mut P,
    (tables, conn): (&Tables, &Conn),
    path_mtu: impl Fn(&NextHop) -> u16,
    ids: &mut IpIds,
) -> Option<()> {
    let inner = Inner::from(&A::headers(A::head(packet.bytes())?));
    let hop = tables.next_hops.get(conn.next_hop);
    let (IpAddr::V4(local), IpAddr::V4(remote)) = (hop.local, hop.target) else { return None };
    let is_plain = A::FAMILY == Family::V4 && tables.services.encap(conn.dest) == Some(Encap::Ipip);
    let outer_len = inner.ip_len.saturating_add(ipip::OVERHEAD);
    if !is_plain || !forward::fits(outer_len, path_mtu(hop)) {
        return None;
    }
    let id = (!inner.outer_df(tables.services.settings.pmtu_disc)).then(|| ids.next());
    pass_in_ipip(packet, &inner, (local.to_bits(), remote.to_bits()), id).then_some(())
}

/// Whether Ethernet's padding follows the packet.
#[inline(always)]
fn is_padded(frame_len: usize, ip_len: u16) -> bool {
    frame_len > trimmed(ip_len)
}

/// The frame's length without Ethernet's padding.
#[inline(always)]
fn trimmed(ip_len: u16) -> usize {
    ethernet::HEADER_LEN + usize::from(ip_len)
}
