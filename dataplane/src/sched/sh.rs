//! Source hashing (`ip_vs_sh.c`): the destination that the client's address hashes to, with
//! sh-port its port too, and with sh-fallback another one if that is not available.

use super::hash::hash_32;
use super::{Asked, SchedFlags};
use crate::service::{Dest, Service};
use std::sync::Arc;

/// Bits of the table's index (`IP_VS_SH_TAB_BITS`).
const BITS: u32 = 8;

/// Destinations take turns of as many buckets as their weight, and one if it is 0.
pub fn buckets(dests: &[Dest]) -> Arc<[u16]> {
    let turn =
        |place: usize| std::iter::repeat_n(place as u16, dests[place].weight.max(1) as usize);
    (0..dests.len()).cycle().flat_map(turn).take(1 << BITS).collect()
}

pub fn choose(service: &Service, asked: &Asked) -> Option<usize> {
    let flags = service.scheduler.flags;
    let hash = hash_32(asked.client(flags.contains(SchedFlags::PORT)), BITS);
    let bucket = |offset| (hash + offset as usize) % (1 << BITS);
    service.buckets.choose(&service.dests, flags.contains(SchedFlags::FALLBACK), bucket)
}
