//! Loads per share: how the least-connection schedulers compare destinations, exactly and fast.

use super::{Loads, is_available};
use crate::service::Dest;
use std::cmp::Ordering;

/// A load and what it is divided by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// What the destination carries, in the scheduler's own unit: 41 bits.
    pub load: u64,
    /// At least 1 if the destination's weight is: 31 bits. 0 is worse than any load.
    pub by: u64,
}

impl Share {
    /// Of a destination that is not to be chosen.
    pub const NONE: Share = Share { load: 1, by: 0 };

    /// Fractions by cross multiplication. Overheads have up to 41 bits and weights 31, more in
    /// all than the kernel's 64.
    #[inline]
    fn compare(self, other: Share) -> Ordering {
        let product = |load: u64, by: u64| u128::from(load) * u128::from(by);
        product(self.load, other.by).cmp(&product(other.load, self.by))
    }

    /// The quotient's nearest double, whose bits as a number keep the order of shares: what is
    /// equal has equal bits, and what is less has no greater ones.
    #[inline]
    pub fn bits(self) -> u64 {
        // Signed numbers are the processor's own conversion.
        (self.load as i64 as f64 / self.by as i64 as f64).to_bits()
    }
}

/// How a scheduler compares.
pub trait Measure {
    /// The share of a destination with this weight, not 0, and so many active and inactive conns.
    fn share(weight: u32, active: u32, inactive: u32) -> Share;
}

/// A destination's place in the list and its share.
#[derive(Debug, Clone, Copy)]
pub struct Rank {
    place: usize,
    share: Share,
}

impl Rank {
    const NONE: Rank = Rank { place: usize::MAX, share: Share::NONE };

    /// None if the destination is not available.
    #[inline]
    pub fn new<M: Measure>(place: usize, dests: &[Dest], loads: &impl Loads) -> Rank {
        if !is_available(&dests[place]) {
            return Rank::NONE;
        }
        Rank::whatever_its_threshold::<M>(place, dests, loads)
    }

    /// That of a destination with a weight, overloaded or not.
    #[inline]
    pub fn whatever_its_threshold<M: Measure>(
        place: usize,
        dests: &[Dest],
        loads: &impl Loads,
    ) -> Rank {
        let dest = &dests[place];
        let share = M::share(dest.weight, loads.active(dest.id), loads.inactive(dest.id));
        Rank { place, share }
    }

    /// Whether its share is smaller, whatever the places.
    #[inline]
    pub fn is_less_than(self, other: Rank) -> bool {
        self.share.compare(other.share) == Ordering::Less
    }

    /// The place of the smallest share; among equals the first.
    pub fn least(ranks: impl Iterator<Item = Rank>) -> Option<usize> {
        let less = |least: Rank, rank: Rank| if rank.is_less_than(least) { rank } else { least };
        let least = ranks.fold(Rank::NONE, less);
        (least.share.by > 0).then_some(least.place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_in_the_order_of_shares() {
        let mut rng = fastrand::Rng::with_seed(1);
        let mut share = || Share {
            load: rng.u64(..1 << 41) >> rng.u32(..41),
            by: (rng.u64(1..1 << 31) >> rng.u32(..31)).max(1),
        };
        for _ in 0..200_000 {
            let (a, b) = (share(), share());
            match a.compare(b) {
                Ordering::Less => assert!(a.bits() <= b.bits(), "{a:?} {b:?}"),
                Ordering::Equal => assert_eq!(a.bits(), b.bits(), "{a:?} {b:?}"),
                Ordering::Greater => assert!(a.bits() >= b.bits(), "{a:?} {b:?}"),
            }
            let scaled = Share { load: a.load * 3, by: a.by * 3 };
            assert_eq!(a.bits(), scaled.bits(), "{a:?}");
        }
    }
}
