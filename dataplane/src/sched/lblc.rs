//! Locality-based least connections (`ip_vs_lblc.c`): packets to one address go where the last
//! went, unless that destination is overloaded while others idle; a new address goes where wlc
//! sends it. For fwmark services in front of caches.

use super::changes::Changes;
use super::crowd::Crowd;
use super::locality::{Locality, Near};
use super::{Asked, Loads};
use crate::service::Service;

pub fn choose(
    crowd: &mut Crowd,
    changes: &mut Changes,
    service: &Service,
    asked: &Asked,
    loads: &impl Loads,
) -> Option<usize> {
    let (dests, Asked { address, now, .. }) = (&service.dests, *asked);
    crowd.update(changes, dests, loads);
    let Some(Locality::Lblc(map)) = service.locality.as_deref() else {
        return crowd.chosen(dests, loads);
    };
    let Some(mut bucket) = map.lock(address) else { return crowd.chosen(dests, loads) };
    let near = bucket.find(address, now, service.locality_expiration);
    let near = near.and_then(|near| near.find(crowd.seats()));
    if let Some(near) = near.filter(|&place| crowd.is_welcome(place, dests, loads)) {
        return Some(near);
    }
    let chosen = crowd.chosen(dests, loads)?;
    bucket.insert(address, Near::new(chosen, crowd.seats()), now);
    Some(chosen)
}
