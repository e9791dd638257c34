//! Packets that find no conn and no destination: a real server's without a conn, a client's whose
//! service has nobody to send it to.

use super::lane::Flow;
use super::{Director, FlowFamily, Outbox};
use crate::conn::{ConnFlags, NewConn};
use crate::flow::{Direction, protocol};
use crate::forward::icmp_error::IcmpError;
use crate::forward::{self, gatewaying};
use crate::ids::{DestId, NextHopId};
use crate::io::{Packet, Pool};
use crate::parse::Headers;
use crate::proto::sctp;
use crate::proto::tcp::state;
use crate::service::ServiceKey;
use crate::verdict::{DropReason, Verdict};
use crate::wire::tcp::flags;

impl<P: Packet, L: Pool<Packet = P>> Director<P, L> {
    /// A packet of no conn that no service takes: Linux's, unless a real server sent it from the port
    /// of its service and `nat_icmp_send` has that answered (`ip_vs_out_hook`, `ip_vs_core.c`).
    #[cold]
    pub(super) fn stray<A: FlowFamily>(
        &mut self,
        packet: &mut P,
        headers: &Headers<A>,
        out: &mut Outbox<P>,
    ) -> Verdict {
        let services = &self.tables.services;
        let key = &headers.key;
        let answered = services.settings.nat_icmp_send
            && !aborts(headers)
            && services.has_real_service(key.proto, key.src, key.sport);
        if !answered {
            return self.punt_flow(headers);
        }
        let own = self.hop_to(key.src).and_then(|hop| A::of(hop.local));
        let Some(own) = own.filter(|_| headers.ttl > 1) else { return self.punt_flow(headers) };
        // The kernel's forwarding has taken from the time to live by then.
        gatewaying::forward(packet, headers);
        self.answer(packet, headers, IcmpError::PortUnreachable, own, DropReason::NoConn, out)
    }

    /// A packet of no conn that ends before what tells whether it begins one: dropped where it would
    /// arrive (`tcp_conn_schedule`, `sctp_conn_schedule`), not where it passes through.
    #[cold]
    pub(super) fn too_short<A: FlowFamily>(
        &mut self,
        packet: &mut P,
        headers: &Headers<A>,
        out: &mut Outbox<P>,
    ) -> Verdict {
        match self.hop_to(headers.key.dst) {
            Some(_) => self.stray(packet, headers, out),
            None => Verdict::Drop(DropReason::BadL4Header),
        }
    }

    /// A client's packet whose service has no destination for it: it is told so, unless
    /// `cache_bypass` sends it on to where it was going (`ip_vs_leave`, `ip_vs_core.c`).
    #[cold]
    pub(super) fn without_destination<A: FlowFamily>(
        &mut self,
        packet: &mut P,
        flow: &Flow<A>,
        index: usize,
        out: &mut Outbox<P>,
    ) -> Verdict {
        let service = self.tables.services.service(index);
        let by_mark = matches!(service.key, ServiceKey::Fwmark { .. });
        let key = flow.headers.key;
        let foreign = self.hop_to(key.dst).is_some();
        if !(by_mark && foreign && self.tables.services.settings.cache_bypass) {
            let error = IcmpError::PortUnreachable;
            return self.refuse(packet, &flow.headers, error, None, out);
        }
        match self.insert(&self.bypassing(&flow.headers)) {
            Ok(id) => {
                self.accounts.conn_arrives(DestId::NONE);
                self.follow(packet, flow, id, out)
            }
            Err(_) => Verdict::Drop(DropReason::TableFull),
        }
    }

    /// A conn past the service, of no destination.
    fn bypassing<A: FlowFamily>(&self, headers: &Headers<A>) -> NewConn<A> {
        let key = headers.key;
        NewConn {
            key,
            rip: A::default().ip(),
            rport: 0,
            lport: 0,
            lip_index: 0,
            flags: ConnFlags::BYPASS | ConnFlags::NOOUTPUT,
            state: state::NONE,
            dest: DestId::NONE,
            timeout: self.tables.services.settings.timeouts.timeout(key.proto, state::NONE),
            next_hop: NextHopId::NONE,
            l3_delta: 0,
            l4_delta: 0,
        }
    }

    /// A packet of a conn past its service: routed as if there were none.
    #[cold]
    pub(super) fn bypass<A: FlowFamily>(
        &mut self,
        packet: &mut P,
        headers: &Headers<A>,
        out: &mut Outbox<P>,
    ) -> Verdict {
        let Some(hop) = self.hop_to(headers.key.dst) else { return self.punt_flow(headers) };
        if headers.df && !forward::fits(headers.ip_len, hop.mtu) {
            let (mtu, direction) = (hop.mtu, Direction::Inbound);
            let error = IcmpError::FragmentationNeeded { mtu, direction };
            return self.refuse(packet, headers, error, None, out);
        }
        gatewaying::forward(packet, headers);
        super::send::send(packet, headers.l3, headers.ip_len, &hop, &mut self.pool, out)
    }
}

/// Whether the packet ends its flow at once, so that nobody need be told.
fn aborts<A>(headers: &Headers<A>) -> bool {
    match headers.key.proto {
        protocol::TCP => headers.event & flags::RST != 0,
        protocol::SCTP => sctp::Event::from_number(headers.event) == sctp::Event::Abort,
        _ => false,
    }
}
