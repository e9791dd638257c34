//! Locality-based least connections with replication (`ip_vs_lblcr.c`): as lblc with a set of
//! destinations an address, of which the least loaded is chosen. The set grows when that one is
//! overloaded while others idle, and loses its most loaded member when it has not changed for long.

use super::changes::Changes;
use super::crowd::Crowd;
use super::least::Seat;
use super::locality::{Locality, Near, age};
use super::share::Rank;
use super::wlc::Wlc;
use super::{Asked, Loads};
use crate::limits::LOCALITY_SET;
use crate::service::{Dest, Service};
use crate::time::Tick;
use arrayvec::ArrayVec;

pub fn choose(
    crowd: &mut Crowd,
    changes: &mut Changes,
    service: &Service,
    asked: &Asked,
    loads: &impl Loads,
) -> Option<usize> {
    let (dests, Asked { address, now, .. }) = (&service.dests, *asked);
    crowd.update(changes, dests, loads);
    let expiration = service.locality_expiration;
    let Some(Locality::Lblcr(map)) = service.locality.as_deref() else {
        return crowd.chosen(dests, loads);
    };
    let Some(mut bucket) = map.lock(address) else { return crowd.chosen(dests, loads) };
    let Some(set) = bucket.find(address, now, expiration) else {
        let chosen = crowd.chosen(dests, loads)?;
        let mut set = Set { members: ArrayVec::new(), changed: now };
        set.add(chosen, crowd.seats(), now);
        bucket.insert(address, set, now);
        return Some(chosen);
    };
    let near = set.least(crowd, dests, loads);
    if age(now, set.changed) > expiration {
        set.shrink(crowd, dests, loads, now);
    }
    if let Some(near) = near.filter(|&place| crowd.is_welcome(place, dests, loads)) {
        return Some(near);
    }
    let chosen = crowd.chosen(dests, loads)?;
    set.add(chosen, crowd.seats(), now);
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
    fn add(&mut self, place: usize, seats: &[Seat], now: Tick) {
        if self.members.iter().any(|member| member.is(&seats[place])) {
            return;
        }
        if self.members.is_full() {
            self.members.pop();
        }
        self.members.insert(0, Near::new(place, seats));
        self.changed = now;
    }

    /// The least loaded member that is available; among equals the first.
    fn least(&mut self, crowd: &Crowd, dests: &[Dest], loads: &impl Loads) -> Option<usize> {
        let members = self.members.iter_mut().enumerate();
        let keys = members.filter_map(|(number, member)| {
            Some(crowd.member_key(member.find(crowd.seats())?, number))
        });
        let clear = crowd.clear_member(keys.min()?);
        let place = clear.and_then(|number| self.members[number].find(crowd.seats()));
        let known = place.filter(|&place| !dests[place].is_overloaded());
        known.or_else(|| self.least_exactly(crowd, dests, loads))
    }

    #[cold]
    fn least_exactly(
        &mut self,
        crowd: &Crowd,
        dests: &[Dest],
        loads: &impl Loads,
    ) -> Option<usize> {
        let places = self.members.iter_mut().filter_map(|member| member.find(crowd.seats()));
        Rank::least(places.map(|place| Rank::new::<Wlc>(place, dests, loads)))
    }

    /// Takes out the most loaded member that is not quiesced, if there are several. A removed one goes
    /// first: nobody counts its load any more.
    fn shrink(&mut self, crowd: &Crowd, dests: &[Dest], loads: &impl Loads, now: Tick) {
        if self.members.len() < 2 {
            return;
        }
        let removed =
            self.members.iter_mut().position(|member| member.find(crowd.seats()).is_none());
        if let Some(gone) = removed.or_else(|| self.most(crowd, dests, loads)) {
            self.members.remove(gone);
            self.changed = now;
        }
    }

    /// The number of the member with the largest load of all with a weight; among equals the first.
    fn most(&mut self, crowd: &Crowd, dests: &[Dest], loads: &impl Loads) -> Option<usize> {
        let mut most: Option<(usize, Rank)> = None;
        for (number, member) in self.members.iter_mut().enumerate() {
            let Some(place) = member.find(crowd.seats()).filter(|&place| dests[place].weight > 0)
            else {
                continue;
            };
            let rank = Rank::whatever_its_threshold::<Wlc>(place, dests, loads);
            if most.is_none_or(|(_, most)| most.is_less_than(rank)) {
                most = Some((number, rank));
            }
        }
        most.map(|(number, _)| number)
    }
}
