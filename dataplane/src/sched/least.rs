//! The destination with the smallest load per share; among equals the first in the list.
//!
//! Each has a key, a number in the order of shares and then of places, and the keys play a
//! tournament. Only what changed since the last choice is read and played again.

use super::Loads;
use super::changes::{Changes, Review};
use super::places::Places;
use super::share::{Measure, Rank, Share};
use super::tournament::Tournament;
use crate::ids::DestId;
use crate::service::Dest;
use std::marker::PhantomData;

/// What is needed of a destination to look at its load, without the lines of the destination.
#[derive(Debug, Clone, Copy)]
pub struct Seat {
    pub id: DestId,
    /// 0 is quiesced.
    pub weight: u32,
    /// Whether it has an upper threshold.
    is_limited: bool,
}

impl Seat {
    pub fn of(dest: &Dest) -> Self {
        Seat { id: dest.id, weight: dest.weight, is_limited: dest.u_threshold != 0 }
    }
}

/// One service's destinations, as one worker compares them.
#[derive(Debug, Clone)]
pub struct Least<M> {
    seats: Vec<Seat>,
    keys: Tournament,
    /// The low bits of a key, which are the place.
    place_mask: u64,
    /// From this key on, those that differ in the place alone may differ in their shares, too.
    doubtful: u64,
    /// Out of the tournament because they are overloaded, which may end at any time.
    overloaded: Places,
    measure: PhantomData<M>,
}

impl<M: Measure> Least<M> {
    pub fn new(dests: &[Dest]) -> Self {
        let mut least = Least {
            seats: Vec::new(),
            keys: Tournament::default(),
            place_mask: 0,
            doubtful: 0,
            overloaded: Places::default(),
            measure: PhantomData,
        };
        least.rebase(dests);
        least
    }

    /// The destinations are these. All are to be looked at, which [`Changes`] says.
    pub fn rebase(&mut self, dests: &[Dest]) {
        self.seats.clear();
        self.seats.extend(dests.iter().map(Seat::of));
        self.keys.reset(dests.len());
        self.overloaded.reset(dests.len());
        self.place_mask = dests.len().next_power_of_two() as u64 - 1;
        let heaviest = self.seats.iter().map(|seat| seat.weight).max().unwrap_or(0);
        self.doubtful = doubtful(self.place_mask, M::share(heaviest.max(1), 1, 0).by);
    }

    /// The destinations, in the list's order.
    pub fn seats(&self) -> &[Seat] {
        &self.seats
    }

    pub fn choose(
        &mut self,
        changes: &mut Changes,
        dests: &[Dest],
        loads: &impl Loads,
    ) -> Option<usize> {
        self.update(changes, dests, loads, |_, _, _| {});
        self.chosen(dests, loads)
    }

    /// Looks at what changed since the last time, and at whose overload ended; tells `each` of what
    /// changed its place, weight and active conns.
    #[inline]
    pub fn update(
        &mut self,
        changes: &mut Changes,
        dests: &[Dest],
        loads: &impl Loads,
        mut each: impl FnMut(usize, u32, u32),
    ) {
        match changes.review(loads.version()) {
            Review::Some(count) if count <= 2 + dests.len() / 8 => changes.take(|place| {
                let key = self.key(place, dests, loads, &mut each);
                self.keys.replay(place, key);
            }),
            Review::Some(_) => {
                changes.take(|place| self.enter(place, dests, loads, &mut each));
                self.keys.play();
            }
            Review::All => {
                (0..dests.len()).for_each(|place| self.enter(place, dests, loads, &mut each));
                self.keys.play();
            }
        }
        if !self.overloaded.is_empty() {
            self.readmit(dests, loads);
        }
    }

    /// The choice by what was last looked at, but for who has become overloaded since.
    #[inline]
    pub fn chosen(&mut self, dests: &[Dest], loads: &impl Loads) -> Option<usize> {
        loop {
            let place = self.least(dests, loads)?;
            if !(self.seats[place].is_limited && dests[place].is_overloaded()) {
                return Some(place);
            }
            self.overloaded.insert(place);
            self.keys.replay(place, Tournament::NONE);
        }
    }

