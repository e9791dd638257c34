//! The room is bounded, and who floods it displaces little but his own.

use super::*;
use crate::limits::FRAGMENT_WAYS;
use crate::testing::Rng;

/// A fragment of one of many pairs of addresses.
fn of_pair(pair: u32, id: u32, start: u16) -> Fragment {
    let datagram = Datagram::new(pair, 0x0a00_0064, id, protocol::UDP);
    Fragment { datagram, ..piece(0, start, 1480, true) }
}

fn know(cache: &mut Cache, first: Fragment) {
    assert_eq!(take(cache, first, 0), Taken::First(0));
    learn(cache, first);
}

#[test]
fn the_oldest_datagram_of_a_full_set_gives_way() {
    let (mut cache, ways) = (cache(), FRAGMENT_WAYS as u32);
    (0..=ways).for_each(|id| know(&mut cache, of_pair(1, id, 0)));
    for id in (1..=ways).rev() {
        assert_eq!(take(&mut cache, of_pair(1, id, 1480), 1), Taken::Later(1, CONTEXT), "{id}");
    }
    assert_eq!(take(&mut cache, of_pair(1, 0, 1480), 2), Taken::Held);
}

#[test]
fn a_flood_between_two_addresses_costs_hardly_anybody_else_anything() {
    let (mut cache, mut rng) = (cache(), Rng::new(72));
    let pairs = 640;
    (2..2 + pairs).for_each(|pair| know(&mut cache, of_pair(pair, 5, 0)));
    assert_eq!(take(&mut cache, of_pair(9999, 5, 1480), 42), Taken::Held);
    for id in 100..100_000 {
        take(&mut cache, of_pair(1, id, [0, 1480][rng.below(2)]), 0);
        assert!(cache.held() <= MAX_HELD_FRAGMENTS_PER_SET + 1);
    }
    let known = |pair: &u32| {
        matches!(take(&mut cache, of_pair(*pair, 5, 1480), 0), Taken::Later(_, CONTEXT))
    };
    let left = (2..2 + pairs).filter(known).count();
    assert!(left > pairs as usize * 9 / 10, "{left} of {pairs} still known");
    assert_eq!(take(&mut cache, of_pair(9999, 5, 0), 1), Taken::First(1));
    assert_eq!(learn(&mut cache, of_pair(9999, 5, 0)), [42]);
}

#[test]
fn what_has_waited_longest_gives_way_to_what_comes() {
    let mut cache = cache();
    let room = MAX_HELD_FRAGMENTS as u32;
    for pair in 0..room {
        assert_eq!(take(&mut cache, of_pair(pair, 5, 1480), pair), Taken::Held);
    }
    assert_eq!((cache.held(), dropped(&mut cache)), (MAX_HELD_FRAGMENTS, vec![]));
    assert_eq!(take(&mut cache, of_pair(room, 5, 1480), room), Taken::Held);
    assert_eq!(dropped(&mut cache), [(DropReason::FragmentCacheFull, 1)]);
    let first = take(&mut cache, of_pair(0, 5, 0), 1);
    assert_eq!(first, Taken::Refused(1, Refusal::CacheFull), "what was displaced is incomplete");
    assert_eq!(take(&mut cache, of_pair(1, 5, 0), 2), Taken::First(2));
    assert_eq!(learn(&mut cache, of_pair(1, 5, 0)), [1]);
}

#[test]
fn the_oldest_of_all_that_waits_may_be_what_comes() {
    let mut cache = cache();
    // 64 of the first, then 64 of another of the same pair: the set's share is used up.
    let share = MAX_HELD_FRAGMENTS_PER_SET as u16;
    let half = MAX_HELD_FRAGMENTS_PER_DATAGRAM as u16;
    for number in 0..share {
        let later = piece((number / half).into(), 8 + 8 * (number % half), 8, true);
        let last_of_first = number == half - 1;
        if !last_of_first {
            assert_eq!(take(&mut cache, later, 0), Taken::Held);
        }
    }
    assert_eq!(take(&mut cache, piece(9, 80, 8, true), 0), Taken::Held);
    let own = take(&mut cache, piece(0, 8 * half, 8, true), 1);
    assert_eq!(own, Taken::Refused(1, Refusal::CacheFull));
    assert_eq!(dropped(&mut cache), [(DropReason::FragmentCacheFull, u64::from(half) - 1)]);
}

#[test]
fn every_packet_is_given_back_held_or_counted_under_any_load() {
    for seed in 0..8 {
        let (mut rng, living) = (Rng::new(seed), Rc::new(Cell::new(0)));
        let mut cache: FragmentCache<Counted, u32> = FragmentCache::new([seed, 1]);
        let (mut inside, mut released) = (0_u64, Vec::new());
        let (pairs, ids) = ([1, 3, 5000][rng.below(3)], [4, 200, 100_000][rng.below(3)]);
        for round in 0..60_000 {
            let start = 8 * rng.below(40) as u16;
            let (pair, id) = (rng.below(pairs) as u32, rng.below(ids) as u32);
            let len = if rng.one_in(40) { 9 } else { 8 + 8 * rng.below(3) as u16 };
            let fragment = Fragment { len, more: !rng.one_in(20), ..of_pair(pair, id, start) };
            let now = Tick(round / 500);
            match cache.take(&fragment, Counted::new(&living), now) {
                Taken::First(_) => cache.learn(&fragment.datagram, 0, &mut released),
                Taken::Held => inside += 1,
                Taken::Whole(_) | Taken::Later(..) | Taken::Refused(..) => {}
            }
            if rng.one_in(50) {
                cache.expire(now, 3);
            }
            inside -= released.drain(..).count() as u64;
            inside -= dropped(&mut cache).iter().map(|(_, count)| count).sum::<u64>();
            assert_eq!((inside, living.get()), (cache.held() as u64, cache.held()));
            assert!(cache.held() <= MAX_HELD_FRAGMENTS);
        }
        assert_eq!(cache.clear(), inside as usize, "seed {seed}");
        assert_eq!((living.get(), cache.held(), dropped(&mut cache)), (0, 0, vec![]));
    }
}
