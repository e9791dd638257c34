//! Golden traces of the kernel's IPVS, replayed through the whole director in one thread: the
//! recorded commands through ipvsadm's parser and the control plane's state, the recorded frames
//! through a worker; frames that come out and listings are compared with the kernel's.

mod bench;
mod fsm;
mod linux;
mod listing;
mod local;
mod network;
mod replay;
mod skip;
#[path = "../../../dataplane/tests/common/golden.rs"]
mod trace;

use bench::Setup;
use linux::Answer;
use replay::{Outcome, replay};
use trace::{Golden, kept};

/// The set-ups every trace is replayed in: windows of one packet and of many, with and without a
/// VLAN tag on both sides; and flows that are all of one worker, while packets come in at three.
const SETUPS: [Setup; 5] = [
    Setup { vlan: 0, window: 1, workers: 1, owner: None },
    Setup { vlan: 0, window: 128, workers: 1, owner: None },
    Setup { vlan: 100, window: 1, workers: 1, owner: None },
    Setup { vlan: 100, window: 128, workers: 1, owner: None },
    Setup { vlan: 0, window: 128, workers: 3, owner: Some(0) },
];

/// Three workers share the flows.
const THREE_WORKERS: Setup = Setup { vlan: 0, window: 128, workers: 3, owner: None };

/// Beginnings of the traces in which a choice depends on the one before it, of another flow: rr and
/// wrr take turns, `drop_packet` counts. Each worker does that
/// by itself.
const BY_TURNS: [&str; 15] = [
    "sched_rr_",
    "sched_wrr_",
    "conn_reuse",
    "defence_packet",
    "dest_removed",
    "fwmark_basic",
    "nat_ftp_two",
    "nat_schedule_icmp",
    "ops_persist",
    "persist_basic",
    "persist_expiry",
    "persist_ftp_dr",
    "persist_netmask",
    "persist_sip",
    "persist_v6_mask",
];

/// Replays the kept traces of these names in every set-up; none may differ. Returns what the
/// traces held, added up over one set-up.
fn replay_all(prefixes: &[&str]) -> Outcome {
    let mut totals = SETUPS.map(|_| Outcome::default());
    for path in prefixes.iter().flat_map(|prefix| kept(prefix)) {
        let golden = Golden::load(&path).expect("a trace");
        for (setup, total) in SETUPS.iter().zip(&mut totals) {
            let outcome = replay(&golden, setup);
            assert_eq!(outcome.differences, "", "{} with {setup:?}", golden.name);
            *total += outcome;
        }
    }
    let [total, others @ ..] = totals;
    others.iter().for_each(|other| assert_eq!(*other, total, "set-ups compare the same"));
    total
}

#[test]
fn three_workers_that_share_the_flows_do_as_one_does() {
    let mut traces = 0;
    for path in kept("") {
        let golden = Golden::load(&path).expect("a trace");
        if golden.states.is_empty() && !BY_TURNS.iter().any(|name| golden.name.starts_with(name)) {
            assert_eq!(replay(&golden, &THREE_WORKERS).differences, "", "{}", golden.name);
            traces += 1;
        }
    }
    assert_eq!(traces, 152);
}

#[test]
fn schedulers_choose_as_the_kernel_does() {
    let seen = replay_all(&["sched_"]);
    assert_eq!((seen.traces, seen.deliberate), (103, 0));
    assert_eq!((seen.frames, seen.listings), (6719, 110));
    assert_eq!(seen.by_linux, [0; linux::Answer::COUNT], "nothing is left to Linux");
}

#[test]
fn masq_forwards_as_the_kernel_does() {
    let seen = replay_all(&["nat_tcp_basic", "nat_udp"]);
    assert_eq!((seen.traces, seen.deliberate), (2, 0));
    assert!(seen.frames > 20 && seen.listings > 15, "{seen:?}");
    assert_eq!(seen.by_linux, [0; linux::Answer::COUNT], "nothing is left to Linux");
}

#[test]
fn times_to_live_tos_and_options_are_treated_as_the_kernels() {
    let seen = replay_all(&["nat_ttl_tos_opts"]);
    assert_eq!((seen.traces, seen.deliberate), (1, 1));
    assert_eq!(seen.by_linux[Answer::RouterIcmp as usize], 1, "a reply whose time ends here");
}