    /// A place's key as that of a member of a set, by its number there, which is below the number of
    /// destinations: among equals the first member has the smallest.
    #[inline]
    pub fn member_key(&self, place: usize, number: usize) -> u64 {
        match self.keys.key(place) {
            Tournament::NONE => Tournament::NONE,
            key => key & !self.place_mask | number as u64,
        }
    }

    /// The number of the member whose key is the smallest; `None` if it takes a closer look to say
    /// whether it is, or none is in the tournament.
    #[inline]
    pub fn clear_member(&self, key: u64) -> Option<usize> {
        (key < self.doubtful).then_some((key & self.place_mask) as usize)
    }

    fn least(&self, dests: &[Dest], loads: &impl Loads) -> Option<usize> {
        let key = self.keys.least();
        if key < self.doubtful {
            return Some((key & self.place_mask) as usize);
        }
        if key == Tournament::NONE {
            return None;
        }
        let candidates = self.keys.up_to(key | self.place_mask);
        let rank = |place| Rank::whatever_its_threshold::<M>(place, dests, loads);
        Rank::least(candidates.map(rank))
    }

    /// Puts those back whose overload ended.
    #[cold]
    fn readmit(&mut self, dests: &[Dest], loads: &impl Loads) {
        let mut from = 0;
        while let Some(place) = self.overloaded.next(from) {
            from = place + 1;
            if !dests[place].is_overloaded() {
                let key = self.key(place, dests, loads, &mut |_, _, _| {});
                self.keys.replay(place, key);
            }
        }
    }

    fn enter(
        &mut self,
        place: usize,
        dests: &[Dest],
        loads: &impl Loads,
        each: &mut impl FnMut(usize, u32, u32),
    ) {
        let key = self.key(place, dests, loads, each);
        self.keys.enter(place, key);
    }

    /// A place's key at this moment.
    #[inline]
    fn key(
        &mut self,
        place: usize,
        dests: &[Dest],
        loads: &impl Loads,
        each: &mut impl FnMut(usize, u32, u32),
    ) -> u64 {
        let Seat { id, weight, is_limited } = self.seats[place];
        let active = loads.active(id);
        each(place, weight, active);
        if is_limited {
            let is_overloaded = dests[place].is_overloaded();
            self.overloaded.set(place, is_overloaded);
            if is_overloaded {
                return Tournament::NONE;
            }
        }
        if weight == 0 {
            return Tournament::NONE;
        }
        match M::share(weight, active, loads.inactive(id)) {
            Share { by: 0, .. } => Tournament::NONE,
            share => share.bits() & !self.place_mask | place as u64,
        }
    }
}

/// The least key that may hide a difference of shares behind its place, if those are divided by up
/// to `by`. Two that differ do so by 1 / by² at least; a double has 52 bits behind the first, of
/// which a key loses those of the place, and rounding costs one.
fn doubtful(place_mask: u64, by: u64) -> u64 {
    let by = by as f64;
    ((1_u64 << 51) as f64 / (place_mask + 1) as f64 / (by * by)).to_bits()
}

#[cfg(test)]
mod tests {
    use super::super::tests::Counts;
    use super::super::{lc::Lc, nq::Nq, ovf::Ovf, sed::Sed, wlc::Wlc};
    use super::*;
    use crate::service::example::dest;
    use std::sync::atomic::Ordering::Relaxed;

    /// What counts and weights of a story are drawn from.
    type Draw = fn(&mut fastrand::Rng) -> u32;

    /// Few different ones, so that ties are frequent, and 0 among them.
    const FEW: Draw = |rng| rng.u32(..4);
    /// So large that shares differ by less than keys can say.
    const LARGE: Draw = |rng| i32::MAX as u32 - rng.u32(..3);

    struct Story<M> {
        dests: Vec<Dest>,
        counts: Counts,
        least: Least<M>,
        changes: Changes,
        draw: Draw,
        rng: fastrand::Rng,
    }

    impl<M: Measure> Story<M> {
        fn new(draw: Draw, seed: u64) -> Self {
            let mut rng = fastrand::Rng::with_seed(seed);
            let limits = rng.u8(..3);
            let dests: Vec<Dest> = (0..rng.u32(..140))
                .map(|id| Dest {
                    u_threshold: u32::from(rng.u8(..3) < limits),
                    ..dest(id, draw(&mut rng))
                })
                .collect();
            let (least, mut changes) = (Least::new(&dests), Changes::default());
            changes.reset(dests.len());
            Story { dests, counts: Counts::default(), least, changes, draw, rng }
        }

