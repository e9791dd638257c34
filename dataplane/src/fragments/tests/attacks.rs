//! Fragments that no sender in its right mind makes, each refused by name.

use super::*;
use crate::limits::FRAGMENT_RUNS;

/// Takes fragments of one datagram, of which the last is refused, and checks that nothing of the
/// datagram passes any more.
#[track_caller]
fn condemned(before: &[Fragment], last: Fragment, why: Refusal) {
    let mut cache = cache();
    for &fragment in before {
        match take(&mut cache, fragment, 0) {
            Taken::First(_) => assert!(learn(&mut cache, fragment).is_empty()),
            Taken::Later(..) | Taken::Held => {}
            other => panic!("{fragment:?}: {other:?}"),
        }
    }
    let held = cache.held() as u64;
    assert_eq!(take(&mut cache, last, 1), Taken::Refused(1, why));
    let expected = if held > 0 { vec![(why.reason(), held)] } else { vec![] };
    assert_eq!((cache.held(), dropped(&mut cache)), (0, expected));
    let after = Fragment { start: 8000, len: 8, more: true, ..last };
    assert_eq!(take(&mut cache, after, 2), Taken::Refused(2, why));
}

fn first() -> Fragment {
    piece(1, 0, 1480, true)
}

#[test]
fn overlaps_condemn_the_datagram_in_either_order() {
    condemned(&[first()], piece(1, 1472, 1480, true), Refusal::Overlap);
    condemned(&[piece(1, 1472, 1480, true)], first(), Refusal::Overlap);
    condemned(&[first(), piece(1, 2960, 8, true)], piece(1, 1480, 1488, true), Refusal::Overlap);
    // Teardrop: the second lies within the first but for its end.
    condemned(&[piece(1, 0, 40, true)], piece(1, 24, 24, false), Refusal::Overlap);
    // A first fragment again, longer, with other ports in it.
    condemned(&[first()], piece(1, 0, 1488, true), Refusal::Overlap);
}

#[test]
fn a_copy_is_dropped_and_harms_nothing() {
    let mut cache = cache();
    take(&mut cache, first(), 0);
    learn(&mut cache, first());
    take(&mut cache, piece(1, 2960, 8, true), 1);
    take(&mut cache, piece(1, 1480, 1480, true), 2);
    let copies =
        [first(), piece(1, 1480, 1480, true), piece(1, 0, 8, true), piece(1, 8, 2960, true)];
    for copy in copies {
        assert_eq!(take(&mut cache, copy, 3), Taken::Refused(3, Refusal::Duplicate));
    }
    assert_eq!(take(&mut cache, piece(1, 2968, 5, false), 4), Taken::Later(4, CONTEXT));
}

#[test]
fn a_copy_of_what_waits_does_not_wait_twice() {
    let mut cache = cache();
    assert_eq!(take(&mut cache, piece(1, 1480, 8, true), 0), Taken::Held);
    let copy = take(&mut cache, piece(1, 1480, 8, true), 1);
    assert_eq!(copy, Taken::Refused(1, Refusal::Duplicate));
    assert_eq!((cache.held(), dropped(&mut cache)), (1, vec![]));
}

#[test]
fn an_l4_header_must_lie_in_the_first_fragment_alone() {
    let of = |proto, start, len| Fragment { proto, ..piece(1, start, len, true) };
    for (proto, short, enough) in
        [(protocol::TCP, 16, 24), (protocol::SCTP, 8, 16), (protocol::UDP, 0, 8)]
    {
        if short > 0 {
            condemned(&[], of(proto, 0, short), Refusal::Tiny);
            condemned(&[of(proto, 8000, 8)], of(proto, 0, short), Refusal::Tiny);
            // RFC 3128: offset 1 rewrites TCP's flags.
            condemned(&[], of(proto, 8, 80), Refusal::Tiny);
        }
        assert_eq!(take(&mut cache(), of(proto, 0, enough), 0), Taken::First(0));
        assert_eq!(take(&mut cache(), of(proto, enough, 80), 0), Taken::Held);
    }
    // What has no ports is not looked into.
    assert_eq!(take(&mut cache(), of(protocol::ESP, 0, 8), 0), Taken::First(0));
}

