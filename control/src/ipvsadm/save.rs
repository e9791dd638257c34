//! The rules as lines that `-R` reads back, ours and stock ipvsadm's.
//!
//! Stock `-S` forgets thresholds and timeouts. Both can be said in ipvsadm's own words, so they
//! are saved: `-x` and `-y` at the end of a real server's line, and `--set` first if a timeout is
//! not the kernel's default. Without a service nothing is saved: scripts take an empty `-S` for an
//! empty table. Stock `-S` also writes sh and mh with flag-3 alone as a `-b` without names, which
//! nothing reads back; here the flag is named.

use super::fullnat;
use super::layout::{ordered, ordered_dests, proto_of};
use super::names::Names;
use crate::api::protocol::{DestListing, Listing, Timeouts};
use crate::rules::words::{engine_name, mask_text};
use crate::rules::{Persistence, ServiceOptions};
use dataplane::address::Family;
use dataplane::flow::protocol;
use dataplane::forward::tunnel::{Encap, GueChecksum};
use dataplane::service::{ForwardingMethod, ServiceKey};

/// The lines that make these rules from none.
pub fn lines(listing: &Listing, timeouts: Timeouts, names: &Names) -> String {
    let mut text = String::new();
    if timeouts != Timeouts::default() && !listing.services.is_empty() {
        let Timeouts { tcp, tcpfin, udp } = timeouts;
        text.push_str(&format!("--set {tcp} {tcpfin} {udp}\n"));
    }
    for service in ordered(listing, false) {
        let selector = selector(service.key, names);
        let options = options_text(&service.options, service.key.family());
        text.push_str(&format!("-A {selector} {options}\n"));
        for dest in ordered_dests(service, false) {
            text.push_str(&server_line(&selector, dest, proto_of(service.key), names));
        }
    }
    text
}

/// The options of a service in ipvsadm's order.
fn options_text(options: &ServiceOptions, family: Family) -> String {
    let &ServiceOptions { scheduler, persistence, engine, one_packet, fullnat: ref told } = options;
    let mut text = format!("-s {}", scheduler.kind.name());
    if let Some(Persistence { timeout, mask }) = persistence {
        text.push_str(&format!(" -p {timeout}"));
        if let Some(mask) = mask.and_then(|mask| Persistence::grouping(mask, family)) {
            text.push_str(&format!(" -M {}", mask_text(mask)));
        }
    }
    if let Some(engine) = engine {
        text.push_str(&format!(" --pe {}", engine_name(engine)));
    }
    if one_packet {
        text.push_str(" -o");
    }
    let flags: Vec<&str> = scheduler.flag_names().collect();
    if !flags.is_empty() {
        text.push_str(&format!(" -b {}", flags.join(",")));
    }
    text.push_str(&fullnat::saved(told));
    text
}

fn selector(key: ServiceKey, names: &Names) -> String {
    match key {
        ServiceKey::Address { proto, vip, vport } => {
            let option = match proto {
                protocol::UDP => "-u",
                protocol::SCTP => "--sctp-service",
                _ => "-t",
            };
            format!("{option} {}", names.endpoint(vip, vport, proto))
        }
        ServiceKey::Fwmark { mark, family: Family::V4 } => format!("-f {mark}"),
        ServiceKey::Fwmark { mark, family: Family::V6 } => format!("-f {mark} -6"),
    }
}

fn server_line(selector: &str, dest: &DestListing, proto: u8, names: &Names) -> String {
    let server = &dest.server;
    let method = match server.method {
        ForwardingMethod::Masq => "-m",
        ForwardingMethod::Gatewaying => "-g",
        ForwardingMethod::Ipip => "-i",
        ForwardingMethod::Fullnat => "--fullnat",
    };
    let endpoint = names.endpoint(server.rip, server.rport, proto);
    let mut line = format!("-a {selector} -r {endpoint} {method} -w {}", server.weight);
    if server.method == ForwardingMethod::Ipip {
        line.push_str(&tunnel_options(server.tunnel));
    }
    if server.u_threshold > 0 {
        line.push_str(&format!(" -x {} -y {}", server.u_threshold, server.l_threshold));
    }
    line.push('\n');
    line
}

fn tunnel_options(encap: Encap) -> String {
    let checksum = |with| if with { "csum" } else { "nocsum" };
    match encap {
        Encap::Ipip => " --tun-type ipip".into(),
        Encap::Gre { checksum: with } => format!(" --tun-type gre --tun-{}", checksum(with)),
        Encap::Gue { port, checksum: GueChecksum::Remote } => {
            format!(" --tun-type gue --tun-port {port} --tun-remcsum")
        }
        Encap::Gue { port, checksum: how } => {
            let with = checksum(how == GueChecksum::Full);
            format!(" --tun-type gue --tun-port {port} --tun-{with}")
        }
    }
}
