//! The reader of golden traces, on the traces kept here and on frames made for each of its rules.

mod common;

use common::golden::{Golden, Port, Step, differences, kept, mask, topology};
use std::time::Duration;

/// An IPv4 frame with identification 0x1234 and header checksum 0x5678.
fn ipv4(tos: u8, protocol: u8, source: [u8; 4], payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![2; 12];
    frame.extend([8, 0, 0x45, tos, 0, 0, 0x12, 0x34, 0x40, 0, 63, protocol, 0x56, 0x78]);
    frame.extend(source);
    frame.extend([10, 0, 0, 2]);
    frame.extend(payload);
    frame
}

/// An IPv6 frame with flow label 0xabcde.
fn ipv6(next_header: u8, hop_limit: u8, source_end: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![2; 12];
    frame.extend([0x86, 0xdd, 0x60, 0x0a, 0xbc, 0xde, 0, 8, next_header, hop_limit]);
    frame.extend([0x20, 1, 0x0d, 0xb8, 0, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0, source_end]);
    frame.extend([0xfd; 16]);
    frame.extend(payload);
    frame
}

/// The places in which masking changes a frame.
fn masked_places(frame: &[u8]) -> Vec<usize> {
    let masked = mask(frame);
    assert_eq!(masked.len(), frame.len());
    (0..frame.len()).filter(|&i| masked[i] != frame[i]).collect()
}

const NOTHING: [usize; 0] = [];
const DIRECTOR: [u8; 4] = [192, 168, 1, 1];
const CLIENT: [u8; 4] = [172, 16, 0, 1];
const GUE: [u8; 8] = [0xca, 0xfe, 0x17, 0xc0, 0, 8, 0xbe, 0xef];
const DNS: [u8; 8] = [0xca, 0xfe, 0, 53, 0, 8, 0xbe, 0xef];

#[test]
fn identification_is_masked_in_what_the_director_makes_and_in_nothing_else() {
    let id = vec![18, 19, 24, 25];
    assert_eq!(masked_places(&ipv4(0xc0, 1, CLIENT, &[3, 1, 9, 9])), id, "ICMP error");
    assert_eq!(masked_places(&ipv4(0, 1, CLIENT, &[0, 0, 9, 9])), id, "echo reply");
    assert_eq!(masked_places(&ipv4(0, 1, CLIENT, &[3, 1, 9, 9])), NOTHING, "forwarded ICMP error");
    for tunnel in [4, 41, 47] {
        assert_eq!(masked_places(&ipv4(0, tunnel, DIRECTOR, &[9; 20])), id, "tunnel {tunnel}");
        assert_eq!(
            masked_places(&ipv4(0, tunnel, CLIENT, &[9; 20])),
            NOTHING,
            "forwarded {tunnel}"
        );
    }
    assert_eq!(masked_places(&ipv4(0xc0, 6, DIRECTOR, &[9; 20])), NOTHING, "TCP");
}

#[test]
fn port_and_checksum_of_gue_are_masked_in_first_fragments() {
    assert_eq!(masked_places(&ipv4(0, 17, CLIENT, &GUE)), [34, 35, 40, 41]);
    assert_eq!(masked_places(&ipv4(0, 17, DIRECTOR, &GUE)), [18, 19, 24, 25, 34, 35, 40, 41]);
    assert_eq!(masked_places(&ipv4(0, 17, CLIENT, &DNS)), NOTHING);
    let mut later = ipv4(0, 17, CLIENT, &GUE);
    later[21] = 1;
    assert_eq!(masked_places(&later), NOTHING);
    assert_eq!(masked_places(&ipv6(17, 63, 9, &GUE)), [54, 55, 60, 61]);
}

#[test]
fn flow_labels_of_the_directors_own_packets_and_fragment_ids_are_masked() {
    let label = vec![15, 16, 17];
    assert_eq!(masked_places(&ipv6(58, 64, 9, &[9; 8])), label, "made by the director");
    assert_eq!(masked_places(&ipv6(41, 63, 1, &[9; 8])), label, "outer header");
    assert_eq!(masked_places(&ipv6(41, 63, 2, &[9; 8])), NOTHING, "another's outer header");
    assert_eq!(masked_places(&ipv6(44, 63, 9, &[9; 8])), [58, 59, 60, 61], "fragment");
}

#[test]
fn frames_cut_short_anywhere_are_masked_without_a_panic() {
    for whole in
        [ipv4(0xc0, 1, CLIENT, &[3; 4]), ipv4(0, 17, DIRECTOR, &GUE), ipv6(44, 64, 1, &GUE)]
    {
        for len in 0..whole.len() {
            assert_eq!(mask(&whole[..len]).len(), len);
        }
    }
}

