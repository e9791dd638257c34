//! Which bytes of a datagram have arrived.

use super::{Fragment, Refusal};
use crate::limits::FRAGMENT_RUNS;
use arrayvec::ArrayVec;

/// Bytes that arrived without a gap: from, and to but not with.
type Run = (u16, u16);

/// The runs of bytes of one datagram that have arrived, ascending, none touching the next, and
/// where the datagram ends.
#[derive(Debug, Clone, Default)]
pub(super) struct Seen {
    runs: ArrayVec<Run, FRAGMENT_RUNS>,
    total: Option<u16>,
}

impl Seen {
    /// Takes account of a fragment without fault of its own, or says why it does not fit what came
    /// before (`ip_frag_queue`, `inet_frag_queue_insert`); then nothing changed.
    pub(super) fn add(&mut self, fragment: &Fragment) -> Result<(), Refusal> {
        let (start, end) = (fragment.start, fragment.end() as u16);
        if !self.agrees(end, fragment.more) {
            return Err(Refusal::BadEnd);
        }
        self.insert(start, end)?;
        if !fragment.more {
            self.total = Some(end);
        }
        Ok(())
    }

    /// Whether every byte has arrived.
    pub(super) fn is_complete(&self) -> bool {
        match (self.total, self.runs.as_slice()) {
            (Some(total), [run]) => *run == (0, total),
            _ => false,
        }
    }

    /// Whether a fragment that ends at `end` leaves the datagram's end where it is known to be.
    fn agrees(&self, end: u16, more: bool) -> bool {
        let furthest = self.runs.last().map_or(0, |run| run.1);
        match self.total {
            Some(total) if more => end <= total,
            Some(total) => end == total,
            None => more || end >= furthest,
        }
    }

    fn insert(&mut self, start: u16, end: u16) -> Result<(), Refusal> {
        let place = self.runs.partition_point(|run| run.1 <= start);
        if let Some(run) = self.runs.get(place).filter(|run| run.0 < end) {
            let contained = run.0 <= start && end <= run.1;
            return Err(if contained { Refusal::Duplicate } else { Refusal::Overlap });
        }
        let after = self.runs.get(place).is_some_and(|run| run.0 == end);
        let before = place > 0 && self.runs[place - 1].1 == start;
        match (before, after) {
            (true, true) => self.runs[place - 1].1 = self.runs.remove(place).1,
            (true, false) => self.runs[place - 1].1 = end,
            (false, true) => self.runs[place].0 = start,
            (false, false) if self.runs.is_full() => return Err(Refusal::TooMany),
            (false, false) => self.runs.insert(place, (start, end)),
        }
        Ok(())
    }
}
