//! `[daemon]`, `[workers]`, `[table]`, `[sysctl]` and `[timeouts]`.

use super::error::{ConfigError, Source};
use super::file;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use toml::Spanned;

/// The process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Daemon {
    /// Unix socket of the API, an absolute path.
    pub socket: PathBuf,
    /// Members of this group may change things; without one only root may.
    pub group: Option<String>,
    /// A filter in `env_logger`'s notation.
    pub log: String,
}

/// The threads that forward.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workers {
    /// How many, at least 1.
    pub count: usize,
    /// The core of each, in order; empty where the system may place them.
    pub cores: Vec<usize>,
    /// What they do when no packet waits.
    pub idle: Idle,
    /// When they take their first packet.
    pub begin: Begin,
    /// The core of every other thread, if they are to stay on one.
    pub control_core: Option<usize>,
}

/// What a worker does when no packet waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Idle {
    /// Sleeps a little: for labs, where cores are shared.
    #[default]
    Sleep,
    /// Asks again at once: for appliances, where the core is the worker's own.
    Spin,
}

/// When workers take their first packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Begin {
    /// As soon as the rules of the configuration are in force.
    #[default]
    Ready,
    /// When the daemon gets SIGUSR1: a benchmark has its load waiting, and wants its start timed.
    Signal,
}

/// What is taken at start, whole daemon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// Conns in all; each worker gets an equal share.
    pub connections: usize,
    /// Conns in all that may need more than an entry holds; each worker gets an equal share.
    pub side: usize,
    /// Whether tables lie on huge pages.
    pub huge_pages: bool,
    /// Packet buffers in all.
    pub buffers: u32,
}

/// Timeouts in seconds as `ipvsadm --set` gives them; `None` leaves the built-in value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Timeouts {
    /// Established TCP conns.
    pub tcp: Option<u32>,
    /// TCP conns after a FIN.
    pub tcpfin: Option<u32>,
    /// UDP conns.
    pub udp: Option<u32>,
}

/// Names under `net.ipv4.vs` that a configuration may set (kernel: `ip_vs_ctl.c`, `vs_vars`).
pub const SYSCTLS: &[&str] = &[
    "am_droprate",
    "amemthresh",
    "backup_only",
    "cache_bypass",
    "conn_reuse_mode",
    "conntrack",
    "drop_entry",
    "drop_packet",
    "expire_nodest_conn",
    "expire_quiescent_template",
    "ignore_tunneled",
    "lblc_expiration",
    "lblcr_expiration",
    "nat_icmp_send",
    "pmtu_disc",
    "run_estimation",
    "schedule_icmp",
    "secure_tcp",
    "sloppy_sctp",
    "sloppy_tcp",
    "snat_reroute",
    "sync_persist_mode",
    "sync_ports",
    "sync_qlen_max",
    "sync_refresh_period",
    "sync_retries",
    "sync_sock_size",
    "sync_threshold",
    "sync_version",
];

/// Conns of the smallest and the largest table.
const CONNECTIONS: std::ops::RangeInclusive<i64> = 1024..=1 << 30;

/// The longest timeout IPVS takes: 31 days.
const MAX_TIMEOUT: i64 = 31 * 86_400;

pub(super) fn daemon(source: &Source, file: file::Daemon) -> Result<Daemon, ConfigError> {
    if let Some(socket) = file.socket.as_ref().filter(|path| !path.get_ref().is_absolute()) {
        let path = socket.get_ref().display();
        return Err(source.at(socket, format!("socket `{path}` is not an absolute path")));
    }
    if let Some(group) = file.group.as_ref().filter(|group| group.get_ref().is_empty()) {
        return Err(source.at(group, "group is empty; leave it out if only root may change things"));
    }
    Ok(Daemon {
        socket: file.socket.map_or(super::DEFAULT_SOCKET.into(), Spanned::into_inner),
        group: file.group.map(Spanned::into_inner),
        log: file.log.unwrap_or_else(|| "info".to_owned()),
    })
}

pub(super) fn workers(
    source: &Source,
    file: &file::Workers,
    available: &[usize],
) -> Result<Workers, ConfigError> {
    let max = dataplane::limits::MAX_WORKERS;
    let idle = file.idle.unwrap_or_default();
    let cores = worker_cores(source, file, idle, available)?;
    let count =
        source.number_or("count", file.count.as_ref(), 1..=max as i64, cores.len().max(1))?;
    if let Some(listed) = file.cores.as_ref().filter(|_| cores.len() != count) {
        let message = format!("cores names {} cores for {count} workers", cores.len());
        return Err(source.at(listed, message));
    }
    let control_core = match &file.control_core {
        Some(core) => Some(control_core(source, core, &cores, idle, available)?),
        None => None,
    };
    Ok(Workers { count, cores, idle, begin: file.begin.unwrap_or_default(), control_core })
}

