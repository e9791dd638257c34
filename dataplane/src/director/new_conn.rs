//! Packets of no conn: whose service, which destination, a new entry.

use super::lane::{Flow, Shape};
use super::{Director, FlowFamily, Outbox, Tables, ftp};
use crate::conn::{ConnFlags, ConnId, Ended, InsertError, NewConn};
use crate::flow::{port, protocol};
use crate::forward::masq;
use crate::forward::tunnel::Encap;
use crate::ids::{DestId, NextHopId};
use crate::io::{Packet, Pool};
use crate::parse::Headers;
use crate::proto::{self, Opening, Side, tcp::state};
use crate::punt;
use crate::sched::Asked;
use crate::service::{Dest, ForwardingMethod, ServiceKey};
use crate::template::TemplateId;
use crate::verdict::{DropReason, PuntClass, Verdict};
use std::net::IpAddr;

/// What a conn is to be made to. It counts for the destination, and is a child of the template.
/// What it needs of the destination is copied: to hold on to its [`Dest`] would be two locked
/// instructions a conn.
#[derive(Clone, Copy)]
pub(super) struct Chosen {
    pub dest: DestId,
    pub rip: IpAddr,
    /// The port there.
    pub rport: u16,
    pub method: ForwardingMethod,
    pub encap: Encap,
    pub next_hop: NextHopId,
    /// What made the choice, in a persistent service.
    pub template: Option<TemplateId>,
}

impl Chosen {
    /// A destination and one of its ports.
    pub fn new(dest: &Dest, rport: u16, template: Option<TemplateId>) -> Chosen {
        let &Dest { id, rip, method, encap, next_hop, .. } = dest;
        Chosen { dest: id, rip, rport, method, encap, next_hop, template }
    }

    /// Whether it can be reached from the client's family: a tunnel leads anywhere.
    pub fn is_reachable<A: FlowFamily>(&self) -> bool {
        self.method == ForwardingMethod::Ipip || A::of(self.rip).is_some()
    }
}

impl<P: Packet, L: Pool<Packet = P>> Director<P, L> {
    /// Schedules a conn for a packet that has none, or leaves it to Linux.
    pub(super) fn first_packet<A: FlowFamily>(
        &mut self,
        packet: &mut P,
        flow: &Flow<A>,
        out: &mut Outbox<P>,
    ) -> Verdict {
        let headers = &flow.headers;
        if flow.handed_in && self.tables.owner(&headers.key) != self.worker {
            return Verdict::Drop(DropReason::Strayed);
        }
        match flow.shape {
            Shape::Whole | Shape::First => {}
            Shape::Later => return Verdict::Drop(DropReason::FragmentOrphan),
            Shape::Cut => return self.too_short(packet, headers, out),
            Shape::Riding => return Verdict::Punt(PuntClass::Rest),
        }
        if let Some(verdict) = self.expected(packet, flow, out) {
            return verdict;
        }
        let opening = self.opening(headers);
        if opening == Opening::Drop {
            return self.too_short(packet, headers, out);
        }
        let Some(index) = self.tables.services.lookup(&headers.key) else {
            return self.of_no_service(packet, flow, out);
        };
        if opening == Opening::Leave {
            return self.punt_flow(headers);
        }
        if self.defence.refuses(self.tables.services.settings.drop_packet) {
            return Verdict::Drop(DropReason::DropPacket);
        }
        if headers.key.sport == port::FTP_DATA {
            return self.punt_flow(headers);
        }
        let service = self.tables.services.service(index);
        let beside_ftp = is_beside_ftp(service.key, headers.key.dport);
        let one_packet = service.one_packet && headers.key.proto == protocol::UDP;
        let chosen = match self.choose(index, packet, headers) {
            Ok(chosen) => chosen,
            Err(DropReason::NoDestination) if beside_ftp => return self.punt_flow(headers),
            Err(DropReason::NoDestination) => {
                return self.without_destination(packet, flow, index, out);
            }
            Err(reason) => return Verdict::Drop(reason),
        };
        if !chosen.is_reachable::<A>() {
            self.give_back(&chosen);
            return Verdict::Drop(DropReason::NoDestination);
        }
        let mut new = self.new_conn(headers, &chosen);
        if !self.give_local_end(index, &mut new) {
            self.give_back(&chosen);
            return Verdict::Drop(DropReason::NoLocalPort);
        }
        // Fullnat's replies need a conn that knows whose they are.
        if one_packet && new.flags.method() != Some(ForwardingMethod::Fullnat) {
            return self.one_packet(packet, flow, &new, &chosen, out);
        }
        self.begin(packet, flow, &new, &chosen, out)
    }

    /// Makes a conn and forwards its first packet.
    fn begin<A: FlowFamily>(
        &mut self,
        packet: &mut P,
        flow: &Flow<A>,
        new: &NewConn<A>,
        chosen: &Chosen,
        out: &mut Outbox<P>,
    ) -> Verdict {
        match self.make(new, chosen) {
            Ok(id) => self.follow(packet, flow, id, out),
            Err(reason) => Verdict::Drop(reason),
        }
    }

    /// Makes a conn and counts it for its destination.
    pub(super) fn make<A: FlowFamily>(
        &mut self,
        new: &NewConn<A>,
        chosen: &Chosen,
    ) -> Result<ConnId, DropReason> {
        match self.insert(new) {
            Ok(id) => {
                self.link_template(id, chosen.template);
                self.accounts.conn_begins(chosen.dest);
                self.accounts.local_begins(new.flags, new.lip_index);
                self.tables.load_changed(chosen.dest);
                Ok(id)
            }
            Err(error) => {
                self.give_back(chosen);
                Err(error.into())
            }
        }
    }

