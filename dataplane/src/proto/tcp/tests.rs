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

#[test]
fn every_state_side_and_flag_byte_goes_where_the_rules_say() {
    for side in [Side::Input, Side::Output, Side::InputOnly] {
        for state in 0..STATES as u8 {
            for flags in 0..=255 {
                let want = naive(state, side, flags);
                assert_eq!(next(state, side, flags), want, "{state} {side:?} {flags:#x}");
            }
        }
    }
}

#[test]
fn a_number_that_is_no_state_closes() {
    assert!((STATES as u8..=255).all(|state| next(state, Side::Output, flags::ACK) == CLOSE));
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

/// A SYN in TIME_WAIT or CLOSE begins a new conn (`conn_reuse_mode` 1).
fn state_after(sequence: &str, replies_seen: bool) -> u8 {
    sequence.split(' ').fold(NONE, |state, event| {
        let (side, flags) = packet(event, replies_seen);
        let reused = event == "cS" && matches!(state, TIME_WAIT | CLOSE);
        next(if reused { NONE } else { state }, side, flags)
    })
}

/// Every sequence of the recording ends in the state the kernel listed for it. Entries with no
/// second left are the ones that a reused port replaced.
fn replay(golden: &str, replies_seen: bool, least: usize) {
    let golden: Value = serde_json::from_str(golden).unwrap();
    let result = golden["result"].as_object().unwrap().values().next().unwrap();
    let sequences = result.as_object().unwrap();
    assert!(sequences.len() >= least, "only {} sequences", sequences.len());
    for (sequence, entries) in sequences {
        let ours = state_after(sequence, replies_seen);
        let timeout = i64::from(DEFAULT_TIMEOUTS[usize::from(ours)] / ticks(1));
        let listed = entries.as_array().unwrap().iter().any(|entry| {
            let left = entry[1].as_i64().unwrap();
            entry[0] == NAMES[usize::from(ours)] && (left - timeout).abs() <= 1
        });
        assert!(listed, "{sequence}: {} but the kernel has {entries}", NAMES[usize::from(ours)]);
    }
}

#[test]
fn a_kernel_doing_nat_reaches_the_same_states_and_timeouts() {
    replay(include_str!("../../../tests/golden/fsm_tcp_nat.json"), true, 500);
}

#[test]
fn a_kernel_doing_direct_routing_reaches_the_same_states_and_timeouts() {
    replay(include_str!("../../../tests/golden/fsm_tcp_dr.json"), false, 300);
}

#[test]
fn a_kernel_doing_tunnels_reaches_the_same_states_and_timeouts() {
    replay(include_str!("../../../tests/golden/fsm_tcp_tun.json"), false, 80);
}
