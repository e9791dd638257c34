//! Locality-based least connections (`ip_vs_lblc.c`): packets to one address go where the last
//! went, unless that destination is overloaded while others idle; a new address goes where wlc
//! sends it. For fwmark services in front of caches.

use super::least::Least;
use super::locality::{Locality, Near, is_welcome};
use super::{Asked, Loads, wlc};
use crate::service::Service;

/// What a worker remembers of a service's addresses.
#[derive(Debug, Clone)]
pub struct Lblc {
    near: Locality<Near>,
    pub least: Least,
}

impl Lblc {
    pub fn new(service: &Service) -> Self {
        Lblc { near: Locality::new(service), least: Least::new(&service.dests, wlc::share) }
    }

    pub fn choose(
        &mut self,
        service: &Service,
        asked: &Asked,
        loads: &impl Loads,
    ) -> Option<usize> {
        let (address, dests) = (asked.address, &service.dests);
        let near = self.near.find(address, asked.now).and_then(|near| near.find(dests));
        if let Some(near) = near.filter(|&place| is_welcome(place, dests, loads)) {
            return Some(near);
        }
        let chosen = self.least.choose(dests, loads)?;
        self.near.insert(address, Near::new(chosen, dests), asked.now);
        Some(chosen)
    }
}