#[test]
fn a_difference_is_seen_by_port_content_order_and_number() {
    let frame = |n: u8| ipv4(0, 6, CLIENT, &[n; 20]);
    let (a, b) = ((Port::Client, frame(1)), (Port::Server, frame(2)));
    let other = (Port::Client, frame(3));
    assert_eq!(differences(&[a.clone(), b.clone()], &[b.clone(), a.clone()]), "");
    let reply = |id: u8| {
        let mut reply = ipv4(0, 1, CLIENT, &[0; 8]);
        reply[18] = id;
        vec![(Port::Client, reply)]
    };
    assert_eq!(differences(&reply(1), &reply(2)), "");
    for (kernel, ours) in [
        (vec![a.clone()], vec![]),
        (vec![], vec![a.clone()]),
        (vec![a.clone()], vec![other.clone()]),
        (vec![a.clone()], vec![(Port::Server, frame(1))]),
        (vec![a.clone(), other.clone()], vec![other.clone(), a.clone()]),
        (vec![a.clone()], vec![a.clone(), a.clone()]),
    ] {
        let report = differences(&kernel, &ours);
        assert_eq!(report.lines().count(), kernel.len() + ours.len(), "{report}");
    }
}

#[test]
fn steps_are_read_with_what_came_out_of_each_frame() {
    let text = r#"{"name": "x", "desc": "y", "topology": "", "steps": [
        {"op": "ipvsadm", "args": "-Ln", "rc": 0, "t": 0.1, "out": ["a", "b"]},
        {"op": "sysctl", "key": "net/ipv4/vs/sloppy_tcp", "value": 1},
        {"op": "sysctl", "key": "net/ipv4/vs/sync_threshold", "value": "3 50"},
        {"op": "send", "port": "c", "frame": "00ff", "desc": "d", "note": "n"},
        {"op": "recv", "port": "s", "frame": "01", "desc": "e"},
        {"op": "recv", "port": "c", "frame": "02", "desc": "f"},
        {"op": "send", "port": "s", "frame": "03", "desc": "g"},
        {"op": "recv_none"},
        {"op": "wait", "s": 1.5}, {"op": "cmd", "cmd": "ip link", "out": []},
        {"op": "note", "text": "end"}]}"#;
    let sysctl = |key: &str, value: &str| Step::Sysctl { key: key.into(), value: value.into() };
    let send = |port, frame: &[u8], desc: &str, expect| Step::Send {
        port,
        frame: frame.to_vec(),
        desc: desc.into(),
        expect,
    };
    let expected = [
        Step::Ipvsadm { args: "-Ln".into(), rc: 0, out: vec!["a".into(), "b".into()] },
        sysctl("net/ipv4/vs/sloppy_tcp", "1"),
        sysctl("net/ipv4/vs/sync_threshold", "3 50"),
        send(Port::Client, &[0, 255], "d", vec![(Port::Server, vec![1]), (Port::Client, vec![2])]),
        send(Port::Server, &[3], "g", vec![]),
        Step::Wait(Duration::from_millis(1500)),
        Step::Cmd("ip link".into()),
        Step::Note("end".into()),
    ];
    assert_eq!(Golden::parse(text).unwrap().steps, expected);
}

#[test]
fn what_is_no_trace_is_refused() {
    let parse =
        |steps: &str| Golden::parse(&format!(r#"{{"name":"","desc":"","steps":[{steps}]}}"#));
    assert!(parse("").is_ok());
    for bad in [
        r#"{"op":"recv","port":"c","frame":"00","desc":""}"#,
        r#"{"op":"send","port":"z","frame":"00","desc":""}"#,
        r#"{"op":"send","port":"c","frame":"0","desc":""}"#,
        r#"{"op":"send","port":"c","frame":"0g","desc":""}"#,
        r#"{"op":"ipvsadm","args":"","rc":0,"where":"b"}"#,
        r#"{"op":"dance"}"#,
    ] {
        assert!(parse(bad).is_err(), "{bad}");
    }
}

#[test]
fn every_kept_trace_is_read_and_has_frames_or_a_map_of_states() {
    let paths = kept("");
    assert!(paths.len() >= 30, "{} traces", paths.len());
    for path in paths {
        let golden = Golden::load(&path).unwrap();
        assert_eq!(path.file_stem().unwrap().to_str(), Some(&*golden.name));
        let frames = golden.steps.iter().filter(|step| matches!(step, Step::Send { .. })).count();
        assert_eq!(frames == 0, !golden.states.is_empty(), "{}", golden.name);
    }
}

#[test]
fn the_map_of_tcp_states_has_the_sequences_that_the_kernel_was_asked() {
    let [path] = &kept("fsm_tcp_nat.json")[..] else { panic!("one trace of that name") };
    let golden = Golden::load(path).unwrap();
    assert_eq!(golden.states["cS"], Some(vec![("SYN_RECV".into(), 59)]));
    assert_eq!(golden.server_mtu(), 1500);
}

#[test]
fn frames_come_from_and_go_to_the_addresses_of_the_topology() {
    let mut stations = vec![topology::CLIENT_ROUTER_MAC];
    stations.extend((1..=9).map(|n| topology::real_server(n).1));
    for path in kept("sched_rr_w123") {
        for step in Golden::load(&path).unwrap().steps {
            let Step::Send { port, frame, expect, .. } = step else { continue };
            assert_eq!(frame[..6], topology::DIRECTOR_MAC[port as usize]);
            for (port, out) in expect {
                assert_eq!(out[6..12], topology::DIRECTOR_MAC[port as usize]);
                assert!(stations.iter().any(|mac| out[..6] == mac[..]));
            }
        }
    }
}
