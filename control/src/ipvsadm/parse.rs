//! A command line to what it asks for.

use super::address::{Endpoint, endpoint, netmask};
use super::layout::{Columns, Format};
use super::names::Names;
use super::numbers::number;
use super::options::{Command, Flag};
use super::popt::Words;
use super::{Failure, check};
use crate::api::protocol::Timeouts;
use crate::rules::{
    FullnatOptions, Persistence, RealServer, RuleChange, RuleError, ServiceOptions, words,
};
use dataplane::address::Family;
use dataplane::forward::tunnel::{Encap, GueChecksum};
use dataplane::sched::{SchedFlags, SchedulerKind, Scheduling};
use dataplane::service::persistence::ClientMask;
use dataplane::service::{ForwardingMethod, ServiceKey};
use std::net::{IpAddr, Ipv4Addr};

/// What a command line asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Invocation {
    /// `-A -E -D -C -a -e -d`.
    Change(RuleChange),
    /// `-L`.
    List {
        /// One service, or all.
        service: Option<ServiceKey>,
        /// How.
        format: Format,
        /// Without looking up names.
        numeric: bool,
    },
    /// `-L -c`.
    Conns {
        /// Without looking up names.
        numeric: bool,
        /// With the columns of persistence engines.
        persistence: bool,
    },
    /// `-L --timeout`.
    ShowTimeouts,
    /// `-L --daemon`.
    ShowDaemons,
    /// `-S`.
    Save {
        /// Without looking up names.
        numeric: bool,
    },
    /// `-R`.
    Restore,
    /// `-Z`.
    Zero(Option<ServiceKey>),
    /// `--set`.
    SetTimeouts(Timeouts),
    /// `-h`.
    Help,
    /// `-v`.
    Version,
}

/// The longest timeout: 31 days.
const MAX_TIMEOUT: i64 = Persistence::MAX_TIMEOUT as i64;

/// Reads the words after `ipvsadm`.
///
/// # Errors
/// ipvsadm's message and exit status.
pub fn parse(words: &[String], names: &Names) -> Result<Invocation, Failure> {
    if words.is_empty() {
        return Ok(Invocation::List { service: None, format: Format::default(), numeric: false });
    }
    let mut words = Words::new(words);
    let Some(Ok((Flag::Command(command), value))) = words.next_option() else {
        return Err(try_help());
    };
    match command {
        Command::Help => return Ok(Invocation::Help),
        Command::Version => return Ok(Invocation::Version),
        _ => {}
    }
    let mut draft = Draft::new(command, names);
    draft.daemon_state(value.as_deref())?;
    while let Some(found) = words.next_option() {
        let (flag, value) = found
            .map_err(|wrong| Failure::refused(format!("{}: {}", words.word(), wrong.text())))?;
        draft.option(flag, value.as_deref().unwrap_or_default(), words.word())?;
    }
    draft.others(words.others())?;
    draft.finish()
}

fn try_help() -> Failure {
    let message = "Try `ipvsadm -h' or `ipvsadm --help' for more information.";
    Failure { ends_restore: true, ..Failure::refused(message) }
}

fn not_supported(what: &str) -> Failure {
    Failure::bad(format!("{what} is not supported by this version of Sluice"))
}

/// A service as far as it has been read; later options copy from it.
#[derive(Debug, Clone, Copy)]
struct Target {
    address: IpAddr,
    proto: u8,
    port: u16,
    fwmark: u32,
    is_v6: bool,
}

impl Target {
    fn family(&self) -> Family {
        if self.is_v6 { Family::V6 } else { Family::V4 }
    }
}

/// Options read so far.
struct Draft<'a> {
    command: Command,
    names: &'a Names,
    seen: Vec<&'static str>,
    target: Target,
    server: Option<(IpAddr, u16)>,
    scheduler: String,
    flag_names: String,
    flags: SchedFlags,
    method: ForwardingMethod,
    weight: u32,
    u_threshold: u32,
    l_threshold: u32,
    persistent: Option<u32>,
    mask: Option<ClientMask>,
    engine: String,
    tunnel: String,
    tunnel_port: u16,
    fullnat: FullnatOptions,
    timeouts: Option<Timeouts>,
}

impl<'a> Draft<'a> {
    fn new(command: Command, names: &'a Names) -> Self {
        let any = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        Draft {
            command,
            names,
            seen: Vec::new(),
            target: Target { address: any, proto: 0, port: 0, fwmark: 0, is_v6: false },
            server: None,
            scheduler: String::new(),
            flag_names: String::new(),
            flags: SchedFlags::empty(),
            method: ForwardingMethod::Gatewaying,
            weight: 1,
            u_threshold: 0,
            l_threshold: 0,
            persistent: None,
            mask: None,
            engine: String::new(),
            tunnel: "ipip".into(),
            tunnel_port: 0,
            fullnat: FullnatOptions::default(),
            timeouts: None,
        }
    }

