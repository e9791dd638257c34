//! Locality-based least connections with replication (`ip_vs_lblcr.c`): as lblc with a set of
//! destinations an address, of which the least loaded is chosen. The set grows when that one is
//! overloaded while others idle, and loses its most loaded member when it has not changed for long.

use super::least::{Least, Rank};
use super::locality::{Locality, Near, age, is_welcome};
use super::{Asked, Loads, wlc};
use crate::limits::LOCALITY_SET;
use crate::service::{Dest, Service};
use crate::time::Tick;
use arrayvec::ArrayVec;

pub fn choose(
    least: &mut Least,
    service: &Service,
    asked: &Asked,
    loads: &impl Loads,
) -> Option<usize> {
    let (dests, Asked { address, now, .. }) = (&service.dests, *asked);
    let expiration = service.locality_expiration;
    let Some(Locality::Lblcr(map)) = service.locality.as_deref() else {
        return least.choose(dests, loads);
    };
    let Some(mut bucket) = map.lock(address) else { return least.choose(dests, loads) };
    let Some(set) = bucket.find(address, now, expiration) else {
        let chosen = least.choose(dests, loads)?;
        let mut set = Set { members: ArrayVec::new(), changed: now };
        set.add(chosen, dests, now);
        bucket.insert(address, set, now);
        return Some(chosen);
    };
    let near = set.least(dests, loads);
    if age(now, set.changed) > expiration {
        set.shrink(dests, loads, now);
    }
    if let Some(near) = near.filter(|&place| is_welcome(place, dests, loads)) {
        return Some(near);
    }
    let chosen = least.choose(dests, loads)?;
    set.add(chosen, dests, now);
    Some(chosen)
}

/// The destinations of one address, the last added first.
#[derive(Debug, Clone)]
pub struct Set {
    members: ArrayVec<Near, LOCALITY_SET>,
    /// When one was last added or taken out.
    changed: Tick,
}

impl Set {
    /// Adds a destination that is not a member yet; a full set loses the one added first.
    fn add(&mut self, place: usize, dests: &[Dest], now: Tick) {
        if self.members.iter().any(|member| member.is(&dests[place])) {
            return;
        }
        if self.members.is_full() {
            self.members.pop();
        }
        self.members.insert(0, Near::new(place, dests));
        self.changed = now;
    }

    /// The least loaded member that is available; among equals the first.
    fn least(&mut self, dests: &[Dest], loads: &impl Loads) -> Option<usize> {
        let places = self.members.iter_mut().filter_map(|member| member.find(dests));
        let ranks = places.map(|place| Rank::new(place, dests, loads, wlc::share));
        let less = |least: Rank, rank: Rank| if rank.is_less_than(least) { rank } else { least };
        ranks.fold(Rank::NONE, less).chosen()
    }

    /// Takes out the most loaded member that is not quiesced, if there are several. A removed one goes
    /// first: nobody counts its load any more.
    fn shrink(&mut self, dests: &[Dest], loads: &impl Loads, now: Tick) {
        if self.members.len() < 2 {
            return;
        }
        let removed = self.members.iter_mut().position(|member| member.find(dests).is_none());
        if let Some(gone) = removed.or_else(|| self.most(dests, loads)) {
            self.members.remove(gone);
            self.changed = now;
        }
    }

    /// The number of the member with the largest load of all with a weight; among equals the first.
    fn most(&mut self, dests: &[Dest], loads: &impl Loads) -> Option<usize> {
        let mut most: Option<(usize, Rank)> = None;
        for (number, member) in self.members.iter_mut().enumerate() {
            let Some(place) = member.find(dests).filter(|&place| dests[place].weight > 0) else {
                continue;
            };
            let rank = Rank::whatever_its_threshold(place, dests, loads, wlc::share);
            if most.is_none_or(|(_, most)| most.is_less_than(rank)) {
                most = Some((number, rank));
            }
        }
        most.map(|(number, _)| number)
    }
}
