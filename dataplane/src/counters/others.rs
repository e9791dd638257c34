//! What other workers' conns add to destinations' loads: summed by control, read by each worker.

use super::{DestCounters, WorkerCounters};
use crate::ids::DestId;
use crate::limits::MAX_DESTS;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

/// What the other workers' conns add to a destination's load, as the aggregator last published it
/// for one worker: total − this worker's part. Adding the worker's own part of this moment gives
/// totals at most as old as the publication, exact for its own conns.
#[derive(Debug)]
pub struct OthersLoad {
    dests: Box<[AtomicU64]>,
    /// Raised by every publication that changed anything, when it is whole.
    version: AtomicU64,
}

impl OthersLoad {
    /// No load from others: right for a director of one worker.
    pub fn new() -> Self {
        OthersLoad {
            dests: std::iter::repeat_with(AtomicU64::default).take(MAX_DESTS).collect(),
            version: AtomicU64::new(0),
        }
    }

    /// Active and inactive conns of the other workers.
    #[inline]
    pub fn get(&self, id: DestId) -> (u32, u32) {
        let both = self.dests[id.index()].load(Relaxed);
        ((both >> 32) as u32, both as u32)
    }

    /// Says what a destination's are; whether they changed. Aggregator only.
    pub fn set(&self, id: DestId, active: u32, inactive: u32) -> bool {
        let both = u64::from(active) << 32 | u64::from(inactive);
        let place = &self.dests[id.index()];
        let changed = place.load(Relaxed) != both;
        if changed {
            place.store(both, Relaxed);
        }
        changed
    }

    /// Publishes what changed. Aggregator only.
    pub fn publish(&self) {
        // Who sees the new version sees what it is of.
        self.version.store(self.version.load(Relaxed) + 1, Release);
    }

    /// A number that changes when any of them does, once a publication: a scheduler that remembers
    /// loads compares it.
    #[inline]
    pub fn version(&self) -> u64 {
        self.version.load(Acquire)
    }
}

impl Default for OthersLoad {
    fn default() -> Self {
        OthersLoad::new()
    }
}

/// Publishes to every worker what the others carry, for the destinations in `ids`.
pub fn aggregate(
    ids: impl Iterator<Item = DestId>,
    workers: &[Arc<WorkerCounters>],
    others: &[Arc<OthersLoad>],
) {
    let mut changed = vec![false; others.len()];
    for id in ids {
        let parts = workers.iter().map(|worker| worker.dest(id));
        let active: u32 = parts.clone().map(DestCounters::active).sum();
        let inactive: u32 = parts.map(DestCounters::inactive).sum();
        for ((worker, board), changed) in workers.iter().zip(others).zip(&mut changed) {
            let own = worker.dest(id);
            *changed |= board.set(
                id,
                active.saturating_sub(own.active()),
                inactive.saturating_sub(own.inactive()),
            );
        }
    }
    others
        .iter()
        .zip(changed)
        .filter(|(_, changed)| *changed)
        .for_each(|(board, _)| board.publish());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn others_load_is_the_total_without_the_workers_own_part() {
        let workers: Vec<_> = (0..3).map(|_| Arc::new(WorkerCounters::new())).collect();
        let others: Vec<_> = (0..3).map(|_| Arc::new(OthersLoad::new())).collect();
        let dest = DestId(7);
        workers[0].dest(dest).conn_begins();
        workers[1].dest(dest).conn_begins();
        workers[1].dest(dest).conn_turns(true);

        aggregate([dest].into_iter(), &workers, &others);

        assert_eq!(others[0].get(dest), (1, 0));
        assert_eq!(others[1].get(dest), (0, 1));
        assert_eq!(others[2].get(dest), (1, 1));
    }

    #[test]
    fn a_publication_is_one_version_if_it_changes_anything() {
        let workers: Vec<_> = (0..2).map(|_| Arc::new(WorkerCounters::new())).collect();
        let others: Vec<_> = (0..2).map(|_| Arc::new(OthersLoad::new())).collect();
        let versions = |others: &[Arc<OthersLoad>]| [others[0].version(), others[1].version()];
        let publish = || aggregate([DestId(7), DestId(8)].into_iter(), &workers, &others);
        publish();
        assert_eq!(versions(&others), [0, 0]);
        workers[0].dest(DestId(7)).conn_begins();
        workers[0].dest(DestId(8)).conn_begins();
        publish();
        publish();
        assert_eq!(versions(&others), [0, 1], "one worker's own load changes nothing for it");
    }
}
