//! From the director on: a client's packet to its real server, by the forwarding method.

use super::lane::{Flow, Shape};
use super::partial;
use super::send::{self, send};
use super::{Director, FlowFamily, Outbox};
use crate::conn::{ConnId, NewConn};
use crate::flow::Direction;
use crate::forward::icmp_error::IcmpError;
use crate::forward::{self, gatewaying, masq};
use crate::ids::{DestId, NextHopId};
use crate::io::{Packet, Pool};
use crate::nexthop::{NextHop, NextHopState};
use crate::route::RouteTarget;
use crate::service::ForwardingMethod;
use crate::verdict::{DropReason, Verdict};
use crate::wire::checksum::Delta;

/// What forwarding takes out of a conn.
#[derive(Clone, Copy)]
pub(super) struct Way<A> {
    /// `None`: not a plain way, see [`Director::follow_otherwise`].
    pub method: Option<ForwardingMethod>,
    /// Real server's address, for methods that rewrite to it.
    pub rip: A,
    /// Real server's port.
    pub rport: u16,
    /// What the rewrite changes in the sums of the IP header and of L4.
    pub deltas: (Delta, Delta),
    /// Fullnat: port and index of the address of its local end. A tunnel: how it wrapped packets
    /// when the conn began.
    pub local: (u16, u16),
    /// Where it goes next: for a tunnel its far end, too.
    pub next_hop: NextHopId,
    /// The destination that errors count for.
    pub dest: DestId,
}

impl<A: FlowFamily> Way<A> {
    /// The way of a conn to be.
    pub fn of_new(new: &NewConn<A>) -> Way<A> {
        Way {
            method: new.flags.method(),
            // Across families only tunnels go, which rewrite nothing.
            rip: A::of(new.rip).unwrap_or(new.key.dst),
            rport: new.rport,
            deltas: (new.l3_delta, new.l4_delta),
            local: (new.lport, new.lip_index),
            next_hop: new.next_hop,
            dest: new.dest,
        }
    }
}

impl<P: Packet, L: Pool<Packet = P>> Director<P, L> {
    /// The way of a conn's packets.
    #[inline(always)]
    pub(super) fn way_of<A: FlowFamily>(&self, id: ConnId) -> Way<A> {
        let conn = self.conns.get(id);
        Way {
            method: conn.flags.plain_method(),
            rip: self.conns.rip(conn),
            rport: conn.rport,
            deltas: (conn.l3_delta, conn.l4_delta),
            local: (conn.lport, conn.lip_index),
            next_hop: conn.next_hop,
            dest: conn.dest,
        }
    }

    /// The same, also of a conn that a helper reads.
    pub(super) fn any_way_of<A: FlowFamily>(&self, id: ConnId) -> Way<A> {
        Way { method: self.conns.get(id).flags.method(), ..self.way_of(id) }
    }

    /// Rewrites a client's packet for the real server by the forwarding method.
    #[inline(always)]
    pub(super) fn forward<A: FlowFamily>(
        &mut self,
        packet: &mut P,
        flow: &Flow<A>,
        way: &Way<A>,
        out: &mut Outbox<P>,
    ) -> Verdict {
        let headers = &flow.headers;
        let hop = self.tables.next_hops.get(way.next_hop);
        if forward::expires(headers) {
            return self.expired(packet, flow, way, out);
        }
        let Some(method) = way.method else { return self.bypass(packet, headers, out) };
        if method == ForwardingMethod::Fullnat {
            return self.forward_fullnat(packet, flow, way, out);
        }
        if method == ForwardingMethod::Ipip {
            return self.enter_tunnel(packet, flow, way, out);
        }
        if headers.df && !forward::fits(headers.ip_len, hop.mtu) {
            let (mtu, direction) = (hop.mtu, Direction::Inbound);
            let error = IcmpError::FragmentationNeeded { mtu, direction };
            return self.refuse_client(packet, flow, way, error, out);
        }
        match method {
            ForwardingMethod::Masq if flow.shape != Shape::Whole => {
                if !partial::inbound(packet, flow, way) {
                    return Verdict::Drop(DropReason::FragmentSctp);
                }
            }
            ForwardingMethod::Masq => {
                masq::inbound(packet, headers, (way.rip, way.rport), way.deltas);
            }
            _ => gatewaying::forward(packet, headers),
        }
        send(packet, headers.l3, headers.ip_len, hop, &mut self.pool, out)
    }

    /// Answers a client's packet of a conn with an error. It leaves from the VIP, as the replies of
    /// a gatewaying or ipip conn do, and IPVS counts it for one (`ip_vs_conn_out_get`). No error is
    /// sent about a fragment but the first (RFC 1122 section 3.2.2).
    #[cold]
    pub(super) fn refuse_client<A: FlowFamily>(
        &mut self,
        packet: &mut P,
        flow: &Flow<A>,
        way: &Way<A>,
        error: IcmpError,
        out: &mut Outbox<P>,
    ) -> Verdict {
        if flow.shape == Shape::Later {
            return Verdict::Drop(send::reason(error));
        }
        let like_a_reply =
            !matches!(way.method, Some(ForwardingMethod::Masq | ForwardingMethod::Fullnat));
        let counted_for = like_a_reply.then_some(way.dest);
        self.refuse(packet, &flow.headers, error, counted_for, out)
    }

    /// The next hop towards a client; `None` where Linux has to decide: no route, or its own.
    pub(super) fn hop_to<A: FlowFamily>(&self, target: A) -> Option<NextHop> {
        match self.tables.routes.lookup(target)? {
            RouteTarget::Via(id) => Some(*self.tables.next_hops.get(id)),
            RouteTarget::Local | RouteTarget::Linux => None,
            RouteTarget::OnLink(_) => {
                let known = self.tables.next_hops.find(target);
                Some(known.map_or_else(
                    || NextHop {
                        target: target.ip(),
                        state: NextHopState::Unresolved,
                        ..NextHop::NONE
                    },
                    |id| *self.tables.next_hops.get(id),
                ))
            }
        }
    }
}
