//! The tables a director reads: replaced whole between windows, never changed.

use crate::address::Address;
use crate::flow::FlowKey;
use crate::ids::{DestId, NextHopId, WorkerId};
use crate::nexthop::NextHops;
use crate::owner::{self, SlotMap};
use crate::route::{RouteTarget, Routes};
use crate::sched::Schedulers;
use crate::service::ServiceTable;
use std::mem;
use std::sync::Arc;

/// The snapshots in use, and the schedulers over their services.
pub struct Tables {
    /// Virtual services.
    pub services: Arc<ServiceTable>,
    /// Routes.
    pub routes: Arc<Routes>,
    /// Next hops.
    pub next_hops: Arc<NextHops>,
    /// Who owns which slot.
    pub slot_map: Arc<SlotMap>,
    /// What this worker's choices go by.
    pub schedulers: Schedulers,
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
            schedulers: Schedulers::new(worker),
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
            self.schedulers.load_changed(self.services.service(service), place);
        }
    }

    /// Takes a new generation of services into use. Not while schedulers are behind.
    pub fn swap_services(&mut self, new: Arc<ServiceTable>) {
        let old = mem::replace(&mut self.services, new);
        self.schedulers.swap(old);
    }

    /// Lets up to `budget` schedulers go on with the services in use; returns the generation before
    /// when none goes by it any more.
    pub fn catch_up(&mut self, budget: usize) -> Option<Arc<ServiceTable>> {
        self.schedulers.catch_up(&self.services, budget)
    }
}
