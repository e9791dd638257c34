//! The cache does what an array of bytes a datagram and a list of packets do.

use super::*;
use crate::limits::FRAGMENT_RUNS;
use crate::testing::Rng;
use std::collections::HashMap;

/// A datagram as the model knows it: each byte, and each packet.
struct Known {
    since: Tick,
    arrived: Vec<bool>,
    last_end: Option<usize>,
    state: State<u32>,
    held: Vec<u32>,
}

#[derive(Default)]
struct Model {
    datagrams: HashMap<Datagram, Known>,
    timed_out: u64,
    condemned: u64,
}

impl Known {
    fn new(since: Tick) -> Known {
        let arrived = vec![false; 65_536];
        Known { since, arrived, last_end: None, state: State::Waiting, held: vec![] }
    }

    fn is_over(&self, now: Tick) -> bool {
        let waiting = matches!(self.state, State::Waiting);
        now.since(self.since) >= if waiting { 16 } else { 480 }
    }

    fn fault(&self, fragment: &Fragment) -> Option<Refusal> {
        let (start, end) =
            (usize::from(fragment.start), usize::from(fragment.start) + usize::from(fragment.len));
        let furthest = self.arrived.iter().rposition(|&byte| byte).map_or(0, |place| place + 1);
        if fragment.len == 0 || fragment.more && fragment.len % 8 > 0 {
            return Some(Refusal::BadLength);
        }
        let beyond = self.last_end.is_some_and(|last| end > last);
        let other_end = self.last_end.is_some_and(|last| end != last) || end < furthest;
        if if fragment.more { beyond } else { other_end } {
            return Some(Refusal::BadEnd);
        }
        let there = self.arrived[start..end].iter().filter(|&&byte| byte).count();
        match there {
            0 => self.is_too_many(start, end).then_some(Refusal::TooMany),
            _ if there == end - start => Some(Refusal::Duplicate),
            _ => Some(Refusal::Overlap),
        }
    }

    fn is_too_many(&self, start: usize, end: usize) -> bool {
        let mut arrived = self.arrived.clone();
        arrived[start..end].fill(true);
        let begins = |at: &usize| arrived[*at] && (*at == 0 || !arrived[at - 1]);
        (0..arrived.len()).filter(begins).count() > FRAGMENT_RUNS
    }

    fn is_complete(&self) -> bool {
        self.last_end.is_some_and(|end| self.arrived[..end].iter().all(|&byte| byte))
    }
}

impl Model {
    fn take(&mut self, fragment: &Fragment, number: u32, now: Tick) -> Taken<u32, u32> {
        if fragment.start == 0 && !fragment.more {
            return Taken::Whole(number);
        }
        if self.datagrams.get(&fragment.datagram).is_some_and(|known| known.is_over(now)) {
            self.timed_out += self.datagrams.remove(&fragment.datagram).unwrap().held.len() as u64;
        }
        let known = self.datagrams.entry(fragment.datagram).or_insert_with(|| Known::new(now));
        if let State::Condemned(why) = known.state {
            return Taken::Refused(number, why);
        }
        if let Some(why) = known.fault(fragment) {
            if why != Refusal::Duplicate {
                known.state = State::Condemned(why);
                self.condemned += known.held.drain(..).count() as u64;
            }
            return Taken::Refused(number, why);
        }
        let start = usize::from(fragment.start);
        known.arrived[start..start + usize::from(fragment.len)].fill(true);
        if !fragment.more {
            known.last_end = Some(start + usize::from(fragment.len));
        }
        match known.state {
            State::Known(context) => {
                if known.is_complete() {
                    self.datagrams.remove(&fragment.datagram);
                }
                Taken::Later(number, context)
            }
            _ if start == 0 => Taken::First(number),
            _ => {
                known.held.push(number);
                Taken::Held
            }
        }
    }

    fn learn(&mut self, datagram: &Datagram, context: u32) -> Vec<u32> {
        let known = self.datagrams.get_mut(datagram).expect("its first fragment was taken");
        known.state = State::Known(context);
        let held = std::mem::take(&mut known.held);
        if known.is_complete() {
            self.datagrams.remove(datagram);
        }
        held
    }

