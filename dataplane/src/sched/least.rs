//! The destination with the smallest load per share; among equals the first in the list.
//!
//! Few destinations are compared one by one. Many play a knock-out tournament whose results are
//! kept: a conn that begins or ends re-plays its destination's matches only, so 128 servers cost
//! little more than 8.

use super::{Loads, is_available};
use crate::service::Dest;
use std::cmp::Ordering;

/// Up to this many are compared one by one: a line or two of counts, less than keeping results.
const FEW: usize = 8;

/// A load and what it is divided by.
#[derive(Debug, Clone, Copy)]
pub struct Share {
    /// What the destination carries, in the scheduler's own unit.
    pub load: u64,
    /// At least 1 if the destination's weight is.
    pub by: u64,
}

/// How a scheduler compares: the share of a destination with this weight and so many active and
/// inactive conns.
pub type Measure = fn(weight: u32, active: u32, inactive: u32) -> Share;

/// A destination's place in the list and its share. None is 1/0: worse than any load.
#[derive(Debug, Clone, Copy)]
pub struct Rank {
    place: u32,
    share: Share,
}

impl Rank {
    pub const NONE: Rank = Rank { place: u32::MAX, share: Share { load: 1, by: 0 } };

    /// None if the destination is not available.
    pub fn new(place: usize, dests: &[Dest], loads: &impl Loads, measure: Measure) -> Rank {
        if !is_available(&dests[place]) {
            return Rank::NONE;
        }
        Rank::whatever_its_threshold(place, dests, loads, measure)
    }

    /// That of a destination with a weight, overloaded or not.
    pub fn whatever_its_threshold(
        place: usize,
        dests: &[Dest],
        loads: &impl Loads,
        measure: Measure,
    ) -> Rank {
        let dest = &dests[place];
        let share = measure(dest.weight, loads.active(dest.id), loads.inactive(dest.id));
        Rank { place: place as u32, share }
    }

    /// Fractions by cross multiplication. Overheads have up to 41 bits and weights 31, more in
    /// all than the kernel's 64.
    #[inline]
    fn compare(self, other: Rank) -> Ordering {
        let product = |load: u64, by: u64| u128::from(load) * u128::from(by);
        let (a, b) = (self.share, other.share);
        product(a.load, b.by).cmp(&product(b.load, a.by))
    }

    /// Whether its share is smaller, whatever the places.
    #[inline]
    pub fn is_less_than(self, other: Rank) -> bool {
        self.compare(other) == Ordering::Less
    }

    #[inline]
    fn better(self, other: Rank) -> Rank {
        match self.compare(other).then(self.place.cmp(&other.place)) {
            Ordering::Less | Ordering::Equal => self,
            Ordering::Greater => other,
        }
    }

    pub fn chosen(self) -> Option<usize> {
        (self.share.by > 0).then_some(self.place as usize)
    }
}

/// One service's tournament.
#[derive(Debug, Clone)]
pub struct Least {
    measure: Measure,
    /// Node k has the better of nodes 2k and 2k + 1; the destinations are the last half. Empty if
    /// there are few, or if any has a threshold: nobody tells when overload ends.
    nodes: Vec<Rank>,
    /// A bit by place: its load changed since its matches were played.
    stale: Vec<u64>,
    /// [`Loads::version`] when all matches were played; `None` before that.
    played: Option<u64>,
    /// Whether the director tells changes at all; until it does, every choice looks at all.
    told: bool,
}

impl Least {
    pub fn new(dests: &[Dest], measure: Measure) -> Self {
        let mut least =
            Least { measure, nodes: Vec::new(), stale: Vec::new(), played: None, told: false };
        least.rebase(dests);
        least
    }

    pub fn rebase(&mut self, dests: &[Dest]) {
        let scan = dests.len() <= FEW || dests.iter().any(|dest| dest.u_threshold != 0);
        let players = if scan { 0 } else { dests.len() };
        self.nodes.clear();
        self.nodes.resize(2 * players, Rank::NONE);
        self.stale.clear();
        self.stale.resize(players.div_ceil(64), 0);
        self.played = None;
    }

    pub fn load_changed(&mut self, place: usize) {
        self.told = true;
        if let Some(word) = self.stale.get_mut(place / 64) {
            *word |= 1 << (place % 64);
        }
    }

