//! What waits does not wait for ever, and what is known is not known for ever.

use super::*;

const V4: u32 = ticks(30);
const V6: u32 = ticks(60);

fn v6(start: u16) -> Fragment {
    let datagram = Datagram::new(1_u128 << 100, 2_u128 << 100, 3, 0);
    Fragment { datagram, ..piece(0, start, 1448, true) }
}

#[test]
fn what_waits_is_dropped_after_a_second() {
    let mut cache = cache();
    let start = Tick(u32::MAX - 3);
    for (number, late) in [0, 0, 2].into_iter().enumerate() {
        let later = piece(number as u32 / 2, 1480 + 80 * number as u16, 8, true);
        assert_eq!(cache.take(&later, 0, start.after(late)), Taken::Held);
    }
    cache.expire(start.after(PATIENCE - 1), 10);
    assert_eq!(dropped(&mut cache), []);
    cache.expire(start.after(PATIENCE), 10);
    assert_eq!(dropped(&mut cache), [(DropReason::FragmentTimeout, 2)]);
    cache.expire(start.after(PATIENCE + 1), 10);
    assert_eq!(cache.held(), 1);
    cache.expire(start.after(PATIENCE + 2), 10);
    assert_eq!((cache.held(), dropped(&mut cache)), (0, vec![(DropReason::FragmentTimeout, 1)]));
}

#[test]
fn a_call_to_expire_ends_no_more_than_its_budget() {
    let mut cache = cache();
    (0..5).for_each(|id| assert_eq!(take(&mut cache, piece(id, 80, 8, true), 0), Taken::Held));
    cache.expire(Tick(PATIENCE), 2);
    assert_eq!(cache.held(), 3);
    cache.expire(Tick(PATIENCE), 10);
    assert_eq!(cache.held(), 0);
}

#[test]
fn a_first_fragment_that_is_late_finds_nothing_though_nobody_called_expire() {
    let mut cache = cache();
    assert_eq!(take(&mut cache, piece(1, 1480, 80, false), 1), Taken::Held);
    let first = piece(1, 0, 1480, true);
    assert_eq!(cache.take(&first, 2, Tick(PATIENCE)), Taken::First(2));
    assert!(learn(&mut cache, first).is_empty());
    assert_eq!(dropped(&mut cache), [(DropReason::FragmentTimeout, 1)]);
}

#[test]
fn an_incomplete_datagram_is_known_as_long_as_a_receiver_waits_for_it() {
    let v4 = |start| piece(1, start, 1480, true);
    for (fragment, lifetime) in [(&v4 as &dyn Fn(u16) -> Fragment, V4), (&v6, V6)] {
        let mut cache = cache();
        assert_eq!(take(&mut cache, fragment(0), 0), Taken::First(0));
        learn(&mut cache, fragment(0));
        let early = cache.take(&fragment(2960), 1, Tick(lifetime - 1));
        assert_eq!(early, Taken::Later(1, CONTEXT));
        // What passed before it does not make it young again.
        assert_eq!(cache.take(&fragment(5920), 2, Tick(lifetime)), Taken::Held);
    }
}

#[test]
fn a_condemned_datagram_stays_so_as_long_as_a_receiver_waits_for_it() {
    let mut cache = cache();
    take(&mut cache, piece(1, 0, 1480, true), 0);
    learn(&mut cache, piece(1, 0, 1480, true));
    let overlapping = piece(1, 8, 1480, true);
    for moment in [ticks(1), ticks(5), V4 - 1] {
        let taken = cache.take(&overlapping, 1, Tick(moment));
        assert_eq!(taken, Taken::Refused(1, Refusal::Overlap));
    }
    assert_eq!(cache.take(&piece(1, 0, 1480, true), 2, Tick(V4)), Taken::First(2));
}

#[test]
fn a_first_fragment_of_which_nobody_says_what_it_means_is_forgotten_after_a_second() {
    let mut cache = cache();
    assert_eq!(take(&mut cache, piece(1, 0, 1480, true), 0), Taken::First(0));
    assert_eq!(cache.take(&piece(1, 0, 1480, true), 1, Tick(PATIENCE)), Taken::First(1));
}
