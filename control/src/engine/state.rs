//! The one desired state, and who is who in it. Pure: reaching the workers is the engine's part, so
//! that a test can hold a state against workers of its own.

#[cfg(test)]
mod tests;

use super::compile::{Around, compile};
use super::identity::{Exhausted, Identities};
use super::settings::Sysctls;
use super::{listing, stats};
use crate::api::protocol::{ApiError, ServiceListing, Sysctl, Timeouts};
use crate::api::sysctl;
use crate::config::Config;
use crate::rules::{MarkRule, RuleChange, RuleError, Rules, VirtualService};
use dataplane::counters::DestTotals;
use dataplane::ids::{DestId, Generation, NextHopId};
use dataplane::service::{ServiceKey, ServiceTable};
use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

/// What is desired, and what has been counted for it. In all methods `counted` reads what the
/// workers have counted under a destination's id.
#[derive(Debug, Default)]
pub struct State {
    desired: Desired,
    ids: Identities,
    /// Mark rules that are gone, but workers may have conns that they made.
    removed_marks: Vec<MarkRule>,
    /// The last table.
    table: Arc<ServiceTable>,
    rates: stats::Rates,
}

/// What the operator desires: the present state, or what a change would make of it.
#[derive(Debug, Clone, Default)]
pub struct Desired {
    /// Services and real servers.
    pub rules: Rules,
    /// Mark rules in order.
    pub marks: Vec<MarkRule>,
    /// Timeouts and `net.ipv4.vs`.
    pub sysctls: Sysctls,
}

impl Desired {
    /// With these changes, all or none, from no rules at all if `replace`.
    ///
    /// # Errors
    /// The first change that cannot be.
    pub fn changed(mut self, changes: &[RuleChange], replace: bool) -> Result<Self, ApiError> {
        self.rules.apply_all(changes, replace)?;
        Ok(self)
    }

    /// With a configuration's sysctls, timeouts, mark rules and services.
    ///
    /// # Errors
    /// The first that cannot be.
    pub fn configured(mut self, config: &Config) -> Result<Self, ApiError> {
        self.sysctls.preset(config)?;
        self.marks = config.marks.iter().map(MarkRule::from).collect();
        self.rules.apply_all(&changes(config), true)?;
        Ok(self)
    }

    /// With one value of `net.ipv4.vs`, its name bare or in full.
    ///
    /// # Errors
    /// As [`sysctl::check_value`].
    pub fn with_sysctl(mut self, key: &str, value: &str) -> Result<Self, ApiError> {
        let number = sysctl::check_value(key, value)?;
        self.sysctls.set(sysctl::bare(key), number);
        Ok(self)
    }

    /// With timeouts as `ipvsadm --set` gives them.
    #[must_use]
    pub fn with_timeouts(mut self, set: Timeouts) -> Self {
        self.sysctls.set_timeouts(set);
        self
    }
}

impl State {
    /// The desired state in force.
    pub fn desired(&self) -> &Desired {
        &self.desired
    }

    /// The number of the last table.
    pub fn generation(&self) -> Generation {
        self.table.generation
    }

    /// Puts `desired` in force and gives the table that workers are to have of it. `next_hops` are
    /// those of its real servers.
    ///
    /// # Errors
    /// [`Exhausted`], with the state as it was.
    pub fn install(
        &mut self,
        desired: Desired,
        next_hops: &HashMap<IpAddr, NextHopId>,
        counted: impl Fn(DestId) -> DestTotals + Copy,
    ) -> Result<Arc<ServiceTable>, Exhausted> {
        let removed_marks = self.removed_marks_beside(&desired.marks);
        let around = Around { before: &self.table, next_hops, removed_marks: &removed_marks };
        let mut ids = self.ids.clone();
        let table = Arc::new(compile(&desired, &around, &mut ids, counted)?);
        clear_overload(&self.desired.rules, &table);
        (self.table, self.removed_marks) = (table.clone(), removed_marks);
        (self.desired, self.ids) = (desired, ids);
        Ok(table)
    }

    /// The rules that lack in `marks` although their services, present or removed, may have conns.
    fn removed_marks_beside(&self, marks: &[MarkRule]) -> Vec<MarkRule> {
        let known = self.removed_marks.iter().chain(&self.desired.marks);
        let served = known.filter(|rule| self.ids.get(rule.service()).is_some());
        let mut removed: Vec<MarkRule> = Vec::new();
        for rule in served.filter(|rule| !marks.contains(rule)) {
            if !removed.contains(rule) {
                removed.push(rule.clone());
            }
        }
        removed
    }

