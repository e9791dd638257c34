//! `[[port]]` and `[[port.vlan]]`.

use super::error::{ConfigError, Source};
use super::file;
use super::value::{Device, InterfaceAddress, MacAddr};
use crate::steering::Faces;
use dataplane::ids::PortId;
use dataplane::limits::{MAX_INTERFACES, MAX_PORTS, MAX_WORKERS};
use serde::Deserialize;
use std::collections::HashSet;
use std::net::IpAddr;
use toml::Spanned;

/// A DPDK port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Port {
    /// Its name, which is its untagged interface's.
    pub name: String,
    /// What DPDK drives it with.
    pub device: Device,
    /// The MAC address to set, or `None` for the device's own.
    pub mac: Option<MacAddr>,
    /// Largest IP packet in bytes.
    pub mtu: u16,
    /// Pairs of queues wanted, or `None` for as many as there are workers or the device has.
    pub queues: Option<u16>,
    /// Whose packets arrive, or `None` for what services and routes tell.
    pub faces: Option<Faces>,
    /// Whether the device is to bring packets to their flows' owners.
    pub steering: Steering,
    /// Whether frames to other stations are taken in by the NIC.
    pub promiscuous: bool,
}

/// Whether a device is to bring packets to their flows' owners.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Steering {
    /// If it can.
    #[default]
    Auto,
    /// No: it spreads them over its queues, no more.
    Off,
}

/// A pair of port and VLAN.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    /// Its name, and its kernel twin's.
    pub name: String,
    /// The port.
    pub port: PortId,
    /// VLAN id, 0 for untagged.
    pub vlan: u16,
    /// Whether Linux has a TAP interface for it.
    pub twin: bool,
    /// Its addresses: set on the twin, or used as they are where there is none.
    pub addresses: Vec<InterfaceAddress>,
}

/// An IPv4 link carries 68 bytes whole (RFC 791 section 3.2); no NIC takes more than a jumbo frame.
const MTU: std::ops::RangeInclusive<i64> = 68..=9600;

/// Longest name of a Linux interface (`IFNAMSIZ` without its NUL).
const MAX_NAME: usize = 15;

/// What no two ports or interfaces may share.
#[derive(Default)]
struct Seen {
    names: HashSet<String>,
    devices: HashSet<String>,
    addresses: HashSet<IpAddr>,
}

pub(super) fn check(
    source: &Source,
    file: &[file::Port],
) -> Result<(Vec<Port>, Vec<Interface>), ConfigError> {
    let Some(last) = file.last() else {
        let message = "there is no [[port]], so nothing to forward on".to_owned();
        return Err(ConfigError::whole_file(source.name, message));
    };
    let (mut ports, mut interfaces) = (Vec::new(), Vec::new());
    let mut seen = Seen::default();
    for port in file {
        let id = PortId(ports.len() as u16);
        ports.push(check_port(source, port, &mut seen)?);
        interfaces.push(untagged(source, id, port, &mut seen)?);
        check_vlans(source, id, port, &mut seen, &mut interfaces)?;
    }
    if ports.len() > MAX_PORTS || interfaces.len() > MAX_INTERFACES {
        let message = format!("{MAX_PORTS} ports and {MAX_INTERFACES} interfaces at most");
        return Err(source.at(&last.name, message));
    }
    Ok((ports, interfaces))
}

fn check_port(source: &Source, port: &file::Port, seen: &mut Seen) -> Result<Port, ConfigError> {
    let device = port.device.get_ref();
    if !seen.devices.insert(device.name().to_owned()) {
        let message = format!("device `{}` is another port's already", device.name());
        return Err(source.at(&port.device, message));
    }
    if let Some(mac) = port.mac.as_ref().filter(|mac| !mac.get_ref().is_unicast()) {
        return Err(source.at(mac, format!("{} is not a unicast MAC address", mac.get_ref())));
    }
    let queues = |value| source.number("queues", value, 1..=MAX_WORKERS as i64);
    Ok(Port {
        name: port.name.get_ref().clone(),
        device: device.clone(),
        mac: port.mac.as_ref().map(|mac| *mac.get_ref()),
        mtu: source.number_or("mtu", port.mtu.as_ref(), MTU, 1500)?,
        queues: port.queues.as_ref().map(queues).transpose()?,
        faces: port.faces,
        steering: port.steering,
        promiscuous: port.promiscuous,
    })
}

