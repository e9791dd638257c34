mod attacks;
mod model;
mod room;
mod timing;

use super::*;
use crate::flow::protocol;
use crate::verdict::DropReason;
use std::cell::Cell;
use std::rc::Rc;

type Cache = FragmentCache<u32, u32>;

/// What a first fragment is learned to mean.
const CONTEXT: u32 = 7;

fn cache() -> Cache {
    FragmentCache::new([0x9e37_79b9_7f4a_7c15, 0xd1b5_4a32_d192_ed03])
}

/// A UDP fragment over IPv4 between two addresses that are the same in all tests.
fn piece(id: u32, start: u16, len: u16, more: bool) -> Fragment {
    let datagram = Datagram::new(0x0a00_0001_u32, 0x0a00_0064, id, protocol::UDP);
    Fragment { datagram, start, len, more, overhead: 20, proto: protocol::UDP }
}

/// Takes it at second 0.
fn take(cache: &mut Cache, fragment: Fragment, number: u32) -> Taken<u32, u32> {
    cache.take(&fragment, number, Tick(0))
}

fn learn(cache: &mut Cache, fragment: Fragment) -> Vec<u32> {
    let mut released = Vec::new();
    cache.learn(&fragment.datagram, CONTEXT, &mut released);
    released
}

/// Held packets dropped since the last call, by reason.
fn dropped<P>(cache: &mut FragmentCache<P, u32>) -> Vec<(DropReason, u64)> {
    let mut tally = Tally::default();
    cache.settle(&mut tally);
    let all = DropReason::ALL.iter().map(|&reason| (reason, tally.dropped[reason.index()]));
    all.filter(|&(_, count)| count > 0).collect()
}

/// A packet that is counted while it lives.
struct Counted(Rc<Cell<usize>>);

impl Counted {
    fn new(living: &Rc<Cell<usize>>) -> Counted {
        living.set(living.get() + 1);
        Counted(Rc::clone(living))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

#[test]
fn later_fragments_get_what_the_first_one_means_and_the_datagram_is_forgotten_with_the_last() {
    let mut cache = cache();
    assert_eq!(take(&mut cache, piece(1, 0, 1480, true), 10), Taken::First(10));
    assert!(learn(&mut cache, piece(1, 0, 1480, true)).is_empty());
    assert_eq!(take(&mut cache, piece(1, 2960, 48, false), 12), Taken::Later(12, CONTEXT));
    assert_eq!(take(&mut cache, piece(1, 1480, 1480, true), 11), Taken::Later(11, CONTEXT));
    // The identification is free again: the same is a new datagram's.
    assert_eq!(take(&mut cache, piece(1, 0, 1480, true), 20), Taken::First(20));
}

#[test]
fn fragments_before_the_first_wait_for_it_and_go_in_order_of_arrival() {
    let mut cache = cache();
    assert_eq!(take(&mut cache, piece(1, 2960, 48, false), 12), Taken::Held);
    assert_eq!(take(&mut cache, piece(1, 1480, 1480, true), 11), Taken::Held);
    assert_eq!(take(&mut cache, piece(2, 1480, 1480, false), 21), Taken::Held);
    assert_eq!(cache.held(), 3);
    assert_eq!(take(&mut cache, piece(1, 0, 1480, true), 10), Taken::First(10));
    assert_eq!(learn(&mut cache, piece(1, 0, 1480, true)), [12, 11]);
    assert_eq!(cache.held(), 1);
    assert_eq!(take(&mut cache, piece(1, 0, 1480, true), 30), Taken::First(30));
    assert_eq!(dropped(&mut cache), []);
}

#[test]
fn datagrams_differ_by_address_identification_protocol_and_family() {
    let (mut cache, first) = (cache(), piece(1, 0, 1480, true));
    let of = |src: u32, id, proto| Datagram::new(src, 0x0a00_0064, id, proto);
    let others = [
        of(0x0a00_0002, 1, protocol::UDP),
        of(0x0a00_0001, 2, protocol::UDP),
        of(0x0a00_0001, 1, protocol::TCP),
        Datagram::new(0x0a00_0064_u32, 0x0a00_0001, 1, protocol::UDP),
        Datagram::new(0x0a00_0001_u128, 0x0a00_0064, 1, protocol::UDP),
    ];
    assert_eq!(take(&mut cache, first, 0), Taken::First(0));
    learn(&mut cache, first);
    for datagram in others {
        let later = Fragment { datagram, ..piece(0, 1480, 1480, true) };
        assert_eq!(take(&mut cache, later, 0), Taken::Held, "{datagram:?}");
    }
    // The fragments of one IPv6 datagram need not name the same protocol.
    let v6 = |proto| Datagram::new(1_u128, 2, 3, proto);
    assert_eq!(v6(protocol::UDP), v6(protocol::TCP));
}

#[test]
fn a_fragment_that_is_a_whole_datagram_has_nothing_to_do_with_others() {
    let mut cache = cache();
    assert_eq!(take(&mut cache, piece(1, 1480, 48, false), 1), Taken::Held);
    assert_eq!(take(&mut cache, piece(1, 0, 1480, false), 2), Taken::Whole(2));
    assert_eq!((cache.held(), dropped(&mut cache)), (1, vec![]));
}

#[test]
fn homes_are_spread_over_all_slots() {
    let mut counts = vec![0; crate::limits::OWNER_SLOTS];
    for id in 0..51_200 {
        let slot = home_slot(&Datagram::new(0x0a00_0001_u32, 0x0a00_0064, id, protocol::UDP));
        counts[usize::from(slot)] += 1;
    }
    assert!(counts.iter().all(|count| (50..160).contains(count)), "about 100 each: {counts:?}");
    let slot = |src: u32, proto| home_slot(&Datagram::new(src, 2, 3, proto));
    assert_ne!(slot(1, protocol::UDP), slot(0x0100_0000, protocol::UDP));
    assert_eq!(slot(1, protocol::UDP), slot(1, protocol::TCP));
}

#[test]
fn every_refusal_has_its_own_place_and_counter() {
    let mut reasons: Vec<_> = Refusal::ALL.iter().map(|why| why.reason().name()).collect();
    assert!(Refusal::ALL.iter().enumerate().all(|(place, &why)| why as usize == place));
    assert!(reasons.iter().all(|name| name.starts_with("fragment_")), "{reasons:?}");
    reasons.sort_unstable();
    reasons.dedup();
    assert_eq!(reasons.len(), Refusal::ALL.len());
}
