//! Packets of a conn that exists: is it still good, track its state, forward.

use super::lane::{Flow, Shape};
use super::partial;
use super::send::send;
use super::{Director, FlowFamily, Outbox, announced, attached};
use crate::conn::{Conn, ConnFlags, ConnId, Ended};
use crate::flow::protocol;
use crate::forward::{self, masq};
use crate::ids::DestId;
use crate::io::{Packet, Pool};
use crate::nexthop::NextHop;
use crate::parse::Headers;
use crate::proto::{self, Side, tcp::state};
use crate::service::ForwardingMethod;
use crate::template::ChildEnd;
use crate::verdict::{DropReason, PuntClass, Verdict};

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
    pub(super) fn inbound<A: FlowFamily>(
        &mut self,
        packet: &mut P,
        flow: &Flow<A>,
        id: ConnId,
        out: &mut Outbox<P>,
    ) -> Verdict {
        match self.standing(id, &flow.headers) {
            Standing::Good if flow.shape == Shape::Cut => self.inbound_cut(packet, flow, id, out),
            Standing::Good => self.follow(packet, flow, id, out),
            Standing::DestinationGone => Verdict::Drop(DropReason::DestinationRemoved),
            Standing::Over => {
                // It makes room for its successor, but counts until that is scheduled
                // (`ip_vs_conn_expire_now` leaves the rest to the timer).
                let ended = self.conns.remove(id);
                let verdict = self.first_packet(packet, flow, out);
                self.strike(&ended);
                verdict
            }
        }
    }

    /// The reuse of a tuple is looked at before the destination: a SYN on a closed conn leaves a
    /// removed one.
    #[inline]
    fn standing<A>(&self, id: ConnId, headers: &Headers<A>) -> Standing {
        let conn = self.conns.get(id);
        let services = &self.tables.services;
        let is_new = proto::is_new_conn(headers.key.proto, headers.event);
        if is_new && (self.is_quiesced(conn) || self.is_reusable(id)) {
            return Standing::Over;
        }
        match services.is_present(conn.dest) {
            true => Standing::Good,
            false if conn.dest == DestId::NONE => Standing::Good,
            // A client of UDP would go on for ever without noticing: the black hole of the kernel's.
            false if conn.proto == protocol::UDP => Standing::Over,
            false if services.settings.expire_nodest_conn => Standing::Over,
            false => Standing::DestinationGone,
        }
    }

    /// Whether a SYN or INIT leaves the conn because its destination takes no new ones.
    fn is_quiesced(&self, conn: &Conn) -> bool {
        let services = &self.tables.services;
        services.settings.expire_nodest_conn
            && services.dest(conn.dest).is_some_and(|dest| dest.weight == 0)
    }

    /// Whether a SYN or INIT on the conn's tuple begins another one (`conn_reuse_mode`,
    /// `is_new_conn_expected` in `ip_vs_core.c`): never that of a template's or control conn's child.
    fn is_reusable(&self, id: ConnId) -> bool {
        let conn = self.conns.get(id);
        let mode = self.tables.services.settings.conn_reuse_mode;
        let closed = proto::is_closed(conn.proto, conn.state)
            || mode & 2 != 0
                && (conn.proto, conn.state) == (protocol::TCP, state::FIN_WAIT)
                && conn.flags.contains(ConnFlags::NOOUTPUT);
        mode != 0 && closed && !attached::is_controlled(&self.conns, id)
    }

    /// Counts, tracks and forwards a client's packet of a good conn, new or old.
    pub(super) fn follow<A: FlowFamily>(
        &mut self,
        packet: &mut P,
        flow: &Flow<A>,
        id: ConnId,
        out: &mut Outbox<P>,
    ) -> Verdict {
        let no_output = self.count_inbound(flow, id);
        self.track(id, &flow.headers, if no_output { Side::InputOnly } else { Side::Input });
        if self.is_fullnat(id) {
            return self.follow_fullnat(packet, flow, id, out);
        }
        let way = self.way_of(id);
        if way.method.is_none() {
            return self.follow_otherwise(packet, flow, id, out);
        }
        self.forward(packet, flow, &way, out)
    }

    /// Forwards a client's packet that does not go the plain way: past the service, or read by a helper
    /// first.
    #[inline(never)]
    pub(super) fn follow_otherwise<A: FlowFamily>(
        &mut self,
        packet: &mut P,
        flow: &Flow<A>,
        id: ConnId,
        out: &mut Outbox<P>,
    ) -> Verdict {
        let way = self.any_way_of(id);
        if way.method.is_some() {
            if let Err(reason) = self.help_client(packet, flow, &way, id) {
                return Verdict::Drop(reason);
            }
        }
        self.forward(packet, flow, &way, out)
    }

    /// Counts a client's packet; says whether only the client's side of the conn is seen.
    pub(super) fn count_inbound<A: FlowFamily>(&mut self, flow: &Flow<A>, id: ConnId) -> bool {
        let conn = self.conns.get_mut(id);
        conn.in_packets = conn.in_packets.wrapping_add(1);
        self.accounts.counters().dest(conn.dest).inbound(flow.counted_len());
        conn.flags.contains(ConnFlags::NOOUTPUT)
    }

    /// State, timestamp and timeout of a conn after a packet from `side`.
    #[inline(always)]
    pub(super) fn track<A>(&mut self, id: ConnId, headers: &Headers<A>, side: Side) {
        let conn = self.conns.get_mut(id);
        let proto = headers.key.proto;
        let settings = &self.tables.services.settings;
        let state = proto::next(proto, conn.state, side, headers.event, settings.secure_tcp);
        conn.timeout = settings.timeouts.timeout(proto, state);
        conn.last_seen = self.now;
        if state != conn.state {
            self.turn(id, state);
        }
    }

    /// Few packets change their conn's state.
    #[inline(never)]
    pub(super) fn turn(&mut self, id: ConnId, state: u8) {
        let conn = self.conns.get_mut(id);
        let before = std::mem::replace(&mut conn.state, state);
        let is_active = proto::is_active(conn.proto, state);
        if proto::is_active(conn.proto, before) != is_active {
            self.accounts.conn_turns(conn.dest, is_active);
            self.tables.load_changed(conn.dest);
        }
        if proto::is_established(conn.proto, state) {
            self.assure(id);
        }
    }

    /// A real server's reply on a masq conn. What is Linux's part as a router (time to live, MTU,
    /// no route: `ip_forward.c`, before IPVS sees the packet) is left to Linux, unchanged.
    pub(super) fn outbound<A: FlowFamily>(
        &mut self,
        packet: &mut P,
        flow: &Flow<A>,
        id: ConnId,
        out: &mut Outbox<P>,
    ) -> Verdict {
        if self.conns.get(id).flags.plain_method() != Some(ForwardingMethod::Masq) {
            return self.outbound_otherwise(packet, flow, id, out);
        }
        match self.reply_hop(flow) {
            Some(hop) => self.reply(packet, flow, (id, &hop), out),
            None => Verdict::Punt(PuntClass::Rest),
        }
    }

    /// A real server's reply that does not go the plain way.
    #[inline(never)]
    fn outbound_otherwise<A: FlowFamily>(
        &mut self,
        packet: &mut P,
        flow: &Flow<A>,
        id: ConnId,
        out: &mut Outbox<P>,
    ) -> Verdict {
        match self.is_fullnat(id) {
            true => self.outbound_fullnat(packet, flow, id, out),
            false => self.outbound_helped(packet, flow, id, out),
        }
    }

    /// The next hop of a reply; `None` if a router would refuse it.
    #[inline(always)]
    pub(super) fn reply_hop<A: FlowFamily>(&self, flow: &Flow<A>) -> Option<NextHop> {
        let headers = &flow.headers;
        let hop = self.hop_to(headers.key.dst)?;
        let fits = !headers.df || forward::fits(headers.ip_len, hop.mtu);
        (fits && !forward::expires(headers)).then_some(hop)
    }

    /// Tracks, counts and forwards a real server's reply that goes on to `hop`.
    #[inline(always)]
    pub(super) fn reply<A: FlowFamily>(
        &mut self,
        packet: &mut P,
        flow: &Flow<A>,
        (id, hop): (ConnId, &NextHop),
        out: &mut Outbox<P>,
    ) -> Verdict {
        let headers = &flow.headers;
        if flow.shape == Shape::Cut {
            return self.outbound_cut(id);
        }
        self.note_reply(flow, id);
        let conn = self.conns.get(id);
        let (deltas, vport) = ((conn.l3_delta, conn.l4_delta), conn.vport);
        let (_, vip) = self.conns.client_and_vip::<A>(conn);
        if flow.shape == Shape::Whole {
            masq::outbound(packet, headers, (vip, vport), deltas);
        } else if !partial::outbound(packet, flow, (vip, vport), deltas) {
            return Verdict::Drop(DropReason::FragmentSctp);
        }
        send(packet, headers.l3, headers.ip_len, hop, &mut self.pool, out)
    }

    /// Tracks and counts a reply.
    #[inline(always)]
    pub(super) fn note_reply<A: FlowFamily>(&mut self, flow: &Flow<A>, id: ConnId) {
        self.track(id, &flow.headers, Side::Output);
        if flow.headers.key.proto == protocol::UDP && self.conns.side(id).is_some() {
            self.assure(id);
        }
        let conn = self.conns.get_mut(id);
        conn.flags.remove(ConnFlags::NOOUTPUT);
        self.accounts.counters().dest(conn.dest).outbound(flow.counted_len());
    }

    /// Ends a conn that has been silent for its timeout; the wheel may be a little late.
    pub(super) fn end_if_expired(&mut self, id: ConnId) -> bool {
        let expired = self.conns.get(id).is_expired(self.now) && !self.is_held(id);
        if expired {
            self.end(id);
        }
        expired
    }

    /// Whether a conn whose time is over stays for others, and for how long then.
    #[cold]
    pub(super) fn is_held(&mut self, id: ConnId) -> bool {
        let side = self.conns.side(id).copied();
        let families = self.accounts.expect().families();
        announced::hold(self.conns.get_mut(id), side.as_ref(), families, self.now)
    }

    pub(super) fn end(&mut self, id: ConnId) {
        let ended = self.conns.remove(id);
        self.strike(&ended);
    }

    /// Takes a conn that has ended off the books.
    fn strike(&mut self, ended: &Ended) {
        self.accounts.conn_ends(ended, &self.tables.services, self.now, ChildEnd::Expired);
        self.tables.load_changed(ended.dest);
    }
}
