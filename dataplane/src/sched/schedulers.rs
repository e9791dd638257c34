//! All schedulers of one worker, from one table of services to the next.
//!
//! A swap touches no service: each scheduler goes on with the next table when its service is asked,
//! or when its turn comes in [`Schedulers::catch_up`], whichever is first. Every one does so before
//! the table after that, so each table's edits have the effect that the kernel's have, one by one.
//! They lie by [`crate::ids::ServiceId`].

use super::{Asked, Loads, Scheduler};
use crate::ids::{Generation, WorkerId};
use crate::limits::MAX_SERVICES;
use crate::service::{Service, ServiceTable};
use std::sync::Arc;

/// One service's scheduler.
#[derive(Debug, Clone)]
struct Slot {
    /// [`Service::edited`] of the service that it goes by.
    edited: Generation,
    scheduler: Scheduler,
}

/// The table that was in use before, while some schedulers still go by it.
#[derive(Debug)]
struct Before {
    table: Arc<ServiceTable>,
    /// How many of the services that were edited since have had their turn.
    done: usize,
}

/// The schedulers of one worker.
#[derive(Debug)]
pub struct Schedulers {
    slots: Box<[Option<Slot>]>,
    before: Option<Before>,
    worker: WorkerId,
}

impl Schedulers {
    /// Room for all the services there may be.
    pub fn new(worker: WorkerId) -> Schedulers {
        let slots = std::iter::repeat_with(|| None).take(MAX_SERVICES + 1).collect();
        Schedulers { slots, before: None, worker }
    }

    /// See [`Scheduler::schedule`]; `service` is of the table in use.
    #[inline]
    pub fn schedule(
        &mut self,
        service: &Service,
        asked: &Asked,
        loads: &impl Loads,
    ) -> Option<usize> {
        self.follow(service).schedule(service, asked, loads)
    }

    /// See [`Scheduler::load_changed`]. One that has still to go on with the table looks at all loads
    /// then.
    #[inline]
    pub fn load_changed(&mut self, service: &Service, place: usize) {
        match &mut self.slots[service.id.index()] {
            Some(slot) if slot.edited == service.edited => slot.scheduler.load_changed(place),
            _ => {}
        }
    }

    /// Another table is in use, and `old` is not any more. Whoever calls this waits until
    /// [`Schedulers::catch_up`] has given the one before back.
    ///
    /// # Panics
    /// If it has not.
    pub fn swap(&mut self, old: Arc<ServiceTable>) {
        assert!(self.before.is_none(), "schedulers go on with one table at a time");
        self.before = Some(Before { table: old, done: 0 });
    }

    /// Whether some may still go by the table before.
    #[inline]
    pub fn are_behind(&self) -> bool {
        self.before.is_some()
    }

    /// Lets up to `budget` schedulers go on with the table in use. The one before comes back with the
    /// last of them.
    pub fn catch_up(
        &mut self,
        services: &ServiceTable,
        budget: usize,
    ) -> Option<Arc<ServiceTable>> {
        let Before { table, done } = self.before.as_ref()?;
        let (since, done) = (table.generation, *done);
        let mut seen = 0;
        for service in services.edited_since(since, done).take(budget) {
            self.follow(service);
            seen += 1;
        }
        let before = self.before.as_mut()?;
        before.done += seen;
        if seen == budget {
            return None;
        }
        self.before.take().map(|before| before.table)
    }

    /// A service's scheduler, which goes on with the table in use if it has not yet.
    #[inline]
    fn follow(&mut self, service: &Service) -> &mut Scheduler {
        let Schedulers { slots, before, worker } = self;
        let slot = &mut slots[service.id.index()];
        if slot.as_ref().is_none_or(|slot| slot.edited != service.edited) {
            rebase(slot, before.as_ref(), service, *worker);
        }
        let slot = slot.get_or_insert_with(|| Slot::new(service, *worker));
        &mut slot.scheduler
    }
}

impl Slot {
    fn new(service: &Service, worker: WorkerId) -> Slot {
        Slot { edited: service.edited, scheduler: Scheduler::new(service, worker) }
    }
}

#[cold]
fn rebase(slot: &mut Option<Slot>, before: Option<&Before>, service: &Service, worker: WorkerId) {
    let before = before.and_then(|before| before.table.find(service.id));
    match (slot, before.filter(|before| before.begun == service.begun)) {
        (Some(slot), Some(before)) => {
            slot.scheduler.rebase(before, service);
            slot.edited = service.edited;
        }
        (slot, _) => *slot = Some(Slot::new(service, worker)),
    }
}

#[cfg(test)]
mod tests;
