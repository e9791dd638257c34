//! Packets that wait for a next hop to be resolved: few, bounded, and not for long.

use crate::io::Packet;
use crate::limits::{MAX_HELD, MAX_HELD_PER_NEXT_HOP};
use crate::time::{TICKS_PER_SECOND, Tick};
use std::collections::VecDeque;
use std::net::IpAddr;

/// How long a packet waits at most: Linux gives up on a neighbour after about three seconds.
const PATIENCE: u32 = 3 * TICKS_PER_SECOND;

/// A finished packet but for its Ethernet header.
struct Waiting<P> {
    target: IpAddr,
    since: Tick,
    packet: P,
}

/// The waiting packets of one worker, oldest first.
pub struct Held<P> {
    queue: VecDeque<Waiting<P>>,
}

/// What is to become of a held packet.
pub(super) enum Release {
    /// It goes on waiting.
    Keep,
    /// It goes, or is dropped.
    Go,
}

impl<P: Packet> Held<P> {
    /// Empty, with all its room taken.
    pub fn new() -> Self {
        Held { queue: VecDeque::with_capacity(MAX_HELD) }
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Lets `packet` wait for `target`; gives it back when there is no room.
    pub fn hold(&mut self, target: IpAddr, packet: P, now: Tick) -> Result<(), P> {
        let alike = self.queue.iter().filter(|waiting| waiting.target == target).count();
        if self.queue.len() == MAX_HELD || alike == MAX_HELD_PER_NEXT_HOP {
            return Err(packet);
        }
        self.queue.push_back(Waiting { target, since: now, packet });
        Ok(())
    }

    /// Asks `judge` about each, oldest first, with whether its patience is over; what is to go is
    /// given to `go`.
    pub(super) fn review(
        &mut self,
        now: Tick,
        judge: impl Fn(IpAddr, bool) -> Release,
        mut go: impl FnMut(IpAddr, P),
    ) {
        for _ in 0..self.queue.len() {
            let Some(waiting) = self.queue.pop_front() else { return };
            let late = now.since(waiting.since) >= PATIENCE;
            match judge(waiting.target, late) {
                Release::Keep => self.queue.push_back(waiting),
                Release::Go => go(waiting.target, waiting.packet),
            }
        }
    }

    /// Drops all and says how many.
    pub fn clear(&mut self) -> usize {
        let count = self.queue.len();
        self.queue.clear();
        count
    }
}

impl<P: Packet> Default for Held<P> {
    fn default() -> Self {
        Held::new()
    }
}
