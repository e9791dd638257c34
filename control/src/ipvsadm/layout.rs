//! The listings of services and real servers.

use super::fullnat;
use super::names::Names;
use super::numbers::{abbreviated, exact};
use super::sort;
use crate::api::protocol::{DestListing, Listing, ServiceListing, Stats};
use crate::rules::words::{engine_name, mask_text, proto_name};
use crate::rules::{Persistence, RealServer, ServiceOptions};
use dataplane::address::Family;
use dataplane::forward::tunnel::{Encap, GueChecksum};
use dataplane::sched::{SchedFlags, SchedulerKind, Scheduling};
use dataplane::service::{ForwardingMethod, ServiceKey};
use std::fmt::Write;

/// What a listing shows of each real server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Columns {
    /// Forward, Weight, ActiveConn, InActConn.
    #[default]
    Plain,
    /// Counters.
    Stats,
    /// Counters per second.
    Rate,
    /// Uthreshold, Lthreshold.
    Thresholds,
    /// PersistConn.
    PersistentConn,
    /// TunnelInfo.
    TunInfo,
}

/// How to list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Format {
    /// Which columns.
    pub columns: Columns,
    /// Counters in full.
    pub exact: bool,
    /// In the director's order, not ipvsadm's.
    pub nosort: bool,
}

/// ipvsadm cuts a service's name here in listings with columns of counters.
const SERVICE_WIDTH: usize = 33;
/// And a real server's name here.
const SERVER_WIDTH: usize = 28;

/// The whole table, with the line of version and size.
pub fn table(listing: &Listing, format: Format, names: &Names) -> String {
    let mut text = format!("IP Virtual Server version 1.2.1 (size={})\n", listing.table_size);
    text.push_str(&services(listing, format, names));
    text
}

/// The services of a listing under their titles.
pub fn services(listing: &Listing, format: Format, names: &Names) -> String {
    let mut text = String::from(titles(format.columns));
    for service in ordered(listing, format.nosort) {
        service_lines(&mut text, service, format, names);
    }
    text
}

/// The services of a listing in the order asked for.
pub fn ordered(listing: &Listing, nosort: bool) -> Vec<&ServiceListing> {
    if nosort { listing.services.iter().collect() } else { sort::services(&listing.services) }
}

/// The real servers of a service in the order asked for.
pub fn ordered_dests(service: &ServiceListing, nosort: bool) -> Vec<&DestListing> {
    if nosort { service.dests.iter().collect() } else { sort::dests(&service.dests) }
}

/// The protocol real servers' ports are of, for their names.
pub fn proto_of(key: ServiceKey) -> u8 {
    match key {
        ServiceKey::Address { proto, .. } => proto,
        ServiceKey::Fwmark { .. } => 0,
    }
}

fn titles(columns: Columns) -> &'static str {
    match columns {
        Columns::Plain => {
            "Prot LocalAddress:Port Scheduler Flags\n  \
             -> RemoteAddress:Port           Forward Weight ActiveConn InActConn\n"
        }
        Columns::Stats => {
            "Prot LocalAddress:Port               Conns   InPkts  OutPkts  InBytes OutBytes\n  \
             -> RemoteAddress:Port\n"
        }
        Columns::Rate => {
            "Prot LocalAddress:Port                 CPS    InPPS   OutPPS    InBPS   OutBPS\n  \
             -> RemoteAddress:Port\n"
        }
        Columns::Thresholds => {
            "Prot LocalAddress:Port            Uthreshold Lthreshold ActiveConn InActConn \n  \
             -> RemoteAddress:Port\n"
        }
        Columns::PersistentConn => {
            "Prot LocalAddress:Port            Weight    PersistConn ActiveConn InActConn \n  \
             -> RemoteAddress:Port\n"
        }
        Columns::TunInfo => {
            "Prot LocalAddress:Port Scheduler Flags\n  \
             -> RemoteAddress:Port           Forward TunnelInfo    Weight ActiveConn InActConn\n"
        }
    }
}

