//! The table against the published one, and against what a real kernel did.

use super::state::*;
use super::*;
use serde_json::Value;

/// The rules as sentences, state by state: written without the table.
fn naive(state: u8, side: Side, flags: u8) -> u8 {
    let (rst, syn, fin, ack) = (
        flags & flags::RST != 0,
        flags & flags::SYN != 0,
        flags & flags::FIN != 0,
        flags & flags::ACK != 0,
    );
    let client = side != Side::Output;
    if rst {
        return match state {
            SYN_RECV if client => SYN_RECV,
            LISTEN if client => LISTEN,
            SYNACK if side == Side::Input => SYN_RECV,
            SYN_SENT | TIME_WAIT if !client => state,
            _ => CLOSE,
        };
    }
    if syn {
        return match state {
            ESTABLISHED => ESTABLISHED,
            SYN_SENT if client => ESTABLISHED,
            LISTEN if !client => LISTEN,
            SYN_RECV | SYNACK => SYN_RECV,
            _ if client => SYN_RECV,
            _ => SYN_SENT,
        };
    }
    if fin {
        return match (state, side) {
            (NONE, Side::Output) => TIME_WAIT,
            (NONE, _) => CLOSE,
            (SYN_RECV | SYNACK, _) => TIME_WAIT,
            (ESTABLISHED, Side::Input) => CLOSE_WAIT,
            (ESTABLISHED, _) => FIN_WAIT,
            (FIN_WAIT, Side::Input) | (CLOSE_WAIT, Side::Output) => TIME_WAIT,
            _ => state,
        };
    }
    if ack {
        return match state {
            NONE | SYN_RECV | SYNACK => ESTABLISHED,
            LISTEN if !client => ESTABLISHED,
            LAST_ACK if client => CLOSE,
            _ => state,
        };
    }
    CLOSE
}

/// The rules of `secure_tcp`: what differs, else the same.
fn naive_secure(state: u8, side: Side, flags: u8) -> u8 {
    let (rst, syn) = (flags & flags::RST != 0, flags & flags::SYN != 0);
    let (fin, ack) = (flags & flags::FIN != 0, flags & flags::ACK != 0);
    match (side, state) {
        (Side::Input, SYNACK) if rst => CLOSE,
        (Side::Input, SYNACK) if syn || fin || ack => SYNACK,
        (Side::Input, SYN_RECV) if ack && !rst && !syn && !fin => SYN_RECV,
        (Side::Output, SYN_RECV | SYNACK) if syn && !rst => SYNACK,
        (Side::InputOnly, ESTABLISHED | SYN_SENT | SYN_RECV) => naive(state, side, flags),
        (Side::InputOnly, _) if syn && !rst => SYNACK,
        _ => naive(state, side, flags),
    }
}

#[test]
fn every_state_side_and_flag_byte_goes_where_the_rules_say() {
    for side in [Side::Input, Side::Output, Side::InputOnly] {
        for state in 0..STATES as u8 {
            for flags in 0..=255 {
                let what = format!("{state} {side:?} {flags:#x}");
                assert_eq!(next(state, side, flags, false), naive(state, side, flags), "{what}");
                let want = naive_secure(state, side, flags);
                assert_eq!(next(state, side, flags, true), want, "{what} secure");
            }
        }
    }
}

#[test]
fn a_number_that_is_no_state_closes() {
    for secure in [false, true] {
        let closes = |state| next(state, Side::Output, flags::ACK, secure) == CLOSE;
        assert!((STATES as u8..=255).all(closes));
    }
}

#[test]
fn only_half_open_and_established_states_are_active() {
    let active: Vec<u8> = (0..=255).filter(|&state| is_active(state)).collect();
    assert_eq!(active, [ESTABLISHED, SYN_SENT, SYN_RECV, SYNACK]);
}

/// One letter for the sender, one for the flags: `cS` is a client's SYN, `sS` a SYN+ACK.
fn packet(event: &str, replies_seen: bool) -> (Side, u8) {
    let side = match (event.as_bytes()[0], replies_seen) {
        (b'c', true) => Side::Input,
        (b'c', false) => Side::InputOnly,
        _ => Side::Output,
    };
    let flags = match event {
        "cS" => flags::SYN,
        "sS" => flags::SYN | flags::ACK,
        "cA" | "sA" => flags::ACK,
        "cF" | "sF" => flags::FIN | flags::ACK,
        _ => flags::RST,
    };
    (side, flags)
}

