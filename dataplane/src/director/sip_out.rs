//! Calls that real servers begin: a datagram from the port of a masq service with the SIP engine, to a
//! client that it has no conn with, begins one and leaves as the service's (`__ip_vs_rs_conn_out`,
//! `ip_vs_new_conn_out`, `ip_vs_core.c`; `ip_vs_sip_conn_out`, `ip_vs_pe_sip.c`).
//!
//! Such a conn is its service's like any other: the client's packets find it, and a persistent
//! service's has the template of its Call-ID, which is this server's from then on.

use super::lane::{Flow, Shape};
use super::new_conn::Chosen;
use super::persistent::{arrival, new_template, reason, udp_payload};
use super::send::send;
use super::{Director, FlowFamily, Outbox};
use crate::app::sip;
use crate::conn::NewConn;
use crate::flow::{Direction, FlowKey, protocol};
use crate::forward::masq;
use crate::io::{Packet, Pool};
use crate::nexthop::NextHop;
use crate::parse::Headers;
use crate::service::persistence::{Takes, is_valid, template_key};
use crate::service::{Dest, ServiceKey};
use crate::template::{Join, Template, TemplateId, TemplateKey};
use crate::verdict::{DropReason, Verdict};

/// Who calls whom.
struct Call<A> {
    /// Index of the service.
    index: usize,
    /// Who calls.
    dest: Dest,
    /// What the client's packets will have.
    key: FlowKey<A>,
    /// Where the packet goes next.
    hop: NextHop,
}

impl<P: Packet, L: Pool<Packet = P>> Director<P, L> {
    /// A packet of no conn that no service takes: a real server's call, or a stray.
    #[cold]
    pub(super) fn of_no_service<A: FlowFamily>(
        &mut self,
        packet: &mut P,
        flow: &Flow<A>,
        out: &mut Outbox<P>,
    ) -> Verdict {
        let call = self.call(flow);
        let bound = call.and_then(|call| Some((self.bind_call(&call, packet, flow)?, call)));
        match bound {
            Some((Ok(template), call)) => self.begin_call(packet, flow, (call, template), out),
            Some((Err(reason), _)) => Verdict::Drop(reason),
            None => self.stray(packet, &flow.headers, out),
        }
    }

    /// The call that a packet may begin, if a router lets it pass.
    fn call<A: FlowFamily>(&self, flow: &Flow<A>) -> Option<Call<A>> {
        let (services, from) = (&self.tables.services, &flow.headers.key);
        if from.proto != protocol::UDP || services.is_from_client(from) {
            return None;
        }
        let (index, dest) = services.caller(from.proto, from.src, from.sport)?;
        let service = services.service(index);
        let ServiceKey::Address { vip, vport, .. } = service.key else { return None };
        // Nothing would tell what follows a first fragment whose conn is not kept.
        let complete =
            flow.shape == Shape::Whole || flow.shape == Shape::First && !service.one_packet;
        if vport == 0 || from.sport == 0 || !complete {
            return None;
        }
        let key = FlowKey { dst: A::of(vip)?, dport: vport, ..from.reversed() };
        Some(Call { index, dest: dest.clone(), key, hop: self.reply_hop(flow)? })
    }

    /// The template of a call, if its service is persistent; `None` if there is to be one and the
    /// packet has no Call-ID.
    fn bind_call<A: FlowFamily>(
        &self,
        call: &Call<A>,
        packet: &P,
        flow: &Flow<A>,
    ) -> Option<Result<Option<TemplateId>, DropReason>> {
        let service = self.tables.services.service(call.index);
        let Some(persistence) = service.persistence else { return Some(Ok(None)) };
        let call_id = sip::call_id(udp_payload(packet, &flow.headers))?;
        let takes = Takes::from(service.key);
        let by = template_key(takes, &arrival(&call.key), &persistence, Some(call_id))?;
        let port = flow.headers.key.sport;
        Some(self.template_of_caller(&by, &call.dest, (port, persistence.timeout)).map(Some))
    }

    /// The server's template; one of another server is left to die (`ip_vs_check_template`).
    fn template_of_caller(
        &self,
        by: &TemplateKey<'_>,
        dest: &Dest,
        (port, timeout): (u16, u32),
    ) -> Result<TemplateId, DropReason> {
        let templates = self.accounts.templates();
        let expires = self.tables.services.settings.expire_quiescent_template;
        let holds = |it: &Template| it.dest == dest.id && is_valid(Some(dest.weight), expires);
        let template = match templates.join(by, self.now, holds) {
            Join::Joined(template) => template,
            Join::Busy => return Err(DropReason::TemplateBusy),
            Join::Missing => {
                let new = new_template(dest, port, timeout);
                templates.create(by, &new, self.now).map_err(reason)?
            }
        };
        if template.dest != dest.id {
            // Another worker was faster, with another server.
            self.leave_template(template.id);
            return Err(DropReason::TemplateBusy);
        }
        Ok(template.id)
    }

    /// Makes the conn, if it is to be kept, and sends the packet to the client. The server's weight
    /// and thresholds do not matter.
    fn begin_call<A: FlowFamily>(
        &mut self,
        packet: &mut P,
        flow: &Flow<A>,
        (call, template): (Call<A>, Option<TemplateId>),
        out: &mut Outbox<P>,
    ) -> Verdict {
        let Call { index, dest, key, hop } = call;
        dest.conn_added();
        let chosen = Chosen::new(&dest, flow.headers.key.sport, template);
        let new = self.new_conn(&Headers { key, ..flow.headers }, &chosen);
        if self.tables.services.service(index).one_packet {
            return self.one_packet_out(packet, flow, (&new, &chosen, &hop), out);
        }
        self.take_client_end(&key);
        match self.make(&new, &chosen) {
            Ok(id) => self.reply(packet, flow, (id, &hop), out),
            Err(reason) => Verdict::Drop(reason),
        }
    }

    /// Ends another server's conn with this end of the client. The kernel keeps both; the client's
    /// packets go to the later one there, too.
    fn take_client_end<A: FlowFamily>(&mut self, key: &FlowKey<A>) {
        if let Some((id, Direction::Inbound)) = self.conn_of_flow(key) {
            self.end(id);
        }
    }

    /// Sends a packet as of a conn that ends with it.
    fn one_packet_out<A: FlowFamily>(
        &mut self,
        packet: &mut P,
        flow: &Flow<A>,
        (new, chosen, hop): (&NewConn<A>, &Chosen, &NextHop),
        out: &mut Outbox<P>,
    ) -> Verdict {
        let counters = self.accounts.counters().dest(chosen.dest);
        counters.conn_passes();
        counters.outbound(flow.counted_len());
        if let Some(template) = chosen.template {
            self.accounts.templates().assure(template);
        }
        self.give_back(chosen);
        let (headers, virtual_end) = (&flow.headers, (new.key.dst, new.key.dport));
        masq::outbound(packet, headers, virtual_end, (new.l3_delta, new.l4_delta));
        send(packet, headers.l3, headers.ip_len, hop, &mut self.pool, out)
    }
}
