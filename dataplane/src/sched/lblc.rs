//! Locality-based least connections (`ip_vs_lblc.c`): packets to one address go where the last
//! went, unless that destination is overloaded while others idle; a new address goes where wlc
//! sends it. For fwmark services in front of caches.

use super::least::Least;
use super::locality::{Locality, Near, is_welcome};
use super::{Asked, Loads};
use crate::service::Service;

pub fn choose(
    least: &mut Least,
    service: &Service,
    asked: &Asked,
    loads: &impl Loads,
) -> Option<usize> {
    let (dests, Asked { address, now, .. }) = (&service.dests, *asked);
    let Some(Locality::Lblc(map)) = service.locality.as_deref() else {
        return least.choose(dests, loads);
    };
    let Some(mut bucket) = map.lock(address) else { return least.choose(dests, loads) };
    let near = bucket.find(address, now, service.locality_expiration);
    let near = near.and_then(|near| near.find(dests));
    if let Some(near) = near.filter(|&place| is_welcome(place, dests, loads)) {
        return Some(near);
    }
    let chosen = least.choose(dests, loads)?;
    bucket.insert(address, Near::new(chosen, dests), now);
    Some(chosen)
}
