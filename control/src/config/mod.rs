//! One TOML file: what the operator wants at start, read and checked as a whole before anything starts.
//!
//! `file` is the text's shape, `settings`, `ports`, `paths` and `services` check it part by part,
//! and [`Config`] is what the rest of the program sees: values that need no further checks.

mod error;
mod file;
mod fullnat;
mod options;
mod paths;
mod ports;
mod services;
mod settings;
#[cfg(test)]
mod tests;
mod value;

pub use error::ConfigError;
pub use paths::{StaticNeighbor, StaticRoute};
pub use ports::{Interface, Port, Steering};
pub use services::Mark;
pub use settings::{Begin, Daemon, Idle, Table, Timeouts, Workers};
pub use value::{Device, InterfaceAddress, MacAddr, Prefix};

use crate::rules::VirtualService;
use dataplane::local_ports::PortRange;
use error::Source;
use std::path::Path;

/// Where `sluiced` looks for its configuration unless told.
pub const DEFAULT_PATH: &str = "/etc/sluice/sluice.toml";

/// Where the API listens, and `sluice` connects, unless told.
pub const DEFAULT_SOCKET: &str = "/run/sluice/sluiced.sock";

/// A configuration that has passed every check that needs no hardware.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// `[eal] args` as given; [`Config::eal_args`] has the devices added.
    pub eal: Vec<String>,
    /// Socket, operators' group, log filter.
    pub daemon: Daemon,
    /// Worker threads and their cores.
    pub workers: Workers,
    /// Sizes taken at start.
    pub table: Table,
    /// Ports of local addresses that fullnat may use.
    pub local_ports: PortRange,
    /// DPDK ports; their places are their [`dataplane::ids::PortId`]s.
    pub ports: Vec<Port>,
    /// Pairs of port and VLAN; their places are their [`dataplane::ids::InterfaceId`]s.
    /// A port's untagged interface comes first, its VLANs follow in the file's order.
    pub interfaces: Vec<Interface>,
    /// `[[route]]` entries.
    pub routes: Vec<StaticRoute>,
    /// `[[neighbor]]` entries.
    pub neighbors: Vec<StaticNeighbor>,
    /// `[[service]]` entries in the file's order.
    pub services: Vec<VirtualService>,
    /// `[[mark]]` entries in the file's order: the first that fits a packet counts.
    pub marks: Vec<Mark>,
    /// `net.ipv4.vs` names and values, by name.
    pub sysctls: Vec<(String, String)>,
    /// `ipvsadm --set` values.
    pub timeouts: Timeouts,
}

impl Config {
    /// Reads and checks a file. `cores` are the CPUs that workers may be pinned to
    /// ([`available_cores`]).
    ///
    /// # Errors
    /// One sentence with the file, the line and the reason; the first mistake found counts.
    pub fn load(path: &Path, cores: &[usize]) -> Result<Config, ConfigError> {
        let name = path.display().to_string();
        let text = std::fs::read_to_string(path)
            .map_err(|error| ConfigError::whole_file(&name, format!("cannot be read: {error}")))?;
        Config::parse(&text, &name, cores)
    }

    /// Checks a text; `name` is what errors call it.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn parse(text: &str, name: &str, cores: &[usize]) -> Result<Config, ConfigError> {
        let source = Source { name, text };
        let file: file::File = toml::from_str(text).map_err(|error| source.syntax(&error))?;
        let (ports, interfaces) = ports::check(&source, &file.port)?;
        let (routes, neighbors) = paths::check(&source, &interfaces, &file.route, &file.neighbor)?;
        Ok(Config {
            eal: file.eal.args,
            daemon: settings::daemon(&source, file.daemon)?,
            workers: settings::workers(&source, &file.workers, cores)?,
            table: settings::table(&source, &file.table)?,
            local_ports: fullnat::local_ports(&source, &file.fullnat)?,
            ports,
            interfaces,
            routes,
            neighbors,
            services: services::check(&source, &file.service)?,
            marks: services::marks(&source, &file.mark)?,
            sysctls: settings::sysctls(&source, &file.sysctl)?,
            timeouts: settings::timeouts(&source, &file.timeouts)?,
        })
    }

    /// The arguments for the EAL: those given, then one device option a port (`-a` or `--vdev`),
    /// and `--no-pci` where no port is on PCI, so that nothing else is touched.
    pub fn eal_args(&self) -> Vec<String> {
        let mut args = self.eal.clone();
        let on_pci = |port: &Port| matches!(port.device, Device::Pci(_));
        if !self.ports.iter().any(on_pci) && !args.iter().any(|arg| arg == "--no-pci") {
            args.push("--no-pci".to_owned());
        }
        args.extend(self.ports.iter().flat_map(|port| port.device.eal_args()));
        args
    }

    /// Conns that each worker's table has room for: an equal share of the total, rounded up.
    pub fn connections_per_worker(&self) -> usize {
        self.table.connections.div_ceil(self.workers.count)
    }

    /// Side entries of each worker: an equal share of the total, rounded up.
    pub fn side_per_worker(&self) -> usize {
        self.table.side.div_ceil(self.workers.count)
    }
}

/// The CPUs that this process may pin threads to.
pub fn available_cores() -> Vec<usize> {
    let cores = core_affinity::get_core_ids().unwrap_or_default();
    cores.into_iter().map(|core| core.id).collect()
}
