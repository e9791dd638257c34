//! The tables against the published ones, and against what a real kernel did.

use super::state::*;
use super::*;
use crate::wire::sctp::HEADER_LEN;
use serde_json::Value;
use std::collections::BTreeSet;

/// A packet of these chunks, each a type and a length that is true.
fn packet(chunks: &[(u8, u16)]) -> Vec<u8> {
    let mut packet = vec![0; HEADER_LEN];
    for &(kind, len) in chunks {
        packet.extend([kind, 0, (len >> 8) as u8, len as u8]);
        packet.resize(packet.len() + usize::from(len - 4).next_multiple_of(4), 0);
    }
    packet
}

/// The reference's tables (state by state, a column an event): `.` stays.
const REFERENCE: [(Side, &str); 3] = [
    (
        Side::Input,
        "NO ES I1 CW CR ES SR CL CL CL CL   I1 .  IN CW IN .  .  IN CL .  CL
         IN .  .  CW .  .  .  .  CL .  CL   CS .  .  .  CR .  .  .  .  .  CL
         CR .  .  .  .  .  .  .  .  .  CL   CW .  .  CO .  .  .  .  .  .  RJ
         CO .  .  .  .  .  .  .  .  .  CL   CE .  .  .  .  ES .  .  .  CL CL
         ES .  .  .  .  .  SR .  .  .  CL   SS .  .  .  .  .  .  CL .  .  CL
         SR .  .  .  .  .  .  .  .  .  CL   SA .  .  .  .  .  .  CL CL .  CL
         RJ .  IN .  .  .  .  .  .  .  CL   CL .  IN .  .  .  .  .  .  .  .",
    ),
    (
        Side::Output,
        "NO ES CW CS CE ES SS SA CL CL CL   I1 .  CW CS CE ES SS SA .  CL RJ
         IN .  CW CS CE ES SS SA .  CL CL   CS .  CW .  CE ES SS SA .  CL CL
         CR .  CW .  CE ES SS SA .  CL CL   CW .  .  .  CE ES SS .  .  .  CL
         CO .  CW .  CE ES SS .  .  .  CL   CE .  CW .  .  ES SS .  .  .  CL
         ES .  .  .  .  .  SS .  .  .  CL   SS .  CW .  .  .  .  SA .  .  CL
         SR .  CW .  .  .  .  SA .  .  CL   SA .  CW .  .  .  .  .  .  .  CL
         RJ .  CW .  .  .  .  .  .  .  CL   CL .  CW .  .  .  .  .  .  .  .",
    ),
    (
        Side::InputOnly,
        "NO ES I1 CE ES ES SR CL CL CL CL   I1 .  IN CE ES .  .  IN CL .  CL
         IN .  .  CE ES .  .  .  CL .  CL   CS .  IN CE ES ES .  .  CL .  CL
         CR .  IN CE ES ES .  .  CL .  CL   CW ES IN CE ES .  .  .  .  .  RJ
         CO .  .  .  .  ES .  .  .  .  CL   CE .  .  .  .  ES .  .  .  .  CL
         ES .  .  .  .  .  SR CL .  .  CL   SS .  .  .  .  .  .  CL .  .  CL
         SR .  .  .  .  .  .  .  CL .  CL   SA .  .  .  .  .  .  CL CL .  CL
         RJ .  IN .  .  .  .  .  .  .  CL   CL .  IN .  .  .  .  .  .  .  .",
    ),
];

const SHORT: [&str; STATES] =
    ["NO", "I1", "IN", "CS", "CR", "CW", "CO", "CE", "ES", "SS", "SR", "SA", "RJ", "CL"];

#[test]
fn every_state_side_and_event_goes_where_the_reference_says() {
    for (side, table) in REFERENCE {
        let words: Vec<&str> = table.split_whitespace().collect();
        assert_eq!(words.len(), STATES * 11);
        for (state, row) in words.chunks(11).enumerate() {
            assert_eq!(row[0], SHORT[state]);
            for (event, &word) in row[1..].iter().enumerate() {
                let event = Event::from_number(event as u8);
                let want = if word == "." { row[0] } else { word };
                let ours = SHORT[usize::from(next(state as u8, side, event))];
                assert_eq!(ours, want, "{} {side:?} {event:?}", row[0]);
            }
            let state = state as u8;
            assert_eq!(next(state, side, Event::LateAbort), next(state, side, Event::Abort));
            assert_eq!(next(state, side, Event::NoChunk), state);
        }
    }
}

#[test]
fn a_number_that_is_no_state_closes() {
    assert!((STATES as u8..=255).all(|state| next(state, Side::Output, Event::Data) == CLOSED));
}

#[test]
fn only_established_is_active() {
    let active: Vec<u8> = (0..=255).filter(|&state| is_active(state)).collect();
    assert_eq!(active, [ESTABLISHED]);
}

#[test]
fn an_event_and_its_number_are_one() {
    assert!(Event::ALL.iter().all(|&event| Event::from_number(event as u8) == event));
    assert!((0..EVENTS as u8).all(|number| Event::from_number(number) as u8 == number));
    assert!((EVENTS as u8..=255).all(|number| Event::from_number(number) == Event::NoChunk));
}

#[test]
fn the_first_chunk_is_the_event() {
    let named = [
        (1, Event::Init),
        (2, Event::InitAck),
        (6, Event::Abort),
        (7, Event::Shutdown),
        (8, Event::ShutdownAck),
        (9, Event::Error),
        (10, Event::CookieEcho),
        (11, Event::CookieAck),
        (14, Event::ShutdownComplete),
    ];
    for kind in 0..=255 {
        let event = named.iter().find(|(k, _)| *k == kind).map_or(Event::Data, |&(_, e)| e);
        assert_eq!(Event::of(&packet(&[(kind, 8)])), event, "type {kind}");
        let bundled = Event::of(&packet(&[(kind, 8), (kind::DATA, 16)]));
        assert_eq!(bundled, event, "type {kind} and DATA");
    }
}

