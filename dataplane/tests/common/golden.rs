//! Golden traces: what the kernel's IPVS did, step by step, recorded between two ports.
//!
//! `Golden::load` reads a trace, [`differences`] compares what came out with what the kernel sent,
//! after [`mask`] has blanked what the kernel itself does not reproduce.
#![allow(dead_code, reason = "each test uses a part")]

use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A side of the director.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
pub enum Port {
    /// Towards the clients; the director's interface `dc`.
    #[serde(rename = "c")]
    Client,
    /// Towards the real servers; the director's interface `ds`.
    #[serde(rename = "s")]
    Server,
}

/// The addresses that all traces have in common.
pub mod topology {
    /// MAC addresses, the director's own on either port.
    pub const DIRECTOR_MAC: [[u8; 6]; 2] = [[2, 0, 0, 0, 0x0d, 1], [2, 0, 0, 0, 0x0d, 2]];
    /// The client side's router, 10.0.0.2, through which 172.16.0.0/12 is reached.
    pub const CLIENT_ROUTER: u32 = 0x0a00_0002;
    /// Its MAC address.
    pub const CLIENT_ROUTER_MAC: [u8; 6] = [2, 0, 0, 0, 0x0c, 1];
    /// The director's addresses, on networks of 24 bits: 10.0.0.1, 192.168.1.1.
    pub const DIRECTOR: [u32; 2] = [0x0a00_0001, 0xc0a8_0101];
    /// 10.0.0.100, an address of the client port.
    pub const VIP: u32 = 0x0a00_0064;

    /// Network and host 1, 2001:db8:c::1 and 2001:db8:5::1: the director's, on networks of 64 bits.
    pub const DIRECTOR_V6: [u128; 2] = [0x2001_0db8_000c << 80 | 1, 0x2001_0db8_0005 << 80 | 1];
    /// 2001:db8:c::2, through which 2001:db8:cc::/48 is reached.
    pub const CLIENT_ROUTER_V6: u128 = DIRECTOR_V6[0] + 1;
    /// The network of the clients.
    pub const CLIENTS_V6: u128 = 0x2001_0db8_00cc << 80;
    /// 2001:db8:c::100.
    pub const VIP_V6: u128 = 0x2001_0db8_000c << 80 | 0x100;

    /// The IPv6 address of the real server `n`: 2001:db8:5::(10 + n), in decimal digits.
    pub fn real_server_v6(n: u8) -> u128 {
        assert!((1..=9).contains(&n), "there are real servers 1 to 9");
        DIRECTOR_V6[1] + 0xf + u128::from(n)
    }

    /// The real server `n`, 1 to 9: 192.168.1.(10 + n) and its MAC address.
    pub fn real_server(n: u8) -> (u32, [u8; 6]) {
        assert!((1..=9).contains(&n), "there are real servers 1 to 9");
        (0xc0a8_010a + u32::from(n), [2, 0, 0, 0, 0x0e, 0x10 + n])
    }
}

/// One step of a trace.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// An ipvsadm command line without the program's name, its exit code and what it printed.
    Ipvsadm { args: String, rc: i32, out: Vec<String> },
    /// A kernel setting, as a path below `/proc/sys`.
    Sysctl { key: String, value: String },
    /// A shell command on the director.
    Cmd(String),
    /// A frame into the director, and all that came out for it, in order.
    Send { port: Port, frame: Vec<u8>, desc: String, expect: Vec<(Port, Vec<u8>)> },
    /// Time passes.
    Wait(Duration),
    /// A remark.
    Note(String),
}

/// State and whole seconds left of a conn; several conns or none after one sequence.
pub type Entries = Option<Vec<(String, u32)>>;

/// A recorded scenario.
#[derive(Debug, Clone)]
pub struct Golden {
    pub name: String,
    pub desc: String,
    pub steps: Vec<Step>,
    /// Of the `fsm_*` files: conns after each sequence of events (`"cS sA"`), in the file's words.
    pub states: BTreeMap<String, Entries>,
}

#[derive(Deserialize)]
struct File {
    name: String,
    desc: String,
    steps: Vec<Record>,
    #[serde(default)]
    result: serde_json::Value,
}

