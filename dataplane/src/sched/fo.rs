//! Weighted failover (`ip_vs_fo.c`): the heaviest that is available; among equals the first in the
//! list.

use super::is_available;
use crate::service::{Dest, Service};
use std::cmp::Reverse;
use std::sync::Arc;

/// Places of those with a weight, in the order in which they are to fail.
pub fn order(dests: &[Dest]) -> Arc<[u16]> {
    let mut order: Vec<u16> =
        (0..dests.len() as u16).filter(|&place| dests[usize::from(place)].weight > 0).collect();
    order.sort_by_key(|&place| Reverse(dests[usize::from(place)].weight));
    order.into()
}

/// Everything to one destination until it fails.
pub fn choose(service: &Service) -> Option<usize> {
    service.buckets.first(|place| is_available(&service.dests[place]))
}
