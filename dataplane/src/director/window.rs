//! The stages over a window: what the packets are, whose, and their likely conns, each stage loading what
//! the next one reads; then each packet in order.

use super::lane::{self, Aside, Fate, Flow, Kind, Lanes, Other, Shape};
use super::{Director, FlowFamily, Outbox};
use crate::conn::{Candidate, KeyHash};
use crate::flow::FlowKey;
use crate::ids::{InterfaceId, PortId, WorkerId};
use crate::io::{Packet, Pool};
use crate::limits::WINDOW;
use crate::verdict::{DropReason, Verdict};
use arrayvec::ArrayVec;

impl<P: Packet, L: Pool<Packet = P>> Director<P, L> {
    /// Stage 1: what each packet is; the bucket of a plain one's flow is on its way, and those of other
    /// workers' flows and frames that are nobody's flow are decided.
    pub(super) fn parse(&self, window: &[P], into: &mut Lanes, handed_in: usize) {
        let tables = &self.tables;
        window.iter().for_each(Packet::prefetch);
        // Without services there is nothing to be handed over for.
        if tables.slot_map.workers() == 1 || tables.services.services().is_empty() {
            self.parse_as::<true>(window, into, handed_in);
        } else {
            self.parse_as::<false>(window, into, handed_in);
        }
    }

    /// The same; `ALONE` if all flows are this worker's, whose keys are then forgotten once they are hashed.
    #[inline(never)]
    fn parse_as<const ALONE: bool>(&self, window: &[P], into: &mut Lanes, handed_in: usize) {
        let Lanes { kinds, hashes, others, asides, .. } = into;
        let (interfaces, conns) = (&*self.interfaces, &self.conns);
        let rows = window.iter().zip(kinds).zip(hashes).zip(others);
        for (place, (((packet, kind), hash), other)) in rows.enumerate() {
            let plain = match self.express {
                true => lane::plain_flow::<u32, P>(packet, interfaces, conns),
                false => None,
            };
            let ours = ALONE || place < handed_in;
            (*kind, *hash) = match plain {
                Some((key, hash)) => {
                    (self.plain_kind(&key, hash, ours, Kind::PlainV4, other), hash)
                }
                None => self.parse_other(packet, ours, other, asides),
            };
        }
    }

    #[inline(never)]
    fn parse_other(
        &self,
        packet: &P,
        ours: bool,
        other: &mut Other,
        asides: &mut ArrayVec<Aside, WINDOW>,
    ) -> (Kind, KeyHash) {
        let (interfaces, conns) = (&*self.interfaces, &self.conns);
        if self.express {
            let plain = lane::plain_flow::<u128, P>(packet, interfaces, conns);
            if let Some((key, hash)) = plain {
                return (self.plain_kind(&key, hash, ours, Kind::PlainV6, other), hash);
            }
        }
        *other = lane::other(packet, interfaces, conns, asides);
        (Kind::Other, KeyHash::default())
    }

    /// The kind of a plain packet: `kind` if its flow is this worker's, as it is for sure if it is `ours`.
    #[inline(always)]
    fn plain_kind<A: FlowFamily>(
        &self,
        key: &FlowKey<A>,
        hash: KeyHash,
        ours: bool,
        kind: Kind,
        other: &mut Other,
    ) -> Kind {
        if !ours {
            let owner = self.tables.owner(key);
            if owner != self.worker {
                other.fate = Fate::Decided(Verdict::HandOver(owner));
                return Kind::Other;
            }
        }
        self.conns.prefetch(hash);
        kind
    }

    /// Stage 2: whose the flows are that are not plain; the bucket of this worker's is on its way.
    #[inline(never)]
    pub(super) fn owner(&self, packets: &[P], window: &mut Lanes, handed_in: usize) {
        if self.tables.services.services().is_empty() {
            return lane::leave_to_linux(packets, &self.interfaces, window);
        }
        let Lanes { kinds, others, asides, .. } = window;
        if asides.is_empty() {
            return;
        }
        let rows = kinds[..packets.len()].iter().zip(others).enumerate();
        for (place, (_, other)) in rows.filter(|(_, (kind, _))| **kind == Kind::Other) {
            if let Fate::Aside(at) = other.fate {
                let aside = &mut asides[usize::from(at)];
                if let Some(owner) = self.claim_aside(aside, place < handed_in) {
                    other.fate = Fate::Decided(Verdict::HandOver(owner));
                }
            }
        }
    }

    /// The other worker that is to have an aside.
    #[inline(never)]
    fn claim_aside(&self, aside: &mut Aside, handed_in: bool) -> Option<WorkerId> {
        match aside {
            Aside::Flow(flow) => self.claim(flow, handed_in),
            Aside::FlowV6(flow) => self.claim(flow, handed_in),
            Aside::Related(icmp) => self.claim_related(icmp, handed_in),
            Aside::RelatedV6(icmp) => self.claim_related(icmp, handed_in),
            Aside::Fragment(fragment) => self.claim_fragment(fragment, handed_in),
            Aside::Tunnel(icmp, inner) => self.claim_tunnelled(icmp, inner, handed_in),
            Aside::TunnelV6(icmp, inner) => self.claim_tunnelled(icmp, inner, handed_in),
        }
    }

    /// The other worker that owns the flow; for one of this worker's the bucket is on its way.
    #[inline(always)]
    fn claim<A: FlowFamily>(&self, flow: &mut Flow<A>, handed_in: bool) -> Option<WorkerId> {
        flow.handed_in = handed_in;
        let alone = self.tables.slot_map.workers() == 1;
        if !alone && !handed_in {
            let owner = self.tables.owner(&flow.headers.key);
            if owner != self.worker {
                return Some(owner);
            }
        }
        self.conns.prefetch(flow.hash);
        None
    }