#[test]
fn replies_without_a_conn_and_of_two_conns_go_where_the_kernels_do() {
    let seen = replay_all(&["nat_rs_without_conn", "nat_same_reply", "noconn_cases", "dr_v6"]);
    assert_eq!((seen.traces, seen.deliberate), (4, 0));
    let left_to_linux = [(Answer::Rst, 8), (Answer::Routed, 6), (Answer::Unreachable, 1)];
    let mut expected = [0; Answer::COUNT];
    left_to_linux.into_iter().for_each(|(kind, count)| expected[kind as usize] = count);
    assert_eq!(seen.by_linux, expected);
}

#[test]
fn conns_end_and_come_back_as_the_kernels_do() {
    let seen = replay_all(&["conn_reuse", "dest_removed", "timeouts_custom", "nat_mtu"]);
    assert_eq!((seen.traces, seen.deliberate), (4, 0));
}

#[test]
fn gatewaying_and_ipip_forward_as_the_kernel_does() {
    let seen = replay_all(&["dr_v4", "tun_ipip_v4"]);
    assert_eq!((seen.traces, seen.deliberate), (4, 8));
    assert!(seen.frames > 80 && seen.listings > 8, "{seen:?}");
    assert_eq!(seen.by_linux, [0; linux::Answer::COUNT], "nothing is left to Linux");
}

#[test]
fn fragments_of_a_datagram_leave_as_the_kernels_do_or_as_a_row_says() {
    let seen = replay_all(&["nat_fragments"]);
    assert_eq!((seen.traces, seen.frames, seen.deliberate), (1, 29, 16));
    let mut expected = [0; Answer::COUNT];
    expected[Answer::Routed as usize] = 2;
    expected[Answer::Unreachable as usize] = 1;
    assert_eq!(seen.by_linux, expected);
}

#[test]
fn ipv6_is_forwarded_by_masq_as_the_kernel_does() {
    let seen = replay_all(&["nat_v6"]);
    assert_eq!((seen.traces, seen.deliberate), (1, 6));
    assert!(seen.frames > 15 && seen.listings > 0, "{seen:?}");
}

#[test]
fn the_director_serves_as_a_real_server_as_the_kernels_does() {
    let seen = replay_all(&["local_node"]);
    assert_eq!((seen.traces, seen.frames, seen.deliberate), (1, 23, 0));
    assert!(seen.listings > 15, "{seen:?}");
    assert_eq!(seen.by_linux, [0; Answer::COUNT], "every answer passes the director");
}

#[test]
fn persistent_clients_come_back_as_the_kernels_do() {
    let seen = replay_all(&["persist_"]);
    assert_eq!((seen.traces, seen.deliberate), (12, 0));
    assert_eq!(seen.by_linux, [0; linux::Answer::COUNT], "nothing is left to Linux");
    let seen = replay_all(&["fwmark_basic"]);
    assert_eq!((seen.traces, seen.deliberate), (1, 0));
}

#[test]
fn real_servers_call_as_the_kernels_do_or_as_a_row_says() {
    let seen = replay_all(&["nat_sip_out"]);
    assert_eq!((seen.traces, seen.deliberate), (5, 0));
    assert!(seen.frames > 60 && seen.listings > 40, "{seen:?}");
    let left_to_linux = [(Answer::Routed, 12), (Answer::RouterIcmp, 3), (Answer::Unreachable, 1)];
    let mut expected = [0; Answer::COUNT];
    left_to_linux.into_iter().for_each(|(kind, count)| expected[kind as usize] = count);
    assert_eq!(seen.by_linux, expected);
}

#[test]
fn packets_scheduled_one_by_one_go_where_the_kernels_do() {
    let seen = replay_all(&["ops_"]);
    assert_eq!((seen.traces, seen.deliberate), (2, 0));
}

#[test]
fn ftp_is_helped_as_the_kernel_does() {
    let seen = replay_all(&["nat_ftp"]);
    assert_eq!((seen.traces, seen.deliberate), (6, 0));
    assert!(seen.frames > 300 && seen.listings > 60, "{seen:?}");
}

