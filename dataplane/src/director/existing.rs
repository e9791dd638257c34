//! Packets of a conn that exists: is it still good, track its state, forward.

use super::lane::Flow;
use super::send::send;
use super::{Director, Outbox};
use crate::address::Address;
use crate::conn::{Conn, ConnFlags, ConnId};
use crate::flow::{Direction, protocol};
use crate::forward::icmp_error::IcmpError;
use crate::forward::{self, gatewaying, ipip, masq};
use crate::io::{Packet, Pool};
use crate::nexthop::{NextHop, NextHopState};
use crate::parse::Headers;
use crate::proto::{
    self,
    tcp::{self, Side, state},
};
use crate::route::RouteTarget;
use crate::service::ForwardingMethod;
use crate::verdict::{DropReason, PuntClass, Verdict};
use crate::wire::tcp::flags;

/// Whether a conn that a client's packet hit may take it (`ip_vs_in_hook`, `ip_vs_core.c`).
enum Standing {
    /// Go on.
    Good,
    /// Its destination was removed: packets are dropped, so that a re-added one resumes.
    DestinationGone,
    /// The packet begins a new conn on an old one's tuple, or the destination's removal ends it.
    Over,
}

impl<P: Packet, L: Pool<Packet = P>> Director<P, L> {
    /// A client's packet of an existing conn.
    pub(super) fn inbound(
        &mut self,
        packet: &mut P,
        flow: &Flow,
        id: ConnId,
        out: &mut Outbox<P>,
    ) -> Verdict {
        match self.standing(id, &flow.headers) {
            Standing::Good if flow.cut => self.count_cut(&flow.headers, id),
            Standing::Good => self.follow(packet, &flow.headers, id, out),
            Standing::DestinationGone => Verdict::Drop(DropReason::DestinationRemoved),
            Standing::Over => {
                self.end(id);
                self.first_packet(packet, flow, out)
            }
        }
    }

    /// The reuse of a tuple is looked at before the destination: a SYN on a closed conn leaves a
    /// removed one.
    #[inline]
    fn standing(&self, id: ConnId, headers: &Headers) -> Standing {
        let conn = self.conns.get(id);
        let services = &self.tables.services;
        let syn = headers.key.proto == protocol::TCP && headers.event & flags::SYN != 0;
        if syn && (self.is_quiesced(conn) || self.is_reusable(conn)) {
            return Standing::Over;
        }
        match services.is_present(conn.dest) {
            true => Standing::Good,
            false if services.settings.expire_nodest_conn => Standing::Over,
            false => Standing::DestinationGone,
        }
    }

    /// Whether a SYN leaves the conn because its destination takes no new ones.
    fn is_quiesced(&self, conn: &Conn) -> bool {
        let services = &self.tables.services;
        services.settings.expire_nodest_conn
            && services.dest(conn.dest).is_some_and(|dest| dest.weight == 0)
    }

    /// Whether a SYN on the conn's tuple begins another one (`conn_reuse_mode`,
    /// `is_new_conn_expected` in `ip_vs_core.c`).
    fn is_reusable(&self, conn: &Conn) -> bool {
        let mode = self.tables.services.settings.conn_reuse_mode;
        let closed = matches!(conn.state, state::TIME_WAIT | state::CLOSE)
            || mode & 2 != 0
                && conn.state == state::FIN_WAIT
                && conn.flags.contains(ConnFlags::NOOUTPUT);
        mode != 0 && closed
    }

    /// Counts, tracks and forwards a client's packet of a good conn, new or old.
    pub(super) fn follow(
        &mut self,
        packet: &mut P,
        headers: &Headers,
        id: ConnId,
        out: &mut Outbox<P>,
    ) -> Verdict {
        let no_output = self.count_inbound(headers, id);
        self.track(id, headers, if no_output { Side::InputOnly } else { Side::Input });
        self.forward(packet, headers, id, out)
    }

    /// Counts a client's packet; says whether only the client's side of the conn is seen.
    fn count_inbound(&mut self, headers: &Headers, id: ConnId) -> bool {
        let conn = self.conns.get_mut(id);
        conn.in_packets = conn.in_packets.wrapping_add(1);
        self.accounts.counters().dest(conn.dest).inbound(u64::from(headers.ip_len));
        conn.flags.contains(ConnFlags::NOOUTPUT)
    }

    /// A packet whose TCP or UDP header is cut: IPVS counts it, then cannot read it.
    #[cold]
    fn count_cut(&mut self, headers: &Headers, id: ConnId) -> Verdict {
        self.count_inbound(headers, id);
        Verdict::Drop(DropReason::BadL4Header)
    }

    /// State, timestamp and timeout of a conn after a packet from `side`.
    #[inline(always)]
    fn track(&mut self, id: ConnId, headers: &Headers, side: Side) {
        let conn = self.conns.get_mut(id);
        let proto = headers.key.proto;
        let mut state = conn.state;
        if proto == protocol::TCP {
            state = tcp::next(conn.state, side, headers.event, false);
        }
        conn.timeout = self.tables.services.settings.timeouts.timeout(proto, state);
        conn.last_seen = self.now;
        if state != conn.state {
            self.turn(id, state);
        }
    }

