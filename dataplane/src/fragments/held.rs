//! Packets that wait for the first fragment of their datagram: chains through one slab.

/// No place.
const NONE: u16 = u16::MAX;

/// The waiting packets of one datagram, in order of arrival.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Chain {
    first: u16,
    last: u16,
    len: u16,
}

impl Chain {
    pub(super) const EMPTY: Chain = Chain { first: NONE, last: NONE, len: 0 };

    pub(super) fn len(&self) -> usize {
        usize::from(self.len)
    }
}

/// A place of the slab: with a packet, or free; and the place after it in the chain it is in.
struct Place<P> {
    packet: Option<P>,
    after: u16,
}

/// All waiting packets of one worker.
pub(super) struct Slab<P> {
    places: Box<[Place<P>]>,
    free: Chain,
}

impl<P> Slab<P> {
    /// Room for `places` packets, fewer than 65,535.
    pub(super) fn new(places: usize) -> Slab<P> {
        assert!(places < usize::from(NONE), "a place's number fits 16 bits");
        let empty = |_| Place { packet: None, after: NONE };
        let mut slab = Slab { places: (0..places).map(empty).collect(), free: Chain::EMPTY };
        for place in 0..places {
            let mut free = slab.free;
            slab.append(&mut free, place as u16);
            slab.free = free;
        }
        slab
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }

    pub(super) fn is_full(&self) -> bool {
        self.free.len == 0
    }

    /// Puts a packet at the chain's end.
    ///
    /// # Panics
    /// If the slab is full.
    pub(super) fn push(&mut self, chain: &mut Chain, packet: P) {
        let mut free = self.free;
        let place = self.unchain(&mut free).expect("whoever holds a packet made room");
        self.free = free;
        self.places[usize::from(place)].packet = Some(packet);
        self.append(chain, place);
    }

    /// Takes the packet that arrived first.
    pub(super) fn pop(&mut self, chain: &mut Chain) -> Option<P> {
        let place = self.unchain(chain)?;
        let mut free = self.free;
        self.append(&mut free, place);
        self.free = free;
        self.places[usize::from(place)].packet.take()
    }

    fn append(&mut self, chain: &mut Chain, place: u16) {
        self.places[usize::from(place)].after = NONE;
        match chain.last {
            NONE => chain.first = place,
            last => self.places[usize::from(last)].after = place,
        }
        chain.last = place;
        chain.len += 1;
    }

    fn unchain(&self, chain: &mut Chain) -> Option<u16> {
        let place = chain.first;
        if place == NONE {
            return None;
        }
        chain.first = self.places[usize::from(place)].after;
        chain.len -= 1;
        if chain.len == 0 {
            *chain = Chain::EMPTY;
        }
        Some(place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Rng;
    use std::collections::VecDeque;

    #[test]
    fn chains_do_what_queues_do_and_share_all_the_room() {
        let (mut slab, mut rng) = (Slab::new(20), Rng::new(71));
        let mut chains = vec![(Chain::EMPTY, VecDeque::new()); 5];
        for number in 0..20_000 {
            let (chain, queue) = &mut chains[rng.below(5)];
            if rng.one_in(2) && !slab.is_full() {
                slab.push(chain, number);
                queue.push_back(number);
            } else {
                assert_eq!(slab.pop(chain), queue.pop_front());
            }
            assert_eq!(chain.len(), queue.len());
            let held: usize = chains.iter().map(|(_, queue)| queue.len()).sum();
            assert_eq!((slab.len(), slab.is_full()), (held, held == 20));
        }
    }
}
