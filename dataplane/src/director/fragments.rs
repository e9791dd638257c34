//! Fragments: to their datagram's home, with the ports of the first on to the flow's owner, and there
//! the way of the first. (`ip_vs_gather_frags`, `ip_vs_core.c`, puts them together instead.)
//!
//! The first fragment stands for the datagram: it finds or begins the conn, is counted as a packet and
//! tracked, and is answered if the datagram cannot go on. What became of it is remembered as a
//! [`Course`], which later fragments take. Of a conn that has its ports, not its place: one that ended
//! meanwhile is not found, and they are dropped.

use super::lane::{Flow, Shape};
use super::send::send;
use super::{Director, FlowFamily, Outbox, partial};
use crate::conn::ConnId;
use crate::flow::{Direction, FlowKey};
use crate::forward;
use crate::fragments::{Fragment, FragmentCache, Refusal, Taken, home_slot};
use crate::ids::{DestId, InterfaceId, WorkerId};
use crate::io::{Packet, Pool};
use crate::limits::MAX_HELD_FRAGMENTS_PER_DATAGRAM;
use crate::nexthop::NextHop;
use crate::parse::{FragmentHeaders, Headers};
use crate::verdict::{DropReason, PuntClass, Verdict};
use std::mem;

/// A fragment of either family.
#[derive(Debug, Clone, Copy)]
pub(super) enum AnyFragment {
    V4(FragmentHeaders),
    V6(FragmentHeaders<u128>),
}

impl From<&AnyFragment> for Fragment {
    fn from(from: &AnyFragment) -> Fragment {
        match from {
            AnyFragment::V4(headers) => headers.into(),
            AnyFragment::V6(headers) => headers.into(),
        }
    }
}

impl AnyFragment {
    /// The protocol of its datagram.
    pub fn proto(&self) -> u8 {
        Fragment::from(self).proto
    }
}

/// What became of a datagram's first fragment, and is to become of the others.
#[derive(Debug, Clone, Copy)]
pub(super) enum Course {
    /// To another worker, which owns the flow.
    Owner(WorkerId),
    /// To Linux.
    Punt(PuntClass),
    /// The way of its conn.
    Conn(Followed),
}

/// The conn that a first fragment was of.
#[derive(Debug, Clone, Copy)]
pub(super) struct Followed {
    sport: u16,
    dport: u16,
    proto: u8,
    /// Why the first went no further than to the conn's counters.
    refused: Option<DropReason>,
    /// There never was one: the first was scheduled to this destination by itself.
    one_packet: Option<DestId>,
}

/// A fragment, and where it came in.
pub(super) struct Part<P> {
    packet: P,
    headers: AnyFragment,
    interface: Option<InterfaceId>,
}

/// What a director keeps of datagrams in fragments.
pub(super) struct Fragments<P> {
    pub cache: FragmentCache<Part<P>, Course>,
    /// Those that waited for the first one at hand.
    released: Vec<Part<P>>,
    /// The destination of the last packet that was scheduled by itself.
    pub one_packet: Option<DestId>,
}

impl<P> Fragments<P> {
    /// None, with all room taken. The secret is the cache's.
    pub fn new(secret: [u64; 2]) -> Self {
        let released = Vec::with_capacity(MAX_HELD_FRAGMENTS_PER_DATAGRAM);
        Fragments { cache: FragmentCache::new(secret), released, one_packet: None }
    }
}

impl<P: Packet, L: Pool<Packet = P>> Director<P, L> {
    /// Stage 2 of a fragment: from the wire it goes to its datagram's home, whose worker hands it to
    /// the flow's owner. The other worker, if the home is not here.
    #[cold]
    pub(super) fn claim_fragment(
        &self,
        fragment: &AnyFragment,
        handed_in: bool,
    ) -> Option<WorkerId> {
        let home = self.home(&fragment.into());
        (!handed_in && home != self.worker).then_some(home)
    }