// Writing to a String cannot fail, so the results of `write!` below are let go.

fn service_lines(text: &mut String, service: &ServiceListing, format: Format, names: &Names) {
    let name = service_name(service.key, names);
    let _ = match format.columns {
        Columns::Stats => {
            writeln!(text, "{name:<SERVICE_WIDTH$}{}", counters(&service.stats, format.exact))
        }
        Columns::Rate => {
            writeln!(text, "{name:<SERVICE_WIDTH$}{}", counters(&service.rate, format.exact))
        }
        _ => {
            let options = options_text(&service.options, service.key.family());
            writeln!(text, "{name} {options}")
        }
    };
    for dest in ordered_dests(service, format.nosort) {
        let name = names.endpoint(dest.server.rip, dest.server.rport, proto_of(service.key));
        let name = shown(&name, SERVER_WIDTH, dest.server.rip.is_ipv6());
        let _ = writeln!(text, "  -> {name:<SERVER_WIDTH$}{}", dest_columns(dest, format));
    }
}

/// The scheduler with its flags, persistence, its engine and one-packet scheduling.
fn options_text(options: &ServiceOptions, family: Family) -> String {
    let &ServiceOptions { scheduler, persistence, engine, one_packet, fullnat: ref told } = options;
    let mut text = format!("{}{}", scheduler.kind.name(), flags(scheduler));
    if let Some(Persistence { timeout, mask }) = persistence {
        let _ = write!(text, " persistent {timeout}");
        if let Some(mask) = mask.and_then(|mask| Persistence::grouping(mask, family)) {
            let _ = write!(text, " mask {}", mask_text(mask));
        }
    }
    // What only lets real servers begin conns is in `-S` alone.
    if let Some(engine) = engine.filter(|_| persistence.is_some()) {
        let _ = write!(text, " pe {}", engine_name(engine));
    }
    if one_packet {
        text.push_str(" ops");
    }
    text.push_str(&fullnat::listed(told));
    text
}

/// A scheduler's flags. For one with flags of its own ipvsadm does not know flag-3, and frames
/// nothing if it stands alone.
fn flags(scheduling: Scheduling) -> String {
    if scheduling.flags.is_empty() {
        return String::new();
    }
    let has_own = matches!(scheduling.kind, SchedulerKind::Sh | SchedulerKind::Mh);
    let hidden = if has_own { SchedFlags::THIRD } else { SchedFlags::empty() };
    let shown = Scheduling { flags: scheduling.flags - hidden, ..scheduling };
    format!(" ({})", shown.flag_names().collect::<Vec<_>>().join(","))
}

fn service_name(key: ServiceKey, names: &Names) -> String {
    let name = match key {
        ServiceKey::Address { proto, vip, vport } => {
            let proto_name = proto_name(proto).to_uppercase();
            format!("{proto_name:<4} {}", names.endpoint(vip, vport, proto))
        }
        // ipvsadm prints the mark as a signed number.
        ServiceKey::Fwmark { mark, family: Family::V4 } => format!("FWM  {}", mark as i32),
        ServiceKey::Fwmark { mark, family: Family::V6 } => format!("FWM  {} IPv6", mark as i32),
    };
    shown(&name, SERVICE_WIDTH, key.family() == Family::V6).to_owned()
}

/// IPv6 names are never cut.
fn shown(name: &str, width: usize, is_v6: bool) -> &str {
    if is_v6 { name } else { cut(name, width) }
}

fn cut(name: &str, width: usize) -> &str {
    name.char_indices().nth(width).map_or(name, |(end, _)| &name[..end])
}