    /// Few packets change their conn's state.
    #[inline(never)]
    fn turn(&mut self, id: ConnId, state: u8) {
        let conn = self.conns.get_mut(id);
        let before = std::mem::replace(&mut conn.state, state);
        let is_active = proto::is_active(conn.proto, state);
        if proto::is_active(conn.proto, before) != is_active {
            self.accounts.conn_turns(conn.dest, is_active);
            self.tables.load_changed(conn.dest);
        }
    }

    /// Rewrites a client's packet for the real server by the conn's forwarding method.
    fn forward(
        &mut self,
        packet: &mut P,
        headers: &Headers,
        id: ConnId,
        out: &mut Outbox<P>,
    ) -> Verdict {
        let conn = self.conns.get(id);
        let hop = self.tables.next_hops.get(conn.next_hop);
        if forward::expires(headers) {
            return self.refuse_client(packet, headers, id, IcmpError::TimeExceeded, out);
        }
        let Some(method) = conn.flags.method() else { return Verdict::Punt(PuntClass::Rest) };
        let (mtu, whole) = match method {
            // Without `pmtu_disc` the outer packet is cut instead of the inner one refused.
            ForwardingMethod::Ipip => {
                let pmtu_disc = self.tables.services.settings.pmtu_disc;
                (ipip::tunnel_mtu(hop.mtu), headers.df && pmtu_disc)
            }
            ForwardingMethod::Masq | ForwardingMethod::Gatewaying => (hop.mtu, headers.df),
        };
        if whole && !forward::fits(headers.ip_len, mtu) {
            let direction = Direction::Inbound;
            let error = IcmpError::FragmentationNeeded { mtu, direction };
            return self.refuse_client(packet, headers, id, error, out);
        }
        let mut ip_len = headers.ip_len;
        match method {
            ForwardingMethod::Masq => {
                let deltas = (conn.l3_delta, conn.l4_delta);
                masq::inbound(packet, headers, (conn.rip, conn.rport), deltas);
            }
            ForwardingMethod::Gatewaying => gatewaying::forward(packet, headers),
            ForwardingMethod::Ipip => {
                let rip = conn.rip;
                let outer_id = (!whole).then(|| self.ip_ids.next());
                let Some(local) = u32::of(hop.local) else {
                    return Verdict::Drop(DropReason::NoRoute);
                };
                if !ipip::encapsulate(packet, headers, local, rip, outer_id) {
                    return Verdict::Drop(DropReason::NoHeadroom);
                }
                ip_len += ipip::OVERHEAD;
            }
        }
        send(packet, headers.l3, ip_len, hop, &mut self.pool, out)
    }

    /// Answers a client's packet of a conn with an error. It leaves from the VIP, as the replies of
    /// a gatewaying or ipip conn do, and IPVS counts it for one (`ip_vs_conn_out_get`).
    #[cold]
    fn refuse_client(
        &mut self,
        packet: &mut P,
        headers: &Headers,
        id: ConnId,
        error: IcmpError,
        out: &mut Outbox<P>,
    ) -> Verdict {
        let conn = self.conns.get(id);
        let like_a_reply = conn.flags.method() != Some(ForwardingMethod::Masq);
        let counted_for = like_a_reply.then_some(conn.dest);
        self.refuse(packet, headers, error, counted_for, out)
    }

    /// A real server's reply on a masq conn. What is Linux's part as a router (time to live, MTU,
    /// no route: `ip_forward.c`, before IPVS sees the packet) is left to Linux, unchanged.
    pub(super) fn outbound(
        &mut self,
        packet: &mut P,
        flow: &Flow,
        id: ConnId,
        out: &mut Outbox<P>,
    ) -> Verdict {
        let headers = &flow.headers;
        let Some(hop) = self.hop_to(headers.key.dst) else { return Verdict::Punt(PuntClass::Rest) };
        let fits = forward::fits(headers.ip_len, hop.mtu);
        if forward::expires(headers) || headers.df && !fits || flow.cut {
            return Verdict::Punt(PuntClass::Rest);
        }
        self.track(id, headers, Side::Output);
        let conn = self.conns.get_mut(id);
        conn.flags.remove(ConnFlags::NOOUTPUT);
        self.accounts.counters().dest(conn.dest).outbound(u64::from(headers.ip_len));
        let deltas = (conn.l3_delta, conn.l4_delta);
        masq::outbound(packet, headers, (conn.vip, conn.vport), deltas);
        send(packet, headers.l3, headers.ip_len, &hop, &mut self.pool, out)
    }

    /// The next hop towards a client; `None` where Linux has to decide: no route, or its own.
    pub(super) fn hop_to(&self, target: u32) -> Option<NextHop> {
        match self.tables.routes.lookup(target)? {
            RouteTarget::Via(id) => Some(*self.tables.next_hops.get(id)),
            RouteTarget::Local => None,
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

    /// Ends a conn that has been silent for its timeout; the wheel may be a little late.
    pub(super) fn end_if_expired(&mut self, id: ConnId) -> bool {
        let expired = self.conns.get(id).is_expired(self.now);
        if expired {
            self.end(id);
        }
        expired
    }

    pub(super) fn end(&mut self, id: ConnId) {
        let conn = self.conns.remove(id);
        self.accounts.conn_ends(&conn, &self.tables.services);
        self.tables.load_changed(conn.dest);
    }
}
