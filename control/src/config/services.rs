//! `[[service]]`, `[[service.server]]` and `[[mark]]`.

use super::error::{ConfigError, Source};
use super::file::{self, FwmarkFamily, Method, Protocol};
use super::fullnat;
use super::options;
use super::value::{Prefix, port_range};
use crate::rules::{RealServer, VirtualService, words};
use dataplane::address::Family;
use dataplane::flow::protocol;
use dataplane::service::{ForwardingMethod, ServiceKey};
use std::collections::HashSet;
use std::net::Ipv4Addr;
use std::ops::RangeInclusive;
use toml::Spanned;

/// Which packets get a firewall mark: all that every given condition holds for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// The mark, never 0.
    pub mark: u32,
    /// IP protocol number, or `None` for all that have ports.
    pub proto: Option<u8>,
    /// Destination addresses.
    pub destination: Prefix,
    /// Destination ports.
    pub ports: RangeInclusive<u16>,
}

/// Marks are 32 bits wide and 0 is none.
const MARK: RangeInclusive<i64> = 1..=u32::MAX as i64;

/// Weights and thresholds: the wider of ipvsadm's manual and its code.
const COUNT: RangeInclusive<i64> = 0..=i32::MAX as i64;

pub(super) fn check(
    source: &Source,
    file: &[Spanned<file::Service>],
) -> Result<Vec<VirtualService>, ConfigError> {
    let mut keys = HashSet::new();
    let mut services = Vec::new();
    for service in file {
        let key = check_key(source, service)?;
        if !keys.insert(key) {
            let name = words::key_text(key);
            return Err(source.at(service, format!("the service {name} is there already")));
        }
        let options = options::check(source, key, service)?;
        let real_servers = check_servers(source, key, &service.get_ref().server)?;
        let virtual_service = VirtualService { key, options, real_servers };
        fullnat::check_needed(source, service, &virtual_service)?;
        services.push(virtual_service);
    }
    fullnat::check_apart(source, file, &services)?;
    if let Some(extra) = file.get(dataplane::limits::MAX_SERVICES) {
        let message = format!("{} services at most", dataplane::limits::MAX_SERVICES);
        return Err(source.at(extra, message));
    }
    Ok(services)
}

fn check_key(source: &Source, service: &Spanned<file::Service>) -> Result<ServiceKey, ConfigError> {
    let file::Service { fwmark, family, protocol, address, port, .. } = service.get_ref();
    if let (None, Some(family)) = (fwmark, family) {
        return Err(source.at(family, "family is for services with `fwmark`"));
    }
    match (fwmark, protocol, address, port) {
        (Some(mark), None, None, None) => Ok(ServiceKey::Fwmark {
            mark: source.number("fwmark", mark, MARK)?,
            family: match family.as_ref().map(Spanned::get_ref) {
                Some(FwmarkFamily::Ipv6) => Family::V6,
                Some(FwmarkFamily::Ipv4) | None => Family::V4,
            },
        }),
        (None, Some(protocol), Some(address), Some(port)) => {
            source.global(address, *address.get_ref())?;
            Ok(ServiceKey::Address {
                proto: number(*protocol.get_ref()),
                vip: *address.get_ref(),
                vport: source.number("port", port, 0..=65_535)?,
            })
        }
        _ => {
            Err(source
                .at(service, "a service has either `fwmark` or `protocol`, `address` and `port`"))
        }
    }
}

fn number(protocol: Protocol) -> u8 {
    match protocol {
        Protocol::Tcp => protocol::TCP,
        Protocol::Udp => protocol::UDP,
        Protocol::Sctp => protocol::SCTP,
    }
}

fn check_servers(
    source: &Source,
    key: ServiceKey,
    file: &[file::Server],
) -> Result<Vec<RealServer>, ConfigError> {
    let mut seen = HashSet::new();
    let mut servers = Vec::new();
    for server in file {
        let checked = check_server(source, key, server)?;
        if !seen.insert((checked.rip, checked.rport)) {
            let (rip, rport) = (server.address.get_ref(), checked.rport);
            let message = format!("the server {rip}:{rport} is in this service already");
            return Err(source.at(&server.address, message));
        }
        servers.push(checked);
    }
    Ok(servers)
}