#[test]
fn no_datagram_is_longer_than_its_length_field_can_say() {
    // The ping of death.
    condemned(&[], piece(1, 65_512, 1480, false), Refusal::TooLong);
    condemned(&[first()], piece(1, 65_512, 4, false), Refusal::TooLong);
    assert_eq!(take(&mut cache(), piece(1, 65_512, 3, false), 0), Taken::Held);
    // IPv6's length does not count the header itself.
    let v6 = |len| Fragment { overhead: 0, ..piece(1, 65_528, len, false) };
    assert_eq!(take(&mut cache(), v6(7), 0), Taken::Held);
    condemned(&[], v6(8), Refusal::TooLong);
}

#[test]
fn only_the_last_fragment_may_have_any_length() {
    condemned(&[], piece(1, 0, 1481, true), Refusal::BadLength);
    condemned(&[first()], piece(1, 1480, 7, true), Refusal::BadLength);
    condemned(&[first()], piece(1, 1480, 0, false), Refusal::BadLength);
    condemned(&[], piece(1, 1480, 0, true), Refusal::BadLength);
}

#[test]
fn a_datagram_has_one_end() {
    let last = piece(1, 2960, 40, false);
    condemned(&[first(), last], piece(1, 2960, 48, false), Refusal::BadEnd);
    condemned(&[first(), last], piece(1, 2960, 32, false), Refusal::BadEnd);
    condemned(&[last], piece(1, 2960, 48, true), Refusal::BadEnd);
    condemned(&[first(), last], piece(1, 4000, 8, true), Refusal::BadEnd);
    condemned(&[first(), last], piece(1, 1480, 80, false), Refusal::BadEnd);
    // Something beyond it came before.
    condemned(&[first(), piece(1, 2960, 8, true)], piece(1, 1480, 80, false), Refusal::BadEnd);
}

#[test]
fn a_datagram_full_of_holes_is_too_many_pieces() {
    let every_other: Vec<_> =
        (0..FRAGMENT_RUNS as u16).map(|n| piece(1, 16 * n, 8, true)).collect();
    condemned(&every_other, piece(1, 1600, 8, true), Refusal::TooMany);
    let waiting: Vec<_> =
        (0..MAX_HELD_FRAGMENTS_PER_DATAGRAM as u16).map(|n| piece(1, 8 + 8 * n, 8, true)).collect();
    condemned(&waiting, piece(1, 1600, 8, true), Refusal::TooMany);
}

#[test]
fn the_largest_datagrams_pass_in_any_order() {
    let sizes = [(1480, 20), (1448, 0), (1232, 0)];
    for (size, overhead) in sizes {
        let total = 65_535 - overhead;
        let pieces = (0..total).step_by(usize::from(size)).map(|start| {
            let len = size.min(total - start);
            Fragment { overhead, ..piece(1, start, len, start + len < total) }
        });
        let ordered: Vec<_> = pieces.collect();
        let reversed: Vec<_> = ordered.iter().rev().copied().collect();
        // Even ones first, as over two paths of which one is slow.
        let (even, odd): (Vec<_>, Vec<_>) =
            ordered.iter().partition(|piece| piece.start / size % 2 == 0);
        for order in [ordered, reversed, [even, odd].concat()] {
            let (mut cache, mut passed) = (cache(), 0);
            for &fragment in &order {
                passed += match take(&mut cache, fragment, 0) {
                    Taken::First(_) => 1 + learn(&mut cache, fragment).len(),
                    Taken::Later(..) => 1,
                    Taken::Held => 0,
                    other => panic!("{fragment:?}: {other:?}"),
                };
            }
            assert_eq!((passed, cache.held()), (order.len(), 0));
            assert_eq!(take(&mut cache, order[0], 0), take(&mut super::cache(), order[0], 0));
        }
    }
}
