//! Who is who over generations: ids of services and destinations.
//!
//! A destination keeps its id after removal while any worker has conns on it, so that re-adding
//! the same address and port to the same service finds its conns again (`ip_vs_trash_get_dest`,
//! `ip_vs_ctl.c`). Only then is the id free for another.

use super::locals::LocalIndices;
use ahash::AHashMap;
use dataplane::conn::DestDirectory;
use dataplane::counters::DestTotals;
use dataplane::ids::{DestId, Generation, ServiceId};
use dataplane::limits::{MAX_DESTS, MAX_LOCALS, MAX_SERVICES};
use dataplane::sched::Locality;
use dataplane::service::{DestShared, ServiceKey};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// A destination's identity and what was counted before it had it.
#[derive(Debug, Clone)]
pub struct DestIdentity {
    /// Its id.
    pub id: DestId,
    /// Real server's address.
    pub rip: IpAddr,
    /// What workers share about it.
    pub shared: Arc<DestShared>,
    /// Readings of the workers' counters that are not this destination's, or were zeroed.
    pub base: DestTotals,
    /// Whether the rules have it now.
    pub present: bool,
    /// Number of the [`Identities::begin`] since which they have it without a break.
    pub added: u64,
    /// Its removal was noted: see [`Identities::note_removals`].
    is_noted: bool,
}

/// A service's identity, and what it counted on destinations that are gone.
#[derive(Debug, Clone)]
pub struct ServiceIdentity {
    /// Its id.
    pub id: ServiceId,
    /// Counts of destinations whose ids are free again.
    pub retired: DestTotals,
    /// What its scheduler remembers of addresses.
    pub locality: Option<Arc<Locality>>,
    /// By address and port of the real server.
    pub dests: BTreeMap<(IpAddr, u16), DestIdentity>,
    /// Whether the rules have it now.
    pub present: bool,
    /// It was deleted: if it comes back, its counters begin at zero (`__ip_vs_update_dest`).
    was_deleted: bool,
}

/// No id is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exhausted {
    /// See [`MAX_SERVICES`].
    Services,
    /// See [`MAX_DESTS`].
    Dests,
    /// See [`MAX_LOCALS`].
    Locals,
}

impl std::fmt::Display for Exhausted {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Exhausted::Services => write!(out, "no more than {MAX_SERVICES} virtual services"),
            Exhausted::Dests => write!(
                out,
                "no more than {} real servers, removed ones with connections included",
                MAX_DESTS - 1
            ),
            Exhausted::Locals => write!(
                out,
                "no more than {} local addresses, removed ones with connections included",
                MAX_LOCALS - 1
            ),
        }
    }
}

/// All identities. A compile works on a copy, which replaces the original only if all goes well.
#[derive(Debug, Clone)]
pub struct Identities {
    services: AHashMap<ServiceKey, ServiceIdentity>,
    /// Ids below the greatest ever given out that are free.
    free_services: Vec<ServiceId>,
    begun: u64,
    /// Indices of local addresses.
    pub locals: LocalIndices,
    directory: DestDirectory,
    flush: Generation,
}

impl Default for Identities {
    fn default() -> Self {
        Identities {
            services: AHashMap::new(),
            free_services: Vec::new(),
            begun: 0,
            locals: LocalIndices::default(),
            directory: DestDirectory::new(MAX_DESTS - 1),
            flush: Generation::default(),
        }
    }
}

impl DestIdentity {
    /// Marks it absent; what was absent before is added anew if it comes back.
    fn begin(&mut self) {
        if !std::mem::take(&mut self.present) {
            self.added = 0;
        }
    }

    /// Whether any worker has conns on it, or a client a template of it; `now` is what they have counted. Active and inactive are
    /// read one after the other, and a conn that turns in between is in neither: the count that all
    /// workers share decides. That one lacks conns of an adopted table, which the readings have.
    fn has_conns(&self, now: DestTotals) -> bool {
        now.active + now.inactive + now.persistent > 0 || self.shared.conns.load(Relaxed) > 0
    }
}

impl ServiceIdentity {
    /// Sets its counters and its destinations' to zero: the present readings are the new base.
    pub fn zero(&mut self, counted: impl Fn(DestId) -> DestTotals) {
        self.retired = DestTotals::default();
        self.dests.values_mut().for_each(|dest| dest.base = counted(dest.id));
    }
}

