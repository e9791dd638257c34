//! What stands in `[[service]]` beside its name, and how a server's tunnel wraps packets.

use super::error::{ConfigError, Source};
use super::file::{self, Tunnel, TunnelChecksum};
use super::fullnat;
use crate::rules::{Persistence, ServiceOptions, words};
use dataplane::address::Family;
use dataplane::flow::protocol;
use dataplane::forward::tunnel::{Encap, GueChecksum};
use dataplane::sched::{SchedulerKind, Scheduling};
use dataplane::service::ServiceKey;
use dataplane::service::persistence::ClientMask;
use toml::Spanned;

pub(super) fn check(
    source: &Source,
    key: ServiceKey,
    service: &Spanned<file::Service>,
) -> Result<ServiceOptions, ConfigError> {
    let file = service.get_ref();
    let engine = match &file.engine {
        Some(name) => Some(words::engine_of(name.get_ref()).ok_or_else(|| {
            source.at(name, format!("`{}` is no persistence engine; there is sip", name.get_ref()))
        })?),
        None => None,
    };
    let one_packet_fits =
        !matches!(key, ServiceKey::Address { proto, .. } if proto != protocol::UDP);
    if file.one_packet && !one_packet_fits {
        return Err(source.at(service, "one_packet is for udp and fwmark services"));
    }
    let persistence = check_persistence(source, key.family(), file)?;
    if persistence.is_none() && matches!(key, ServiceKey::Address { vport: 0, .. }) {
        return Err(source.at(service, "port 0 takes every port and needs `persistent`"));
    }
    let scheduler = check_scheduler(source, file)?;
    let fullnat = fullnat::check(source, key, service)?;
    Ok(ServiceOptions { scheduler, persistence, engine, one_packet: file.one_packet, fullnat })
}

/// ipvsadm's default is wlc.
fn check_scheduler(source: &Source, service: &file::Service) -> Result<Scheduling, ConfigError> {
    let kind = match &service.scheduler {
        Some(name) => SchedulerKind::from_name(name.get_ref()).ok_or_else(|| {
            let known = SchedulerKind::ALL.map(SchedulerKind::name).join(", ");
            source.at(name, format!("`{}` is no scheduler; there are {known}", name.get_ref()))
        })?,
        None => SchedulerKind::Wlc,
    };
    service.flags.iter().try_fold(kind.into(), |scheduling: Scheduling, flag| {
        scheduling.with_flag(flag.get_ref()).map_err(|_| {
            let message =
                format!("`{}` is no flag of the scheduler {}", flag.get_ref(), kind.name());
            source.at(flag, message)
        })
    })
}

fn check_persistence(
    source: &Source,
    family: Family,
    file: &file::Service,
) -> Result<Option<Persistence>, ConfigError> {
    let mask = match &file.netmask {
        Some(text) => Some(check_mask(source, family, text)?),
        None => None,
    };
    match (&file.persistent, &file.netmask) {
        (Some(seconds), _) => {
            let range = 1..=i64::from(Persistence::MAX_TIMEOUT);
            let timeout = source.number("persistent", seconds, range)?;
            let mask = mask.and_then(|mask| Persistence::grouping(mask, family));
            Ok(Some(Persistence { timeout, mask }))
        }
        (None, Some(text)) => Err(source.at(text, "netmask is of use with `persistent` only")),
        (None, None) => Ok(None),
    }
}

fn check_mask(
    source: &Source,
    family: Family,
    text: &Spanned<String>,
) -> Result<ClientMask, ConfigError> {
    let mask = match (words::mask_of(text.get_ref()), family) {
        (Some(mask @ ClientMask::Netmask(_)), Family::V4) => Some(mask),
        (Some(mask @ ClientMask::Prefix(1..=128)), Family::V6) => Some(mask),
        _ => None,
    };
    mask.ok_or_else(|| {
        let what = match family {
            Family::V4 => "a mask such as 255.255.255.0",
            Family::V6 => "a number of bits from 1 to 128",
        };
        source.at(text, format!("`{}` is not {what}", text.get_ref()))
    })
}

/// How a server's tunnel wraps packets; the rules of ipvsadm's `--tun-type`.
pub(super) fn tunnel(
    source: &Source,
    tunnels: bool,
    server: &file::Server,
) -> Result<Encap, ConfigError> {
    let file::Server { tunnel, tunnel_port, tunnel_checksum, .. } = server;
    let kind = tunnel.as_ref().map_or(Tunnel::Ipip, |kind| *kind.get_ref());
    let spans = [
        tunnel.as_ref().map(Spanned::span).filter(|_| !tunnels),
        tunnel_port.as_ref().map(Spanned::span).filter(|_| !tunnels || kind != Tunnel::Gue),
        tunnel_checksum.as_ref().map(Spanned::span).filter(|_| !tunnels || kind == Tunnel::Ipip),
    ];
    if let Some(span) = spans.into_iter().flatten().next() {
        let message = "tunnels are for method ipip, checksums for gre and gue, ports for gue";
        return Err(source.error(span, message));
    }
    let checksum =
        tunnel_checksum.as_ref().map_or(TunnelChecksum::NoCsum, |checksum| *checksum.get_ref());
    match kind {
        Tunnel::Ipip => Ok(Encap::Ipip),
        Tunnel::Gre if checksum == TunnelChecksum::RemCsum => {
            Err(source.at(&server.address, "gre has no remcsum"))
        }
        Tunnel::Gre => Ok(Encap::Gre { checksum: checksum == TunnelChecksum::Csum }),
        Tunnel::Gue => {
            let Some(port) = tunnel_port else {
                return Err(source.at(&server.address, "a gue tunnel needs `tunnel_port`"));
            };
            let port = source.number("tunnel_port", port, 1..=65_535)?;
            let checksum = match checksum {
                TunnelChecksum::NoCsum => GueChecksum::Absent,
                TunnelChecksum::Csum => GueChecksum::Full,
                TunnelChecksum::RemCsum => GueChecksum::Remote,
            };
            Ok(Encap::Gue { port, checksum })
        }
    }
}