    fn has(&self, name: &str) -> bool {
        self.seen.contains(&name)
    }

    fn daemon_state(&self, value: Option<&str>) -> Result<(), Failure> {
        let is_state = matches!(value, Some("master" | "backup") | None);
        match self.command {
            Command::StartDaemon if !is_state => {
                Err(Failure::bad("illegal start-daemon parameter specified"))
            }
            Command::StopDaemon if !is_state => Err(Failure::bad("illegal start_daemon specified")),
            _ => Ok(()),
        }
    }

    /// Takes an option in; `word` is where it stood.
    fn option(&mut self, flag: Flag, value: &str, word: &str) -> Result<(), Failure> {
        if let Some(name) = flag.name() {
            if self.has(name) {
                return Err(Failure::bad(format!("multiple '{name}' options specified")));
            }
            self.seen.push(name);
        }
        match flag {
            Flag::Command(_) => Err(Failure::bad(format!("invalid option `{word}'"))),
            Flag::Service(proto) => self.service(proto, value),
            Flag::Fwmark => self.fwmark(value),
            Flag::Method(method) => {
                self.method = method;
                Ok(())
            }
            Flag::Ipv6 if self.target.fwmark == 0 => Err(Failure::bad("-6 used before -f\n")),
            Flag::Ipv6 => {
                self.target.is_v6 = true;
                Ok(())
            }
            Flag::Sort => Ok(()),
            Flag::Named(name) => self.named(name, value),
        }
    }

    fn named(&mut self, name: &'static str, value: &str) -> Result<(), Failure> {
        let threshold = |text, name| bounded(text, 0, i32::MAX.into(), name);
        match name {
            "scheduler" => self.scheduler = value.to_owned(),
            "real-server" => self.real_server(value)?,
            // The manual's range, which contains the program's.
            "weight" => self.weight = threshold(value, "weight")?,
            "u-threshold" => self.u_threshold = threshold(value, "u_threshold")?,
            "l-threshold" => self.l_threshold = threshold(value, "l_threshold")?,
            "persistent" if value.is_empty() => {
                self.persistent = Some(Persistence::DEFAULT_TIMEOUT);
            }
            "persistent" => self.persistent = Some(timeout(value, 1)?),
            "netmask" => self.mask = Some(self.client_mask(value)?),
            "pe" => self.engine = value.to_owned(),
            "sched-flags" => self.flag_names = value.to_owned(),
            "tun-type" if matches!(value, "ipip" | "gue" | "gre") => self.tunnel = value.into(),
            "tun-type" => return Err(Failure::bad("illegal tunnel type specified")),
            "tun-port" => self.tunnel_port = bounded(value, 1, 65535, "tunnel port")? as u16,
            "local-addresses" | "client-address" => self.fullnat.take(name, value)?,
            "syncid" => drop(bounded(value, 0, 255, "syncid")?),
            "sync-maxlen" => drop(bounded(value, 1, 65507, "sync-maxlen")?),
            "mcast-port" => drop(bounded(value, 1, 65535, "mcast-port")?),
            "mcast-ttl" => drop(bounded(value, 1, 255, "mcast-ttl")?),
            "mcast-group" => multicast_group(value)?,
            _ => {}
        }
        Ok(())
    }

    fn service(&mut self, proto: u8, value: &str) -> Result<(), Failure> {
        let Endpoint { address, port } = endpoint(value, proto, self.names)
            .ok_or_else(|| Failure::bad("illegal virtual server address[:port] specified"))?;
        self.target =
            Target { address, proto, port: port.unwrap_or(0), fwmark: 0, is_v6: address.is_ipv6() };
        Ok(())
    }

    fn fwmark(&mut self, value: &str) -> Result<(), Failure> {
        let mark = number(value, 1, u32::MAX.into())
            .ok_or_else(|| Failure::bad(format!("invalid fwmark value `{value}' specified")))?;
        self.target.fwmark = mark as u32;
        self.target.is_v6 = false;
        Ok(())
    }

    fn real_server(&mut self, value: &str) -> Result<(), Failure> {
        let Endpoint { address, port } = endpoint(value, self.target.proto, self.names)
            .ok_or_else(|| Failure::bad("illegal real server address[:port] specified"))?;
        self.server = Some((address, port.unwrap_or(self.target.port)));
        Ok(())
    }

