//! A service's destinations as lblc and lblcr compare them: as wlc does, and who has little to do.

use super::Loads;
use super::changes::Changes;
use super::least::{Least, Seat};
use super::places::Places;
use super::wlc::Wlc;
use crate::service::Dest;

/// One worker's view of them.
#[derive(Debug, Clone)]
pub struct Crowd {
    least: Least<Wlc>,
    /// Those with less active conns than half their weight.
    half_idle: Places,
}

impl Crowd {
    pub fn new(dests: &[Dest]) -> Self {
        let mut crowd = Crowd { least: Least::new(dests), half_idle: Places::default() };
        crowd.half_idle.reset(dests.len());
        crowd
    }

    /// See [`Least::rebase`].
    pub fn rebase(&mut self, dests: &[Dest]) {
        self.least.rebase(dests);
        self.half_idle.reset(dests.len());
    }

    /// Looks at what changed since the last time.
    pub fn update(&mut self, changes: &mut Changes, dests: &[Dest], loads: &impl Loads) {
        let half_idle = &mut self.half_idle;
        self.least.update(changes, dests, loads, |place, weight, active| {
            half_idle.set(place, 2 * u64::from(active) < u64::from(weight));
        });
    }

    /// wlc's choice by what was last looked at.
    pub fn chosen(&mut self, dests: &[Dest], loads: &impl Loads) -> Option<usize> {
        self.least.chosen(dests, loads)
    }

    /// The destinations, in the list's order.
    pub fn seats(&self) -> &[Seat] {
        self.least.seats()
    }

    /// See [`Least::member_key`].
    #[inline]
    pub fn member_key(&self, place: usize, number: usize) -> u64 {
        self.least.member_key(place, number)
    }

    /// See [`Least::clear_member`].
    #[inline]
    pub fn clear_member(&self, key: u64) -> Option<usize> {
        self.least.clear_member(key)
    }

    /// Whether a remembered destination may be used again: available, and not so loaded that another
    /// had better be (`is_overloaded` of `ip_vs_lblc.c` and `ip_vs_lblcr.c`): with more active conns
    /// than its weight while some other has less than half of its.
    ///
    /// lblc of the kernel looks at no upper threshold here. As it is a hard limit to us, a destination
    /// that has reached it would be refused, so another is chosen.
    pub fn is_welcome(&self, place: usize, dests: &[Dest], loads: &impl Loads) -> bool {
        let dest = &dests[place];
        let is_crowded = loads.active(dest.id) > dest.weight && !self.half_idle.is_empty();
        super::is_available(dest) && !is_crowded
    }
}
