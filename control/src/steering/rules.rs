//! Flow rules: packets that are hashed otherwise than the port's configuration says.

use super::device::{Device, Hash};
use super::spread::{End, Spread, Way};
use std::net::IpAddr;

/// Rules of one port at most.
pub const MAX_RULES: usize = 1024;

/// Addresses that the configuration knows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Addresses {
    /// Virtual addresses.
    pub services: Vec<IpAddr>,
    /// Real servers whose replies pass the director.
    pub servers: Vec<IpAddr>,
}

/// Which packets a rule is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packets {
    /// All of IPv4.
    V4,
    /// All of IPv6.
    V6,
    /// To a virtual address.
    ToService(IpAddr),
    /// From a real server.
    FromServer(IpAddr),
}

/// The transport protocol that a rule is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

/// These packets are hashed by these fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// Which.
    pub packets: Packets,
    /// Of which transport protocol.
    pub transport: Transport,
    /// What is hashed.
    pub hash: Hash,
    /// Brings key and redirection table along; else the port's count.
    pub brings_table: bool,
}

/// The rules of a port that is spread so. A rule by the local port's bits, to a queue, would not do
/// for fullnat: ports of a slot are not those with some bits in common, so it is the destination's hash
/// there too.
pub fn of(device: &Device, spread: Spread, known: &Addresses) -> Vec<Rule> {
    match spread {
        Spread::ClientEnd(end, Way::Rules) => per_kind(device, end),
        Spread::PerAddress => per_address(known),
        _ => Vec::new(),
    }
}

/// One kind in each rule: `ice_any_invalid_rss_type` takes no two.
fn per_kind(device: &Device, end: End) -> Vec<Rule> {
    let kinds = [
        (Packets::V4, Transport::Tcp, Hash::IPV4_TCP),
        (Packets::V4, Transport::Udp, Hash::IPV4_UDP),
        (Packets::V6, Transport::Tcp, Hash::IPV6_TCP),
        (Packets::V6, Transport::Udp, Hash::IPV6_UDP),
    ];
    let able = kinds.into_iter().filter(|(_, _, kind)| device.hash.contains(*kind));
    let rule = |(packets, transport, kind)| Rule {
        packets,
        transport,
        hash: kind | end.alone(),
        brings_table: false,
    };
    able.map(rule).collect()
}

/// Requests and replies that share a port. What is added to the services later has no rule.
fn per_address(known: &Addresses) -> Vec<Rule> {
    let requests = known
        .services
        .iter()
        .flat_map(|&address| address_rules(Packets::ToService(address), address, End::Source));
    let replies = known.servers.iter().flat_map(|&address| {
        address_rules(Packets::FromServer(address), address, End::Destination)
    });
    requests.chain(replies).take(MAX_RULES).collect()
}

/// mlx5 wants the kind of address named besides the transport.
fn address_rules(packets: Packets, address: IpAddr, end: End) -> [Rule; 2] {
    let (tcp, udp) = match address {
        IpAddr::V4(_) => (Hash::IPV4 | Hash::IPV4_TCP, Hash::IPV4 | Hash::IPV4_UDP),
        IpAddr::V6(_) => (Hash::IPV6 | Hash::IPV6_TCP, Hash::IPV6 | Hash::IPV6_UDP),
    };
    [(Transport::Tcp, tcp), (Transport::Udp, udp)].map(|(transport, kinds)| Rule {
        packets,
        transport,
        hash: kinds | end.alone(),
        brings_table: true,
    })
}
