//! Service and server addresses on the command line.

use super::names::Names;
use super::numbers::number;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, ToSocketAddrs};

/// `host`, and `port` if there is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Endpoint {
    /// The first address if `host` is a name.
    pub address: IpAddr,
    /// `None` if not given.
    pub port: Option<u16>,
}

/// Reads `host[:port]`, `[v6]:port` or a bare IPv6 address; names are looked up.
///
/// A bracketed address without a port and a string of digits are refused as ipvsadm does.
pub fn endpoint(text: &str, proto: u8, names: &Names) -> Option<Endpoint> {
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let (host, port) = match text.strip_prefix('[') {
        Some(inner) => inner.split_once("]:").map(|(host, port)| (host, Some(port)))?,
        None if text.parse::<Ipv6Addr>().is_ok() => (text, None),
        None => text.rsplit_once(':').map_or((text, None), |(host, port)| (host, Some(port))),
    };
    let port = match port {
        Some(port) => Some(self::port(port, proto, names)?),
        None => None,
    };
    Some(Endpoint { address: host_address(host)?, port })
}

fn port(text: &str, proto: u8, names: &Names) -> Option<u16> {
    let numeric = number(text, 0, 65535).and_then(|port| u16::try_from(port).ok());
    numeric.or_else(|| names.port_of(text, proto))
}

fn host_address(host: &str) -> Option<IpAddr> {
    if let Ok(address) = host.parse::<IpAddr>() {
        return Some(address);
    }
    if host.is_empty() {
        return None;
    }
    // Names stand for their first IPv4 address.
    (host, 0).to_socket_addrs().ok()?.map(|a| a.ip()).find(IpAddr::is_ipv4)
}

/// Reads an IPv4 netmask.
pub fn netmask(text: &str) -> Option<Ipv4Addr> {
    text.parse().ok()
}
