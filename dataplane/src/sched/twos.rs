//! Power of two choices (`ip_vs_twos.c`): of two destinations drawn at random by weight, the one
//! with the smaller overhead per weight.

use super::share::Rank;
use super::wlc::Wlc;
use super::{Loads, is_available};
use crate::ids::WorkerId;
use crate::service::{Dest, Service};

/// A worker's dice for one service.
#[derive(Debug, Clone)]
pub struct Dice {
    rng: fastrand::Rng,
    /// By place, the weights up to it added up. Empty if there are thresholds: then those that are
    /// overloaded at the moment have no weight.
    sums: Vec<u64>,
    /// By a number's upper bits, the first place whose sum reaches any such number: there, or a step
    /// further, is what a search of the sums would find.
    hints: Vec<u16>,
    /// How many bits of a number a hint leaves out.
    shift: u32,
}

/// Hints a destination at least, so that most numbers take no step.
const HINTS: usize = 4;

impl Dice {
    /// The same dice for the same worker and service: a run repeats itself.
    pub fn new(service: &Service, worker: WorkerId) -> Self {
        let seed = u64::from(service.id.0) << 16 | u64::from(worker.0);
        let rng = fastrand::Rng::with_seed(seed);
        let mut dice = Dice { rng, sums: Vec::new(), hints: Vec::new(), shift: 0 };
        dice.rebase(&service.dests);
        dice
    }

    /// The destinations are these.
    pub fn rebase(&mut self, dests: &[Dest]) {
        let sum = |sum: &mut u64, dest: &Dest| {
            *sum += u64::from(dest.weight);
            Some(*sum)
        };
        self.sums.clear();
        if dests.iter().all(|dest| dest.u_threshold == 0) {
            self.sums.extend(dests.iter().scan(0, sum));
        }
        self.hint();
    }

    fn hint(&mut self) {
        let total = self.sums.last().copied().unwrap_or(0);
        let hints = (HINTS * self.sums.len().next_power_of_two()) as u64;
        self.shift = (u64::BITS - total.leading_zeros()).saturating_sub(hints.trailing_zeros());
        self.hints.clear();
        for hint in 0..=total >> self.shift {
            let least = (hint << self.shift).max(1);
            self.hints.push(self.sums.partition_point(|&sum| sum < least) as u16);
        }
    }

    pub fn choose(&mut self, dests: &[Dest], loads: &impl Loads) -> Option<usize> {
        let first = self.draw(dests)?;
        let second = self.draw(dests)?;
        let rank = |place| Rank::new::<Wlc>(place, dests, loads);
        // The kernel keeps its first choice among equals, wherever the second stands.
        if rank(second).is_less_than(rank(first)) { Some(second) } else { Some(first) }
    }

    /// One destination by weight. The kernel draws from 0 to the sum of all weights, both included,
    /// which favours the first in the list by one part.
    #[inline]
    fn draw(&mut self, dests: &[Dest]) -> Option<usize> {
        let Some(&total) = self.sums.last() else { return self.draw_available(dests) };
        if total == 0 {
            return None;
        }
        let drawn = self.rng.u64(0..=total).max(1);
        let hint = usize::from(self.hints[(drawn >> self.shift) as usize]);
        let steps = self.sums[hint..].iter().take_while(|&&sum| sum < drawn).count();
        Some(hint + steps)
    }

    /// The same where some may be overloaded.
    fn draw_available(&mut self, dests: &[Dest]) -> Option<usize> {
        let available = || dests.iter().enumerate().filter(|(_, dest)| is_available(dest));
        let total: u64 = available().map(|(_, dest)| u64::from(dest.weight)).sum();
        if total == 0 {
            return None;
        }
        let mut left = self.rng.u64(0..=total);
        for (place, dest) in available() {
            left = left.saturating_sub(dest.weight.into());
            if left == 0 {
                return Some(place);
            }
        }
        // Others' overload ended or began since the weights were added up.
        available().next_back().map(|(place, _)| place)
    }
}

#[cfg(test)]
mod tests {
    use super::super::SchedulerKind;
    use super::super::tests::{Counts, of_kind, overload, with_thresholds};
    use super::*;
    use crate::ids::DestId;

    /// `ip_vs_twos.c` with both draws in one walk.
    fn literally(dests: &[Dest], loads: &Counts, mut drawn: [i64; 2]) -> Option<usize> {
        let (mut chosen, mut last) = ([None; 2], None);
        for (place, dest) in dests.iter().enumerate() {
            if dest.weight == 0 || dest.is_overloaded() {
                continue;
            }
            last = Some(place);
            for (left, choice) in drawn.iter_mut().zip(&mut chosen) {
                *left -= i64::from(dest.weight);
                if *left <= 0 && choice.is_none() {
                    *choice = Some(place);
                }
            }
        }
        let load = |place: usize| {
            let id = dests[place].id;
            super::super::overhead(loads.active(id), loads.inactive(id))
        };
        let weight = |place: usize| u64::from(dests[place].weight);
        match (chosen[0].or(last)?, chosen[1]) {
            (a, Some(b)) if weight(b) * load(a) > weight(a) * load(b) => Some(b),
            (a, _) => Some(a),
        }
    }

    #[test]
    fn of_two_drawn_by_weight_the_less_loaded_is_chosen_as_in_the_kernels_walk() {
        for seed in 0..500 {
            let mut rng = fastrand::Rng::with_seed(seed);
            let heaviest = [4, 1000][rng.usize(..2)];
            let weights: Vec<u32> = (0..rng.usize(..9)).map(|_| rng.u32(..heaviest)).collect();
            let mut service = of_kind(SchedulerKind::Twos, &weights);
            if rng.bool() {
                service = with_thresholds(service);
                overload(&service, &mut rng, 5);
            }
            let loads = (1..9).map(|id| (DestId(id), (rng.u32(..3), rng.u32(..600)))).collect();
            let loads = Counts(loads, 0);
            let available = service.dests.iter().filter(|dest| is_available(dest));
            let total: u64 = available.map(|dest| u64::from(dest.weight)).sum();
            let mut dice = Dice::new(&service, WorkerId(3));
            for _ in 0..50 {
                let mut same = dice.rng.clone();
                let drawn = [0; 2].map(|_| same.u64(0..=total) as i64);
                let want = literally(&service.dests, &loads, drawn);
                assert_eq!(dice.choose(&service.dests, &loads), want, "seed {seed} {weights:?}");
            }
        }
    }

    #[test]
    fn idle_servers_get_shares_by_weight_and_each_worker_throws_its_own_dice() {
        let service = of_kind(SchedulerKind::Twos, &[1, 3]);
        let throw = |worker| {
            let mut dice = Dice::new(&service, WorkerId(worker));
            let picks = (0..4000).map(|_| dice.choose(&service.dests, &Counts::default()));
            picks.collect::<Option<Vec<usize>>>().unwrap()
        };
        let heavy = throw(0).iter().sum::<usize>();
        // The first draw decides among equals: 2 of 5 for the first in the list.
        assert!((2200..2600).contains(&heavy), "{heavy}");
        assert_eq!(throw(1), throw(1));
        assert_ne!(throw(0), throw(1));
    }
}
