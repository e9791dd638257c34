//! FTP as the kernel's helper does it, frame by frame, from the recorded traces.

use super::ftp::{self, Answer, Command, Found, Mode};
use super::{edit, seq};
use crate::address::{Address, Family};
use crate::forward::{link, masq};
use crate::ids::PortId;
use crate::io::Packet;
use crate::io::sim::SimPacket;
use crate::parse::{Content, Headers, Parsed, parse};
use crate::testing::from_hex;
use crate::wire::{be32, tcp};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

const RIP: u32 = 0xc0a8_010b;

/// One control conn, as a director would keep it.
struct Control {
    mode: Mode,
    record: seq::Record,
}

/// A director with one FTP service and one real server.
struct Director {
    vip: u32,
    controls: BTreeMap<u16, Control>,
    /// Data conns announced, in the words of `ipvsadm -Lnc`.
    announced: BTreeSet<String>,
}

impl Director {
    fn new(vip: u32) -> Director {
        Director { vip, controls: BTreeMap::new(), announced: BTreeSet::new() }
    }

    /// What leaves for a frame that came, but for its MAC addresses.
    fn pass(&mut self, frame: &[u8]) -> Option<(SimPacket, Headers)> {
        let Parsed::V4(Content::Flow(mut headers)) = parse(frame) else { panic!("a flow") };
        let mut packet = SimPacket::new(frame, PortId(0));
        let from_server = headers.key.src == RIP;
        let service =
            if from_server { headers.key.sport } else { headers.key.dport } == ftp::CONTROL_PORT;
        if service && !edit::checksum_ok(frame, &headers) {
            return None;
        }
        if service {
            self.help(&mut packet, &mut headers, from_server);
        }
        let (sport, dport) = (headers.key.sport, headers.key.dport);
        if from_server {
            let deltas = masq::deltas(self.vip, sport, RIP, sport);
            masq::outbound(&mut packet, &headers, (self.vip, sport), deltas);
        } else {
            let deltas = masq::deltas(self.vip, dport, RIP, dport);
            masq::inbound(&mut packet, &headers, (RIP, dport), deltas);
        }
        Some((packet, headers))
    }

    fn help(&mut self, packet: &mut SimPacket, headers: &mut Headers, from_server: bool) {
        let client = if from_server { headers.key.dport } else { headers.key.sport };
        let fresh = || Control { mode: Mode::Active, record: seq::Record::default() };
        let control = self.controls.entry(client).or_insert_with(fresh);
        let payload = edit::payload(packet.bytes(), headers).expect("true lengths");
        let text = packet.bytes()[payload].to_vec();
        let segment = &mut packet.bytes_mut()[headers.l4.into()..];
        let number = be32(segment, tcp::SEQ);
        let seq::Record { inbound, outbound, .. } = &mut control.record;
        if !from_server {
            seq::adjust(segment, inbound, outbound);
            match ftp::command(&text, Family::V4) {
                Command::Passive(mode) => control.mode = mode,
                Command::Active(found) => {
                    control.mode = Mode::Active;
                    if found.names(headers.key.src.ip()) {
                        self.announce(&format!("{}:{}", found.addr, found.port), 20);
                    }
                }
                Command::Other | Command::Malformed => {}
            }
            return;
        }
        seq::adjust(segment, outbound, inbound);
        if let Answer::Passive(found) = ftp::answer(&text, control.mode, RIP.ip()) {
            if !found.names(RIP.ip()) && !found.names(self.vip.ip()) {
                return;
            }
            let with = found.render(self.vip.ip(), found.port);
            let Found { span, port, .. } = found;
            let diff = edit::replace(packet, headers, span, &with).expect("room and truth");
            outbound.resized(number, diff);
            self.announce(&format!("{}:0", headers.key.dst.ip()), port);
        }
    }

    fn announce(&mut self, client: &str, port: u16) {
        let (vip, rip) = (self.vip.ip(), RIP.ip());
        self.announced.insert(format!("{client} {vip}:{port} {rip}:{port}"));
    }
}

/// Data conns announced, in a listing.
fn listening(listing: &Value) -> BTreeSet<String> {
    let lines = listing["out"].as_array().into_iter().flatten();
    let words = lines.map(|line| line.as_str().expect("text").split_whitespace());
    let listening = words.map(Iterator::collect::<Vec<_>>).filter(|words| words[2] == "LISTEN");
    listening.map(|words| words[3..].join(" ")).collect()
}

/// Replays a trace; gives how many frames agree, and the notes after which something does not.
fn replay(name: &str, vip: u32) -> (usize, Vec<String>) {
    let path = format!("{}/tests/golden/{name}.json", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).expect("the trace is there");
    let trace: Value = serde_json::from_str(&text).expect("JSON");
    let mut director = Director::new(vip);
    let (mut note, mut agree, mut differ) = (String::new(), 0, Vec::new());
    let (mut ours, mut kernels) = (BTreeSet::new(), BTreeSet::new());
    let mut left = None;
    for step in trace["steps"].as_array().expect("steps") {
        let frame = || from_hex(step["frame"].as_str().expect("a frame"));
        let agrees = match step["op"].as_str().expect("a kind") {
            "send" => {
                note = step["note"].as_str().map_or(note, str::to_owned);
                if note.ends_with("nothing announced") {
                    break;
                }
                left = director.pass(&frame());
                continue;
            }
            "recv" => left.take().is_some_and(|left| as_sent(left, &frame()) == frame()),
            "recv_none" => left.is_none(),
            "ipvsadm" if step["args"] == "-Lnc" => {
                let (listed, announced) = (listening(step), director.announced.clone());
                let equal = listed.difference(&kernels).eq(announced.difference(&ours));
                kernels.extend(listed);
                ours = announced;
                equal
            }
            _ => continue,
        };
        agree += usize::from(agrees);
        if !agrees && differ.last() != Some(&note) {
            differ.push(note.clone());
        }
    }
    (agree, differ)
}

/// The packet with the MAC addresses of `came`.
fn as_sent((mut packet, headers): (SimPacket, Headers), came: &[u8]) -> Vec<u8> {
    let mac = |at: usize| came[at..at + 6].try_into().expect("six bytes");
    assert!(link::address(&mut packet, headers.l3, 0, &mac(0), &mac(6)));
    packet.bytes().to_vec()
}

#[test]
fn the_four_ways_to_a_data_connection() {
    assert_eq!(replay("nat_ftp", 0x0a00_0064), (71, Vec::new()));
}

#[test]
fn numbers_and_selective_acknowledgements_after_longer_answers() {
    let differ = ["the server retransmits the answer"];
    assert_eq!(replay("leaf/nat_ftp_grow", 0xcb00_7164), (23, differ.map(str::to_owned).to_vec()));
}

#[test]
fn what_announces_a_data_connection_and_what_does_not() {
    // Each is stricter than the kernel, but for the address of the VIP: there the kernel's entry
    // leads to the director itself.
    let differ = [
        "inside a line",
        "number above 255",
        "empty number",
        "seven numbers",
        "foreign address",
        "the address of the VIP",
        "port 0",
        "EPSV foreign",
        "EPSV port 65537",
        "PORT foreign address",
        "PORT no space",
        "EPRT foreign",
    ];
    assert_eq!(replay("leaf/nat_ftp_odd", 0x0a00_0064), (269, differ.map(str::to_owned).to_vec()));
}
