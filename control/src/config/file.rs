//! The shape of the file as TOML has it. Numbers and what must be found again for a message keep
//! their place in the text; ranges and cross references are checked elsewhere. What stands in lists
//! is parsed there too: the TOML reader would name the list's first line, not the value's.

use super::ports::Steering;
use super::settings::{Begin, Idle};
use super::value::{Device, MacAddr, Prefix};
use crate::steering::Faces;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use toml::Spanned;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    #[serde(default)]
    pub(super) eal: Eal,
    #[serde(default)]
    pub(super) daemon: Daemon,
    #[serde(default)]
    pub(super) workers: Workers,
    #[serde(default)]
    pub(super) table: Table,
    #[serde(default)]
    pub(super) fullnat: Fullnat,
    #[serde(default)]
    pub(super) port: Vec<Port>,
    #[serde(default)]
    pub(super) route: Vec<Route>,
    #[serde(default)]
    pub(super) neighbor: Vec<Neighbor>,
    #[serde(default)]
    pub(super) service: Vec<Spanned<Service>>,
    #[serde(default)]
    pub(super) mark: Vec<Mark>,
    #[serde(default)]
    pub(super) sysctl: BTreeMap<Spanned<String>, Spanned<toml::Value>>,
    #[serde(default)]
    pub(super) timeouts: Timeouts,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct Eal {
    #[serde(default)]
    pub(super) args: Vec<String>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Daemon {
    pub(super) socket: Option<Spanned<PathBuf>>,
    pub(super) group: Option<Spanned<String>>,
    pub(super) log: Option<Spanned<String>>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Workers {
    pub(super) count: Option<Spanned<i64>>,
    pub(super) cores: Option<Spanned<Vec<Spanned<i64>>>>,
    pub(super) idle: Option<Spanned<Idle>>,
    pub(super) begin: Option<Begin>,
    pub(super) control_core: Option<Spanned<i64>>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Table {
    pub(super) connections: Option<Spanned<i64>>,
    pub(super) side: Option<Spanned<i64>>,
    pub(super) templates: Option<Spanned<i64>>,
    pub(super) huge_pages: Option<bool>,
    pub(super) buffers: Option<Spanned<i64>>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Fullnat {
    pub(super) local_ports: Option<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Port {
    pub(super) name: Spanned<String>,
    pub(super) device: Spanned<Device>,
    pub(super) mac: Option<Spanned<MacAddr>>,
    pub(super) mtu: Option<Spanned<i64>>,
    pub(super) queues: Option<Spanned<i64>>,
    pub(super) faces: Option<Faces>,
    #[serde(default)]
    pub(super) steering: Steering,
    #[serde(default)]
    pub(super) promiscuous: bool,
    pub(super) twin: Option<bool>,
    #[serde(default)]
    pub(super) addresses: Vec<Spanned<String>>,
    #[serde(default)]
    pub(super) vlan: Vec<Vlan>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Vlan {
    pub(super) id: Spanned<i64>,
    pub(super) name: Option<Spanned<String>>,
    pub(super) twin: Option<bool>,
    #[serde(default)]
    pub(super) addresses: Vec<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Route {
    pub(super) prefix: Spanned<Prefix>,
    pub(super) via: Option<Spanned<IpAddr>>,
    pub(super) interface: Option<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Neighbor {
    pub(super) address: Spanned<IpAddr>,
    pub(super) mac: Spanned<MacAddr>,
    pub(super) interface: Spanned<String>,
}

#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "lowercase")]
pub(super) enum Protocol {
    Tcp,
    Udp,
    Sctp,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Service {
    pub(super) fwmark: Option<Spanned<i64>>,
    pub(super) family: Option<Spanned<FwmarkFamily>>,
    pub(super) protocol: Option<Spanned<Protocol>>,
    pub(super) address: Option<Spanned<IpAddr>>,
    pub(super) port: Option<Spanned<i64>>,
    pub(super) scheduler: Option<Spanned<String>>,
    #[serde(default)]
    pub(super) flags: Vec<Spanned<String>>,
    pub(super) persistent: Option<Spanned<i64>>,
    pub(super) netmask: Option<Spanned<String>>,
    pub(super) engine: Option<Spanned<String>>,
    #[serde(default)]
    pub(super) one_packet: bool,
    #[serde(default)]
    pub(super) local_addresses: Vec<Spanned<String>>,
    pub(super) client_address: Option<Spanned<String>>,
    #[serde(default)]
    pub(super) server: Vec<Server>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Server {
    pub(super) address: Spanned<IpAddr>,
    pub(super) port: Option<Spanned<i64>>,
    pub(super) method: Option<Method>,
    pub(super) tunnel: Option<Spanned<Tunnel>>,
    pub(super) tunnel_port: Option<Spanned<i64>>,
    pub(super) tunnel_checksum: Option<Spanned<TunnelChecksum>>,
    pub(super) weight: Option<Spanned<i64>>,
    pub(super) u_threshold: Option<Spanned<i64>>,
    pub(super) l_threshold: Option<Spanned<i64>>,
}

/// Forwarding methods by ipvsadm's long options, and by keepalived's `lvs_method` words.
#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "lowercase")]
pub(super) enum Method {
    #[serde(alias = "NAT")]
    Masq,
    #[serde(alias = "DR")]
    Gatewaying,
    #[serde(alias = "TUN")]
    Ipip,
    #[serde(alias = "FNAT")]
    Fullnat,
}

/// Whose packets a fwmark service takes.
#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "lowercase")]
pub(super) enum FwmarkFamily {
    Ipv4,
    Ipv6,
}

/// ipvsadm's `--tun-type`.
#[derive(Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(super) enum Tunnel {
    Ipip,
    Gre,
    Gue,
}

/// ipvsadm's `--tun-nocsum`, `--tun-csum` and `--tun-remcsum`.
#[derive(Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(super) enum TunnelChecksum {
    NoCsum,
    Csum,
    RemCsum,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Mark {
    pub(super) mark: Spanned<i64>,
    pub(super) protocol: Option<Protocol>,
    pub(super) destination: Option<Spanned<Prefix>>,
    pub(super) ports: Option<Spanned<String>>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Timeouts {
    pub(super) tcp: Option<Spanned<i64>>,
    pub(super) tcpfin: Option<Spanned<i64>>,
    pub(super) udp: Option<Spanned<i64>>,
}