impl Identities {
    /// Marks everything absent: what [`Identities::service`] and [`Identities::dest`] do not name
    /// before the next [`Identities::sweep`] is removed.
    pub fn begin(&mut self) {
        self.locals.begin();
        self.begun += 1;
        for service in self.services.values_mut() {
            service.present = false;
            service.dests.values_mut().for_each(DestIdentity::begin);
        }
    }

    /// The identity of a service that the rules have; `counted` reads what workers have counted
    /// under an id so far.
    ///
    /// # Errors
    /// [`Exhausted::Services`].
    pub fn service(
        &mut self,
        key: ServiceKey,
        counted: impl Fn(DestId) -> DestTotals,
    ) -> Result<&mut ServiceIdentity, Exhausted> {
        if !self.services.contains_key(&key) && self.services.len() == MAX_SERVICES {
            return Err(Exhausted::Services);
        }
        // Ids in use and free ones are all that were ever given out.
        let next = ServiceId((self.services.len() + self.free_services.len()) as u32 + 1);
        let free = &mut self.free_services;
        let service = self.services.entry(key).or_insert_with(|| ServiceIdentity {
            id: free.pop().unwrap_or(next),
            retired: DestTotals::default(),
            locality: None,
            dests: BTreeMap::new(),
            present: true,
            was_deleted: false,
        });
        service.present = true;
        if std::mem::take(&mut service.was_deleted) {
            service.zero(counted);
            service.locality = None;
        }
        Ok(service)
    }

    /// The identity of a destination that the rules have; `counted` reads what workers have
    /// counted under an id so far.
    ///
    /// # Errors
    /// [`Exhausted`].
    pub fn dest(
        &mut self,
        key: ServiceKey,
        rip: IpAddr,
        rport: u16,
        counted: impl Fn(DestId) -> DestTotals,
    ) -> Result<&mut DestIdentity, Exhausted> {
        let (service, begun) = (self.service(key, &counted)?.id, self.begun);
        let id = self.directory.allocate(service, rip, rport).ok_or(Exhausted::Dests)?;
        let dest = self.service(key, &counted)?.dests.entry((rip, rport)).or_insert_with(|| {
            let (shared, base) = (Arc::default(), counted(id));
            DestIdentity { id, rip, shared, base, present: true, added: begun, is_noted: false }
        });
        (dest.present, dest.is_noted) = (true, false);
        if dest.added == 0 {
            dest.added = begun;
        }
        Ok(dest)
    }

    /// To be called when all is named that the rules of a generation have: says which one was the last
    /// that removed a destination while `expire_nodest_conn` was on.
    pub fn note_removals(
        &mut self,
        generation: Generation,
        expire_nodest_conn: bool,
    ) -> Generation {
        let dests = self.services.values_mut().flat_map(|service| service.dests.values_mut());
        let mut any = false;
        for dest in dests.filter(|dest| !dest.present) {
            any |= !std::mem::replace(&mut dest.is_noted, true);
        }
        if any && expire_nodest_conn {
            self.flush = generation;
        }
        self.flush
    }

    /// Frees the ids of absent destinations that no worker has conns on, and forgets absent
    /// services without destinations. `counted` reads what workers have counted under an id.
    ///
    /// To be called only when every worker runs a table in which they are absent: one that still
    /// ran an older table could begin a conn on an id that is free.
    pub fn sweep(&mut self, counted: impl Fn(DestId) -> DestTotals) {
        let directory = &mut self.directory;
        for service in self.services.values_mut() {
            service.was_deleted |= !service.present;
            let retired = &mut service.retired;
            service.dests.retain(|_, dest| {
                if dest.present {
                    return true;
                }
                let now = counted(dest.id);
                let keep = dest.has_conns(now);
                if !keep {
                    *retired += since(now, dest.base);
                    directory.free(dest.id);
                }
                keep
            });
        }
        let free = &mut self.free_services;
        self.services.retain(|_, service| {
            let keep = service.present || !service.dests.is_empty();
            free.extend((!keep).then_some(service.id));
            keep
        });
    }