fn dest_columns(dest: &DestListing, format: Format) -> String {
    let (server, active, inactive) = (&dest.server, dest.active, dest.inactive);
    let (forward, weight) = (forward_name(server.method), server.weight);
    let (upper, lower) = (server.u_threshold, server.l_threshold);
    match format.columns {
        Columns::Plain => format!(" {forward:<7} {weight:<6} {active:<10} {inactive:<10}"),
        Columns::Stats => counters(&dest.stats, format.exact),
        Columns::Rate => rates(&dest.rate, format.exact),
        Columns::Thresholds => format!(" {upper:<10} {lower:<10} {active:<10} {inactive:<10}"),
        Columns::PersistentConn => {
            let templates = dest.persistent;
            format!(" {weight:<9} {templates:<11} {active:<10} {inactive:<10}")
        }
        Columns::TunInfo => {
            let info = tunnel_info(server);
            format!(" {forward:<7} {info:<13} {weight:<6} {active:<10} {inactive:<10}")
        }
    }
}

/// `gue:PORT:FLAG`, `gre:FLAG`; the flag tells the checksum.
fn tunnel_info(server: &RealServer) -> String {
    match server.tunnel {
        _ if server.method != ForwardingMethod::Ipip => "n/a".into(),
        Encap::Ipip => "ipip".into(),
        Encap::Gre { checksum: false } => "gre:-c".into(),
        Encap::Gre { checksum: true } => "gre:+c".into(),
        Encap::Gue { port, checksum } => {
            let flag = match checksum {
                GueChecksum::Absent => "-c",
                GueChecksum::Full => "+c",
                GueChecksum::Remote => "r+c",
            };
            format!("gue:{port}:{flag}")
        }
    }
}

fn forward_name(method: ForwardingMethod) -> &'static str {
    match method {
        ForwardingMethod::Masq => "Masq",
        ForwardingMethod::Ipip => "Tunnel",
        ForwardingMethod::Gatewaying => "Route",
        ForwardingMethod::Fullnat => "FullNat",
    }
}

fn counters(stats: &Stats, in_full: bool) -> String {
    let all = [stats.conns, stats.inpkts, stats.outpkts, stats.inbytes, stats.outbytes];
    all.into_iter().map(if in_full { exact } else { abbreviated }).collect()
}

/// A real server's rates: conns and packets in plain columns, bytes abbreviated.
fn rates(rate: &Stats, in_full: bool) -> String {
    let bytes = if in_full { exact } else { abbreviated };
    let Stats { conns, inpkts, outpkts, inbytes, outbytes } = *rate;
    format!(" {conns:>8} {inpkts:>8} {outpkts:>8}{}{}", bytes(inbytes), bytes(outbytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::example::fwmark;
    use dataplane::sched::SchedulerKind;

    #[test]
    fn conns_and_rates_stand_in_their_columns() {
        let server = RealServer {
            rip: [192, 168, 1, 11].into(),
            rport: 0,
            method: ForwardingMethod::Gatewaying,
            tunnel: Encap::Ipip,
            weight: 1,
            u_threshold: 0,
            l_threshold: 0,
        };
        let rate = Stats { conns: 1, inpkts: 2, outpkts: 3, inbytes: 100_000_000, outbytes: 5 };
        let (stats, active, inactive) = (Stats::default(), 23, 1_234_567_890);
        let dests = vec![DestListing { server, active, inactive, persistent: 0, stats, rate }];
        let (key, options) = (fwmark(1), SchedulerKind::Rr.into());
        let services = vec![ServiceListing { key, options, stats, rate, dests }];
        let listing = Listing { table_size: 4096, services };
        let last_line = |columns| {
            let format = Format { columns, ..Format::default() };
            let text = super::services(&listing, format, &Names::none());
            text.lines().last().unwrap().to_owned()
        };
        assert_eq!(
            last_line(Columns::Plain),
            "  -> 192.168.1.11:0               Route   1      23         1234567890"
        );
        assert_eq!(
            last_line(Columns::Rate),
            "  -> 192.168.1.11:0                      1        2        3  100000K        5"
        );
    }

    #[test]
    fn long_names_are_cut_where_ipvsadm_cuts_them() {
        assert_eq!(cut("0123456789012345678901234567890123456789", SERVER_WIDTH).len(), 28);
        assert_eq!(cut("short", SERVER_WIDTH), "short");
    }
}