    /// Frees ids of destinations that are gone and have no conns, and forgets mark rules that left
    /// no conns. Only when every worker runs the last table: see [`Identities::sweep`].
    pub fn sweep(&mut self, counted: impl Fn(DestId) -> DestTotals) {
        let ids = &self.ids;
        self.removed_marks.retain(|rule| ids.has_conns(rule.service(), &counted));
        self.ids.sweep(counted);
    }

    /// Frees indices of local addresses that are gone and that no conn names. Only when every worker
    /// runs the last table: see [`LocalIndices::sweep`].
    ///
    /// [`LocalIndices::sweep`]: super::locals::LocalIndices::sweep
    pub fn sweep_locals(&mut self, conns: impl Fn(u16) -> u64) {
        self.ids.locals.sweep(conns);
    }

    /// Addresses that next hops are needed for: of real servers, removed ones with conns included.
    pub fn reachable(&self) -> BTreeSet<IpAddr> {
        let mut needed = targets(&self.desired.rules);
        needed.extend(self.ids.dests().map(|(_, dest)| dest.rip));
        needed
    }

    /// Every destination, present or lingering.
    pub fn dests(&self) -> impl Iterator<Item = DestId> {
        self.ids.dests().map(|(_, dest)| dest.id)
    }

    /// Takes a reading for the rates, every two seconds, unless `run_estimation` is 0.
    pub fn tick_rates(&mut self, counted: impl Fn(DestId) -> DestTotals) {
        if self.desired.sysctls.estimates() {
            self.rates.tick(&self.ids, counted);
        }
    }

    /// One service or all, with their destinations in the kernel's order.
    ///
    /// # Errors
    /// There is no such service.
    pub fn list(
        &self,
        service: Option<ServiceKey>,
        counted: impl Fn(DestId) -> DestTotals,
    ) -> Result<Vec<ServiceListing>, RuleError> {
        let lister = listing::Lister { ids: &self.ids, rates: &self.rates, counted };
        let services = self.chosen(service)?;
        Ok(services.into_iter().map(|service| lister.service(service)).collect())
    }

    /// Zeroes the counters of one service or all.
    ///
    /// # Errors
    /// There is no such service.
    pub fn zero(
        &mut self,
        service: Option<ServiceKey>,
        counted: impl Fn(DestId) -> DestTotals,
    ) -> Result<(), RuleError> {
        let keys: Vec<_> = self.chosen(service)?.into_iter().map(|service| service.key).collect();
        for key in keys {
            if let Some(identity) = self.ids.get_mut(key) {
                identity.zero(&counted);
            }
        }
        Ok(())
    }

    fn chosen(&self, service: Option<ServiceKey>) -> Result<Vec<&VirtualService>, RuleError> {
        match service {
            Some(key) => Ok(vec![self.desired.rules.get(key).ok_or(RuleError::NoSuchService)?]),
            None => Ok(self.desired.rules.services().collect()),
        }
    }

    /// The mark rules in order.
    pub fn marks(&self) -> &[MarkRule] {
        &self.desired.marks
    }

    /// The timeouts in force.
    pub fn timeouts(&self) -> Timeouts {
        self.desired.sysctls.timeouts()
    }

    /// All values of `net.ipv4.vs`.
    pub fn sysctls(&self) -> Vec<Sysctl> {
        self.desired.sysctls.list()
    }
}

/// Addresses that the rules need next hops for.
pub fn targets(rules: &Rules) -> BTreeSet<IpAddr> {
    let servers = rules.services().flat_map(|service| &service.real_servers);
    servers.map(|server| server.rip).collect()
}

/// Local addresses of fullnat that the rules have.
pub fn local_addresses(rules: &Rules) -> BTreeSet<IpAddr> {
    rules.services().flat_map(|service| &service.options.fullnat.local_addresses).copied().collect()
}

/// Ends the overload of destinations whose upper threshold was raised or taken away.
fn clear_overload(old: &Rules, table: &ServiceTable) {
    for service in table.services() {
        let Some(before) = old.get(service.key) else { continue };
        let servers = before.real_servers.iter();
        let thresholds: HashMap<(IpAddr, u16), u32> =
            servers.map(|it| ((it.rip, it.rport), it.u_threshold)).collect();
        for dest in &service.dests {
            if let Some(&threshold) = thresholds.get(&(dest.rip, dest.rport)) {
                dest.thresholds_edited(threshold);
            }
        }
    }
}

/// A configuration's services as the changes that make them.
fn changes(config: &Config) -> Vec<RuleChange> {
    let mut changes = Vec::new();
    for VirtualService { key, options, real_servers } in &config.services {
        changes.push(RuleChange::AddService { service: *key, options: options.clone() });
        let servers = real_servers.iter().cloned();
        changes.extend(servers.map(|server| RuleChange::AddServer { service: *key, server }));
    }
    changes
}
