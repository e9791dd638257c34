//! Values with a notation of their own.

use dataplane::address::{Address, Family};
use serde::Deserialize;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::ops::RangeInclusive;
use std::str::FromStr;

/// An Ethernet address, in wire order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct MacAddr(pub [u8; 6]);

impl MacAddr {
    /// Whether a station can have it: neither multicast (IEEE 802 I/G bit) nor all zero.
    pub fn is_unicast(self) -> bool {
        self.0[0] & 1 == 0 && self.0 != [0; 6]
    }
}

impl FromStr for MacAddr {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let octet = |part: &str| {
            let two_digits = part.len() == 2 && part.bytes().all(|b| b.is_ascii_hexdigit());
            two_digits.then(|| u8::from_str_radix(part, 16).ok()).flatten()
        };
        let octets: Option<Vec<u8>> = text.split(':').map(octet).collect();
        let mac = octets.and_then(|octets| <[u8; 6]>::try_from(octets).ok());
        mac.map(MacAddr).ok_or_else(|| {
            format!(
                "`{text}` is not a MAC address: six pairs of hexadecimal digits with `:` between"
            )
        })
    }
}

impl fmt::Display for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

/// A destination prefix without host bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct Prefix {
    /// First address.
    pub address: IpAddr,
    /// Bits that count, 0 to 32 or 128.
    pub len: u8,
}

/// An interface's own address and the length of the subnet on its link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct InterfaceAddress {
    /// The director's address.
    pub address: IpAddr,
    /// Bits of the subnet, 1 to 32 or 128.
    pub len: u8,
}

/// The address with every bit after the first `len` cleared.
fn masked(address: IpAddr, len: u8) -> IpAddr {
    match address {
        IpAddr::V4(address) => (address.to_bits() & u32::netmask(len)).ip(),
        IpAddr::V6(address) => (address.to_bits() & u128::netmask(len)).ip(),
    }
}

impl Prefix {
    /// The prefix of `len` bits, at most all, that `address` lies in.
    pub fn of(address: IpAddr, len: u8) -> Prefix {
        Prefix { address: masked(address, len), len }
    }

    /// Whether the address lies in it.
    pub fn contains(self, address: IpAddr) -> bool {
        Prefix::of(address, self.len) == self
    }
}

impl InterfaceAddress {
    /// The subnet on the link.
    pub fn subnet(self) -> Prefix {
        Prefix::of(self.address, self.len)
    }

    /// Whether it is its subnet's network or broadcast address, which a /31 or /32 has not (RFC 3021),
    /// or its subnet-router anycast address, which a /127 or /128 has not (RFC 4291 section 2.6.1, RFC 6164).
    pub fn is_reserved(self) -> bool {
        let is_first = self.subnet().address == self.address;
        match self.address {
            IpAddr::V4(address) => {
                let is_last = address.to_bits() | u32::netmask(self.len) == u32::MAX;
                self.len < 31 && (is_first || is_last)
            }
            IpAddr::V6(_) => self.len < 127 && is_first,
        }
    }
}

/// `address/len`, both in range.
fn slash(text: &str) -> Option<(IpAddr, u8)> {
    let (address, len) = text.split_once('/')?;
    let address: IpAddr = address.parse().ok()?;
    let len: u8 = len.parse().ok().filter(|len| *len <= Family::of(address).bits())?;
    Some((address, len))
}

impl FromStr for Prefix {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (address, len) = if text == "default" {
            (Ipv4Addr::UNSPECIFIED.into(), 0)
        } else {
            slash(text).ok_or_else(|| format!("`{text}` is not a prefix such as 10.0.0.0/24"))?
        };
        let prefix = Prefix::of(address, len);
        if prefix.address != address {
            return Err(format!("`{text}` has host bits set, the prefix is {prefix}"));
        }
        Ok(prefix)
    }
}

impl FromStr for InterfaceAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (address, len) = slash(text).filter(|(_, len)| *len > 0).ok_or_else(|| {
            format!("`{text}` is not an address with a length such as 10.0.0.1/24")
        })?;
        Ok(InterfaceAddress { address, len })
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.len)
    }
}

impl fmt::Display for InterfaceAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.len)
    }
}

/// What DPDK drives a port with.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum Device {
    /// A PCI address with its domain: `0000:03:00.0`.
    Pci(String),
    /// A virtual device with its arguments: `net_af_packet0,iface=eth1`.
    Vdev(String),
}

impl Device {
    /// What DPDK calls the device (`rte_eth_dev_get_port_by_name`).
    pub fn name(&self) -> &str {
        match self {
            Device::Pci(address) => address,
            Device::Vdev(text) => text.split(',').next().unwrap_or(text),
        }
    }

    /// The EAL option that brings it in.
    pub fn eal_args(&self) -> [String; 2] {
        match self {
            Device::Pci(address) => ["-a".to_owned(), address.clone()],
            Device::Vdev(text) => ["--vdev".to_owned(), text.clone()],
        }
    }
}

/// A PCI address with its domain, which lspci leaves out.
fn pci_address(text: &str) -> Option<String> {
    let hex = |part: &str, len| part.len() == len && part.bytes().all(|b| b.is_ascii_hexdigit());
    let (slot, function) = text.rsplit_once('.')?;
    let mut parts = slot.rsplit(':');
    let (device, bus) = (parts.next()?, parts.next()?);
    let domain = parts.next().unwrap_or("0000");
    let well_formed = hex(domain, 4) && hex(bus, 2) && hex(device, 2) && hex(function, 1);
    (well_formed && parts.next().is_none()).then(|| format!("{domain}:{bus}:{device}.{function}"))
}

impl FromStr for Device {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(address) = pci_address(text) {
            return Ok(Device::Pci(address));
        }
        let name = text.split(',').next().unwrap_or_default();
        let is_word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
        if name.starts_with(|c: char| c.is_ascii_alphabetic()) && name.bytes().all(is_word) {
            return Ok(Device::Vdev(text.to_owned()));
        }
        Err(format!(
            "`{text}` is neither a PCI address such as 0000:03:00.0 \
             nor a virtual device such as net_af_packet0,iface=eth1"
        ))
    }
}

macro_rules! from_string {
    ($($name:ident)*) => {
        $(impl TryFrom<String> for $name {
            type Error = String;

            fn try_from(text: String) -> Result<Self, String> {
                text.parse()
            }
        })*
    };
}

from_string!(MacAddr Prefix Device);

/// A port, or two with `-` between, the first not above the last.
pub(super) fn port_range(text: &str) -> Option<RangeInclusive<u16>> {
    let (low, high) = text.split_once('-').unwrap_or((text, text));
    let (low, high) = (low.trim().parse().ok()?, high.trim().parse().ok()?);
    (low <= high).then_some(low..=high)
}
