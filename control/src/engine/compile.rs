//! Desired state to snapshot: pure but for the ids it hands out.

use super::identity::{Exhausted, Identities};
use super::state::Desired;
use crate::rules::{MarkRule, RealServer, VirtualService};
use dataplane::counters::DestTotals;
use dataplane::forward::tunnel::Encap;
use dataplane::ids::{DestId, Generation, NextHopId};
use dataplane::service::persistence::{ClientMask, Persistence};
use dataplane::service::{Dest, ForwardingMethod, Fullnat, Service, ServiceTable};
use dataplane::template::Engine;
use dataplane::time::ticks;
use std::collections::HashMap;
use std::net::IpAddr;

/// What a snapshot needs beside the desired state.
pub struct Around<'a> {
    /// The snapshot before.
    pub before: &'a ServiceTable,
    /// Next hops of the real servers.
    pub next_hops: &'a HashMap<IpAddr, NextHopId>,
    /// Mark rules that are gone while workers have conns that they made.
    pub removed_marks: &'a [MarkRule],
}

/// Builds the table of one generation.
///
/// # Errors
/// [`Exhausted`], with `ids` of no use any more.
pub fn compile(
    desired: &Desired,
    around: &Around<'_>,
    ids: &mut Identities,
    counted: impl Fn(DestId) -> DestTotals + Copy,
) -> Result<ServiceTable, Exhausted> {
    ids.begin();
    let services: Result<Vec<Service>, Exhausted> = (desired.rules.services())
        .map(|virtual_service| service(virtual_service, desired, around.next_hops, ids, counted))
        .collect();
    let services = services?;
    let marks = desired.marks.iter().map(Into::into).collect();
    let settings = desired.sysctls.settings();
    let lingering = ids.lingering_vips();
    let generation = Generation(around.before.generation.0 + 1);
    let flush = ids.note_removals(generation, settings.expire_nodest_conn);
    let table = ServiceTable::new(generation, services, marks, settings, &lingering);
    let table = table.after(around.before).with_flush(flush);
    let removed_marks = around.removed_marks.iter().map(Into::into);
    let table = table.with_removed(ids.lingering_dests()).with_removed_marks(removed_marks);
    Ok(table.with_locals(ids.locals.all()))
}

fn service(
    from: &VirtualService,
    desired: &Desired,
    next_hops: &HashMap<IpAddr, NextHopId>,
    ids: &mut Identities,
    counted: impl Fn(DestId) -> DestTotals + Copy,
) -> Result<Service, Exhausted> {
    let id = ids.service(from.key, counted)?.id;
    let mut dests = Vec::with_capacity(from.real_servers.len());
    for server in from.real_servers.iter().rev() {
        let identity = ids.dest(from.key, server.rip, server.rport, counted)?;
        dests.push(Dest {
            id: identity.id,
            rip: server.rip,
            rport: server.rport,
            weight: server.weight,
            last_weight: desired.rules.last_weight(from.key, server),
            method: server.method,
            encap: encap(server),
            u_threshold: server.u_threshold,
            l_threshold: server.l_threshold,
            next_hop: next_hops.get(&server.rip).copied().unwrap_or(NextHopId::NONE),
            added: identity.added,
            shared: identity.shared.clone(),
        });
    }
    let options = &from.options.fullnat;
    let locals: Result<Vec<u16>, Exhausted> =
        options.local_addresses.iter().map(|&local| ids.locals.index(local)).collect();
    let fullnat = Fullnat { locals: locals?, client_address: options.client_address };
    let known = &mut ids.service(from.key, counted)?.locality;
    let service = Service::new(id, from.key, from.options.scheduler, dests).remembering(known);
    let locality_expiration = desired.sysctls.locality_expiration(from.options.scheduler.kind);
    let (persistence, one_packet) = (persistence(from), from.options.one_packet);
    let calls_out = from.options.engine == Some(Engine::Sip);
    Ok(Service { locality_expiration, persistence, one_packet, calls_out, fullnat, ..service })
}

/// An engine without persistence finds what nobody asks for; it lets servers begin conns all the same.
fn persistence(from: &VirtualService) -> Option<Persistence> {
    let wanted = from.options.persistence?;
    Some(Persistence {
        timeout: ticks(wanted.timeout),
        mask: wanted.mask.unwrap_or(ClientMask::exact(from.key.family())),
        engine: from.options.engine,
    })
}

/// Of the server's tunnel, if it is reached through one.
fn encap(server: &RealServer) -> Encap {
    if server.method == ForwardingMethod::Ipip { server.tunnel } else { Encap::Ipip }
}
