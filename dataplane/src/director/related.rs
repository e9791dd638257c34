//! ICMP errors about conns: they go the way of the flow whose packet they quote (`ip_vs_in_icmp`,
//! `ip_vs_out_icmp`, `ip_vs_core.c`).
//!
//! An error counts for the conn's destination, while that is there. It is no packet of the flow:
//! state and timer stay as they are, and a removed destination's conn lets it pass.

use super::local_node::is_delivered;
use super::send::send;
use super::{Director, FlowFamily, Outbox};
use crate::conn::{Candidate, ConnId};
use crate::counters::DestCounters;
use crate::flow::{Direction, FlowKey};
use crate::forward::{self, gatewaying, icmp_related};
use crate::ids::{DestId, WorkerId};
use crate::io::{Packet, Pool};
use crate::nexthop::NextHopState;
use crate::parse::IcmpHeaders;
use crate::service::ForwardingMethod;
use crate::verdict::{DropReason, PuntClass, Verdict};

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
        match self.conn_of(icmp) {
            Some(found) => self.follow_related(packet, icmp, found, out),
            None => self.unrelated(packet, icmp, out),
        }
    }

    /// Takes an error along the conn that it is about.
    pub(super) fn follow_related<A: FlowFamily>(
        &mut self,
        packet: &mut P,
        icmp: &IcmpHeaders<A>,
        (id, direction): (ConnId, Direction),
        out: &mut Outbox<P>,
    ) -> Verdict {
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

    fn conn_of<A: FlowFamily>(&mut self, icmp: &IcmpHeaders<A>) -> Option<(ConnId, Direction)> {
        self.conn_of_flow(&icmp.flow()?)
    }

    /// The conn of a flow, unless its time is over.
    pub(super) fn conn_of_flow<A: FlowFamily>(
        &mut self,
        key: &FlowKey<A>,
    ) -> Option<(ConnId, Direction)> {
        let found = self.conns.find(key, self.conns.hash(key), Candidate::NONE);
        found.filter(|&(id, _)| !self.end_if_expired(id))
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
        if forward::expires(&outer) && !is_delivered(&hop, &outer) {
            return Verdict::Drop(DropReason::TtlExceeded);
        }
        match method {
            ForwardingMethod::Masq => icmp_related::inbound(packet, icmp, rip, rport),
            ForwardingMethod::Ipip if hop.state != NextHopState::Local => {
                let way = self.way_of::<A>(id);
                return self.error_enters_tunnel(packet, &outer, &way, out);
            }
            _ => gatewaying::forward(packet, &outer),
        }
        send(packet, icmp.l3, icmp.ip_len, &hop, &mut self.pool, out)
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

    /// The counters of a destination that was not removed.
    pub(super) fn counters_of(&self, id: DestId) -> Option<&DestCounters> {
        let present = self.tables.services.is_present(id);
        present.then(|| self.accounts.counters().dest(id))
    }
}
