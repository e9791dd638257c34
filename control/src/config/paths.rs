//! `[[route]]` and `[[neighbor]]`.

use super::error::{ConfigError, Source};
use super::file;
use super::ports::Interface;
use super::value::{MacAddr, Prefix};
use dataplane::address::Family;
use dataplane::ids::InterfaceId;
use std::collections::HashSet;
use std::net::IpAddr;
use toml::Spanned;

/// A route of the configuration: given to Linux if its interface has a twin, else used as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StaticRoute {
    /// Destinations.
    pub prefix: Prefix,
    /// The gateway, or `None` for destinations on the link.
    pub via: Option<IpAddr>,
    /// The link.
    pub interface: InterfaceId,
}

/// A neighbour of the configuration: given to Linux as permanent if its interface has a twin, else
/// used as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StaticNeighbor {
    /// Its address.
    pub address: IpAddr,
    /// Its MAC address.
    pub mac: MacAddr,
    /// The link it is on.
    pub interface: InterfaceId,
}

pub(super) fn check(
    source: &Source,
    interfaces: &[Interface],
    routes: &[file::Route],
    neighbors: &[file::Neighbor],
) -> Result<(Vec<StaticRoute>, Vec<StaticNeighbor>), ConfigError> {
    let mut prefixes = HashSet::new();
    let mut checked = Vec::new();
    for route in routes {
        let prefix = *route.prefix.get_ref();
        if !prefixes.insert(prefix) {
            return Err(source.at(&route.prefix, format!("there is another route to {prefix}")));
        }
        checked.push(check_route(source, interfaces, route)?);
    }
    let mut seen = HashSet::new();
    let mut known = Vec::new();
    for neighbor in neighbors {
        let entry = check_neighbor(source, interfaces, neighbor)?;
        if !seen.insert((entry.interface, entry.address)) {
            let message = format!("there is another neighbor {}", entry.address);
            return Err(source.at(&neighbor.address, message));
        }
        known.push(entry);
    }
    Ok((checked, known))
}

fn check_route(
    source: &Source,
    interfaces: &[Interface],
    route: &file::Route,
) -> Result<StaticRoute, ConfigError> {
    let prefix = *route.prefix.get_ref();
    if let Some(via) = &route.via {
        source.unicast(via, *via.get_ref())?;
        if Family::of(*via.get_ref()) != Family::of(prefix.address) {
            let message = format!("{} is of another family than {prefix}", via.get_ref());
            return Err(source.at(via, message));
        }
    }
    let interface = match (&route.interface, &route.via) {
        (Some(name), _) => find(source, interfaces, name)?,
        (None, Some(via)) => link_of(interfaces, *via.get_ref()).ok_or_else(|| {
            let via_text = via.get_ref();
            let message = format!("{via_text} is in no interface's subnet; name the interface");
            source.at(via, message)
        })?,
        (None, None) => {
            let message = format!("the route to {prefix} has neither `via` nor `interface`");
            return Err(source.at(&route.prefix, message));
        }
    };
    Ok(StaticRoute { prefix, via: route.via.as_ref().map(|via| *via.get_ref()), interface })
}

fn check_neighbor(
    source: &Source,
    interfaces: &[Interface],
    neighbor: &file::Neighbor,
) -> Result<StaticNeighbor, ConfigError> {
    let (address, mac) = (*neighbor.address.get_ref(), *neighbor.mac.get_ref());
    source.unicast(&neighbor.address, address)?;
    if !mac.is_unicast() {
        return Err(source.at(&neighbor.mac, format!("{mac} is not a unicast MAC address")));
    }
    Ok(StaticNeighbor { address, mac, interface: find(source, interfaces, &neighbor.interface)? })
}

fn find(
    source: &Source,
    interfaces: &[Interface],
    name: &Spanned<String>,
) -> Result<InterfaceId, ConfigError> {
    let place = interfaces.iter().position(|interface| interface.name == *name.get_ref());
    place
        .map(|place| InterfaceId(place as u16))
        .ok_or_else(|| source.at(name, format!("there is no interface `{}`", name.get_ref())))
}

/// The interface whose longest subnet has the address.
fn link_of(interfaces: &[Interface], address: IpAddr) -> Option<InterfaceId> {
    let on_link = |interface: &Interface| {
        let subnets = interface.addresses.iter().map(|address| address.subnet());
        subnets.filter(|subnet| subnet.contains(address)).map(|subnet| subnet.len).max()
    };
    let links = interfaces.iter().enumerate();
    let longest = links.filter_map(|(place, interface)| Some((on_link(interface)?, place))).max();
    longest.map(|(_, place)| InterfaceId(place as u16))
}