/// How the recording kernel was set.
#[derive(Clone, Copy)]
struct Rules {
    replies_seen: bool,
    secure: bool,
    sloppy: bool,
}

const NAT: Rules = Rules { replies_seen: true, secure: false, sloppy: false };
const PAST_US: Rules = Rules { replies_seen: false, ..NAT };

/// The conn's state, if there is one. A SYN in TIME_WAIT or CLOSE begins a new one
/// (`conn_reuse_mode` 1); a first packet begins one if it is a client's SYN, or with `sloppy_tcp`
/// anything of a client's but RST.
fn state_after(sequence: &str, rules: Rules) -> Option<u8> {
    sequence.split(' ').fold(None, |state, event| {
        let (side, flags) = packet(event, rules.replies_seen);
        let begins = event == "cS" || rules.sloppy && matches!(event, "cA" | "cF");
        let before = match state {
            Some(TIME_WAIT | CLOSE) if event == "cS" => NONE,
            Some(state) => state,
            None if begins => NONE,
            None => return None,
        };
        Some(next(before, side, flags, rules.secure))
    })
}

/// Whether one of the listed entries is what a conn of `state` has right after a packet. Entries
/// with no second left are the ones that a reused port replaced.
fn is_listed(state: u8, entries: &Value) -> bool {
    let timeout = i64::from(DEFAULT_TIMEOUTS[usize::from(state)] / ticks(1));
    entries.as_array().is_some_and(|entries| {
        entries.iter().any(|entry| {
            let left = entry[1].as_i64().unwrap();
            entry[0] == NAMES[usize::from(state)] && (left - timeout).abs() <= 1
        })
    })
}

/// Every sequence of the recording ends in the state the kernel listed for it, `count` in all.
fn replay(golden: &str, rules: Rules, count: usize) {
    let golden: Value = serde_json::from_str(golden).unwrap();
    let result = golden["result"].as_object().unwrap().values().next().unwrap();
    let sequences = result.as_object().unwrap();
    assert_eq!(sequences.len(), count);
    for (sequence, entries) in sequences {
        let ours = state_after(sequence, rules);
        let same = ours.map_or(entries.is_null(), |state| is_listed(state, entries));
        let ours = ours.map(|state| NAMES[usize::from(state)]);
        assert!(same, "{sequence}: {ours:?} but the kernel has {entries}");
    }
}

#[test]
fn a_kernel_doing_nat_reaches_the_same_states_and_timeouts() {
    replay(include_str!("../../../tests/golden/fsm_tcp_nat.json"), NAT, 585);
}

#[test]
fn a_kernel_doing_direct_routing_reaches_the_same_states_and_timeouts() {
    replay(include_str!("../../../tests/golden/fsm_tcp_dr.json"), PAST_US, 341);
}

#[test]
fn a_kernel_doing_tunnels_reaches_the_same_states_and_timeouts() {
    replay(include_str!("../../../tests/golden/fsm_tcp_tun.json"), PAST_US, 85);
}

#[test]
fn a_kernel_with_secure_tcp_doing_nat_reaches_the_same_states_and_timeouts() {
    let rules = Rules { secure: true, ..NAT };
    replay(include_str!("../../../tests/golden/fsm_tcp_nat_secure.json"), rules, 73);
}

#[test]
fn a_kernel_with_secure_tcp_doing_direct_routing_reaches_the_same_states_and_timeouts() {
    let rules = Rules { secure: true, ..PAST_US };
    replay(include_str!("../../../tests/golden/fsm_tcp_dr_secure.json"), rules, 85);
}

#[test]
fn conns_that_begin_in_midstream_reach_the_same_states_and_timeouts() {
    let sloppy = Rules { sloppy: true, ..NAT };
    replay(include_str!("../../../tests/golden/fsm_tcp_nat_sloppy.json"), sloppy, 292);
    replay(include_str!("../../../tests/golden/fsm_tcp_nat_nosloppy.json"), NAT, 27);
}

#[test]
fn the_one_look_says_what_the_table_and_the_syn_flag_say() {
    for secure in [false, true] {
        for side in [Side::Input, Side::Output, Side::InputOnly] {
            for (state, flags) in (0..=255).flat_map(|state| (0..=255).map(move |f| (state, f))) {
                let same = next(state, side, flags, secure) == state && flags & flags::SYN == 0;
                let wanted = same && usize::from(state) < STATES;
                assert_eq!(stays(state, side, flags, secure), wanted, "{state} {side:?} {flags:x}");
            }
        }
    }
}
