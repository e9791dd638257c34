//! Which options go with which command and which tunnel type.

use super::Failure;
use super::options::Command;

/// Options in the order in which they are checked.
const ORDER: [&str; 36] = [
    "numeric",
    "connection",
    "service-address",
    "scheduler",
    "persistent",
    "netmask",
    "real-server",
    "forwarding-method",
    "weight",
    "u-threshold",
    "l-threshold",
    "mcast-interface",
    "timeout",
    "daemon",
    "stats",
    "rate",
    "thresholds",
    "persistent-conn",
    "nosort",
    "syncid",
    "exact",
    "ops",
    "pe",
    "sched-flags",
    "mcast-group",
    "mcast-port",
    "mcast-ttl",
    "sync-maxlen",
    "tun-info",
    "tun-type",
    "tun-port",
    "tun-nocsum",
    "tun-csum",
    "tun-remcsum",
    "local-addresses",
    "client-address",
];

/// What a command or tunnel type says of options: needed, allowed, allowed one at a time.
struct Fits {
    needed: &'static [&'static str],
    allowed: &'static [&'static str],
    exclusive: &'static [&'static str],
}

const NONE: Fits = Fits { needed: &[], allowed: &[], exclusive: &[] };
const SERVICE: &[&str] = &["service-address"];
const SERVER: &[&str] = &["service-address", "real-server"];

fn of_command(command: Command) -> Fits {
    match command {
        Command::AddService | Command::EditService => Fits {
            needed: SERVICE,
            allowed: &[
                "scheduler",
                "persistent",
                "netmask",
                "ops",
                "pe",
                "sched-flags",
                "local-addresses",
                "client-address",
            ],
            ..NONE
        },
        Command::DeleteService => Fits { needed: SERVICE, ..NONE },
        Command::AddServer | Command::EditServer => Fits {
            needed: SERVER,
            allowed: &[
                "forwarding-method",
                "weight",
                "u-threshold",
                "l-threshold",
                "tun-type",
                "tun-port",
                "tun-nocsum",
                "tun-csum",
                "tun-remcsum",
            ],
            ..NONE
        },
        Command::DeleteServer => Fits { needed: SERVER, ..NONE },
        Command::List => Fits {
            allowed: &[
                "numeric",
                "stats",
                "rate",
                "thresholds",
                "persistent-conn",
                "nosort",
                "exact",
                "tun-info",
            ],
            exclusive: &["connection", "service-address", "timeout", "daemon"],
            ..NONE
        },
        Command::Save => Fits { allowed: &["numeric"], ..NONE },
        Command::Zero => Fits { allowed: SERVICE, ..NONE },
        Command::StartDaemon => Fits {
            allowed: &[
                "mcast-interface",
                "syncid",
                "mcast-group",
                "mcast-port",
                "mcast-ttl",
                "sync-maxlen",
            ],
            ..NONE
        },
        Command::StopDaemon => Fits { allowed: &["syncid"], ..NONE },
        _ => NONE,
    }
}

fn of_tunnel(kind: &str) -> Fits {
    match kind {
        "gue" => Fits {
            needed: &["tun-port"],
            exclusive: &["tun-nocsum", "tun-csum", "tun-remcsum"],
            ..NONE
        },
        "gre" => Fits { exclusive: &["tun-nocsum", "tun-csum"], ..NONE },
        _ => NONE,
    }
}

/// The options seen fit the command.
pub fn command(command: Command, seen: &[&str]) -> Result<(), Failure> {
    fits(&of_command(command), &ORDER, seen, &format!("'{}' command", command.name()))
}

/// The tunnel options seen fit each other and the forwarding method.
pub fn tunnel(kind: &str, tunnels: bool, seen: &[&str]) -> Result<(), Failure> {
    let options = &ORDER[30..];
    if !tunnels && seen.iter().any(|name| options.contains(name) || *name == "tun-type") {
        return Err(Failure::bad("Tunnel options conflict with forward method"));
    }
    fits(&of_tunnel(kind), options, seen, &format!("'{kind}' tunnel type"))
}

fn fits(rules: &Fits, order: &[&'static str], seen: &[&str], whom: &str) -> Result<(), Failure> {
    let mut chosen: Option<&str> = None;
    for name in order {
        let (is_seen, is_needed) = (seen.contains(name), rules.needed.contains(name));
        if !is_seen && is_needed {
            let message = format!("You need to supply the '{name}' option for the {whom}");
            return Err(Failure::bad(message));
        }
        if !is_seen || is_needed || rules.allowed.contains(name) {
            continue;
        }
        if !rules.exclusive.contains(name) {
            return Err(Failure::bad(format!("Illegal '{name}' option with the {whom}")));
        }
        if let Some(other) = chosen {
            let message =
                format!("The option '{name}' conflicts with the '{other}' option in the {whom}");
            return Err(Failure::bad(message));
        }
        chosen = Some(name);
    }
    Ok(())
}