    fn client_mask(&self, value: &str) -> Result<ClientMask, Failure> {
        let (mask, message) = if self.target.is_v6 {
            let len = number(value, 1, 128);
            (len.map(|len| ClientMask::Prefix(len as u8)), "illegal ipv6 netmask specified")
        } else {
            let mask = netmask(value).map(|mask| ClientMask::Netmask(mask.to_bits()));
            (mask, "illegal virtual server persistent mask specified")
        };
        mask.ok_or_else(|| Failure::bad(message))
    }

    /// Words that are no options: the values of `--set`, else one too many.
    fn others(&mut self, others: &[&str]) -> Result<(), Failure> {
        let mut others = others.iter();
        if self.command == Command::Set {
            let mut seconds = [0; 3];
            for second in &mut seconds {
                let word = others
                    .next()
                    .ok_or_else(|| Failure::bad("--set option requires 3 timeout values"))?;
                *second = timeout(word, 0)?;
            }
            let [tcp, tcpfin, udp] = seconds;
            self.timeouts = Some(Timeouts { tcp, tcpfin, udp });
        }
        match others.next() {
            Some(word) => Err(Failure::bad(format!("unexpected argument {word}"))),
            None => Ok(()),
        }
    }

    fn finish(mut self) -> Result<Invocation, Failure> {
        self.flags = scheduler_flags(&self.scheduler, &self.flag_names)?;
        check::command(self.command, &self.seen)?;
        match self.command {
            Command::AddService | Command::EditService => self.check_service()?,
            Command::AddServer | Command::EditServer => self.check_server()?,
            Command::List => self.check_list()?,
            _ => {}
        }
        self.invocation()
    }

    fn check_service(&self) -> Result<(), Failure> {
        let Target { fwmark, port, proto, .. } = self.target;
        if fwmark == 0 && port == 0 && !self.has("persistent") {
            return Err(Failure::bad("Zero port specified for non-persistent service"));
        }
        if self.has("ops") && fwmark == 0 && proto != dataplane::flow::protocol::UDP {
            let message = "One-Packet Scheduling is only for UDP virtual services";
            return Err(Failure::bad(message));
        }
        Ok(())
    }

    fn check_server(&self) -> Result<(), Failure> {
        let tunnels = self.method == ForwardingMethod::Ipip;
        check::tunnel(&self.tunnel, tunnels, &self.seen)?;
        let server_is_v6 = self.server.is_some_and(|(address, _)| address.is_ipv6());
        if server_is_v6 != self.target.is_v6 && !tunnels {
            let message = "Different address family is allowed only for tunneling servers";
            return Err(Failure::bad(message));
        }
        Ok(())
    }

    fn check_list(&self) -> Result<(), Failure> {
        let any = |names: &[&str]| names.iter().any(|name| self.has(name));
        let counts = any(&["stats", "rate", "thresholds"]);
        let clash = any(&["connection", "timeout", "daemon"]) && counts
            || any(&["timeout", "daemon"]) && self.has("persistent-conn");
        if clash {
            return Err(Failure::bad("options conflicts in the list command"));
        }
        Ok(())
    }

    fn key(&self) -> ServiceKey {
        let Target { address, proto, port, fwmark, .. } = self.target;
        match fwmark {
            0 => ServiceKey::Address { proto, vip: address, vport: port },
            mark => ServiceKey::Fwmark { mark, family: self.target.family() },
        }
    }

    fn chosen(&self) -> Option<ServiceKey> {
        self.has("service-address").then(|| self.key())
    }

    fn scheduler(&self) -> Result<Scheduling, Failure> {
        let kind = match self.scheduler.as_str() {
            "" => SchedulerKind::Wlc,
            name => SchedulerKind::from_name(name).ok_or_else(no_such_scheduler)?,
        };
        Ok(Scheduling { kind, flags: self.flags })
    }

    fn options(&self) -> Result<ServiceOptions, Failure> {
        let engine = match self.engine.as_str() {
            "" => None,
            name => Some(words::engine_of(name).ok_or_else(no_such_scheduler)?),
        };
        let family = self.target.family();
        let mask = self.mask.and_then(|mask| Persistence::grouping(mask, family));
        Ok(ServiceOptions {
            scheduler: self.scheduler()?,
            persistence: self.persistent.map(|timeout| Persistence { timeout, mask }),
            engine,
            one_packet: self.has("ops"),
            fullnat: self.fullnat.clone(),
        })
    }

