//! ICMP errors about conns: they go the way of the flow whose packet they quote (`ip_vs_in_icmp`,
//! `ip_vs_out_icmp`, `ip_vs_core.c`).
//!
//! An error counts for the conn's destination, while that is there. It is no packet of the flow:
//! state and timer stay as they are, and a removed destination's conn lets it pass. Errors about
//! flows without a conn are Linux's.

use super::lane::{Fate, Lane};
use super::send::send;
use super::{Director, Outbox};
use crate::address::Address;
use crate::conn::{Candidate, ConnId};
use crate::counters::DestCounters;
use crate::flow::Direction;
use crate::forward::icmp_error::IcmpError;
use crate::forward::{self, gatewaying, icmp_related, ipip};
use crate::ids::DestId;
use crate::io::{Packet, Pool};
use crate::parse::IcmpHeaders;
use crate::service::ForwardingMethod;
use crate::verdict::{DropReason, PuntClass, Verdict};
use crate::wire::icmp::{code, kind};

impl<P: Packet, L: Pool<Packet = P>> Director<P, L> {
    /// Stage 2 of an ICMP error: it belongs to the owner of the flow that it is about.
    #[cold]
    pub(super) fn owner_of_related(&self, lane: &mut Lane) {
        let Fate::Related(icmp) = &lane.fate else { return };
        let owner = icmp.flow().map_or(self.worker, |key| self.tables.owner(&key));
        if owner != self.worker {
            lane.fate = Fate::Decided(Verdict::HandOver(owner));
        }
    }

    /// Stages 4 to 7 of an ICMP error about a flow.
    #[cold]
    pub(super) fn related(
        &mut self,
        packet: &mut P,
        icmp: &IcmpHeaders,
        out: &mut Outbox<P>,
    ) -> Verdict {
        let found = self.conn_of(icmp).filter(|&(id, _)| !self.end_if_expired(id));
        let Some((id, direction)) = found else { return Verdict::Punt(PuntClass::Icmp) };
        if icmp.tunnelled && !self.is_our_tunnel(packet, icmp, id) {
            return Verdict::Punt(PuntClass::Icmp);
        }
        if !icmp_related::checksum_ok(packet, icmp) {
            return Verdict::Drop(DropReason::BadIcmpChecksum);
        }
        match direction {
            _ if icmp.tunnelled => self.tunnel_error(packet, icmp, id, out),
            Direction::Inbound => self.related_inbound(packet, icmp, id, out),
            Direction::Outbound => self.related_outbound(packet, icmp, id, out),
        }
    }

    fn conn_of(&self, icmp: &IcmpHeaders) -> Option<(ConnId, Direction)> {
        let key = icmp.flow()?;
        self.conns.find(&key, self.conns.hash(&key), Candidate::NONE)
    }

    /// Whether the outer packet that the error is about was made here for this conn, and the error
    /// has come back to where that left from.
    fn is_our_tunnel(&self, packet: &P, icmp: &IcmpHeaders, id: ConnId) -> bool {
        let conn = self.conns.get(id);
        let Some(local) = u32::of(self.tables.next_hops.get(conn.next_hop).local) else {
            return false;
        };
        conn.flags.method() == Some(ForwardingMethod::Ipip)
            && icmp.dst == local
            && icmp_related::tunnel_ends(packet, icmp) == (local, conn.rip)
    }

    /// About a reply, from the client or a router on its side: to the real server, like the
    /// client's packets. No error is sent about an error (RFC 1122 section 3.2.2): what is larger
    /// than the MTU goes in fragments in spite of DF (`ip_vs_icmp_xmit`).
    fn related_inbound(
        &mut self,
        packet: &mut P,
        icmp: &IcmpHeaders,
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
        let (rip, rport) = (conn.rip, conn.rport);
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
            ForwardingMethod::Gatewaying => gatewaying::forward(packet, &outer),
            ForwardingMethod::Ipip => {
                let pmtu_disc = self.tables.services.settings.pmtu_disc;
                let fits = forward::fits(ip_len, ipip::tunnel_mtu(hop.mtu));
                let whole = outer.df && pmtu_disc && fits;
                let outer_id = (!whole).then(|| self.ip_ids.next());
                let Some(local) = u32::of(hop.local) else {
                    return Verdict::Drop(DropReason::NoRoute);
                };
                if !ipip::encapsulate(packet, &outer, local, rip, outer_id) {
                    return Verdict::Drop(DropReason::NoHeadroom);
                }
                ip_len += ipip::OVERHEAD;
            }
        }
        send(packet, icmp.l3, ip_len, &hop, &mut self.pool, out)
    }

    /// About a client's packet on a masq conn, from the real server or a router before it: to the
    /// client. As with replies, what a router has to refuse is left to Linux, unchanged.
    fn related_outbound(
        &mut self,
        packet: &mut P,
        icmp: &IcmpHeaders,
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
        icmp_related::outbound(packet, icmp, conn.vip, conn.vport);
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
    fn counters_of(&self, id: DestId) -> Option<&DestCounters> {
        let present = self.tables.services.is_present(id);
        present.then(|| self.accounts.counters().dest(id))
    }
}
