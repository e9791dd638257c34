//! Which destinations' conns changed since a scheduler last looked at them.

use super::places::Places;

/// Changes of one worker's conns, and of what it knows of the others'.
#[derive(Debug, Clone, Default)]
pub struct Changes {
    /// Empty if the scheduler does not ask.
    places: Places,
    /// Changes told since the last review.
    count: usize,
    /// [`super::Loads::version`] when all was looked at; `None` before that.
    seen: Option<u64>,
    /// Whether the director tells changes at all; until it does, all may have changed.
    told: bool,
}

/// What is to be looked at again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Review {
    /// Everything.
    All,
    /// So many places at most.
    Some(usize),
}

impl Changes {
    /// All of so many destinations are to be looked at, or none if there are none.
    pub fn reset(&mut self, places: usize) {
        self.places.reset(places);
        self.seen = None;
    }

    /// A destination's conns changed.
    #[inline]
    pub fn note(&mut self, place: usize) {
        if self.places.insert(place) {
            self.told = true;
            self.count += 1;
        }
    }

    /// What changed since the last review. If it is everything, nothing is left to be taken.
    #[inline]
    pub fn review(&mut self, version: u64) -> Review {
        let count = std::mem::take(&mut self.count);
        if self.seen == Some(version) && self.told {
            return Review::Some(count);
        }
        self.seen = Some(version);
        self.places.clear();
        Review::All
    }

    /// Takes the places that changed.
    #[inline]
    pub fn take(&mut self, each: impl FnMut(usize)) {
        self.places.drain(each);
    }
}