    fn home(&self, fragment: &Fragment) -> WorkerId {
        self.tables.slot_map.worker(home_slot(&fragment.datagram))
    }

    /// Stages 4 to 7 of a fragment, and of those that it lets go.
    #[cold]
    pub(super) fn fragment(
        &mut self,
        packet: P,
        interface: Option<InterfaceId>,
        headers: &AnyFragment,
        out: &mut Outbox<P>,
    ) {
        let fragment = Fragment::from(headers);
        let part = Part { packet, headers: *headers, interface };
        match self.fragments.cache.take(&fragment, part, self.now) {
            Taken::Held => {}
            Taken::Refused(part, Refusal::BadLength) if fragment.is_misfit() => {
                self.pass_on(part, &fragment, out);
            }
            Taken::Refused(_, why) => out.tally.drop_one(why.reason()),
            Taken::Later(part, course) => self.take_course(part, course, out),
            Taken::Whole(part) | Taken::First(part) => {
                let course = self.any_first(part, &fragment, out);
                self.let_go(&fragment, course, out);
            }
        }
    }

    fn any_first(&mut self, part: Part<P>, fragment: &Fragment, out: &mut Outbox<P>) -> Course {
        let at_home = self.home(fragment) == self.worker;
        match part.headers {
            AnyFragment::V4(headers) => self.first(part, &headers, at_home, out),
            AnyFragment::V6(headers) => self.first(part, &headers, at_home, out),
        }
    }

    /// A fragment that nobody can put together, to who is to say so: a first one goes the way of its
    /// flow, without the others; a later one is Linux's.
    fn pass_on(&mut self, part: Part<P>, fragment: &Fragment, out: &mut Outbox<P>) {
        if fragment.is_first() {
            self.any_first(part, fragment, out);
        } else {
            self.dispatch(Verdict::Punt(PuntClass::Rest), part, out);
        }
    }

    /// Tells the cache of the first fragment's course, and sends those that waited for it after it.
    fn let_go(&mut self, fragment: &Fragment, course: Course, out: &mut Outbox<P>) {
        let mut released = mem::take(&mut self.fragments.released);
        self.fragments.cache.learn(&fragment.datagram, course, &mut released);
        released.drain(..).for_each(|part| self.take_course(part, course, out));
        self.fragments.released = released;
    }

    /// A datagram's first fragment.
    fn first<A: FlowFamily>(
        &mut self,
        mut part: Part<P>,
        headers: &FragmentHeaders<A>,
        at_home: bool,
        out: &mut Outbox<P>,
    ) -> Course {
        let (headers, rides) = headers.of_flow();
        let owner = self.tables.owner(&headers.key);
        if at_home && owner != self.worker {
            out.hand_over(owner, part.packet);
            return Course::Owner(owner);
        }
        let shape = if rides { Shape::Riding } else { Shape::First };
        let mut flow = Flow::new(headers, shape, &self.conns);
        flow.handed_in = !at_home;
        (out.refused, self.fragments.one_packet) = (None, None);
        let verdict = self.flow(&mut part.packet, &flow, out);
        self.dispatch(verdict, part, out);
        let FlowKey { sport, dport, proto, .. } = headers.key;
        let refused = match verdict {
            Verdict::Punt(class) => return Course::Punt(class),
            Verdict::Drop(reason) => Some(reason),
            _ => out.refused,
        };
        let one_packet = self.fragments.one_packet;
        Course::Conn(Followed { sport, dport, proto, refused, one_packet })
    }

    /// A later fragment.
    fn take_course(&mut self, mut part: Part<P>, course: Course, out: &mut Outbox<P>) {
        let packet = &mut part.packet;
        let verdict = match course {
            Course::Owner(owner) => Verdict::HandOver(owner),
            Course::Punt(class) => Verdict::Punt(class),
            Course::Conn(of) => match part.headers {
                AnyFragment::V4(FragmentHeaders { headers, .. }) => {
                    self.later(packet, headers, of, out)
                }
                AnyFragment::V6(FragmentHeaders { headers, .. }) => {
                    self.later(packet, headers, of, out)
                }
            },
        };
        self.dispatch(verdict, part, out);
    }

