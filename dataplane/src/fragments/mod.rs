//! Fragments: to which flow each belongs, without putting datagrams together.
//!
//! Only the first fragment of a datagram holds the ports. A [`FragmentCache`] learns from it what
//! the datagram is, so that the others go the same way; those that arrive earlier wait, for
//! [`PATIENCE`] at most. It forgets a datagram as soon as all of it has passed, so that its
//! identification may be used again at once, and otherwise when a receiver would.
//!
//! With several workers a datagram has a *home* ([`home_slot`]), to which every fragment is handed
//! first: it learns the ports, and with them which worker owns the flow. The owner gets the
//! fragments in order, the first first, and its own cache learns what it made of that one. Both
//! are this structure; what is learned, `C`, is the director's affair.
//!
//! What Linux refuses to put together is refused here (`ip_fragment.c`, `inet_fragment.c`,
//! `net/ipv6/reassembly.c`), and what hides an L4 header. The memory is taken at start; a flood
//! displaces what is oldest, first among its own.

mod fragment;
mod hash;
mod held;
mod order;
mod refusal;
mod seen;
mod sets;
#[cfg(test)]
mod tests;

pub use fragment::{Datagram, Fragment};
pub use hash::home_slot;
pub use refusal::Refusal;

use crate::counters::Tally;
use crate::limits::{
    FRAGMENT_SETS, MAX_HELD_FRAGMENTS, MAX_HELD_FRAGMENTS_PER_DATAGRAM, MAX_HELD_FRAGMENTS_PER_SET,
};
use crate::time::{Tick, ticks};
use held::Slab;
use order::Order;
use sets::{SLOTS, Sets, State, set_of};

/// How long fragments wait for the first, in ticks from the earliest of them. Paths reorder by
/// milliseconds; a second is ample, and short enough for packets that occupy receive buffers.
pub const PATIENCE: u32 = ticks(1);

/// The one list of [`FragmentCache::waiting`].
const ALL: usize = 0;

/// What becomes of a fragment.
#[derive(Debug, PartialEq, Eq)]
pub enum Taken<P, C> {
    /// It is a whole datagram: to be treated as if it had no Fragment header.
    Whole(P),
    /// The first of its datagram: [`FragmentCache::learn`] is to be told what it means, before
    /// anything else is taken.
    First(P),
    /// A later one, with what was learned from the first.
    Later(P, C),
    /// It waits for the first.
    Held,
    /// To be dropped.
    Refused(P, Refusal),
}

/// The datagrams in fragments that one worker has to do with. `P` is a packet with what is known of
/// it, `C` what the first fragment of a datagram says about all.
pub struct FragmentCache<P, C> {
    sets: Sets<C>,
    packets: Slab<P>,
    /// Slots with waiting packets, oldest first: all, and set by set.
    waiting: Order,
    waiting_in_set: Order,
    /// Waiting packets of each set.
    held_in_set: Box<[u16]>,
    /// Waiting packets that were dropped and not told of yet, by [`Refusal`].
    dropped: [u64; Refusal::ALL.len()],
}

impl<P, C: Copy> FragmentCache<P, C> {
    /// Empty, with all its room taken. The secret keeps others from choosing whose room they share.
    pub fn new(secret: [u64; 2]) -> Self {
        FragmentCache {
            sets: Sets::new(secret),
            packets: Slab::new(MAX_HELD_FRAGMENTS),
            waiting: Order::new(SLOTS, 1),
            waiting_in_set: Order::new(SLOTS, FRAGMENT_SETS),
            held_in_set: vec![0; FRAGMENT_SETS].into(),
            dropped: Default::default(),
        }
    }

    /// How many packets wait.
    pub fn held(&self) -> usize {
        self.packets.len()
    }

    /// Takes a fragment and says what becomes of it.
    pub fn take(&mut self, fragment: &Fragment, packet: P, now: Tick) -> Taken<P, C> {
        if fragment.is_whole() {
            return Taken::Whole(packet);
        }
        let slot = self.slot(&fragment.datagram, now);
        match self.judge(slot, fragment) {
            Err(why) => Taken::Refused(packet, why),
            Ok(State::Known(context)) => {
                self.remove_if_complete(slot);
                Taken::Later(packet, context)
            }
            Ok(_) if fragment.is_first() => Taken::First(packet),
            Ok(_) => self.hold(slot, packet),
        }
    }

    /// Says what the first fragment of a datagram means, right after it was taken. What waited for
    /// it is appended to `released` in order of arrival, at most
    /// [`MAX_HELD_FRAGMENTS_PER_DATAGRAM`]; each is now [`Taken::Later`] with that context.
    pub fn learn(&mut self, datagram: &Datagram, context: C, released: &mut Vec<P>) {
        let Some(slot) = self.sets.find(datagram) else { return };
        if matches!(self.sets.get(slot).state, State::Waiting) {
            self.release(slot, |packet| released.push(packet));
            self.sets.get_mut(slot).state = State::Known(context);
            self.remove_if_complete(slot);
        }
    }

