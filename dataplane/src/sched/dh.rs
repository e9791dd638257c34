//! Destination hashing (`ip_vs_dh.c`): the destination that the packet's destination address
//! hashes to, available or not; weights but 0 do not count. For fwmark services in front of caches.

use super::Asked;
use super::hash::hash_32;
use crate::service::{Dest, Service};
use std::sync::Arc;

/// Bits of the table's index (`IP_VS_DH_TAB_BITS`).
const BITS: u32 = 8;

/// Destinations take turns.
pub fn buckets(dests: &[Dest]) -> Arc<[u16]> {
    (0..dests.len() as u16).cycle().take(1 << BITS).collect()
}

pub fn choose(service: &Service, asked: &Asked) -> Option<usize> {
    service.buckets.available(hash_32(asked.dst, BITS), &service.dests)
}