    /// Linux's. What looks like an answer to the director's own session is none if it goes to a
    /// virtual address: a flood of ACKs must not share the way of BGP.
    pub(super) fn punt_flow<A: FlowFamily>(&self, headers: &Headers<A>) -> Verdict {
        let to_vip = self.tables.services.is_vip(headers.key.dst);
        Verdict::Punt(if to_vip { PuntClass::Rest } else { punt::class_of_flow(headers) })
    }

    /// Whether a packet may begin a conn by its protocol's rule, or what becomes of it otherwise.
    fn opening<A>(&self, headers: &Headers<A>) -> Opening {
        let proto = headers.key.proto;
        proto::opening(proto, headers.event, self.tables.services.settings.is_sloppy(proto))
    }

    /// Makes the conn; those that gave way to it are off the books.
    pub(super) fn insert<A: FlowFamily>(
        &mut self,
        new: &NewConn<A>,
    ) -> Result<ConnId, InsertError> {
        let (accounts, tables, now) = (&self.accounts, &mut self.tables, self.now);
        let mut gave_way = |conn: &Ended| {
            accounts.conn_gave_way(conn, &tables.services, now);
            tables.load_changed(conn.dest);
        };
        self.conns.insert(new, now, &mut gave_way)
    }

    /// A conn is not made after all, or ended with its first packet.
    pub(super) fn give_back(&self, chosen: &Chosen) {
        self.accounts.place_is_free(chosen.dest, &self.tables.services);
        if let Some(template) = chosen.template {
            self.leave_template(template);
        }
    }

    /// The destination that the client's template or the scheduler chooses.
    ///
    /// # Errors
    /// [`DropReason::NoDestination`] if there is none, else why the packet is to be dropped.
    pub(super) fn choose<A: FlowFamily>(
        &mut self,
        index: usize,
        packet: &P,
        headers: &Headers<A>,
    ) -> Result<Chosen, DropReason> {
        let service = self.tables.services.service(index);
        if let Some(persistence) = service.persistence {
            return self.choose_persistent(index, &persistence, packet, headers);
        }
        if is_beside_ftp(service.key, headers.key.dport) {
            return Err(DropReason::NoDestination);
        }
        let asked = Asked::new(&headers.key, self.now);
        let place = self.schedule(index, &asked).ok_or(DropReason::NoDestination)?;
        let dest = &self.tables.services.service(index).dests[place];
        let rport = if dest.rport == 0 { headers.key.dport } else { dest.rport };
        Ok(Chosen::new(dest, rport, None))
    }

    /// Asks the service's scheduler, and the destination it names, which may just have filled up:
    /// then it is overloaded and the scheduler is asked again. Its place in the service's list; it
    /// counts the conn.
    pub(super) fn schedule(&mut self, index: usize, asked: &Asked) -> Option<usize> {
        let Tables { services, schedulers, .. } = &mut self.tables;
        let service = services.service(index);
        for _ in 0..=service.dests.len() {
            let place = schedulers.schedule(service, asked, &self.accounts)?;
            if service.dests[place].take_conn() {
                return Some(place);
            }
        }
        None
    }

    /// The conn that a client's first packet makes. Until that is tracked its timeout is what the wheel
    /// goes by: of the state which the packet leads to, if that is over before state NONE would be.
    pub(super) fn new_conn<A: FlowFamily>(
        &self,
        headers: &Headers<A>,
        chosen: &Chosen,
    ) -> NewConn<A> {
        let key = headers.key;
        let &Chosen { dest, rip, rport, method, encap, next_hop, .. } = chosen;
        // Across families only tunnels go, which rewrite nothing.
        let target = A::of(rip).unwrap_or(key.dst);
        let (l3_delta, l4_delta) = masq::deltas(key.dst, key.dport, target, rport);
        let (lport, lip_index) = encap.to_bits();
        let flags = flags_of(method) | ftp::helped(&key, method);
        let settings = &self.tables.services.settings;
        let side = if flags.has_replies() { Side::Input } else { Side::InputOnly };
        let timeout = |state| settings.timeouts.timeout(key.proto, state);
        let first = proto::next(key.proto, state::NONE, side, headers.event, settings.secure_tcp);
        NewConn {
            key,
            rip,
            rport,
            lport,
            lip_index,
            flags,
            state: state::NONE,
            dest,
            timeout: timeout(state::NONE).min(timeout(first)),
            next_hop,
            l3_delta,
            l4_delta,
        }
    }
}

/// What conns and templates of a destination are marked with.
pub(super) fn flags_of(method: ForwardingMethod) -> ConnFlags {
    let mut flags = ConnFlags::of_method(method);
    flags.set(ConnFlags::NOOUTPUT, !flags.has_replies());
    flags
}

/// Whether a packet came to an FTP service for a port of its data connections: only a persistent
/// service takes it, and what none takes is Linux's (`ip_vs_leave`).
pub(super) fn is_beside_ftp(service: ServiceKey, dport: u16) -> bool {
    let of_ftp = matches!(service, ServiceKey::Address { vport: port::FTP, .. });
    of_ftp && dport != port::FTP
}