    pub fn choose(&mut self, dests: &[Dest], loads: &impl Loads) -> Option<usize> {
        if self.nodes.is_empty() || !self.told {
            return scan(dests, loads, self.measure);
        }
        let version = Some(loads.version());
        if self.played == version {
            self.replay_stale(dests, loads);
        } else {
            self.play_all(dests, loads);
            self.played = version;
        }
        self.nodes[1].chosen()
    }

    fn play_all(&mut self, dests: &[Dest], loads: &impl Loads) {
        self.stale.fill(0);
        for place in 0..dests.len() {
            self.nodes[dests.len() + place] = Rank::new(place, dests, loads, self.measure);
        }
        for node in (1..dests.len()).rev() {
            self.nodes[node] = self.nodes[2 * node].better(self.nodes[2 * node + 1]);
        }
    }

    fn replay_stale(&mut self, dests: &[Dest], loads: &impl Loads) {
        for word in 0..self.stale.len() {
            let mut bits = std::mem::take(&mut self.stale[word]);
            while bits != 0 {
                let place = 64 * word + bits.trailing_zeros() as usize;
                bits &= bits - 1;
                self.replay(place, Rank::new(place, dests, loads, self.measure));
            }
        }
    }

    fn replay(&mut self, place: usize, rank: Rank) {
        let mut node = self.nodes.len() / 2 + place;
        self.nodes[node] = rank;
        while node > 1 {
            node /= 2;
            let better = self.nodes[2 * node].better(self.nodes[2 * node + 1]);
            let unchanged = better.place == self.nodes[node].place;
            self.nodes[node] = better;
            if unchanged && better.place != rank.place {
                break;
            }
        }
    }
}

fn scan(dests: &[Dest], loads: &impl Loads, measure: Measure) -> Option<usize> {
    let ranks = (0..dests.len()).map(|place| Rank::new(place, dests, loads, measure));
    ranks.fold(Rank::NONE, Rank::better).chosen()
}

#[cfg(test)]
mod tests {
    use super::super::{tests::Counts, wlc};
    use super::*;
    use crate::ids::DestId;
    use crate::service::example::dest;

    /// Few different loads, so that ties are frequent.
    fn change(counts: &mut Counts, id: DestId, rng: &mut fastrand::Rng) {
        counts.0.insert(id, (rng.u32(..3), 64 * rng.u32(..3)));
    }

    #[test]
    fn the_tournament_chooses_what_comparing_all_chooses() {
        for seed in 0..100 {
            let mut rng = fastrand::Rng::with_seed(seed);
            let size = rng.u32(FEW as u32 + 1..140);
            let dests: Vec<Dest> = (0..size).map(|id| dest(id, rng.u32(..4))).collect();
            let (mut least, mut counts) = (Least::new(&dests, wlc::share), Counts::default());
            least.load_changed(0);
            for step in 0..200 {
                for _ in 0..rng.usize(..4) {
                    let place = rng.usize(..dests.len());
                    change(&mut counts, dests[place].id, &mut rng);
                    least.load_changed(place);
                }
                if rng.u8(..20) == 0 {
                    dests.iter().for_each(|dest| change(&mut counts, dest.id, &mut rng));
                    counts.1 += 1;
                }
                let want = scan(&dests, &counts, wlc::share);
                assert_eq!(least.choose(&dests, &counts), want, "seed {seed} step {step}");
            }
        }
    }

    #[test]
    fn a_director_that_tells_no_changes_is_served_by_comparing_all() {
        let dests: Vec<Dest> = (0..20).map(|id| dest(id, 1)).collect();
        let (mut least, mut counts) = (Least::new(&dests, wlc::share), Counts::default());
        for place in 0..20 {
            assert_eq!(least.choose(&dests, &counts), Some(place));
            counts.0.insert(dests[place].id, (1, 0));
        }
    }

    #[test]
    fn nothing_is_chosen_when_all_are_quiesced() {
        let dests: Vec<Dest> = (0..20).map(|id| dest(id, 0)).collect();
        let mut least = Least::new(&dests, wlc::share);
        assert_eq!(least.choose(&dests, &Counts::default()), None);
        least.load_changed(3);
        assert_eq!(least.choose(&dests, &Counts::default()), None);
    }
}