#[test]
fn icmp_errors_about_conns_follow_the_flow_as_the_kernels_do() {
    let seen = replay_all(&["nat_icmp_", "tun_icmp_"]);
    assert_eq!((seen.traces, seen.deliberate), (6, 6));
    assert!(seen.frames > 90 && seen.listings > 8, "{seen:?}");
    let left_to_linux = [(Answer::Pong, 1), (Answer::Routed, 3)];
    let mut expected = [0; Answer::COUNT];
    left_to_linux.into_iter().for_each(|(kind, count)| expected[kind as usize] = count);
    assert_eq!(seen.by_linux, expected);
}

#[test]
fn icmp_errors_begin_conns_where_the_kernels_do() {
    let names = ["schedule_icmp", "nat_schedule_icmp", "dr_schedule_icmp_v6"];
    let seen = replay_all(&names);
    assert_eq!(seen.traces, 4);
    assert_eq!((seen.frames, seen.listings), (26, 16));
    let mut expected = [0; Answer::COUNT];
    [Answer::Pong, Answer::Routed].into_iter().for_each(|kind| expected[kind as usize] = 1);
    assert_eq!(seen.by_linux, expected);
}

#[test]
fn sctp_forwards_as_the_kernel_does() {
    let seen = replay_all(&["nat_sctp", "dr_sctp"]);
    assert_eq!((seen.traces, seen.deliberate), (5, 6));
    assert!(seen.frames > 80 && seen.listings > 8, "{seen:?}");
    let mut expected = [0; Answer::COUNT];
    expected[Answer::Unreachable as usize] = 26 + 6;
    expected[Answer::Routed as usize] = 5;
    assert_eq!(seen.by_linux, expected, "what begins no association, or ends before its ports");
}

#[test]
fn headers_that_are_cut_or_lie_go_as_the_kernels_do() {
    let seen = replay_all(&["nat_cut", "dr_cut", "tun_cut"]);
    assert_eq!(seen.traces, 3);
    assert!(seen.frames > 200 && seen.listings > 10, "{seen:?}");
    let mut expected = [0; Answer::COUNT];
    expected[Answer::Routed as usize] = 4;
    assert_eq!(seen.by_linux, expected, "replies that end before their ports");
}

#[test]
fn datagrams_without_checksum_and_fragments_that_fit_nowhere_go_as_the_kernels_or_as_a_row_says() {
    let seen = replay_all(&["nat_tail", "fragments_v6_bad"]);
    assert_eq!((seen.traces, seen.frames, seen.deliberate), (2, 12 + 17, 7));
    let mut expected = [0; Answer::COUNT];
    expected[Answer::RouterIcmp as usize] = 6;
    expected[Answer::Unreachable as usize] = 1;
    expected[Answer::Routed as usize] = 1;
    assert_eq!(seen.by_linux, expected);
}

#[test]
fn every_so_many_new_conns_are_refused_as_the_kernel_does() {
    let seen = replay_all(&["defence_packet"]);
    assert_eq!(seen.traces, 1);
    let mut expected = [0; Answer::COUNT];
    expected[Answer::Rst as usize] = 13;
    assert_eq!(seen.by_linux, expected, "what begins no conn");
}

#[test]
fn states_and_timeouts_are_the_kernels_after_every_sequence_of_segments_or_chunks() {
    let mut sequences = 0;
    for path in kept("fsm_") {
        let golden = Golden::load(&path).expect("a trace");
        for setup in SETUPS.into_iter().chain([THREE_WORKERS]) {
            assert_eq!(fsm::differences(&golden, &setup), "", "{} with {setup:?}", golden.name);
        }
        sequences += golden.states.len();
    }
    assert_eq!(sequences, 585 + 341 + 85 + 292 + 27 + 73 + 85 + 421 + 1111);
}

#[test]
fn tunnels_of_every_kind_forward_as_the_kernels_do() {
    let seen = replay_all(&["tun_ipip_v6", "tun_gre_", "tun_gue_", "tun_mixed_family"]);
    assert_eq!((seen.traces, seen.deliberate), (12, 10));
    assert!(seen.frames > 300 && seen.listings > 30, "{seen:?}");
    assert_eq!(seen.by_linux, [0; linux::Answer::COUNT], "nothing is left to Linux");
}