fn untagged(
    source: &Source,
    id: PortId,
    port: &file::Port,
    seen: &mut Seen,
) -> Result<Interface, ConfigError> {
    let name = check_name(source, port.name.get_ref(), &port.name, seen)?;
    let addresses = check_addresses(source, &port.addresses, seen)?;
    Ok(Interface { name, port: id, vlan: 0, twin: port.twin.unwrap_or(true), addresses })
}

fn check_vlans(
    source: &Source,
    port_id: PortId,
    port: &file::Port,
    seen: &mut Seen,
    interfaces: &mut Vec<Interface>,
) -> Result<(), ConfigError> {
    let mut ids = HashSet::new();
    for vlan in &port.vlan {
        let id: u16 = source.number("VLAN id", &vlan.id, 1..=4094)?;
        if !ids.insert(id) {
            let message = format!("VLAN {id} is on port `{}` already", port.name.get_ref());
            return Err(source.at(&vlan.id, message));
        }
        let name = match &vlan.name {
            Some(name) => check_name(source, name.get_ref(), name, seen)?,
            None => check_name(source, &format!("{}.{id}", port.name.get_ref()), &vlan.id, seen)?,
        };
        let addresses = check_addresses(source, &vlan.addresses, seen)?;
        let twin = vlan.twin.or(port.twin).unwrap_or(true);
        interfaces.push(Interface { name, port: port_id, vlan: id, twin, addresses });
    }
    Ok(())
}

/// A name that Linux takes (`dev_valid_name` in the kernel's `net/core/dev.c`) and nobody else has.
fn check_name<T>(
    source: &Source,
    name: &str,
    at: &Spanned<T>,
    seen: &mut Seen,
) -> Result<String, ConfigError> {
    let plain = |c: char| c.is_ascii_graphic() && c != '/' && c != ':';
    let valid = !name.is_empty() && name.len() <= MAX_NAME && name.chars().all(plain);
    if !valid || name == "." || name == ".." {
        let message = format!("`{name}` is no interface name: 1 to {MAX_NAME} plain characters");
        return Err(source.at(at, message));
    }
    if !seen.names.insert(name.to_owned()) {
        return Err(source.at(at, format!("the name `{name}` is taken by another interface")));
    }
    Ok(name.to_owned())
}

fn check_addresses(
    source: &Source,
    listed: &[Spanned<String>],
    seen: &mut Seen,
) -> Result<Vec<InterfaceAddress>, ConfigError> {
    listed.iter().map(|entry| check_address(source, entry, seen)).collect()
}

fn check_address(
    source: &Source,
    entry: &Spanned<String>,
    seen: &mut Seen,
) -> Result<InterfaceAddress, ConfigError> {
    let parsed = entry.get_ref().parse::<InterfaceAddress>();
    let address = parsed.map_err(|message| source.at(entry, message))?;
    source.unicast(entry, address.address)?;
    if address.is_reserved() {
        let message = format!("{address} is its subnet's network or broadcast address");
        return Err(source.at(entry, message));
    }
    if !seen.addresses.insert(address.address) {
        let message = format!("{} is on another interface already", address.address);
        return Err(source.at(entry, message));
    }
    Ok(address)
}

impl Source<'_> {
    /// That packets can be routed to one station by this address.
    pub(super) fn global<T>(&self, at: &Spanned<T>, address: IpAddr) -> Result<(), ConfigError> {
        self.unicast(at, address)?;
        match address {
            IpAddr::V6(address) if address.is_unicast_link_local() => {
                Err(self.at(at, format!("{address} is a link-local address")))
            }
            _ => Ok(()),
        }
    }

    /// That packets can be sent to one station by this address, on its link at least.
    pub(super) fn unicast<T>(&self, at: &Spanned<T>, address: IpAddr) -> Result<(), ConfigError> {
        let is_unicast = match address {
            // 0/8 is "this network", 127/8 loopback, 224/4 multicast, 240/4 reserved (RFC 6890).
            IpAddr::V4(address) => !matches!(address.octets()[0], 0 | 127 | 224..),
            IpAddr::V6(address) => {
                !address.is_unspecified()
                    && !address.is_loopback()
                    && !address.is_multicast()
                    && address.to_ipv4_mapped().is_none()
            }
        };
        if !is_unicast {
            return Err(self.at(at, format!("{address} is not a unicast address")));
        }
        Ok(())
    }
}
