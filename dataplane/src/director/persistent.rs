//! Conns of persistent services: their destination is that of the client's template
//! (`ip_vs_sched_persist`, `ip_vs_core.c`). What a template is found by and which ports it leads to
//! is [`crate::service::persistence`]'s, whose it is [`crate::template`]'s part.

use super::new_conn::{Chosen, flags_of};
use super::{Director, FlowFamily, attached};
use crate::app::sip;
use crate::conn::ConnId;
use crate::flow::{FlowKey, protocol};
use crate::io::{Packet, Pool};
use crate::parse::Headers;
use crate::sched::Asked;
use crate::service::Dest;
use crate::service::persistence::{
    Arrival, Persistence, Takes, child_port, is_valid, template_key, template_port,
};
use crate::template::{
    ChildEnd, Engine, Join, NewTemplate, Refusal, Template, TemplateId, TemplateKey,
};
use crate::verdict::DropReason;
use crate::wire::udp;

impl<P: Packet, L: Pool<Packet = P>> Director<P, L> {
    /// The destination of a new conn of a persistent service: the one of its template, else one
    /// that the scheduler chooses for a template to be.
    ///
    /// # Errors
    /// [`DropReason::NoDestination`] if there is none, else why the packet is to be dropped.
    pub(super) fn choose_persistent<A: FlowFamily>(
        &mut self,
        index: usize,
        persistence: &Persistence,
        packet: &P,
        headers: &Headers<A>,
    ) -> Result<Chosen, DropReason> {
        let key = &headers.key;
        let takes = Takes::from(self.tables.services.service(index).key);
        let data = match persistence.engine {
            Some(Engine::Sip) => sip::call_id(udp_payload(packet, headers)),
            None => None,
        };
        let by =
            template_key(takes, &arrival(key), persistence, data).ok_or(DropReason::NoCallId)?;
        let chosen = match self.join(&by)? {
            Some(chosen) => chosen,
            None => self.make_template(index, &by, takes, persistence.timeout, key)?,
        };
        Ok(Chosen { rport: child_port(takes, key.dport, chosen.rport), ..chosen })
    }

    /// The client's template, if it has one that holds.
    fn join(&self, by: &TemplateKey<'_>) -> Result<Option<Chosen>, DropReason> {
        let services = &self.tables.services;
        let holds = |template: &Template| {
            let weight = services.dest(template.dest).map(|dest| dest.weight);
            is_valid(weight, services.settings.expire_quiescent_template)
        };
        match self.accounts.templates().join(by, self.now, holds) {
            Join::Joined(template) => self.bind(&template).map(Some),
            Join::Missing => Ok(None),
            Join::Busy => Err(DropReason::TemplateBusy),
        }
    }

    /// Counts a conn for the destination of its template, whatever the destination's thresholds. A
    /// template that another worker has just made may name one that is not known here yet.
    fn bind(&self, template: &Template) -> Result<Chosen, DropReason> {
        let Some(dest) = self.tables.services.dest(template.dest) else {
            self.leave_template(template.id);
            return Err(DropReason::TemplateBusy);
        };
        dest.conn_added();
        Ok(Chosen::new(dest, dest.rport, Some(template.id)))
    }

    fn make_template<A: FlowFamily>(
        &mut self,
        index: usize,
        by: &TemplateKey<'_>,
        takes: Takes,
        timeout: u32,
        key: &FlowKey<A>,
    ) -> Result<Chosen, DropReason> {
        let asked = Asked::new(key, self.now);
        let place = self.schedule(index, &asked).ok_or(DropReason::NoDestination)?;
        let dest = &self.tables.services.service(index).dests[place];
        let new = new_template(dest, template_port(takes, key.dport, dest.rport), timeout);
        match self.accounts.templates().create(by, &new, self.now) {
            Ok(template) if template.dest == dest.id => {
                Ok(Chosen::new(dest, dest.rport, Some(template.id)))
            }
            Ok(template) => {
                dest.conn_removed();
                self.bind(&template)
            }
            Err(refusal) => {
                dest.conn_removed();
                Err(reason(refusal))
            }
        }
    }

    /// Links a new conn to its template. One that there is no side record for goes without: its
    /// client's next conns still find the template, which then does not wait for this one's end.
    pub(super) fn link_template(&mut self, id: ConnId, template: Option<TemplateId>) {
        if let Some(template) = template {
            if !attached::set_template(&mut self.conns, id, template) {
                self.leave_template(template);
            }
        }
    }

    /// A child was not made after all, or lived for one packet.
    pub(super) fn leave_template(&self, template: TemplateId) {
        self.accounts.templates().detach(template, self.now, ChildEnd::Expired);
    }

    /// A conn is established, or answered in UDP: its template is worth keeping
    /// (`ip_vs_control_assure_ct`).
    #[inline(never)]
    pub(super) fn assure(&self, id: ConnId) {
        if let Some(template) = self.template_of(id) {
            self.accounts.templates().assure(template);
        }
    }

    /// The template that a conn is a child of.
    pub(super) fn template_of(&self, id: ConnId) -> Option<TemplateId> {
        self.conns.side(id).and_then(attached::template_of)
    }
}

/// A template that leads to this port of a destination.
pub(super) fn new_template(dest: &Dest, port: u16, timeout: u32) -> NewTemplate {
    NewTemplate { dest: dest.id, addr: dest.rip, port, flags: flags_of(dest.method), timeout }
}

/// Why a packet is dropped that there is to be a template for.
pub(super) fn reason(refusal: Refusal) -> DropReason {
    match refusal {
        Refusal::Busy => DropReason::TemplateBusy,
        Refusal::Full => DropReason::TemplateFull,
    }
}

pub(super) fn arrival<A: FlowFamily>(key: &FlowKey<A>) -> Arrival {
    Arrival { proto: key.proto, client: key.src.ip(), vip: key.dst.ip(), vport: key.dport }
}

/// The payload of a UDP packet; nothing of another protocol.
pub(super) fn udp_payload<'a, P: Packet, A>(packet: &'a P, headers: &Headers<A>) -> &'a [u8] {
    let begin = usize::from(headers.l4) + udp::HEADER_LEN;
    let end = usize::from(headers.l3) + usize::from(headers.ip_len);
    let of_udp = headers.key.proto == protocol::UDP;
    packet.bytes().get(begin..end).filter(|_| of_udp).unwrap_or_default()
}
