//! Every option of ipvsadm 1.31, and of what is beyond it: fullnat.

/// What an option does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flag {
    /// The command itself.
    Command(Command),
    /// `-t`, `-u`, `--sctp-service`: a service of that IP protocol.
    Service(u8),
    /// `-f`.
    Fwmark,
    /// `-g`, `-i`, `-m`.
    Method(dataplane::service::ForwardingMethod),
    /// `-6`.
    Ipv6,
    /// `--sort`, the default.
    Sort,
    /// Any other, by its name in messages.
    Named(&'static str),
}

/// The commands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// `-A`
    AddService,
    /// `-E`
    EditService,
    /// `-D`
    DeleteService,
    /// `-C`
    Flush,
    /// `-L`, `-l`
    List,
    /// `-a`
    AddServer,
    /// `-d`
    DeleteServer,
    /// `-e`
    EditServer,
    /// `--set`
    Set,
    /// `--start-daemon`
    StartDaemon,
    /// `--stop-daemon`
    StopDaemon,
    /// `-R`
    Restore,
    /// `-S`
    Save,
    /// `-Z`
    Zero,
    /// `-h`
    Help,
    /// `-v`
    Version,
}

impl Command {
    /// The name in messages.
    pub fn name(self) -> &'static str {
        match self {
            Command::AddService => "add-service",
            Command::EditService => "edit-service",
            Command::DeleteService => "delete-service",
            Command::Flush => "flush",
            Command::List => "list",
            Command::AddServer => "add-server",
            Command::DeleteServer => "delete-server",
            Command::EditServer => "edit-server",
            Command::Set => "set",
            Command::StartDaemon => "start-daemon",
            Command::StopDaemon => "stop-daemon",
            Command::Restore => "restore",
            Command::Save => "save",
            Command::Zero => "zero",
            Command::Help => "help",
            Command::Version => "version",
        }
    }
}

/// Whether an option has a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Takes {
    /// None.
    Nothing,
    /// The rest of its word or the next word, whatever that is.
    Word,
    /// The rest of its word, or the next word if that does not begin with a dash.
    Maybe,
}

/// An option: long name, short name or NUL, value, meaning.
pub type Row = (&'static str, char, Takes, Flag);

/// All of them.
pub const OPTIONS: &[Row] = {
    use Command::*;
    use Flag::{Command as C, Fwmark, Ipv6, Method, Named, Service, Sort};
    use Takes::*;
    use dataplane::service::ForwardingMethod::{Fullnat, Gatewaying, Ipip, Masq};
    &[
        ("add-service", 'A', Nothing, C(AddService)),
        ("edit-service", 'E', Nothing, C(EditService)),
        ("delete-service", 'D', Nothing, C(DeleteService)),
        ("clear", 'C', Nothing, C(Flush)),
        ("list", 'L', Nothing, C(List)),
        ("list", 'l', Nothing, C(List)),
        ("zero", 'Z', Nothing, C(Zero)),
        ("add-server", 'a', Nothing, C(AddServer)),
        ("edit-server", 'e', Nothing, C(EditServer)),
        ("delete-server", 'd', Nothing, C(DeleteServer)),
        ("set", '\0', Nothing, C(Set)),
        ("help", 'h', Nothing, C(Help)),
        ("version", 'v', Nothing, C(Version)),
        ("restore", 'R', Nothing, C(Restore)),
        ("save", 'S', Nothing, C(Save)),
        ("start-daemon", '\0', Word, C(StartDaemon)),
        ("stop-daemon", '\0', Word, C(StopDaemon)),
        ("tcp-service", 't', Word, Service(6)),
        ("udp-service", 'u', Word, Service(17)),
        ("sctp-service", '\0', Word, Service(132)),
        ("fwmark-service", 'f', Word, Fwmark),
        ("scheduler", 's', Word, Named("scheduler")),
        ("persistent", 'p', Maybe, Named("persistent")),
        ("netmask", 'M', Word, Named("netmask")),
        ("real-server", 'r', Word, Named("real-server")),
        ("masquerading", 'm', Nothing, Method(Masq)),
        ("ipip", 'i', Nothing, Method(Ipip)),
        ("gatewaying", 'g', Nothing, Method(Gatewaying)),
        ("fullnat", '\0', Nothing, Method(Fullnat)),
        ("local-addresses", '\0', Word, Named("local-addresses")),
        ("client-address", '\0', Word, Named("client-address")),
        ("weight", 'w', Word, Named("weight")),
        ("u-threshold", 'x', Word, Named("u-threshold")),
        ("l-threshold", 'y', Word, Named("l-threshold")),
        ("numeric", 'n', Nothing, Named("numeric")),
        ("connection", 'c', Nothing, Named("connection")),
        ("mcast-interface", '\0', Word, Named("mcast-interface")),
        ("syncid", '\0', Word, Named("syncid")),
        ("sync-maxlen", '\0', Word, Named("sync-maxlen")),
        ("mcast-group", '\0', Word, Named("mcast-group")),
        ("mcast-port", '\0', Word, Named("mcast-port")),
        ("mcast-ttl", '\0', Word, Named("mcast-ttl")),
        ("timeout", '\0', Nothing, Named("timeout")),
        ("daemon", '\0', Nothing, Named("daemon")),
        ("stats", '\0', Nothing, Named("stats")),
        ("rate", '\0', Nothing, Named("rate")),
        ("thresholds", '\0', Nothing, Named("thresholds")),
        ("persistent-conn", '\0', Nothing, Named("persistent-conn")),
        ("tun-info", '\0', Nothing, Named("tun-info")),
        ("sort", '\0', Nothing, Sort),
        ("nosort", '\0', Nothing, Named("nosort")),
        ("exact", 'X', Nothing, Named("exact")),
        ("ipv6", '6', Nothing, Ipv6),
        ("ops", 'o', Nothing, Named("ops")),
        ("pe", '\0', Word, Named("pe")),
        ("sched-flags", 'b', Word, Named("sched-flags")),
        ("tun-type", '\0', Word, Named("tun-type")),
        ("tun-port", '\0', Word, Named("tun-port")),
        ("tun-nocsum", '\0', Nothing, Named("tun-nocsum")),
        ("tun-csum", '\0', Nothing, Named("tun-csum")),
        ("tun-remcsum", '\0', Nothing, Named("tun-remcsum")),
    ]
};

impl Flag {
    /// The name in messages; several options may share one.
    pub fn name(self) -> Option<&'static str> {
        match self {
            Flag::Service(_) | Flag::Fwmark => Some("service-address"),
            Flag::Method(_) => Some("forwarding-method"),
            Flag::Named(name) => Some(name),
            Flag::Command(_) | Flag::Ipv6 | Flag::Sort => None,
        }
    }
}
