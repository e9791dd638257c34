//! ICMP errors about conns: they go the way of the flow whose packet they quote (`ip_vs_in_icmp`,
//! `ip_vs_out_icmp`, `ip_vs_core.c`).
//!
//! An error counts for the conn's destination, while that is there. It is no packet of the flow:
//! state and timer stay as they are, and a removed destination's conn lets it pass. Errors about
//! flows without a conn are Linux's.

use super::onward::enter_tunnel;
use super::send::send;
use super::{Director, FlowFamily, Outbox};
use crate::address::{Address, Family};
use crate::conn::{Candidate, ConnId};
use crate::counters::DestCounters;
use crate::flow::Direction;
use crate::forward::icmp_error::IcmpError;
use crate::forward::tunnel::Inner;
use crate::forward::{self, gatewaying, icmp_related, ipip};
use crate::ids::{DestId, WorkerId};
use crate::io::{Packet, Pool};
use crate::parse::IcmpHeaders;
use crate::service::ForwardingMethod;
use crate::verdict::{DropReason, PuntClass, Verdict};
use crate::wire::icmp::{code, kind};

impl<P: Packet, L: Pool<Packet = P>> Director<P, L> {
    /// Stage 2 of an ICMP error: it belongs to the owner of the flow that it is about. Another
    /// worker, if that is the owner.
    #[cold]
    pub(super) fn claim_related<A: FlowFamily>(
        &self,
        icmp: &IcmpHeaders<A>,
        handed_in: bool,
    ) -> Option<WorkerId> {
        let owner = icmp.flow().map_or(self.worker, |key| self.tables.owner(&key));
        (!handed_in && owner != self.worker).then_some(owner)
    }

    /// Stages 4 to 7 of an ICMP error about a flow.
    #[cold]
    pub(super) fn related<A: FlowFamily>(
        &mut self,
        packet: &mut P,
        icmp: &IcmpHeaders<A>,
        out: &mut Outbox<P>,
    ) -> Verdict {
        let Some((id, direction)) = self.conn_of(icmp) else {
            return Verdict::Punt(PuntClass::Icmp);
        };
        if !icmp_related::checksum_ok(packet, icmp) {
            return Verdict::Drop(DropReason::BadIcmpChecksum);
        }
        if self.is_fullnat(id) {
            return self.related_fullnat(packet, icmp, id, direction, out);
        }
        match direction {
            Direction::Inbound => self.related_inbound(packet, icmp, id, out),
            Direction::Outbound => self.related_outbound(packet, icmp, id, out),
        }
    }

    /// The same of an error that may be about the outer packet of a tunnel.
    #[cold]
    pub(super) fn tunnel_related(
        &mut self,
        packet: &mut P,
        icmp: &IcmpHeaders,
        out: &mut Outbox<P>,
    ) -> Verdict {
        let found = self.conn_of(icmp).filter(|&(id, _)| self.is_our_tunnel(packet, icmp, id));
        let Some((id, _)) = found else { return Verdict::Punt(PuntClass::Icmp) };
        if !icmp_related::checksum_ok(packet, icmp) {
            return Verdict::Drop(DropReason::BadIcmpChecksum);
        }
        self.tunnel_error(packet, icmp, id, out)
    }

    fn conn_of<A: FlowFamily>(&mut self, icmp: &IcmpHeaders<A>) -> Option<(ConnId, Direction)> {
        let key = icmp.flow()?;
        let found = self.conns.find(&key, self.conns.hash(&key), Candidate::NONE);
        found.filter(|&(id, _)| !self.end_if_expired(id))
    }

    /// Whether the outer packet that the error is about was made here for this conn, and the error
    /// has come back to where that left from.
    fn is_our_tunnel(&self, packet: &P, icmp: &IcmpHeaders, id: ConnId) -> bool {
        let conn = self.conns.get(id);
        let hop = self.tables.next_hops.get(conn.next_hop);
        let (from, to) = icmp_related::tunnel_ends(packet, icmp);
        let ends = (from.ip(), to.ip());
        conn.flags.method() == Some(ForwardingMethod::Ipip)
            && icmp.dst.ip() == hop.local
            && ends == (hop.local, hop.target)
    }