    /// Whether workers have conns on any destination of a service, present or lingering.
    pub fn has_conns(&self, key: ServiceKey, counted: impl Fn(DestId) -> DestTotals) -> bool {
        let dests = self.services.get(&key).into_iter().flat_map(|service| service.dests.values());
        dests.into_iter().any(|dest| dest.has_conns(counted(dest.id)))
    }

    /// A service, present or lingering.
    pub fn get(&self, key: ServiceKey) -> Option<&ServiceIdentity> {
        self.services.get(&key)
    }

    /// The same, to be zeroed.
    pub fn get_mut(&mut self, key: ServiceKey) -> Option<&mut ServiceIdentity> {
        self.services.get_mut(&key)
    }

    /// Every destination, present or lingering, with the service it is of.
    pub fn dests(&self) -> impl Iterator<Item = (ServiceKey, &DestIdentity)> {
        self.services
            .iter()
            .flat_map(|(&key, service)| service.dests.values().map(move |dest| (key, dest)))
    }

    /// Virtual addresses without a service that workers still have conns on.
    pub fn lingering_vips(&self) -> Vec<IpAddr> {
        let absent = self.services.iter().filter(|(_, service)| !service.present);
        let vips = absent.filter_map(|(key, _)| match key {
            ServiceKey::Address { vip, .. } => Some(*vip),
            ServiceKey::Fwmark { .. } => None,
        });
        vips.collect()
    }

    /// Removed destinations that workers still have conns on.
    pub fn lingering_dests(&self) -> Vec<(DestId, Arc<DestShared>)> {
        let removed = self.dests().filter(|(_, dest)| !dest.present);
        removed.map(|(_, dest)| (dest.id, dest.shared.clone())).collect()
    }
}