    fn encap(&self) -> Encap {
        match self.tunnel.as_str() {
            _ if self.method != ForwardingMethod::Ipip => Encap::Ipip,
            "gre" => Encap::Gre { checksum: self.has("tun-csum") },
            "gue" => {
                let checksum = match (self.has("tun-csum"), self.has("tun-remcsum")) {
                    (true, _) => GueChecksum::Full,
                    (_, true) => GueChecksum::Remote,
                    _ => GueChecksum::Absent,
                };
                Encap::Gue { port: self.tunnel_port, checksum }
            }
            _ => Encap::Ipip,
        }
    }

    fn server(&self) -> RealServer {
        let (rip, rport) = self.server.unwrap_or((IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0));
        RealServer {
            rip,
            rport,
            method: self.method,
            tunnel: self.encap(),
            weight: self.weight,
            u_threshold: self.u_threshold,
            l_threshold: self.l_threshold,
        }
    }

    fn invocation(&self) -> Result<Invocation, Failure> {
        let service = self.key();
        Ok(match self.command {
            Command::AddService => {
                Invocation::Change(RuleChange::AddService { service, options: self.options()? })
            }
            Command::EditService => {
                Invocation::Change(RuleChange::EditService { service, options: self.options()? })
            }
            Command::DeleteService => Invocation::Change(RuleChange::DeleteService { service }),
            Command::Flush => Invocation::Change(RuleChange::Flush),
            Command::AddServer => {
                Invocation::Change(RuleChange::AddServer { service, server: self.server() })
            }
            Command::EditServer => {
                Invocation::Change(RuleChange::EditServer { service, server: self.server() })
            }
            Command::DeleteServer => {
                let RealServer { rip, rport, .. } = self.server();
                Invocation::Change(RuleChange::DeleteServer { service, rip, rport })
            }
            Command::List => self.list(),
            Command::Save => Invocation::Save { numeric: self.has("numeric") },
            Command::Restore => Invocation::Restore,
            Command::Zero => Invocation::Zero(self.chosen()),
            Command::Set => Invocation::SetTimeouts(self.timeouts.unwrap_or_default()),
            Command::Help => Invocation::Help,
            Command::Version => Invocation::Version,
            Command::StartDaemon | Command::StopDaemon => {
                return Err(not_supported("the connection sync daemon"));
            }
        })
    }

    fn list(&self) -> Invocation {
        let numeric = self.has("numeric");
        if self.has("connection") {
            return Invocation::Conns { numeric, persistence: self.has("persistent-conn") };
        }
        if self.has("timeout") {
            return Invocation::ShowTimeouts;
        }
        if self.has("daemon") {
            return Invocation::ShowDaemons;
        }
        let format = Format {
            columns: self.columns(),
            exact: self.has("exact"),
            nosort: self.has("nosort"),
        };
        Invocation::List { service: self.chosen(), format, numeric }
    }

    fn columns(&self) -> Columns {
        let order = [
            ("stats", Columns::Stats),
            ("rate", Columns::Rate),
            ("thresholds", Columns::Thresholds),
            ("persistent-conn", Columns::PersistentConn),
            ("tun-info", Columns::TunInfo),
        ];
        order.iter().find(|row| self.has(row.0)).map_or(Columns::Plain, |row| row.1)
    }
}

fn no_such_scheduler() -> Failure {
    Failure::refused(RuleError::NoSuchScheduler.to_string())
}

fn bounded(text: &str, min: i64, max: i64, name: &str) -> Result<u32, Failure> {
    number(text, min, max)
        .and_then(|n| u32::try_from(n).ok())
        .ok_or_else(|| Failure::bad(format!("illegal {name} specified")))
}

fn timeout(text: &str, min: i64) -> Result<u32, Failure> {
    number(text, min, MAX_TIMEOUT)
        .and_then(|n| u32::try_from(n).ok())
        .ok_or_else(|| Failure::bad(format!("invalid timeout value `{text}' specified")))
}

fn multicast_group(text: &str) -> Result<(), Failure> {
    match text.parse::<IpAddr>() {
        Ok(group) if group.is_multicast() => Ok(()),
        Ok(IpAddr::V6(_)) => Err(Failure::bad(format!("invalid IPv6 mcast-group `{text}'"))),
        _ => Err(Failure::bad(format!("invalid IPv4 mcast-group `{text}'"))),
    }
}

/// Names between commas; none at all between two of them is no mistake.
fn scheduler_flags(scheduler: &str, list: &str) -> Result<SchedFlags, Failure> {
    let kind = SchedulerKind::from_name(scheduler).unwrap_or(SchedulerKind::Wlc);
    let names = list.split(',').filter(|name| !name.is_empty());
    let scheduling = words::with_flags(kind, names).map_err(Failure::bad)?;
    Ok(scheduling.flags)
}