    /// About a reply, from the client or a router on its side: to the real server, like the
    /// client's packets. No error is sent about an error (RFC 1122 section 3.2.2): what is larger
    /// than the MTU goes in fragments in spite of DF (`ip_vs_icmp_xmit`).
    fn related_inbound<A: FlowFamily>(
        &mut self,
        packet: &mut P,
        icmp: &IcmpHeaders<A>,
        id: ConnId,
        out: &mut Outbox<P>,
    ) -> Verdict {
        let conn = self.conns.get_mut(id);
        let Some(method) = conn.flags.method() else { return Verdict::Punt(PuntClass::Icmp) };
        if method != ForwardingMethod::Masq {
            // As the kernel has it: what needs no rewriting passes through the same function as a
            // client's packets, which counts it for sync.
            conn.in_packets = conn.in_packets.wrapping_add(1);
        }
        let conn = *conn;
        let (rip, rport) = (self.conns.rip::<A>(&conn), conn.rport);
        let (dest, hop) = (conn.dest, *self.tables.next_hops.get(conn.next_hop));
        if let Some(counters) = self.counters_of(dest) {
            counters.inbound(u64::from(icmp.ip_len));
        }
        let outer = icmp_related::as_packet(packet, icmp);
        if forward::expires(&outer) {
            return Verdict::Drop(DropReason::TtlExceeded);
        }
        let mut ip_len = icmp.ip_len;
        match method {
            ForwardingMethod::Masq => icmp_related::inbound(packet, icmp, rip, rport),
            ForwardingMethod::Gatewaying | ForwardingMethod::Fullnat => {
                gatewaying::forward(packet, &outer);
            }
            ForwardingMethod::Ipip => {
                let pmtu_disc = self.tables.services.settings.pmtu_disc;
                let (way, family) = (self.way_of::<A>(id), Family::of(hop.target));
                let fits = forward::fits(ip_len, way.encap.tunnel_mtu(hop.mtu, family));
                let inner = Inner::from(&outer);
                let whole = inner.outer_df(pmtu_disc) && fits;
                let id = (!whole).then(|| self.ip_ids.next());
                let entropy = outer.key.sport;
                if let Err(reason) = enter_tunnel(packet, &inner, way.encap, &hop, id, entropy) {
                    return Verdict::Drop(reason);
                }
                ip_len += way.encap.overhead(family);
            }
        }
        send(packet, icmp.l3, ip_len, &hop, &mut self.pool, out)
    }

    /// About a client's packet on a masq conn, from the real server or a router before it: to the
    /// client. As with replies, what a router has to refuse is left to Linux, unchanged.
    fn related_outbound<A: FlowFamily>(
        &mut self,
        packet: &mut P,
        icmp: &IcmpHeaders<A>,
        id: ConnId,
        out: &mut Outbox<P>,
    ) -> Verdict {
        let outer = icmp_related::as_packet(packet, icmp);
        let Some(hop) = self.hop_to(icmp.dst) else { return Verdict::Punt(PuntClass::Icmp) };
        let fits = forward::fits(icmp.ip_len, hop.mtu);
        if forward::expires(&outer) || outer.df && !fits {
            return Verdict::Punt(PuntClass::Icmp);
        }
        let conn = self.conns.get(id);
        if let Some(counters) = self.counters_of(conn.dest) {
            counters.outbound(u64::from(icmp.ip_len));
        }
        let ((_, vip), vport) = (self.conns.client_and_vip::<A>(conn), conn.vport);
        icmp_related::outbound(packet, icmp, vip, vport);
        send(packet, icmp.l3, icmp.ip_len, &hop, &mut self.pool, out)
    }

    /// About the outer packet of a tunnel: the client gets it about its own packet, from the VIP.
    /// Where that had no DF a path too narrow is no news to it. IPVS counts both the quoted packet and
    /// the error for packets from the destination.
    fn tunnel_error(
        &mut self,
        packet: &mut P,
        icmp: &IcmpHeaders,
        id: ConnId,
        out: &mut Outbox<P>,
    ) -> Verdict {
        let conn = self.conns.get(id);
        let (dest, hop) = (conn.dest, self.tables.next_hops.get(conn.next_hop));
        let too_big = (icmp.kind, icmp.code) == (kind::UNREACHABLE, code::FRAGMENTATION_NEEDED);
        let rest = match too_big {
            true => icmp_related::inner_mtu(packet, icmp, ipip::tunnel_mtu(hop.mtu)).into(),
            false => icmp_related::rest(packet, icmp),
        };
        let inner = icmp_related::unwrap(packet, icmp);
        if too_big && !inner.df {
            return Verdict::Drop(DropReason::TunnelError);
        }
        let counted_for = self.counters_of(dest).map(|counters| {
            counters.outbound(u64::from(inner.ip_len));
            dest
        });
        let error = IcmpError::PassedOn { kind: icmp.kind, code: icmp.code, rest };
        self.refuse(packet, &inner, error, counted_for, out)
    }

    /// The counters of a destination that was not removed.
    pub(super) fn counters_of(&self, id: DestId) -> Option<&DestCounters> {
        let present = self.tables.services.is_present(id);
        present.then(|| self.accounts.counters().dest(id))
    }
}