        /// Another load, which the scheduler is told of, and another flag, which it is not.
        fn change(&mut self) {
            let place = self.rng.usize(..self.dests.len());
            let counts = ((self.draw)(&mut self.rng), 64 * self.rng.u32(..3));
            self.counts.0.insert(self.dests[place].id, counts);
            self.changes.note(place);
            let flagged = &self.dests[self.rng.usize(..self.dests.len())];
            flagged.shared.overloaded.store(self.rng.u8(..3) > 0, Relaxed);
        }

        fn others_change(&mut self) {
            for dest in &self.dests {
                let counts = ((self.draw)(&mut self.rng), self.rng.u32(..3));
                self.counts.0.insert(dest.id, counts);
            }
            self.counts.1 += 1;
        }

        /// What comparing all chooses.
        fn want(&self) -> Option<usize> {
            let rank = |place| Rank::new::<M>(place, &self.dests, &self.counts);
            Rank::least((0..self.dests.len()).map(rank))
        }

        fn run(&mut self) {
            for step in 0..100 {
                let changes = [0, 1, 2, 3, 40][self.rng.usize(..5)];
                (0..changes.min(40 * self.dests.len())).for_each(|_| self.change());
                if self.rng.u8(..20) == 0 {
                    self.others_change();
                }
                let Story { dests, counts, least, changes, .. } = self;
                let got = least.choose(changes, dests, counts);
                assert_eq!(got, self.want(), "step {step} of {} servers", self.dests.len());
            }
        }
    }

    fn stories<M: Measure>() {
        for seed in 0..150 {
            Story::<M>::new(FEW, seed).run();
            Story::<M>::new(LARGE, seed).run();
        }
    }

    #[test]
    fn the_tournament_chooses_what_comparing_all_chooses() {
        stories::<Lc>();
        stories::<Wlc>();
        stories::<Sed>();
        stories::<Nq>();
        stories::<Ovf>();
    }

    #[test]
    fn the_least_of_a_set_is_what_comparing_them_gives_or_takes_a_closer_look() {
        let mut clear = 0;
        for (seed, draw) in (0..200).zip([FEW, LARGE].into_iter().cycle()) {
            let mut story = Story::<Wlc>::new(draw, seed);
            story.dests.iter_mut().for_each(|dest| dest.u_threshold = 0);
            story.others_change();
            story.run();
            let Story { dests, counts, least, rng, .. } = &mut story;
            let mut places: Vec<usize> = (0..dests.len()).collect();
            rng.shuffle(&mut places);
            places.truncate(rng.usize(..17));
            let key = |(number, &place)| least.member_key(place, number);
            let key = places.iter().enumerate().map(key).min();
            if let Some(number) = key.and_then(|key| least.clear_member(key)) {
                let rank = |&place: &usize| Rank::new::<Wlc>(place, dests, counts);
                let want = Rank::least(places.iter().map(rank));
                assert_eq!(Some(places[number]), want, "seed {seed}");
                clear += 1;
            }
        }
        assert!(clear > 80, "{clear}: seldom clear");
    }

    #[test]
    fn a_director_that_tells_no_changes_is_served_by_looking_at_all() {
        let dests: Vec<Dest> = (0..20).map(|id| dest(id, 1)).collect();
        let (mut least, mut counts) = (Least::<Wlc>::new(&dests), Counts::default());
        for place in 0..20 {
            let chosen = least.choose(&mut Changes::default(), &dests, &counts);
            assert_eq!(chosen, Some(place));
            counts.0.insert(dests[place].id, (1, 0));
        }
    }

    #[test]
    fn shares_that_keys_can_tell_apart_are_not_looked_at_again() {
        // 128 servers of weight 4: 40 bits and more for the load.
        assert!(Share { load: 1 << 39, by: 1 }.bits() < doubtful(127, 4));
        assert!(Share { load: 1 << 41, by: 1 }.bits() >= doubtful(127, 4));
    }
}
