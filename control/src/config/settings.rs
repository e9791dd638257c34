//! `[daemon]`, `[workers]`, `[table]`, `[sysctl]` and `[timeouts]`.

use super::error::{ConfigError, Source};
use super::file;
use crate::api::{Access, sysctl};
use log::LevelFilter;
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
    /// The core of every other thread, if they are to stay on one; else they keep off `cores` if
    /// there is any other core.
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
    /// Persistence templates of all workers together.
    pub templates: usize,
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

/// Conns of the smallest and the largest table.
const CONNECTIONS: std::ops::RangeInclusive<i64> = 1024..=1 << 30;

/// Templates of the smallest and the largest store.
const TEMPLATES: std::ops::RangeInclusive<i64> = 1024..=1 << 26;

/// The longest timeout IPVS takes: 31 days.
const MAX_TIMEOUT: i64 = 31 * 86_400;

pub(super) fn daemon(source: &Source, file: file::Daemon) -> Result<Daemon, ConfigError> {
    if let Some(socket) = file.socket.as_ref().filter(|path| !path.get_ref().is_absolute()) {
        let path = socket.get_ref().display();
        return Err(source.at(socket, format!("socket `{path}` is not an absolute path")));
    }
    if let Some(group) = &file.group {
        check_group(source, group)?;
    }
    if let Some(log) = &file.log {
        check_log(log.get_ref()).map_err(|why| source.at(log, why))?;
    }
    Ok(Daemon {
        socket: file.socket.map_or(super::DEFAULT_SOCKET.into(), Spanned::into_inner),
        group: file.group.map(Spanned::into_inner),
        log: file.log.map_or_else(|| "info".to_owned(), Spanned::into_inner),
    })
}

fn check_group(source: &Source, group: &Spanned<String>) -> Result<(), ConfigError> {
    if group.get_ref().is_empty() {
        let message = "group is empty; leave it out if only root may change things";
        return Err(source.at(group, message));
    }
    Access::for_group(group.get_ref()).map(drop).map_err(|why| source.at(group, why))
}

/// The logger takes a lone word that is no level for a module, and is silent about all others:
/// here a module needs a level.
fn check_log(filter: &str) -> Result<(), String> {
    let directives = filter.split('/').next().unwrap_or("").split(',').map(str::trim);
    for directive in directives.filter(|directive| !directive.is_empty()) {
        let level = directive.split_once('=').map_or(directive, |(_, level)| level);
        if level.trim().parse::<LevelFilter>().is_err() {
            return Err(format!(
                "`{directive}` is neither a level (off, error, warn, info, debug, trace) nor \
                 MODULE=LEVEL"
            ));
        }
    }
    let parsed = env_filter::Builder::new().try_parse(filter).map(drop);
    parsed.map_err(|error| error.to_string().replace('\n', " "))
}

pub(super) fn workers(
    source: &Source,
    file: &file::Workers,
    available: &[usize],
) -> Result<Workers, ConfigError> {
    let max = dataplane::limits::MAX_WORKERS;
    let idle = file.idle.as_ref().map_or(Idle::default(), |idle| *idle.get_ref());
    let cores = worker_cores(source, file, idle, available)?;
    let count =
        source.number_or("count", file.count.as_ref(), 1..=max as i64, cores.len().max(1))?;
    if let Some(listed) = file.cores.as_ref().filter(|_| cores.len() != count) {
        let message = format!("cores names {} cores for {count} workers", cores.len());
        return Err(source.at(listed, message));
    }
    if let Some(spin) = file.idle.as_ref().filter(|_| idle == Idle::Spin && cores.is_empty()) {
        let message = "workers that spin need a core each: name them in `cores`";
        return Err(source.at(spin, message));
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
        side: source.number_or("side", file.side.as_ref(), side_range, connections / 4)?,
        templates: source.number_or(
            "templates",
            file.templates.as_ref(),
            TEMPLATES,
            dataplane::limits::TEMPLATES,
        )?,
        huge_pages: file.huge_pages.unwrap_or(true),
        buffers: source.number_or("buffers", file.buffers.as_ref(), 1024..=1 << 26, 65_535)?,
    })
}

/// Names and values as the API takes them: a number, or a switch.
pub(super) fn sysctls(
    source: &Source,
    file: &BTreeMap<Spanned<String>, Spanned<toml::Value>>,
) -> Result<Vec<(String, String)>, ConfigError> {
    let mut seen = BTreeSet::new();
    let mut sysctls = Vec::new();
    for (key, value) in file {
        let name = sysctl::check_key(key.get_ref()).map_err(|e| source.at(key, e.message))?;
        if !seen.insert(name) {
            return Err(source.at(key, format!("`{name}` is set twice")));
        }
        let words = match value.get_ref() {
            toml::Value::Boolean(on) => u8::from(*on).to_string(),
            toml::Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let number = sysctl::check_value(name, &words).map_err(|e| source.at(value, e.message))?;
        sysctls.push((name.to_owned(), number.to_string()));
    }
    Ok(sysctls)
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