    /// Drops packets that have waited for too long, of `budget` datagrams at most. To be called
    /// every turn; it costs nothing while none is late.
    pub fn expire(&mut self, now: Tick, budget: usize) {
        for _ in 0..budget {
            match self.waiting.oldest(ALL) {
                Some(slot) if self.is_over(slot, now) => self.forget(slot, Refusal::Timeout),
                _ => return,
            }
        }
    }

    /// Adds the waiting packets that were dropped since the last time to the tally. Those given back
    /// as [`Taken::Refused`] are not among them.
    pub fn settle(&mut self, tally: &mut Tally) {
        for (why, count) in Refusal::ALL.iter().zip(&mut self.dropped) {
            tally.dropped[why.reason().index()] += std::mem::take(count);
        }
    }

    /// Drops all that waits, which is not told to [`Self::settle`], and says how many.
    pub fn clear(&mut self) -> usize {
        let held = self.held();
        while let Some(slot) = self.waiting.oldest(ALL) {
            self.release(slot, drop);
            self.sets.remove(slot);
        }
        held
    }

    /// The datagram's slot; a new one if it is unknown or its time is over.
    fn slot(&mut self, datagram: &Datagram, now: Tick) -> usize {
        if let Some(slot) = self.sets.find(datagram) {
            if !self.is_over(slot, now) {
                return slot;
            }
            self.forget(slot, Refusal::Timeout);
        }
        if let Some(oldest) = self.sets.in_the_way(datagram) {
            self.forget(oldest, Refusal::CacheFull);
        }
        self.sets.put(datagram, now)
    }

    fn is_over(&self, slot: usize, now: Tick) -> bool {
        let entry = self.sets.get(slot);
        let lifetime = match entry.state {
            State::Waiting => PATIENCE,
            State::Known(_) | State::Condemned(_) => entry.datagram.lifetime(),
        };
        now.since(entry.since) >= lifetime
    }

    /// Takes account of a fragment, and gives the state of its datagram.
    fn judge(&mut self, slot: usize, fragment: &Fragment) -> Result<State<C>, Refusal> {
        let entry = self.sets.get_mut(slot);
        if let State::Condemned(why) = entry.state {
            return Err(why);
        }
        match fragment.fault().and_then(|()| entry.seen.add(fragment)) {
            Ok(()) => Ok(entry.state),
            Err(Refusal::Duplicate) => Err(Refusal::Duplicate),
            Err(why) => {
                self.condemn(slot, why);
                Err(why)
            }
        }
    }

    /// Lets a packet wait, and displaces the oldest where there is no room.
    fn hold(&mut self, slot: usize, packet: P) -> Taken<P, C> {
        let chain = self.sets.get(slot).held;
        if chain.len() == MAX_HELD_FRAGMENTS_PER_DATAGRAM {
            self.condemn(slot, Refusal::TooMany);
            return Taken::Refused(packet, Refusal::TooMany);
        }
        while let Some(oldest) = self.in_the_way(set_of(slot)) {
            self.condemn(oldest, Refusal::CacheFull);
            if oldest == slot {
                return Taken::Refused(packet, Refusal::CacheFull);
            }
        }
        self.append(slot, packet);
        Taken::Held
    }

    /// The datagram whose packets have to go before another of this set can wait.
    fn in_the_way(&self, set: usize) -> Option<usize> {
        if usize::from(self.held_in_set[set]) >= MAX_HELD_FRAGMENTS_PER_SET {
            return self.waiting_in_set.oldest(set);
        }
        if self.packets.is_full() { self.waiting.oldest(ALL) } else { None }
    }

    fn append(&mut self, slot: usize, packet: P) {
        let set = set_of(slot);
        let chain = &mut self.sets.get_mut(slot).held;
        if chain.len() == 0 {
            self.waiting.append(ALL, slot);
            self.waiting_in_set.append(set, slot);
        }
        self.packets.push(chain, packet);
        self.held_in_set[set] += 1;
    }

    /// Gives every waiting packet of a datagram, first come first, and says how many.
    fn release(&mut self, slot: usize, mut give: impl FnMut(P)) -> usize {
        let set = set_of(slot);
        let chain = &mut self.sets.get_mut(slot).held;
        let count = chain.len();
        if count > 0 {
            self.waiting.remove(ALL, slot);
            self.waiting_in_set.remove(set, slot);
        }
        while let Some(packet) = self.packets.pop(chain) {
            give(packet);
        }
        self.held_in_set[set] -= count as u16;
        count
    }

    fn condemn(&mut self, slot: usize, why: Refusal) {
        self.dropped[why as usize] += self.release(slot, drop) as u64;
        self.sets.get_mut(slot).state = State::Condemned(why);
    }

    fn forget(&mut self, slot: usize, why: Refusal) {
        self.dropped[why as usize] += self.release(slot, drop) as u64;
        self.sets.remove(slot);
    }

    fn remove_if_complete(&mut self, slot: usize) {
        if self.sets.get(slot).seen.is_complete() {
            self.sets.remove(slot);
        }
    }
}
