//! Tables of destinations, for the schedulers that need one: computed when the snapshot is, read by
//! all workers.

use super::{SchedulerKind, dh, fo, is_available, mh, sh};
use crate::address::Family;
use crate::service::Dest;
use std::sync::Arc;

/// By hash, or by rank for fo, the place of a destination in the service's list. Empty without
/// destinations, and for schedulers that look nothing up.
#[derive(Debug, Clone, Default)]
pub struct Buckets(Arc<[u16]>);

impl Buckets {
    /// What the scheduler of a service of this family needs to choose among these destinations.
    pub fn new(kind: SchedulerKind, family: Family, dests: &[Dest]) -> Self {
        match kind {
            SchedulerKind::Dh => Buckets(dh::buckets(dests)),
            SchedulerKind::Sh => Buckets(sh::buckets(dests)),
            SchedulerKind::Fo => Buckets(fo::order(dests)),
            SchedulerKind::Mh => Buckets(mh::buckets(family, dests)),
            _ => Buckets::default(),
        }
    }

    /// The place in a bucket, if its destination is available.
    pub(super) fn available(&self, bucket: usize, dests: &[Dest]) -> Option<usize> {
        let place = usize::from(*self.0.get(bucket)?);
        is_available(&dests[place]).then_some(place)
    }

    /// The first of the places that fits.
    pub(super) fn first(&self, fits: impl Fn(usize) -> bool) -> Option<usize> {
        self.0.iter().map(|&place| usize::from(place)).find(|&place| fits(place))
    }

    /// The place in the bucket of `hash(0)` or, with `falls_back`, in the first that is available
    /// of those that re-hashing gives: with the first bucket's number as offset, then the number
    /// after it, once around the table (`ip_vs_sh_get_fallback`, `ip_vs_mh_get_fallback`).
    pub(super) fn choose(
        &self,
        dests: &[Dest],
        falls_back: bool,
        hash: impl Fn(u32) -> usize,
    ) -> Option<usize> {
        let first = hash(0);
        let chosen = self.available(first, dests);
        if chosen.is_some() || !falls_back {
            return chosen;
        }
        let size = self.0.len();
        (0..size).find_map(|step| self.available(hash(((first + step) % size) as u32), dests))
    }
}

#[cfg(test)]
impl Buckets {
    /// All places, by bucket.
    pub(super) fn places(&self) -> &[u16] {
        &self.0
    }
}