    fn expire(&mut self, now: Tick) {
        for known in self.datagrams.values_mut().filter(|known| known.is_over(now)) {
            self.timed_out += known.held.drain(..).count() as u64;
        }
    }

    fn held(&self) -> usize {
        self.datagrams.values().map(|known| known.held.len()).sum()
    }
}

/// The fragments of a datagram of some size, in a network that reorders, doubles and loses some and
/// sometimes spoils one.
fn datagram(rng: &mut Rng, id: u32) -> Vec<Fragment> {
    let (total, size) = (9 + rng.below(900) as u16, 8 + 8 * rng.below(20) as u16);
    let mut pieces: Vec<_> = (0..total)
        .step_by(size.into())
        .map(|start| piece(id, start, size.min(total - start), start + size < total))
        .collect();
    match rng.below(3) {
        0 => {}
        1 => pieces.reverse(),
        _ => (0..pieces.len()).for_each(|at| {
            let other = rng.below(pieces.len());
            pieces.swap(at, other);
        }),
    }
    if rng.one_in(4) {
        let copy = pieces[rng.below(pieces.len())];
        pieces.insert(rng.below(pieces.len()), copy);
    }
    if rng.one_in(4) {
        pieces.remove(rng.below(pieces.len()));
    }
    if rng.one_in(4) && !pieces.is_empty() {
        let at = rng.below(pieces.len());
        let spoilt = &mut pieces[at];
        match rng.below(4) {
            0 => spoilt.len += [1, 7, 8, 16][rng.below(4)],
            1 => spoilt.start += 8,
            2 => spoilt.more = !spoilt.more,
            _ => spoilt.len -= 8.min(spoilt.len),
        }
    }
    pieces
}

#[test]
fn the_cache_does_what_the_model_does() {
    let mut met = [0; 5];
    for seed in 0..12 {
        let (mut rng, mut cache, mut model) = (Rng::new(seed), cache(), Model::default());
        let mut ways: Vec<Vec<Fragment>> = vec![vec![]; 6];
        let mut now = Tick(u32::MAX - 2000);
        for number in 0..2500 {
            now = now.after([0, 0, 0, 1, 1, 40][rng.below(6)] / (1 + rng.below(3) as u32));
            let (at, id) = (rng.below(6), rng.below(4) as u32);
            if ways[at].is_empty() {
                ways[at] = datagram(&mut rng, id);
                continue;
            }
            let fragment = ways[at].remove(0);
            let taken = cache.take(&fragment, number, now);
            assert_eq!(taken, model.take(&fragment, number, now), "seed {seed}: {fragment:?}");
            met[kind(&taken)] += 1;
            if let Taken::First(_) = taken {
                let mut released = vec![];
                cache.learn(&fragment.datagram, number, &mut released);
                assert_eq!(released, model.learn(&fragment.datagram, number), "seed {seed}");
            }
            if rng.one_in(3) {
                cache.expire(now, usize::MAX);
                model.expire(now);
            }
            assert_eq!(cache.held(), model.held(), "seed {seed}, packet {number}");
        }
        let drops = dropped(&mut cache);
        let timed_out = |reason| reason == DropReason::FragmentTimeout;
        let count = |wanted: bool| -> u64 {
            drops.iter().filter(|drop| timed_out(drop.0) == wanted).map(|drop| drop.1).sum()
        };
        assert_eq!((count(true), count(false)), (model.timed_out, model.condemned));
        assert!(model.timed_out > 0 && model.condemned > 0, "seed {seed} meets both");
    }
    assert!(met.iter().all(|&count| count > 100), "all ways were gone: {met:?}");
}

fn kind(taken: &Taken<u32, u32>) -> usize {
    match taken {
        Taken::Whole(_) => 0,
        Taken::First(_) => 1,
        Taken::Later(..) => 2,
        Taken::Held => 3,
        Taken::Refused(..) => 4,
    }
}