/// What was counted since the reading `base`; levels are as they are now.
pub fn since(now: DestTotals, base: DestTotals) -> DestTotals {
    DestTotals {
        conns: now.conns.wrapping_sub(base.conns),
        in_packets: now.in_packets.wrapping_sub(base.in_packets),
        in_bytes: now.in_bytes.wrapping_sub(base.in_bytes),
        out_packets: now.out_packets.wrapping_sub(base.out_packets),
        out_bytes: now.out_bytes.wrapping_sub(base.out_bytes),
        active: now.active,
        inactive: now.inactive,
        persistent: now.persistent,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::example::v4;

    const WEB: ServiceKey = ServiceKey::Address { proto: 6, vip: v4(0x0a00_0064), vport: 80 };

    fn nothing(_: DestId) -> DestTotals {
        DestTotals::default()
    }

    fn one_conn(_: DestId) -> DestTotals {
        DestTotals { inactive: 1, ..DestTotals::default() }
    }

    #[test]
    fn a_removed_destination_with_conns_is_found_again() {
        let mut ids = Identities::default();
        let first = ids.dest(WEB, v4(1), 80, nothing).unwrap().id;

        ids.begin();
        ids.sweep(one_conn);
        assert_eq!(ids.lingering_vips(), [v4(0x0a00_0064)]);
        assert_eq!(ids.lingering_dests()[0].0, first);

        assert_eq!(ids.dest(WEB, v4(1), 80, nothing).unwrap().id, first);
        assert!(ids.lingering_dests().is_empty());
    }

    #[test]
    fn what_comes_back_was_added_last_and_what_stays_was_not() {
        let mut ids = Identities::default();
        let mut added = |servers: &[u32]| -> Vec<u64> {
            ids.begin();
            let each = servers.iter();
            each.map(|&server| ids.dest(WEB, v4(server), 80, one_conn).unwrap().added).collect()
        };
        assert_eq!(added(&[1, 2]), [1, 1]);
        assert_eq!(added(&[2]), [1], "it stays");
        assert_eq!(added(&[1, 2, 3]), [3, 1, 3]);
        assert_eq!(added(&[1, 2, 3]), [3, 1, 3]);
    }

    #[test]
    fn removals_count_once_and_only_while_the_setting_is_on() {
        let mut ids = Identities::default();
        let mut compiled = |generation, servers: &[u32], is_on| {
            ids.begin();
            for &server in servers {
                ids.dest(WEB, v4(server), 80, nothing).unwrap();
            }
            ids.note_removals(Generation(generation), is_on).0
        };
        assert_eq!(compiled(1, &[1, 2, 3], false), 0);
        assert_eq!(compiled(2, &[2, 3], false), 0, "off");
        assert_eq!(compiled(3, &[2, 3], true), 0, "nothing is removed");
        assert_eq!(compiled(4, &[3], true), 4);
        assert_eq!(compiled(5, &[1, 3], true), 4, "one comes back");
        assert_eq!(compiled(6, &[3], true), 6, "and goes again");
        assert_eq!(compiled(7, &[], false), 6);
    }

    #[test]
    fn a_service_that_comes_back_counts_from_zero_and_a_server_that_does_goes_on() {
        let counted = |_| DestTotals { conns: 5, inactive: 1, ..DestTotals::default() };
        let mut ids = Identities::default();
        ids.dest(WEB, v4(1), 80, nothing).unwrap();

        ids.begin();
        ids.service(WEB, counted).unwrap();
        ids.sweep(counted);
        assert_eq!(
            ids.dest(WEB, v4(1), 80, counted).unwrap().base.conns,
            0,
            "the server came back"
        );

        ids.begin();
        ids.sweep(counted);
        assert_eq!(
            ids.dest(WEB, v4(1), 80, counted).unwrap().base.conns,
            5,
            "the service came back"
        );
    }

    #[test]
    fn a_removed_destination_without_conns_gives_its_id_to_another() {
        let mut ids = Identities::default();
        let first = ids.dest(WEB, v4(1), 80, nothing).unwrap().id;

        ids.begin();
        ids.service(WEB, nothing).unwrap();
        ids.sweep(nothing);
        let counted = |_| DestTotals { conns: 7, ..DestTotals::default() };
        let reused = (2..=MAX_DESTS as u32).find_map(|server| {
            let dest = ids.dest(WEB, v4(server), 80, counted).ok()?;
            (dest.id == first).then(|| dest.clone())
        });

        let base = reused.expect("the id is given out again").base;
        assert_eq!(since(counted(first), base).conns, 0, "its counts begin at zero");
    }

    #[test]
    fn a_conn_between_active_and_inactive_keeps_its_destinations_id() {
        let mut ids = Identities::default();
        let shared = ids.dest(WEB, v4(1), 80, nothing).unwrap().shared.clone();
        ids.begin();

        shared.conns.store(1, Relaxed);
        ids.sweep(nothing);
        assert_eq!(ids.lingering_dests().len(), 1, "the readings missed it");

        shared.conns.store(0, Relaxed);
        ids.sweep(nothing);
        assert!(ids.lingering_dests().is_empty() && ids.get(WEB).is_none());
    }

    #[test]
    fn a_service_keeps_what_its_gone_destinations_counted() {
        let mut ids = Identities::default();
        ids.dest(WEB, v4(1), 80, nothing).unwrap();

        ids.begin();
        ids.service(WEB, nothing).unwrap();
        ids.sweep(|_| DestTotals { conns: 3, ..DestTotals::default() });

        assert_eq!(ids.get(WEB).unwrap().retired.conns, 3);
    }

    #[test]
    fn a_services_id_is_anothers_when_nothing_is_left_of_it_and_not_before() {
        let other = ServiceKey::Address { proto: 6, vip: v4(0x0a00_0065), vport: 80 };
        let mut ids = Identities::default();
        let shared = ids.dest(WEB, v4(1), 80, nothing).unwrap().shared.clone();
        let first = ids.get(WEB).unwrap().id;
        shared.conns.store(1, Relaxed);

        ids.begin();
        ids.sweep(nothing);
        assert_ne!(ids.service(other, nothing).unwrap().id, first);

        shared.conns.store(0, Relaxed);
        ids.begin();
        ids.service(other, nothing).unwrap();
        ids.sweep(nothing);
        assert_eq!(ids.service(WEB, nothing).unwrap().id, first);
        let third = ServiceKey::Fwmark { mark: 1, family: WEB.family() };
        assert_eq!(ids.service(third, nothing).unwrap().id, ServiceId(3));
    }

    #[test]
    fn ids_run_out_with_an_error_and_zero_is_never_given() {
        let mut ids = Identities::default();
        for server in 1..MAX_DESTS as u32 {
            assert_ne!(ids.dest(WEB, v4(server), 80, nothing).unwrap().id, DestId(0));
        }
        assert_eq!(ids.dest(WEB, v4(0), 80, nothing).unwrap_err(), Exhausted::Dests);
    }
}
