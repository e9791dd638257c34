//! A part of the store, without its lock: a short list in the order of announcement.

use super::{Ends, Expectation};
use crate::limits::EXPECT_PER_CLIENT;
use crate::time::Tick;
use std::net::IpAddr;

/// Expectations of some clients.
#[derive(Debug)]
pub(super) struct Shard {
    /// The newest last; allocated once, for as many as there may be.
    list: Vec<Expectation>,
    capacity: usize,
}

/// Whether one more can be stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Room {
    One,
    None,
}

impl Shard {
    pub(super) fn new(capacity: usize) -> Shard {
        Shard { list: Vec::with_capacity(capacity), capacity }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Expectation> {
        self.list.iter()
    }

    /// Lets an equal expectation last as long as `new`; `false` if there is none.
    pub(super) fn renew(&mut self, new: &Expectation, now: Tick) -> bool {
        let mut live = self.list.iter_mut().filter(|old| !old.is_over(now));
        let old = live.find(|old| old.is_again(new));
        old.map(|old| old.deadline = new.deadline).is_some()
    }

    /// Makes room for one of `client`'s: what is over goes, then its own oldest, if it has as many
    /// as one client may have or if there is no other room. So no client can take the room of
    /// others.
    pub(super) fn make_room(
        &mut self,
        client: IpAddr,
        now: Tick,
        mut removed: impl FnMut(&Expectation),
    ) -> Room {
        if self.is_full() {
            self.expire(now, &mut removed);
        }
        let own = self.list.iter().filter(|expectation| expectation.client == client).count();
        if own >= EXPECT_PER_CLIENT || (own > 0 && self.is_full()) {
            let oldest = self.list.iter().position(|expectation| expectation.client == client);
            removed(&self.list.remove(oldest.expect("it has one")));
        }
        if self.is_full() { Room::None } else { Room::One }
    }

    fn is_full(&self) -> bool {
        self.list.len() == self.capacity
    }

    /// Appends; there is room.
    pub(super) fn push(&mut self, expectation: Expectation) {
        debug_assert!(!self.is_full(), "room was made");
        self.list.push(expectation);
    }

    /// Removes the newest that is about a packet. One for the client's port goes before one for any.
    pub(super) fn take(&mut self, proto: u8, ends: &Ends, now: Tick) -> Option<Expectation> {
        let about = |expectation: &Expectation| {
            !expectation.is_over(now) && expectation.is_about(proto, ends)
        };
        let exact = |expectation: &Expectation| expectation.cport != 0 && about(expectation);
        let at = self.list.iter().rposition(exact).or_else(|| self.list.iter().rposition(about))?;
        Some(self.list.remove(at))
    }

    /// Removes all that are over, naming each.
    pub(super) fn expire(&mut self, now: Tick, mut removed: impl FnMut(&Expectation)) {
        self.list.retain(|expectation| {
            let over = expectation.is_over(now);
            if over {
                removed(expectation);
            }
            !over
        });
    }
}
