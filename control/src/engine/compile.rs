//! Desired state to snapshot: pure but for the ids it hands out.

use super::identity::{Exhausted, Identities};
use crate::rules::{MarkRule, Rules, VirtualService};
use dataplane::counters::DestTotals;
use dataplane::ids::{DestId, Generation, NextHopId};
use dataplane::service::{self, Dest, Service, ServiceTable, Settings};
use std::collections::HashMap;

/// What a snapshot of services is made of.
pub struct Desired<'a> {
    /// Services and real servers.
    pub rules: &'a Rules,
    /// Mark rules in order.
    pub marks: &'a [MarkRule],
    /// Timeouts and sysctls.
    pub settings: Settings,
    /// Next hops of the real servers.
    pub next_hops: &'a HashMap<u32, NextHopId>,
}

/// Builds the table of one generation.
///
/// # Errors
/// [`Exhausted`], with nothing but ids changed.
pub fn compile(
    desired: &Desired<'_>,
    generation: Generation,
    ids: &mut Identities,
    counted: impl Fn(DestId) -> DestTotals + Copy,
) -> Result<ServiceTable, Exhausted> {
    ids.begin();
    let services: Result<Vec<Service>, Exhausted> = (desired.rules.services())
        .map(|virtual_service| service(desired, virtual_service, ids, counted))
        .collect();
    let services = services?;
    let marks = desired.marks.iter().map(mark_rule).collect();
    let lingering = ids.lingering_vips();
    let table = ServiceTable::new(generation, services, marks, desired.settings, &lingering);
    Ok(table.with_removed(ids.lingering_dests()))
}

fn service(
    desired: &Desired<'_>,
    from: &VirtualService,
    ids: &mut Identities,
    counted: impl Fn(DestId) -> DestTotals + Copy,
) -> Result<Service, Exhausted> {
    let id = ids.service(from.key, counted)?.id;
    let mut dests = Vec::with_capacity(from.real_servers.len());
    for server in from.real_servers.iter().rev() {
        let identity = ids.dest(from.key, server.rip, server.rport, counted)?;
        let next_hop = desired.next_hops.get(&server.rip).copied().unwrap_or(NextHopId::NONE);
        dests.push(Dest {
            id: identity.id,
            rip: server.rip,
            rport: server.rport,
            weight: server.weight,
            last_weight: desired.rules.last_weight(from.key, server),
            method: server.method,
            u_threshold: server.u_threshold,
            l_threshold: server.l_threshold,
            next_hop,
            shared: identity.shared.clone(),
        });
    }
    Ok(Service::new(id, from.key, from.scheduler, dests))
}

fn mark_rule(from: &MarkRule) -> service::MarkRule {
    let (first, last) = from.dports.unwrap_or((0, u16::MAX));
    service::MarkRule {
        mark: from.mark,
        proto: from.proto,
        prefix: from.dst.0,
        len: from.dst.1,
        dports: first..=last,
    }
}