/// Defaults are ipvsadm's: gatewaying, weight 1, no thresholds, the service's port.
fn check_server(
    source: &Source,
    key: ServiceKey,
    server: &file::Server,
) -> Result<RealServer, ConfigError> {
    source.global(&server.address, *server.address.get_ref())?;
    let method = match server.method.unwrap_or(Method::Gatewaying) {
        Method::Masq => ForwardingMethod::Masq,
        Method::Gatewaying => ForwardingMethod::Gatewaying,
        Method::Ipip => ForwardingMethod::Ipip,
        Method::Fullnat => ForwardingMethod::Fullnat,
    };
    let tunnels = method == ForwardingMethod::Ipip;
    if Family::of(*server.address.get_ref()) != key.family() && !tunnels {
        let message = "a server of another family than the service's needs method ipip";
        return Err(source.at(&server.address, message));
    }
    let tunnel = options::tunnel(source, tunnels, server)?;
    let rport = check_server_port(source, key, method, server)?;
    let count = |what, value: &Option<Spanned<i64>>, default| {
        source.number_or(what, value.as_ref(), COUNT, default)
    };
    let u_threshold: u32 = count("u_threshold", &server.u_threshold, 0)?;
    let l_threshold: u32 = count("l_threshold", &server.l_threshold, 0)?;
    if let Some(lower) = server.l_threshold.as_ref().filter(|_| l_threshold > u_threshold) {
        let message = format!("l_threshold {l_threshold} is above u_threshold {u_threshold}");
        return Err(source.at(lower, message));
    }
    let weight = count("weight", &server.weight, 1)?;
    let rip = *server.address.get_ref();
    Ok(RealServer { rip, rport, method, tunnel, weight, u_threshold, l_threshold })
}

/// Only masq and fullnat map ports; the others deliver the packet's own, so a port of theirs can only mislead.
fn check_server_port(
    source: &Source,
    key: ServiceKey,
    method: ForwardingMethod,
    server: &file::Server,
) -> Result<u16, ConfigError> {
    let vport = match key {
        ServiceKey::Address { vport, .. } => vport,
        ServiceKey::Fwmark { .. } => 0,
    };
    let Some(given) = &server.port else { return Ok(vport) };
    let rport = source.number("port", given, 0..=65_535)?;
    let maps = matches!(method, ForwardingMethod::Masq | ForwardingMethod::Fullnat);
    if !maps && rport != vport {
        let message = format!("port {rport}: only masq and fullnat change the port, leave it out");
        return Err(source.at(given, message));
    }
    if rport == 0 && vport != 0 {
        return Err(source.at(given, "port 0 is for services with port 0 and fwmark services"));
    }
    Ok(rport)
}

pub(super) fn marks(source: &Source, file: &[file::Mark]) -> Result<Vec<Mark>, ConfigError> {
    file.iter().map(|mark| check_mark(source, mark)).collect()
}

fn check_mark(source: &Source, file: &file::Mark) -> Result<Mark, ConfigError> {
    if file.protocol.is_none() && file.destination.is_none() && file.ports.is_none() {
        let message = "a mark needs at least one of `protocol`, `destination` and `ports`";
        return Err(source.at(&file.mark, message));
    }
    let ports = match &file.ports {
        Some(text) => port_range(text.get_ref()).ok_or_else(|| {
            let message =
                format!("`{}` is neither a port nor a range such as 80-90", text.get_ref());
            source.at(text, message)
        })?,
        None => 0..=65_535,
    };
    let everywhere = Prefix::of(Ipv4Addr::UNSPECIFIED.into(), 0);
    Ok(Mark {
        mark: source.number("mark", &file.mark, MARK)?,
        proto: file.protocol.map(number),
        destination: file.destination.as_ref().map_or(everywhere, |prefix| *prefix.get_ref()),
        ports,
    })
}
