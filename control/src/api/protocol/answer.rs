//! What the daemon answers.

use crate::rules::{MarkRule, RealServer, ServiceOptions, words};
use dataplane::service::ServiceKey;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::net::{IpAddr, SocketAddr};

/// What a reply carries.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// The generation of the snapshot that has the change.
    Changed {
        /// Every worker has it.
        generation: u64,
    },
    /// To `list`.
    Listing(Listing),
    /// One line of the answer to `conns`.
    Conns {
        /// At most [`super::CONNS_PER_LINE`].
        rows: Vec<ConnRow>,
        /// No more lines follow.
        done: bool,
    },
    /// Done, nothing to tell: to `zero` and the `…_set`s.
    Done {},
    /// To `stats`: an object whose form is the daemon's.
    Stats(Value),
    /// To `timeouts_get`.
    Timeouts(Timeouts),
    /// To `sysctl_get`.
    Sysctls(Vec<Sysctl>),
    /// To `marks_get`.
    Marks(Vec<MarkRule>),
    /// To `ports`: an array of objects whose form is the daemon's.
    Ports(Value),
    /// To `status`.
    Status(Status),
}

/// Counters of a service or real server, since it was added or zeroed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Stats {
    /// Conns made.
    pub conns: u64,
    /// Packets from clients.
    pub inpkts: u64,
    /// Packets from real servers that came through the director.
    pub outpkts: u64,
    /// Bytes from clients, from the IP header on.
    pub inbytes: u64,
    /// Bytes from real servers, from the IP header on.
    pub outbytes: u64,
}

/// A real server as listed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DestListing {
    /// As configured.
    #[serde(flatten)]
    pub server: RealServer,
    /// Conns in an established state.
    pub active: u64,
    /// All others.
    pub inactive: u64,
    /// Persistence templates.
    #[serde(default)]
    pub persistent: u64,
    /// Its counters.
    pub stats: Stats,
    /// Its share of the last seconds.
    #[serde(default)]
    pub rate: Stats,
}

/// A virtual service as listed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceListing {
    /// What it takes.
    #[serde(with = "words::key")]
    pub key: ServiceKey,
    /// How it serves.
    #[serde(flatten)]
    pub options: ServiceOptions,
    /// Its counters.
    pub stats: Stats,
    /// Conns, packets and bytes per second.
    #[serde(default)]
    pub rate: Stats,
    /// In the kernel's list order: the last added comes first.
    pub dests: Vec<DestListing>,
}

/// The answer to `list`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Listing {
    /// Room of the connection tables, in conns.
    pub table_size: u64,
    /// In the order of their keys.
    pub services: Vec<ServiceListing>,
}

/// What the key of a persistence template has besides its address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EngineRow {
    /// The persistence engine.
    pub name: String,
    /// What it found in the client's packet.
    pub data: String,
}

/// One conn, or a persistence template.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnRow {
    /// IP protocol.
    #[serde(with = "words::conn_proto")]
    pub proto: u8,
    /// Seconds until it expires if nothing comes.
    pub expires: u32,
    /// ipvsadm's name of the state: `ESTABLISHED`, `UDP`, …
    pub state: String,
    /// Client's address.
    pub cip: IpAddr,
    /// Client's port.
    pub cport: u16,
    /// Virtual address.
    pub vip: IpAddr,
    /// Virtual port.
    pub vport: u16,
    /// Real server's address.
    pub rip: IpAddr,
    /// Real server's port.
    pub rport: u16,
    /// It is a template: client's port 0; virtual address may be a mark, the protocol `ip` then.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub template: bool,
    /// What a persistence engine adds to a template.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engine: Option<EngineRow>,
    /// Fullnat: the local end that the real server answers to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub local: Option<SocketAddr>,
}

/// The timeouts of `ipvsadm --set`, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timeouts {
    /// TCP, established.
    pub tcp: u32,
    /// TCP, after a FIN.
    pub tcpfin: u32,
    /// UDP.
    pub udp: u32,
}

impl Default for Timeouts {
    /// The kernel's: 15 minutes, 2 minutes, 5 minutes.
    fn default() -> Self {
        Timeouts { tcp: 900, tcpfin: 120, udp: 300 }
    }
}

impl Timeouts {
    /// These with `set` applied, where 0 keeps the old value.
    pub fn with(self, set: Timeouts) -> Timeouts {
        let pick = |old, new| if new == 0 { old } else { new };
        Timeouts {
            tcp: pick(self.tcp, set.tcp),
            tcpfin: pick(self.tcpfin, set.tcpfin),
            udp: pick(self.udp, set.udp),
        }
    }
}

/// A value of `net.ipv4.vs`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sysctl {
    /// Bare name.
    pub key: String,
    /// As `sysctl` prints it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// Why it has none: what the name "is" or "comes with" in the kernel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub without_meaning: Option<String>,
}

impl Sysctl {
    /// A name and its value.
    pub fn new(key: &str, value: i64) -> Self {
        Sysctl { key: key.into(), value: Some(value.to_string()), without_meaning: None }
    }

    /// A name of the kernel's alone, and why: a sentence about it without its beginning.
    pub fn without_meaning(key: &str, why: &str) -> Self {
        Sysctl { key: key.into(), value: None, without_meaning: Some(why.into()) }
    }
}

/// The answer to `status`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// The daemon's process id.
    pub pid: u32,
    /// Its version.
    pub version: String,
    /// Seconds since it started.
    pub uptime: u64,
    /// The generation every worker has.
    pub generation: u64,
    /// Whatever else the daemon tells: workers, ports, interfaces.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub detail: Value,
}
