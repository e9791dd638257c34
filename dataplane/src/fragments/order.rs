//! Slots in the order in which they were put there: lists through one array of links.

/// No slot.
const NONE: u16 = u16::MAX;

#[derive(Debug, Clone, Copy)]
struct Link {
    before: u16,
    after: u16,
}

/// Lists of slots, each slot in one of them at most, oldest first. All in constant time.
#[derive(Debug)]
pub(super) struct Order {
    links: Box<[Link]>,
    /// For each list its first and last slot.
    ends: Box<[Link]>,
}

impl Order {
    /// Empty lists over slots 0 to `slots` − 1, at most 65,535.
    pub(super) fn new(slots: usize, lists: usize) -> Order {
        assert!(slots <= usize::from(NONE), "a slot's number fits 16 bits");
        let none = Link { before: NONE, after: NONE };
        Order { links: vec![none; slots].into(), ends: vec![none; lists].into() }
    }

    /// The slot that has been in the list for longest.
    pub(super) fn oldest(&self, list: usize) -> Option<usize> {
        let first = self.ends[list].after;
        (first != NONE).then_some(usize::from(first))
    }

    /// The slot that was put into the list last.
    pub(super) fn newest(&self, list: usize) -> Option<usize> {
        let last = self.ends[list].before;
        (last != NONE).then_some(usize::from(last))
    }

    /// Puts a slot that is in no list at the list's end.
    pub(super) fn append(&mut self, list: usize, slot: usize) {
        let last = self.ends[list].before;
        self.links[slot] = Link { before: last, after: NONE };
        *self.after(list, last) = slot as u16;
        self.ends[list].before = slot as u16;
    }

    /// Takes a slot out of its list.
    pub(super) fn remove(&mut self, list: usize, slot: usize) {
        let Link { before, after } = self.links[slot];
        *self.after(list, before) = after;
        match after {
            NONE => self.ends[list].before = before,
            _ => self.links[usize::from(after)].before = before,
        }
    }

    /// What says which slot follows `slot`, or is the list's first.
    fn after(&mut self, list: usize, slot: u16) -> &mut u16 {
        match slot {
            NONE => &mut self.ends[list].after,
            _ => &mut self.links[usize::from(slot)].after,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Rng;
    use std::collections::VecDeque;

    #[test]
    fn lists_do_what_queues_do() {
        let (mut order, mut rng) = (Order::new(40, 3), Rng::new(70));
        let mut queues: [VecDeque<usize>; 3] = Default::default();
        for _ in 0..20_000 {
            let (slot, list) = (rng.below(40), rng.below(3));
            match (0..3).find(|&list| queues[list].contains(&slot)) {
                Some(list) => {
                    queues[list].retain(|&other| other != slot);
                    order.remove(list, slot);
                }
                None => {
                    queues[list].push_back(slot);
                    order.append(list, slot);
                }
            }
            for (list, queue) in queues.iter().enumerate() {
                assert_eq!(order.oldest(list), queue.front().copied());
                assert_eq!(order.newest(list), queue.back().copied());
            }
        }
    }
}
