//! The tables a director reads: replaced whole between windows, never changed.

use crate::address::Address;
use crate::flow::FlowKey;
use crate::ids::{DestId, NextHopId, ServiceId, WorkerId};
use crate::nexthop::NextHops;
use crate::owner::{self, SlotMap};
use crate::route::{RouteTarget, Routes};
use crate::sched::Scheduler;
use crate::service::ServiceTable;
use std::collections::HashMap;
use std::mem;
use std::sync::Arc;

/// The snapshots in use, and the schedulers' cursors over their services.
pub struct Tables {
    /// Virtual services.
    pub services: Arc<ServiceTable>,
    /// Routes.
    pub routes: Arc<Routes>,
    /// Next hops.
    pub next_hops: Arc<NextHops>,
    /// Who owns which slot.
    pub slot_map: Arc<SlotMap>,
    /// One for each service, in the table's order.
    pub schedulers: Vec<Scheduler>,
    worker: WorkerId,
}

impl Tables {
    /// Empty tables.
    pub fn new(worker: WorkerId, slot_map: Arc<SlotMap>) -> Self {
        Tables {
            services: Arc::default(),
            routes: Arc::default(),
            next_hops: Arc::default(),
            slot_map,
            schedulers: Vec::new(),
            worker,
        }
    }

    /// The worker whose tables they are.
    #[inline]
    pub fn worker(&self) -> WorkerId {
        self.worker
    }

    /// The worker that owns the flow of a packet with this key.
    #[inline]
    pub fn owner<A: Address>(&self, key: &FlowKey<A>) -> WorkerId {
        let (address, port) = owner::client_end(key, |key| self.services.is_from_client(key));
        self.slot_map.worker(owner::slot(address, port))
    }

    /// Where packets to `target` go next, if there is an entry for it.
    #[inline]
    pub fn known_hop<A: Address>(&self, target: A) -> Option<NextHopId> {
        match self.routes.lookup(target)? {
            RouteTarget::Via(id) => Some(id),
            RouteTarget::OnLink(_) => self.next_hops.find(target),
            RouteTarget::Local | RouteTarget::Linux => None,
        }
    }

    /// Tells the scheduler that this worker's conns on a destination became more, fewer or others.
    #[inline]
    pub fn load_changed(&mut self, dest: DestId) {
        if let Some((service, place)) = self.services.place(dest) {
            self.schedulers[service].load_changed(place);
        }
    }

    /// Takes a new generation into use and returns the old one. Cursors of services that stay are
    /// carried over.
    pub fn swap_services(&mut self, new: Arc<ServiceTable>) -> Arc<ServiceTable> {
        let old = mem::replace(&mut self.services, new);
        let mut cursors: HashMap<ServiceId, (usize, Scheduler)> = mem::take(&mut self.schedulers)
            .into_iter()
            .enumerate()
            .map(|(index, scheduler)| (old.service(index).id, (index, scheduler)))
            .collect();
        for service in self.services.services() {
            let scheduler = match cursors.remove(&service.id) {
                Some((index, mut scheduler)) => {
                    scheduler.rebase(old.service(index), service);
                    scheduler
                }
                None => Scheduler::new(service, self.worker),
            };
            self.schedulers.push(scheduler);
        }
        old
    }
}
