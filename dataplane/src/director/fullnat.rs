//! Fullnat: both ends of a packet change, so that a real server needs no route back through the
//! director.
//!
//! What comes back to a local address is addressed to the director itself. So nothing of a fullnat
//! conn is left to Linux, which would reset it: what a router has to refuse is refused here.

use super::lane::{Flow, Shape};
use super::onward::Way;
use super::send::{self, send};
use super::{Director, FlowFamily, Outbox, attached};
use crate::app::seq::Record;
use crate::conn::{ConnId, NewConn};
use crate::flow::{Direction, FlowKey, protocol};
use crate::forward::fullnat::{self, Ends};
use crate::forward::icmp_error::IcmpError;
use crate::forward::{self, icmp_related, told_quote};
use crate::io::{Packet, Pool};
use crate::limits::{LOCAL_PORT_SLOTS, OWNER_SLOTS};
use crate::local_ports::Wanted;
use crate::nexthop::NextHopState;
use crate::owner;
use crate::parse::IcmpHeaders;
use crate::proto::tcp::Side;
use crate::service::{ForwardingMethod, ServiceTable};
use crate::verdict::{DropReason, PuntClass, Verdict};
use crate::wire::checksum::{self, Delta};
use std::sync::Arc;

impl<P: Packet, L: Pool<Packet = P>> Director<P, L> {
    /// Takes a new generation of services into use, with the local addresses that it names. Not while
    /// schedulers are behind ([`super::Tables::catch_up`]).
    pub fn swap_services(&mut self, new: Arc<ServiceTable>) {
        for &(index, address) in new.locals() {
            self.conns.locals_mut().set(index, address);
        }
        self.tables.swap_services(new);
    }

    /// Whether a conn is of fullnat.
    #[inline(always)]
    pub(super) fn is_fullnat(&self, id: ConnId) -> bool {
        self.conns.get(id).flags.method() == Some(ForwardingMethod::Fullnat)
    }

    /// Completes a conn to be, if it is of fullnat, by a local end that no other conn to the same real
    /// server has and whose packets are this worker's. `false` if there is none left.
    pub(super) fn give_local_end<A: FlowFamily>(
        &mut self,
        index: usize,
        new: &mut NewConn<A>,
    ) -> bool {
        if new.flags.method() != Some(ForwardingMethod::Fullnat) {
            return true;
        }
        let (key, Some(rip)) = (new.key, A::of(new.rip)) else { return false };
        let Director { conns, tables, local_ports, now, .. } = self;
        let service = tables.services.service(index);
        let range = tables.services.settings.local_ports;
        let wanted = Wanted { dest: new.dest, locals: &service.fullnat.locals, range };
        let (slot_map, worker) = (&tables.slot_map, tables.worker());
        let own = owner::slot(key.src, key.sport);
        let slots = (0..OWNER_SLOTS as u16).map(|step| (own + step) % OWNER_SLOTS as u16);
        let slots = slots.filter(|&slot| slot_map.worker(slot) == worker).take(LOCAL_PORT_SLOTS);
        let reply = |dst, dport| FlowKey { src: rip, sport: new.rport, dst, dport, ..key };
        let is_free = |local, port| {
            let key = reply(local, port);
            let taken = conns.lookup(&key, conns.hash(&key));
            taken.is_none_or(|(id, _)| conns.is_expired(id, *now))
        };
        let address = |index| conns.local_address::<A>(index);
        let Some(end) = local_ports.choose(&wanted, slots, *now, address, is_free) else {
            return false;
        };
        (new.lip_index, new.lport) = (end.index, end.port);
        let came = Ends { src: (key.src, key.sport), dst: (key.dst, key.dport) };
        let leaves = Ends { src: (address(end.index), end.port), dst: (rip, new.rport) };
        (new.l3_delta, new.l4_delta) = fullnat::deltas(&came, &leaves);
        true
    }

    /// A client's packet to its real server, from the conn's local end.
    #[inline(never)]
    pub(super) fn forward_fullnat<A: FlowFamily>(
        &mut self,
        packet: &mut P,
        flow: &Flow<A>,
        way: &Way<A>,
        out: &mut Outbox<P>,
    ) -> Verdict {
        let headers = &flow.headers;
        let hop = self.tables.next_hops.get(way.next_hop);
        if hop.state == NextHopState::Local {
            // A packet from one of Linux's addresses to another cannot come in from outside.
            return Verdict::Drop(DropReason::NoRoute);
        }
        if flow.shape == Shape::Riding {
            // What has no ports cannot come back to a local end.
            return Verdict::Punt(PuntClass::Rest);
        }
        if headers.df && !forward::fits(headers.ip_len, hop.mtu) {
            let (mtu, direction) = (hop.mtu, Direction::Inbound);
            let error = IcmpError::FragmentationNeeded { mtu, direction };
            return self.refuse_client(packet, flow, way, error, out);
        }
        let (lport, lip) = way.local;
        let src = (self.conns.local_address(lip), lport);
        let ends = Ends { src, dst: (way.rip, way.rport) };
        if !rewrite(packet, flow, &ends, way.deltas) {
            return Verdict::Drop(DropReason::FragmentSctp);
        }
        send(packet, headers.l3, headers.ip_len, hop, &mut self.pool, out)
    }

