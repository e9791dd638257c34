//! Round robin (`ip_vs_rr.c`): the next in the list after the last choice.

use super::is_available;
use crate::ids::WorkerId;
use crate::service::{Dest, Service};

/// Place of the last choice; `None` is the head of the list, before the first.
#[derive(Debug, Clone, Default)]
pub struct Cursor(Option<usize>);

impl Cursor {
    pub fn new(service: &Service, worker: WorkerId) -> Self {
        match service.dests.len() {
            0 => Cursor(None),
            dests => Cursor((worker.index() % dests).checked_sub(1)),
        }
    }

    pub fn choose(&mut self, dests: &[Dest]) -> Option<usize> {
        let after = self.0.map_or(0, |last| last + 1);
        let chosen = (after..dests.len()).chain(0..after).find(|&at| is_available(&dests[at]))?;
        self.0 = Some(chosen);
        Some(chosen)
    }

    /// A cursor on a deleted destination moves to the one before it, so that the deleted one's
    /// successor is next (`ip_vs_rr_del_dest`).
    pub fn rebase(&mut self, old: &[Dest], new: &[Dest]) {
        let before = self.0.map_or(0, |last| last + 1);
        self.0 = old[..before]
            .iter()
            .rev()
            .find_map(|gone| new.iter().position(|dest| dest.id == gone.id));
    }
}