#[derive(Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
enum Record {
    Ipvsadm {
        args: String,
        rc: i32,
        #[serde(default)]
        out: Vec<String>,
        r#where: Option<String>,
    },
    Sysctl {
        key: String,
        value: serde_json::Value,
    },
    Cmd {
        cmd: String,
    },
    Send {
        port: Port,
        frame: String,
        desc: String,
    },
    Recv {
        port: Port,
        frame: String,
    },
    RecvNone,
    Wait {
        s: f64,
    },
    Note {
        text: String,
    },
}

impl Golden {
    /// Reads a trace.
    ///
    /// # Errors
    /// One sentence: the file cannot be read, is no trace, or one of two directors in sync.
    pub fn load(path: &Path) -> Result<Golden, String> {
        let text = std::fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
        Golden::parse(&text).map_err(|e| format!("{}: {e}", path.display()))
    }

    /// Reads a trace from its text.
    ///
    /// # Errors
    /// As [`Golden::load`].
    pub fn parse(text: &str) -> Result<Golden, String> {
        let file: File = serde_json::from_str(text).map_err(|e| e.to_string())?;
        let mut steps = vec![];
        for record in file.steps {
            add(&mut steps, record)?;
        }
        Ok(Golden { name: file.name, desc: file.desc, steps, states: states(file.result)? })
    }

    /// Bytes of the largest IP packet on the servers' side.
    pub fn server_mtu(&self) -> u16 {
        let small = self.name.contains("mtu1400") || ["nat_mtu", "nat_v6"].contains(&&*self.name);
        if small { 1400 } else { 1500 }
    }
}

/// Where they are kept, for the tests of any package of the workspace.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../dataplane/tests/golden")
}

/// The traces kept with these tests whose names begin with `prefix`, by name.
pub fn kept(prefix: &str) -> Vec<PathBuf> {
    let folder = folder();
    let entries = std::fs::read_dir(&folder).expect("the folder of golden traces");
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| {
        let name = path.file_name().unwrap().to_string_lossy();
        name.starts_with(prefix) && name.ends_with(".json") && name != "SKIP.json"
    });
    paths.sort();
    paths
}