    fn dispatch(&mut self, verdict: Verdict, part: Part<P>, out: &mut Outbox<P>) {
        self.finish(verdict, part.packet, part.interface, out);
    }

    /// A later fragment of a flow's datagram: more bytes of a packet that is counted and tracked.
    fn later<A: FlowFamily>(
        &mut self,
        packet: &mut P,
        headers: Headers<A>,
        of: Followed,
        out: &mut Outbox<P>,
    ) -> Verdict {
        let Followed { sport, dport, proto, refused, one_packet } = of;
        let key = FlowKey { sport, dport, proto, ..headers.key };
        let flow = Flow::new(Headers { key, ..headers }, Shape::Later, &self.conns);
        if let Some(dest) = one_packet {
            return self.rest_of_one_packet(packet, &flow, dest, refused, out);
        }
        let found = self.conns.find(&key, flow.hash, flow.candidate);
        let Some((id, direction)) = found.filter(|&(id, _)| !self.end_if_expired(id)) else {
            return Verdict::Drop(refused.unwrap_or(DropReason::FragmentOrphan));
        };
        let dest = self.conns.get(id).dest;
        let gone = dest != DestId::NONE && !self.tables.services.is_present(dest);
        if direction == Direction::Inbound && gone {
            return Verdict::Drop(DropReason::DestinationRemoved);
        }
        self.count_later(dest, direction, &headers);
        match (refused, direction) {
            (Some(reason), _) => Verdict::Drop(reason),
            (None, Direction::Inbound) => {
                let way = self.any_way_of(id);
                self.forward(packet, &flow, &way, out)
            }
            (None, Direction::Outbound) => self.later_outbound(packet, &flow, id, out),
        }
    }

    pub(super) fn count_later<A>(&self, dest: DestId, direction: Direction, headers: &Headers<A>) {
        let payload_len = headers.ip_len - u16::from(headers.l4 - headers.l3);
        let counters = self.accounts.counters().dest(dest);
        match direction {
            Direction::Inbound => counters.more_inbound(payload_len.into()),
            Direction::Outbound => counters.more_outbound(payload_len.into()),
        }
    }

    /// A later fragment of a real server's reply; what a router has to refuse is left to Linux.
    fn later_outbound<A: FlowFamily>(
        &mut self,
        packet: &mut P,
        flow: &Flow<A>,
        id: ConnId,
        out: &mut Outbox<P>,
    ) -> Verdict {
        if self.is_fullnat(id) {
            return self.outbound_fullnat(packet, flow, id, out);
        }
        let headers = &flow.headers;
        let Some(hop) = self.hop_to(headers.key.dst) else { return Verdict::Punt(PuntClass::Rest) };
        let fits = forward::fits(headers.ip_len, hop.mtu);
        if forward::expires(headers) || headers.df && !fits {
            return Verdict::Punt(PuntClass::Rest);
        }
        self.reply_later(packet, flow, (id, &hop), out)
    }

    /// A later fragment of a reply that goes on to `hop`.
    pub(super) fn reply_later<A: FlowFamily>(
        &mut self,
        packet: &mut P,
        flow: &Flow<A>,
        (id, hop): (ConnId, &NextHop),
        out: &mut Outbox<P>,
    ) -> Verdict {
        let headers = &flow.headers;
        let conn = self.conns.get(id);
        let (deltas, vport) = ((conn.l3_delta, conn.l4_delta), conn.vport);
        let (_, vip) = self.conns.client_and_vip::<A>(conn);
        match partial::outbound(packet, flow, (vip, vport), deltas) {
            true => send(packet, headers.l3, headers.ip_len, hop, &mut self.pool, out),
            false => Verdict::Drop(DropReason::FragmentSctp),
        }
    }
}