#[test]
fn an_abort_behind_a_cookie_is_an_abort_and_behind_nothing_else() {
    for kind in 0..=255 {
        let first = Event::of(&packet(&[(kind, 8)]));
        let is_cookie = matches!(kind, kind::COOKIE_ECHO | kind::COOKIE_ACK);
        for len in [4, 5, 8, 100] {
            let event = Event::of(&packet(&[(kind, len), (kind::ABORT, 4)]));
            assert_eq!(event, if is_cookie { Event::LateAbort } else { first }, "type {kind}");
        }
    }
    let third = packet(&[(kind::COOKIE_ECHO, 8), (kind::DATA, 16), (kind::ABORT, 4)]);
    assert_eq!(Event::of(&third), Event::CookieEcho);
}

#[test]
fn a_cookie_that_lies_about_its_length_hides_what_follows() {
    let mut packet = packet(&[(kind::COOKIE_ECHO, 8), (kind::ABORT, 4)]);
    for len in 0..=u16::MAX {
        packet[14..16].copy_from_slice(&len.to_be_bytes());
        let reaches_abort = (5..=8).contains(&len);
        let event = if reaches_abort { Event::LateAbort } else { Event::CookieEcho };
        assert_eq!(Event::of(&packet), event, "length {len}");
    }
}

#[test]
fn a_packet_cut_anywhere_means_what_is_left_of_it() {
    let whole = packet(&[(kind::COOKIE_ACK, 6), (kind::ABORT, 4)]);
    for len in 0..=whole.len() {
        let event = match len {
            0..16 => Event::NoChunk,
            16..24 => Event::CookieAck,
            _ => Event::LateAbort,
        };
        assert_eq!(Event::of(&whole[..len]), event, "{len} bytes");
    }
}

#[test]
fn an_init_opens_and_with_sloppy_sctp_all_but_an_abort() {
    for event in Event::ALL {
        let (strict, sloppy) = match event {
            Event::Init => (Opening::Schedule, Opening::Schedule),
            Event::Abort => (Opening::Leave, Opening::Leave),
            Event::NoChunk => (Opening::Drop, Opening::Drop),
            _ => (Opening::Leave, Opening::Schedule),
        };
        assert_eq!((opening(event, false), opening(event, true)), (strict, sloppy), "{event:?}");
    }
}

/// Type of the chunk that a recording's letter stands for.
fn chunk(letter: u8) -> u8 {
    match letter {
        b'I' => kind::INIT,
        b'i' => kind::INIT_ACK,
        b'E' => kind::COOKIE_ECHO,
        b'e' => kind::COOKIE_ACK,
        b'D' => kind::DATA,
        b'W' => kind::SHUTDOWN,
        b'w' => kind::SHUTDOWN_ACK,
        b'C' => kind::SHUTDOWN_COMPLETE,
        b'R' => kind::ABORT,
        b'X' => kind::ERROR,
        _ => panic!("no letter of a chunk: {letter}"),
    }
}

/// An INIT in CLOSED begins a new conn (`conn_reuse_mode` 1).
fn state_after(sequence: &str, replies_seen: bool) -> u8 {
    sequence.split(' ').fold(NONE, |state, event| {
        let side = match (event.as_bytes()[0], replies_seen) {
            (b'c', true) => Side::Input,
            (b'c', false) => Side::InputOnly,
            _ => Side::Output,
        };
        let event = Event::of(&packet(&[(chunk(event.as_bytes()[1]), 16)]));
        let reused = side != Side::Output && event == Event::Init && state == CLOSED;
        next(if reused { NONE } else { state }, side, event)
    })
}

/// Every sequence of the recording ends in the state the kernel listed for it, `count` in all, and
/// these states come up. Entries with no second left are the ones that a reused port replaced.
fn replay(golden: &str, replies_seen: bool, count: usize, states: &[u8]) {
    let golden: Value = serde_json::from_str(golden).unwrap();
    let result = golden["result"].as_object().unwrap().values().next().unwrap();
    let sequences = result.as_object().unwrap();
    assert_eq!(sequences.len(), count);
    let mut met = BTreeSet::new();
    for (sequence, entries) in sequences {
        let ours = state_after(sequence, replies_seen);
        met.insert(ours);
        let (name, timeout) = (NAMES[usize::from(ours)], DEFAULT_TIMEOUTS[usize::from(ours)]);
        let listed = entries.as_array().unwrap().iter().any(|entry| {
            let left = entry[1].as_i64().unwrap();
            entry[0] == name && (left - i64::from(timeout / ticks(1))).abs() <= 1
        });
        assert!(listed, "{sequence}: {name} but the kernel has {entries}");
    }
    assert_eq!(met, states.iter().copied().collect());
}

#[test]
fn a_kernel_doing_nat_reaches_the_same_states_and_timeouts() {
    let states: Vec<u8> = (INIT1..=CLOSED).collect();
    replay(include_str!("../../../tests/golden/fsm_sctp_nat.json"), true, 421, &states);
}

#[test]
fn a_kernel_doing_direct_routing_reaches_the_same_states_and_timeouts() {
    let states = [INIT1, INIT, COOKIE_ECHOED, ESTABLISHED, SHUTDOWN_RECEIVED, CLOSED];
    replay(include_str!("../../../tests/golden/fsm_sctp_dr.json"), false, 1111, &states);
}
