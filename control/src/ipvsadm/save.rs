//! The rules as lines that `-R` reads back, ours and stock ipvsadm's.
//!
//! Stock `-S` forgets thresholds and timeouts. Both can be said in ipvsadm's own words, so they
//! are saved: `-x` and `-y` at the end of a real server's line, and `--set` first if a timeout is
//! not the kernel's default. Without a service nothing is saved: scripts take an empty `-S` for an
//! empty table. Stock `-S` also writes sh and mh with flag-3 alone as a `-b` without names, which
//! nothing reads back; here the flag is named.

use super::layout::{ordered, ordered_dests, proto_of};
use super::names::Names;
use crate::api::protocol::{DestListing, Listing, Timeouts};
use dataplane::address::Family;
use dataplane::flow::protocol;
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
        text.push_str(&format!("-A {selector} -s {}", service.scheduler.kind.name()));
        let flags: Vec<&str> = service.scheduler.flag_names().collect();
        if !flags.is_empty() {
            text.push_str(&format!(" -b {}", flags.join(",")));
        }
        text.push('\n');
        for dest in ordered_dests(service, false) {
            text.push_str(&server_line(&selector, dest, proto_of(service.key), names));
        }
    }
    text
}

fn selector(key: ServiceKey, names: &Names) -> String {
    match key {
        ServiceKey::Address { proto, vip, vport } => {
            let option = if proto == protocol::UDP { "-u" } else { "-t" };
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
    };
    let endpoint = names.endpoint(server.rip, server.rport, proto);
    let mut line = format!("-a {selector} -r {endpoint} {method} -w {}", server.weight);
    if server.method == ForwardingMethod::Ipip {
        line.push_str(" --tun-type ipip");
    }
    if server.u_threshold > 0 {
        line.push_str(&format!(" -x {} -y {}", server.u_threshold, server.l_threshold));
    }
    line.push('\n');
    line
}
