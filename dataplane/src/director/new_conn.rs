//! Packets of no conn: whose service, which destination, a new entry.

use super::lane::{Flow, Shape};
use super::{Director, FlowFamily, Outbox};
use crate::conn::{ConnFlags, ConnId, Ended, InsertError, NewConn};
use crate::flow::{FlowKey, protocol};
use crate::forward::icmp_error::IcmpError;
use crate::forward::masq;
use crate::io::{Packet, Pool};
use crate::parse::Headers;
use crate::proto::tcp::state;
use crate::punt;
use crate::sched::Asked;
use crate::service::{Dest, ForwardingMethod};
use crate::verdict::{DropReason, PuntClass, Verdict};
use crate::wire::tcp::flags;

/// Source port of FTP data, whose conns are never scheduled (`ip_vs_schedule`, `ip_vs_core.c`).
const FTP_DATA: u16 = 20;

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
            Shape::Whole => {}
            Shape::Cut => return Verdict::Drop(DropReason::BadL4Header),
            Shape::Riding => return Verdict::Punt(PuntClass::Rest),
        }
        let Some(index) = self.tables.services.lookup(&headers.key) else {
            return self.punt_flow(headers);
        };
        if !self.may_begin(headers) {
            return self.punt_flow(headers);
        }
        let asked = Asked::new(&headers.key, self.now);
        let Some(dest) = self.schedule(index, &asked) else {
            return self.refuse(packet, headers, IcmpError::PortUnreachable, None, out);
        };
        if !is_reachable::<A>(&dest) {
            dest.conn_removed();
            return Verdict::Drop(DropReason::NoDestination);
        }
        let new = self.new_conn(headers, &dest);
        match self.insert(&new) {
            Ok(id) => {
                self.accounts.conn_begins(dest.id);
                self.tables.load_changed(dest.id);
                self.follow(packet, flow, id, out)
            }
            Err(error) => {
                dest.conn_removed();
                Verdict::Drop(match error {
                    InsertError::Full => DropReason::TableFull,
                    InsertError::TupleTaken => DropReason::TupleTaken,
                })
            }
        }
    }

    /// Linux's. What looks like an answer to the director's own session is none if it goes to a
    /// virtual address: a flood of ACKs must not share the way of BGP.
    fn punt_flow<A: FlowFamily>(&self, headers: &Headers<A>) -> Verdict {
        let to_vip = self.tables.services.is_vip(headers.key.dst);
        Verdict::Punt(if to_vip { PuntClass::Rest } else { punt::class_of_flow(headers) })
    }

    /// Whether a packet may begin a conn: not from FTP's data port; TCP wants SYN without RST, or
    /// with `sloppy_tcp` anything but RST (`tcp_conn_schedule`, `ip_vs_proto_tcp.c`).
    fn may_begin<A>(&self, headers: &Headers<A>) -> bool {
        let with = headers.event;
        let opens = || {
            with & flags::RST == 0
                && (with & flags::SYN != 0 || self.tables.services.settings.sloppy_tcp)
        };
        headers.key.sport != FTP_DATA && (headers.key.proto != protocol::TCP || opens())
    }

    /// Inserts a conn. If a closed one has its reply tuple, which happens when a client uses a port
    /// again for another virtual address of the same real server, that one ends first.
    fn insert<A: FlowFamily>(&mut self, new: &NewConn<A>) -> Result<ConnId, InsertError> {
        let first = self.try_insert(new);
        if first != Err(InsertError::TupleTaken) || !self.end_closed_owner(new) {
            return first;
        }
        self.try_insert(new)
    }

    fn try_insert<A: FlowFamily>(&mut self, new: &NewConn<A>) -> Result<ConnId, InsertError> {
        let (accounts, tables, now) = (&self.accounts, &mut self.tables, self.now);
        let mut gave_way = |conn: &Ended| {
            accounts.conn_gave_way(conn, &tables.services, now);
            tables.load_changed(conn.dest);
        };
        self.conns.insert(new, now, &mut gave_way)
    }

    /// Ends the conn that has the reply tuple of `new`, if it is a closed one of TCP.
    #[cold]
    fn end_closed_owner<A: FlowFamily>(&mut self, new: &NewConn<A>) -> bool {
        let key = new.key;
        let Some(src) = A::of(new.rip) else { return false };
        let reply = FlowKey { src, sport: new.rport, dst: key.src, dport: key.sport, ..key };
        let Some((id, _)) = self.conns.lookup(&reply, self.conns.hash(&reply)) else {
            return false;
        };
        let closed = matches!(self.conns.get(id).state, state::TIME_WAIT | state::CLOSE);
        if closed && key.proto == protocol::TCP {
            self.end(id);
            return true;
        }
        false
    }

    /// Asks the service's scheduler, and the destination it names, which may just have filled up:
    /// then it is overloaded and the scheduler is asked again.
    fn schedule(&mut self, index: usize, asked: &Asked) -> Option<Dest> {
        let service = self.tables.services.service(index);
        let scheduler = &mut self.tables.schedulers[index];
        for _ in 0..=service.dests.len() {
            let dest = &service.dests[scheduler.schedule(service, asked, &self.accounts)?];
            if dest.take_conn() {
                return Some(dest.clone());
            }
        }
        None
    }

    fn new_conn<A: FlowFamily>(&self, headers: &Headers<A>, dest: &Dest) -> NewConn<A> {
        let key = headers.key;
        let rport = if dest.rport == 0 { key.dport } else { dest.rport };
        let mut flags = ConnFlags::of_method(dest.method);
        if dest.method != ForwardingMethod::Masq {
            flags.insert(ConnFlags::NOOUTPUT);
        }
        // Across families only tunnels go, which rewrite nothing.
        let rip = A::of(dest.rip).unwrap_or(key.dst);
        let (l3_delta, l4_delta) = masq::deltas(key.dst, key.dport, rip, rport);
        NewConn {
            key,
            rip: dest.rip,
            rport,
            lport: 0,
            lip_index: 0,
            flags,
            state: state::NONE,
            dest: dest.id,
            timeout: self.tables.services.settings.timeouts.timeout(key.proto, state::NONE),
            next_hop: dest.next_hop,
            l3_delta,
            l4_delta,
        }
    }
}

/// Whether the destination can be reached from the client's family: a tunnel leads anywhere.
fn is_reachable<A: FlowFamily>(dest: &Dest) -> bool {
    dest.method == ForwardingMethod::Ipip || A::of(dest.rip).is_some()
}