fn worker_cores(
    source: &Source,
    file: &file::Workers,
    idle: Idle,
    available: &[usize],
) -> Result<Vec<usize>, ConfigError> {
    let mut cores = Vec::new();
    for listed in file.cores.iter().flat_map(|cores| cores.get_ref()) {
        let core = existing_core(source, listed, available)?;
        if idle == Idle::Spin && cores.contains(&core) {
            let message =
                format!("core {core} is named twice, but workers that spin share no core");
            return Err(source.at(listed, message));
        }
        cores.push(core);
    }
    match &file.cores {
        Some(listed) if cores.len() > dataplane::limits::MAX_WORKERS => {
            let max = dataplane::limits::MAX_WORKERS;
            Err(source.at(listed, format!("cores names {} cores, {max} at most", cores.len())))
        }
        _ => Ok(cores),
    }
}

fn control_core(
    source: &Source,
    listed: &Spanned<i64>,
    workers: &[usize],
    idle: Idle,
    available: &[usize],
) -> Result<usize, ConfigError> {
    let core = existing_core(source, listed, available)?;
    if idle == Idle::Spin && workers.contains(&core) {
        let message = format!("control_core {core} is a worker's core, and that worker spins");
        return Err(source.at(listed, message));
    }
    Ok(core)
}

fn existing_core(
    source: &Source,
    listed: &Spanned<i64>,
    available: &[usize],
) -> Result<usize, ConfigError> {
    let core = usize::try_from(*listed.get_ref()).ok().filter(|core| available.contains(core));
    core.ok_or_else(|| {
        let cores: Vec<String> = available.iter().map(usize::to_string).collect();
        let (core, cores) = (listed.get_ref(), cores.join(", "));
        source.at(listed, format!("core {core} is not one this process may use ({cores})"))
    })
}

pub(super) fn table(source: &Source, file: &file::Table) -> Result<Table, ConfigError> {
    let connections: usize =
        source.number_or("connections", file.connections.as_ref(), CONNECTIONS, 1 << 20)?;
    let side_range = 0..=connections as i64;
    Ok(Table {
        connections,
        side: source.number_or("side", file.side.as_ref(), side_range, connections / 16)?,
        huge_pages: file.huge_pages.unwrap_or(true),
        buffers: source.number_or("buffers", file.buffers.as_ref(), 1024..=1 << 26, 65_535)?,
    })
}

pub(super) fn sysctls(
    source: &Source,
    file: &BTreeMap<Spanned<String>, Spanned<toml::Value>>,
) -> Result<Vec<(String, String)>, ConfigError> {
    let mut seen = BTreeSet::new();
    let mut sysctls = Vec::new();
    for (key, value) in file {
        let name = key.get_ref().strip_prefix("net.ipv4.vs.").unwrap_or(key.get_ref());
        if !SYSCTLS.contains(&name) {
            return Err(source.at(key, format!("net.ipv4.vs has no `{name}`")));
        }
        if !seen.insert(name) {
            return Err(source.at(key, format!("`{name}` is set twice")));
        }
        sysctls.push((name.to_owned(), sysctl_value(source, name, value)?));
    }
    Ok(sysctls)
}

/// A number, a switch, or, for `sync_threshold`, two numbers in a string.
fn sysctl_value(
    source: &Source,
    name: &str,
    value: &Spanned<toml::Value>,
) -> Result<String, ConfigError> {
    let is_number = |word: &str| word.parse::<u32>().is_ok();
    match value.get_ref() {
        toml::Value::Integer(number) if (0..=i64::from(i32::MAX)).contains(number) => {
            Ok(number.to_string())
        }
        toml::Value::Boolean(on) => Ok(u8::from(*on).to_string()),
        toml::Value::String(text)
            if !text.trim().is_empty() && text.split_whitespace().all(is_number) =>
        {
            Ok(text.split_whitespace().collect::<Vec<_>>().join(" "))
        }
        other => Err(source.at(value, format!("`{name}` takes numbers from 0 on, not {other}"))),
    }
}

pub(super) fn timeouts(source: &Source, file: &file::Timeouts) -> Result<Timeouts, ConfigError> {
    let seconds = |what, value: &Option<Spanned<i64>>| {
        let seconds = |value| source.number(what, value, 1..=MAX_TIMEOUT);
        value.as_ref().map(seconds).transpose()
    };
    Ok(Timeouts {
        tcp: seconds("tcp", &file.tcp)?,
        tcpfin: seconds("tcpfin", &file.tcpfin)?,
        udp: seconds("udp", &file.udp)?,
    })
}