    /// Stage 3: the likely entry of each flow; its line is on its way, and for IPv6 both are.
    #[inline(never)]
    pub(super) fn lookup(&self, window: &mut Lanes, packets: usize) {
        let Lanes { kinds, hashes, candidates, asides, .. } = window;
        let kinds = &kinds[..packets];
        let mut sixes = false;
        for ((kind, hash), candidate) in kinds.iter().zip(hashes).zip(&mut *candidates) {
            if *kind != Kind::Other {
                sixes |= *kind == Kind::PlainV6;
                *candidate = self.conns.candidate(*hash);
            }
        }
        if sixes {
            self.lookup_second(kinds, candidates);
        }
        for aside in &mut *asides {
            match aside {
                Aside::Flow(flow) => flow.candidate = self.conns.candidate(flow.hash),
                Aside::FlowV6(flow) => flow.candidate = self.conns.candidate(flow.hash),
                _ => {}
            }
        }
        for aside in asides {
            if let Aside::FlowV6(flow) = aside {
                self.conns.prefetch_second(flow.candidate);
            }
        }
    }

    #[inline(never)]
    fn lookup_second(&self, kinds: &[Kind], candidates: &[Candidate]) {
        for (kind, candidate) in kinds.iter().zip(candidates) {
            if *kind == Kind::PlainV6 {
                self.conns.prefetch_second(*candidate);
            }
        }
    }

    /// The rest of the stages: packet by packet, in order. Runs of packets that go the short way to the same
    /// port leave together.
    #[inline(never)]
    pub(super) fn forward_all(
        &mut self,
        window: &mut Vec<P>,
        lanes: &Lanes,
        handed_in: usize,
        out: &mut Outbox<P>,
    ) {
        let packets = window.len();
        // A vector gives its last away without moving the others.
        window.reverse();
        let mut port = PortId(0);
        loop {
            let place = packets - window.len();
            let (run, end) = self.express_run(window, lanes, place, port);
            out.transmit_all(port, window.drain(window.len() - run..).rev());
            let (place, Some(packet)) = (place + run, window.pop()) else { break };
            match end {
                Some(other) => {
                    port = other;
                    out.transmit(port, packet);
                }
                None => self.whole_way(packet, lanes, place, place < handed_in, out),
            }
        }
    }

    /// Takes the packets from `place` on, which are last in `window`, the short way as long as it leads
    /// to `port`. Returns how many did, and where the next one went if it went it too.
    #[inline(always)]
    fn express_run(
        &mut self,
        window: &mut [P],
        lanes: &Lanes,
        place: usize,
        port: PortId,
    ) -> (usize, Option<PortId>) {
        let rows = lanes.kinds[place..].iter().zip(&lanes.candidates[place..]);
        let mut run = 0;
        for (packet, (kind, candidate)) in window.iter_mut().rev().zip(rows) {
            let way = self.express(packet, *kind, *candidate);
            if way != Some(port) {
                return (run, way);
            }
            run += 1;
        }
        (run, None)
    }

    /// The rest of the stages for one packet, whatever it is.
    #[inline(never)]
    fn whole_way(
        &mut self,
        mut packet: P,
        lanes: &Lanes,
        place: usize,
        handed_in: bool,
        out: &mut Outbox<P>,
    ) {
        let found = (lanes.hashes[place], lanes.candidates[place]);
        let verdict = match lanes.kinds[place] {
            Kind::PlainV4 => self.plain_flow::<u32>(&mut packet, found, handed_in, out),
            Kind::PlainV6 => self.plain_flow::<u128>(&mut packet, found, handed_in, out),
            Kind::Other => {
                let Other { interface, fate } = lanes.others[place];
                return match fate {
                    Fate::Decided(verdict) => self.finish(verdict, packet, interface, out),
                    Fate::Aside(at) => {
                        self.aside(packet, interface, &lanes.asides[usize::from(at)], out);
                    }
                };
            }
        };
        let interface = self.interfaces.find(packet.port(), 0);
        self.finish(verdict, packet, interface, out);
    }

    /// A plain packet that does not go the short way.
    #[inline(always)]
    fn plain_flow<A: FlowFamily>(
        &mut self,
        packet: &mut P,
        (hash, candidate): (KeyHash, Candidate),
        handed_in: bool,
        out: &mut Outbox<P>,
    ) -> Verdict {
        let Some(head) = A::head(packet.bytes()) else {
            return Verdict::Drop(DropReason::TruncatedL2);
        };
        let headers = A::headers(head);
        self.flow(packet, &Flow { headers, shape: Shape::Whole, handed_in, hash, candidate }, out)
    }

    /// What is not plain.
    #[inline(never)]
    fn aside(
        &mut self,
        mut packet: P,
        interface: Option<InterfaceId>,
        aside: &Aside,
        out: &mut Outbox<P>,
    ) {
        let verdict = match aside {
            Aside::Flow(flow) => self.flow(&mut packet, flow, out),
            Aside::FlowV6(flow) => self.flow(&mut packet, flow, out),
            Aside::Related(icmp) => self.related(&mut packet, icmp, out),
            Aside::RelatedV6(icmp) => self.related(&mut packet, icmp, out),
            Aside::Tunnel(icmp, inner) => self.tunnel_related(&mut packet, icmp, inner, out),
            Aside::TunnelV6(icmp, inner) => self.tunnel_related(&mut packet, icmp, inner, out),
            Aside::Fragment(fragment) => return self.fragment(packet, interface, fragment, out),
        };
        self.finish(verdict, packet, interface, out);
    }
}
