//! Recordings of a kernel: which packets it schedules, and the states it lists after them.

use super::*;
use crate::flow::protocol;
use crate::testing::from_hex;
use serde_json::Value;
use std::collections::BTreeMap;

/// One client's conns of one service, as the leaves see them.
#[derive(Default)]
struct Conns {
    /// State and the real server's MAC address, by the client's port.
    of: BTreeMap<u16, (u8, [u8; 6])>,
    replies_pass: bool,
    sloppy: bool,
    reuse: bool,
    opened: usize,
    refused: usize,
}

impl Conns {
    /// A client's frame, and what came out for it. One that begins a conn must have been forwarded,
    /// to the real server that the conn has from then on; one that begins none refused or dropped.
    fn inbound(&mut self, frame: &[u8], came: Option<&[u8]>) {
        let packet = payload(frame).1;
        let Some(port) = packet.first_chunk().copied().map(u16::from_be_bytes) else { return };
        let event = Event::of(packet);
        let side = if self.replies_pass { Side::Input } else { Side::InputOnly };
        let reused = |state| self.reuse && event == Event::Init && state == state::CLOSED;
        if let Some((state, _)) = self.of.get_mut(&port).filter(|(state, _)| !reused(*state)) {
            *state = next(*state, side, event);
            return;
        }
        let opening = opening(event, self.sloppy);
        let expected = match opening {
            Opening::Schedule => Some(protocol::SCTP),
            // The host's own stack knows no SCTP: protocol unreachable.
            Opening::Leave => Some(protocol::ICMP),
            Opening::Drop => None,
        };
        assert_eq!(came.map(|frame| payload(frame).0), expected, "{event:?} of port {port}");
        if opening == Opening::Schedule {
            let server = came.and_then(|frame| frame.first_chunk().copied()).unwrap();
            self.of.insert(port, (next(state::NONE, side, event), server));
            self.opened += 1;
        } else {
            self.refused += 1;
        }
    }

    /// A real server's frame.
    fn outbound(&mut self, frame: &[u8]) {
        let packet = payload(frame).1;
        let port = packet.get(2..4).map(|port| u16::from_be_bytes([port[0], port[1]]));
        let conn = port.and_then(|port| self.of.get_mut(&port));
        if let Some((state, _)) = conn.filter(|(_, server)| frame[6..12] == server[..]) {
            *state = next(*state, Side::Output, Event::of(packet));
        }
    }

    /// What `ipvsadm -Lnc` prints of each: the client's port and the state's name.
    fn listing(&self) -> BTreeMap<u16, &'static str> {
        self.of.iter().map(|(&port, &(state, _))| (port, NAMES[usize::from(state)])).collect()
    }
}

/// The same of a listing. Entries that have no second left are those that a reused port replaced.
fn listed(out: &Value) -> BTreeMap<u16, &str> {
    let lines = out.as_array().unwrap().iter().map(|line| line.as_str().unwrap());
    let conns = lines.filter(|line| line.starts_with("SCTP") && !line.contains(" 00:00 "));
    let fields = conns.map(|line| line.split_whitespace().collect::<Vec<_>>());
    fields.map(|of| (of[3].rsplit(':').next().unwrap().parse().unwrap(), of[2])).collect()
}

/// L4 protocol and what follows the IP header of a frame without options or extension headers.
fn payload(frame: &[u8]) -> (u8, &[u8]) {
    match frame[12..14] {
        [0x08, 0x00] => (frame[14 + 9], &frame[14 + 20..]),
        [0x86, 0xdd] => (frame[14 + 6], &frame[14 + 40..]),
        _ => panic!("no IP packet"),
    }
}

/// Gives how many listings there were, and how many packets of no conn were scheduled and not.
fn replay(golden: &str) -> (usize, usize, usize) {
    let golden: Value = serde_json::from_str(golden).unwrap();
    let steps = golden["steps"].as_array().unwrap();
    let mut conns = Conns { replies_pass: true, reuse: true, ..Conns::default() };
    let mut listings = 0;
    for (at, step) in steps.iter().enumerate() {
        match step["op"].as_str().unwrap() {
            "send" => {
                let frame = from_hex(step["frame"].as_str().unwrap());
                let after = steps.get(at + 1).filter(|after| after["op"] == "recv");
                let came = after.map(|after| from_hex(after["frame"].as_str().unwrap()));
                match step["port"] == "s" {
                    true => conns.outbound(&frame),
                    false => conns.inbound(&frame, came.as_deref()),
                }
            }
            "sysctl" => match step["key"].as_str().unwrap() {
                "net/ipv4/vs/sloppy_sctp" => conns.sloppy = step["value"] == 1,
                "net/ipv4/vs/conn_reuse_mode" => conns.reuse = step["value"] != 0,
                _ => {}
            },
            "ipvsadm" if step["args"] == "-Lnc" => {
                listings += 1;
                assert_eq!(conns.listing(), listed(&step["out"]), "listing {listings}");
            }
            "ipvsadm" if step["args"].as_str().unwrap().contains(" -g") => {
                conns.replies_pass = false;
            }
            _ => {}
        }
    }
    (listings, conns.opened, conns.refused)
}

#[test]
fn a_whole_association_and_packets_of_none_go_as_in_the_kernel() {
    let seen = replay(include_str!("../../../tests/golden/nat_sctp.json"));
    assert_eq!(seen, (9, 5, 6));
}

#[test]
fn bundled_chunks_lies_and_cut_packets_go_as_in_the_kernel() {
    let seen = replay(include_str!("../../../tests/golden/nat_sctp_edges.json"));
    assert_eq!(seen, (4, 45, 33));
    let seen = replay(include_str!("../../../tests/golden/dr_sctp.json"));
    assert_eq!(seen, (2, 24, 0));
}

#[test]
fn an_init_on_a_closed_conn_goes_as_in_the_kernel() {
    let seen = replay(include_str!("../../../tests/golden/nat_sctp_same_port.json"));
    assert_eq!(seen, (7, 3, 0));
}

#[test]
fn an_association_over_ipv6_goes_as_in_the_kernel() {
    let seen = replay(include_str!("../../../tests/golden/nat_sctp_v6.json"));
    assert_eq!(seen, (4, 2, 0));
}
