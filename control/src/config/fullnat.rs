//! `[fullnat]`, and `local_addresses` and `client_address` of `[[service]]`.

use super::error::{ConfigError, Source};
use super::file;
use super::value::port_range;
use crate::rules::{FullnatOptions, MAX_LOCAL_ADDRESSES, RuleError, VirtualService, words};
use dataplane::address::Family;
use dataplane::flow::protocol;
use dataplane::limits::OWNER_SLOTS;
use dataplane::local_ports::PortRange;
use dataplane::service::{ClientAddress, ServiceKey};
use std::net::IpAddr;
use toml::Spanned;

/// Ports below are those of Linux's own services.
const FIRST_LOCAL_PORT: u16 = 1024;

/// Which ports of local addresses may be used. A client's port comes from a few of [`OWNER_SLOTS`]
/// shares of them: with fewer ports than shares, clients would be refused while ports are free.
pub(super) fn local_ports(source: &Source, file: &file::Fullnat) -> Result<PortRange, ConfigError> {
    let Some(text) = &file.local_ports else { return Ok(PortRange::default()) };
    let refused = |why: String| source.at(text, format!("local_ports `{}` {why}", text.get_ref()));
    let range = port_range(text.get_ref());
    let range = range.ok_or_else(|| refused("is no range such as 1024-65535".to_owned()))?;
    let (first, last) = range.into_inner();
    if first < FIRST_LOCAL_PORT {
        let why = format!("begins below {FIRST_LOCAL_PORT}, where Linux's own services listen");
        return Err(refused(why));
    }
    if usize::from(last - first) + 1 < OWNER_SLOTS {
        return Err(refused(format!("has too few ports: {OWNER_SLOTS} at least")));
    }
    Ok(PortRange { first, last })
}

pub(super) fn check(
    source: &Source,
    key: ServiceKey,
    service: &Spanned<file::Service>,
) -> Result<FullnatOptions, ConfigError> {
    let file = service.get_ref();
    let mut local_addresses = Vec::new();
    for text in &file.local_addresses {
        let local = check_local(source, key, text)?;
        if local_addresses.contains(&local) {
            return Err(source.at(text, format!("{local} is there already")));
        }
        local_addresses.push(local);
    }
    if let Some(extra) = file.local_addresses.get(MAX_LOCAL_ADDRESSES) {
        return Err(source.at(extra, format!("{MAX_LOCAL_ADDRESSES} local addresses at most")));
    }
    let client_address = check_client_address(source, key, file)?;
    Ok(FullnatOptions { local_addresses, client_address })
}

fn check_local(
    source: &Source,
    key: ServiceKey,
    text: &Spanned<String>,
) -> Result<IpAddr, ConfigError> {
    let local: IpAddr = text
        .get_ref()
        .parse()
        .map_err(|_| source.at(text, format!("`{}` is no address", text.get_ref())))?;
    source.global(text, local)?;
    if Family::of(local) != key.family() {
        return Err(source.at(text, format!("{local} is not of the service's address family")));
    }
    Ok(local)
}

fn check_client_address(
    source: &Source,
    key: ServiceKey,
    file: &file::Service,
) -> Result<ClientAddress, ConfigError> {
    let Some(name) = &file.client_address else { return Ok(ClientAddress::None) };
    let passed = words::client_address_of(name.get_ref()).ok_or_else(|| {
        let known = "none, toa, proxy-v1 and proxy-v2";
        let message = format!("`{}` passes no client's address; there are {known}", name.get_ref());
        source.at(name, message)
    })?;
    let other = matches!(key, ServiceKey::Address { proto, .. } if proto != protocol::TCP);
    if passed != ClientAddress::None && (other || file.local_addresses.is_empty()) {
        let message = "client_address is for tcp and fwmark services with `local_addresses`";
        return Err(source.at(name, message));
    }
    Ok(passed)
}

/// That fullnat servers have what they need.
pub(super) fn check_needed(
    source: &Source,
    file: &Spanned<file::Service>,
    service: &VirtualService,
) -> Result<(), ConfigError> {
    service.check_fullnat().map_err(|error| match error {
        RuleError::NoLocalAddress => {
            source.at(file, "method fullnat needs `local_addresses` of the service")
        }
        error => source.at(file, error.to_string()),
    })
}

/// That no local address is virtual: replies to it would be clients' packets.
pub(super) fn check_apart(
    source: &Source,
    file: &[Spanned<file::Service>],
    services: &[VirtualService],
) -> Result<(), ConfigError> {
    let is_virtual = |local: IpAddr| {
        let has = |key| matches!(key, ServiceKey::Address { vip, .. } if vip == local);
        services.iter().any(|service| has(service.key))
    };
    for (file, service) in file.iter().zip(services) {
        let locals = service.options.fullnat.local_addresses.iter();
        for (text, &local) in file.get_ref().local_addresses.iter().zip(locals) {
            if is_virtual(local) {
                return Err(source.at(text, format!("{local} is a virtual address")));
            }
        }
    }
    Ok(())
}