    /// A real server's packet to the conn's local end, on to the client. What a router refuses is
    /// refused to the real server from the local address.
    #[inline(never)]
    pub(super) fn outbound_fullnat<A: FlowFamily>(
        &mut self,
        packet: &mut P,
        flow: &Flow<A>,
        id: ConnId,
        out: &mut Outbox<P>,
    ) -> Verdict {
        let headers = &flow.headers;
        if matches!(flow.shape, Shape::Cut | Shape::Riding) {
            return Verdict::Drop(DropReason::BadL4Header);
        }
        let ends = self.client_side::<A>(id);
        let Some(hop) = self.hop_to(ends.dst.0) else { return Verdict::Drop(DropReason::NoRoute) };
        let later = flow.shape == Shape::Later;
        let (mtu, direction) = (hop.mtu, Direction::Outbound);
        let error = if forward::expires(headers) {
            Some(IcmpError::TimeExceeded)
        } else if headers.df && !forward::fits(headers.ip_len, mtu) {
            Some(IcmpError::FragmentationNeeded { mtu, direction })
        } else {
            None
        };
        match error {
            Some(error) if later => return Verdict::Drop(send::reason(error)),
            Some(error) => return self.refuse(packet, headers, error, None, out),
            None => {}
        }
        if !later {
            self.track(id, headers, Side::Output);
            if headers.key.proto == protocol::TCP {
                // A first fragment that is not tiny has the numbers, too.
                if matches!(flow.shape, Shape::Whole | Shape::First) {
                    self.heard(packet, headers, id);
                }
            } else if headers.key.proto == protocol::UDP && self.conns.side(id).is_some() {
                self.assure(id);
            }
            let dest = self.conns.get(id).dest;
            self.accounts.counters().dest(dest).outbound(flow.counted_len());
        }
        let conn = self.conns.get(id);
        let deltas = (checksum::negate(conn.l3_delta), checksum::negate(conn.l4_delta));
        if !rewrite(packet, flow, &ends, deltas) {
            return Verdict::Drop(DropReason::FragmentSctp);
        }
        send(packet, headers.l3, headers.ip_len, &hop, &mut self.pool, out)
    }

    /// The ends that the conn's packets to the client have.
    fn client_side<A: FlowFamily>(&self, id: ConnId) -> Ends<A> {
        let conn = self.conns.get(id);
        let (cip, vip) = self.conns.client_and_vip::<A>(conn);
        Ends { src: (vip, conn.vport), dst: (cip, conn.cport) }
    }

    /// The ends that the conn's packets from the real server have.
    fn server_side<A: FlowFamily>(&self, id: ConnId) -> Ends<A> {
        let conn = self.conns.get(id);
        let local = self.conns.local_address(conn.lip_index);
        Ends { src: (self.conns.rip(conn), conn.rport), dst: (local, conn.lport) }
    }

    /// An ICMP error about a packet of the conn: to the real server from the local address, to the client
    /// from the virtual one, whoever sent it.
    #[cold]
    pub(super) fn related_fullnat<A: FlowFamily>(
        &mut self,
        packet: &mut P,
        icmp: &IcmpHeaders<A>,
        id: ConnId,
        direction: Direction,
        out: &mut Outbox<P>,
    ) -> Verdict {
        let inbound = direction == Direction::Inbound;
        let quoted = match inbound {
            true => self.server_side(id),
            false => self.client_side(id).reversed(),
        };
        let conn = self.conns.get(id);
        let hop = match inbound {
            true => Some(*self.tables.next_hops.get(conn.next_hop)),
            false => self.hop_to(quoted.src.0),
        };
        let Some(hop) = hop else { return Verdict::Drop(DropReason::NoRoute) };
        if let Some(counters) = self.counters_of(conn.dest) {
            match direction {
                Direction::Inbound => counters.inbound(u64::from(icmp.ip_len)),
                Direction::Outbound => counters.outbound(u64::from(icmp.ip_len)),
            }
        }
        if forward::expires(&icmp_related::as_packet(packet, icmp)) {
            return Verdict::Drop(DropReason::TtlExceeded);
        }
        let mut icmp = *icmp;
        self.as_its_sender_knows_it(packet, &mut icmp, id, direction);
        fullnat::rewrite_error(packet, &icmp, &quoted);
        send(packet, icmp.l3, icmp.ip_len, &hop, &mut self.pool, out)
    }

    /// Takes from an error's quote what the director told the real server.
    fn as_its_sender_knows_it<A: FlowFamily>(
        &self,
        packet: &mut P,
        icmp: &mut IcmpHeaders<A>,
        id: ConnId,
        direction: Direction,
    ) {
        if self.conns.get(id).proto != protocol::TCP {
            return;
        }
        let Record { inbound: shift, memory, .. } = attached::record_of(&self.conns, id);
        match direction {
            Direction::Inbound => told_quote::about_reply(packet, icmp, &shift),
            Direction::Outbound => {
                let client = self.client_side(id).dst;
                told_quote::about_request(packet, icmp, client, &shift, memory != 0);
            }
        }
    }
}

/// Gives a packet of any shape but [`Shape::Riding`] its new ends. `false` if the checksum of a
/// fragment cannot follow.
fn rewrite<A: FlowFamily, P: Packet>(
    packet: &mut P,
    flow: &Flow<A>,
    ends: &Ends<A>,
    deltas: (Delta, Delta),
) -> bool {
    match flow.shape {
        Shape::First => return fullnat::rewrite_first(packet, &flow.headers, ends, deltas),
        Shape::Later => fullnat::rewrite_later(packet, &flow.headers, ends, deltas.0),
        _ => fullnat::rewrite(packet, &flow.headers, ends, deltas),
    }
    true
}