/// Appends a record's step, or what came out to the frame that caused it.
fn add(steps: &mut Vec<Step>, record: Record) -> Result<(), String> {
    steps.push(match record {
        Record::Ipvsadm { r#where: Some(node), .. } => {
            return Err(format!("a command for {node}: traces of two directors are not replayed"));
        }
        Record::Ipvsadm { args, rc, out, r#where: None } => Step::Ipvsadm { args, rc, out },
        Record::Sysctl { key, value: serde_json::Value::String(value) } => {
            Step::Sysctl { key, value }
        }
        Record::Sysctl { key, value } => Step::Sysctl { key, value: value.to_string() },
        Record::Cmd { cmd } => Step::Cmd(cmd),
        Record::Send { port, frame, desc } => {
            Step::Send { port, frame: from_hex(&frame)?, desc, expect: vec![] }
        }
        Record::Recv { port, frame } => {
            // A remark of the recorder's says what a socket of the director got meanwhile.
            let before = steps.iter_mut().rev().find(|step| !matches!(step, Step::Note(_)));
            let Some(Step::Send { expect, .. }) = before else {
                return Err("a frame came out that no frame caused".into());
            };
            expect.push((port, from_hex(&frame)?));
            return Ok(());
        }
        Record::RecvNone => return Ok(()),
        Record::Wait { s } => Step::Wait(Duration::from_secs_f64(s)),
        Record::Note { text } => Step::Note(text),
    });
    Ok(())
}

/// The bytes of hexadecimal digits, or why they are none.
pub fn from_hex(text: &str) -> Result<Vec<u8>, String> {
    let digit =
        |c: u8| (c as char).to_digit(16).ok_or_else(|| format!("{text} is not hexadecimal"));
    let pairs = text.as_bytes().chunks(2);
    pairs
        .map(|pair| match *pair {
            [high, low] => Ok((digit(high)? << 4 | digit(low)?) as u8),
            _ => Err(format!("{text} has half a byte")),
        })
        .collect()
}

/// The map of an `fsm_*` file: the one member of its result whose name begins so.
fn states(result: serde_json::Value) -> Result<BTreeMap<String, Entries>, String> {
    let serde_json::Value::Object(members) = result else { return Ok(BTreeMap::new()) };
    match members.into_iter().find(|(name, _)| name.starts_with("entries_after_sequence")) {
        Some((_, map)) => serde_json::from_value(map).map_err(|e| e.to_string()),
        None => Ok(BTreeMap::new()),
    }
}

/// A frame with what the kernel makes up blanked: identification (and with it the header checksum)
/// of packets the director makes itself, the source port of GUE, flow labels, fragment ids.
pub fn mask(frame: &[u8]) -> Vec<u8> {
    let mut masked = frame.to_vec();
    match (frame.get(12..14), frame.len()) {
        (Some([0x08, 0x00]), 34..) => mask_ipv4(&mut masked),
        (Some([0x86, 0xdd]), 54..) => mask_ipv6(&mut masked),
        _ => {}
    }
    masked
}

const ETHERNET: usize = 14;
const GUE_PORT: [u8; 2] = [0x17, 0xc0];

fn mask_ipv4(frame: &mut [u8]) {
    let tos = frame[15];
    let first_fragment = (u16::from_be_bytes([frame[20], frame[21]]) & 0x1fff) == 0;
    let (protocol, source) = (frame[23], [frame[26], frame[27], frame[28], frame[29]]);
    let l4 = ETHERNET + usize::from(frame[14] & 15) * 4;
    // An ICMP error the kernel makes has precedence 6 and TOS bits of what it is about
    // (`RT_TOS`); type 0 is its echo reply.
    let own_icmp = protocol == 1 && (tos & 0xe1 == 0xc0 || frame.get(l4) == Some(&0));
    let outer = [4, 17, 41, 47].contains(&protocol) && source == [192, 168, 1, 1];
    let gue = protocol == 17 && first_fragment && frame.get(l4 + 2..l4 + 4) == Some(&GUE_PORT);
    if own_icmp || outer {
        blank(frame, 18, 2);
        blank(frame, 24, 2);
    }
    if gue {
        blank(frame, l4, 2);
        blank(frame, l4 + 6, 2);
    }
}

fn mask_ipv6(frame: &mut [u8]) {
    const DIRECTOR: [u8; 16] = [0x20, 1, 0x0d, 0xb8, 0, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
    let (next_header, hop_limit) = (frame[20], frame[21]);
    let outer = [4, 17, 41, 47].contains(&next_header) && frame[22..38] == DIRECTOR;
    // A hop limit of 64 marks what the director makes itself: forwarded packets have less.
    if outer || hop_limit == 64 {
        frame[15] &= 0xf0;
        blank(frame, 16, 2);
    }
    if next_header == 17 && frame.get(56..58) == Some(&GUE_PORT) {
        blank(frame, 54, 2);
        blank(frame, 60, 2);
    }
    if next_header == 44 {
        blank(frame, 58, 4);
    }
}

/// Zeroes bytes as far as the frame goes.
fn blank(frame: &mut [u8], at: usize, count: usize) {
    let end = (at + count).min(frame.len());
    if let Some(bytes) = frame.get_mut(at..end) {
        bytes.fill(0);
    }
}

/// What differs between the kernel's frames and ours, a line each; empty if each port has the same
/// frames in the same order. Between ports there is no order.
pub fn differences(expected: &[(Port, Vec<u8>)], got: &[(Port, Vec<u8>)]) -> String {
    let mut report = String::new();
    for port in [Port::Client, Port::Server] {
        let of_port = |frames: &[(Port, Vec<u8>)]| -> Vec<Vec<u8>> {
            frames.iter().filter(|(p, _)| *p == port).map(|(_, frame)| mask(frame)).collect()
        };
        let (expected, got) = (of_port(expected), of_port(got));
        if expected != got {
            for (who, frames) in [("kernel", expected), ("ours", got)] {
                for frame in frames {
                    report += &format!("  {who} on {port:?}: {}\n", to_hex(&frame));
                }
            }
        }
    }
    report
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
