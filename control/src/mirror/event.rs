//! What Linux tells, in the mirror's own words.

use crate::config::{InterfaceAddress, MacAddr, Prefix};
use std::net::IpAddr;

/// One change of Linux's tables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A link is there or has changed.
    Link(Link),
    /// A link is gone.
    LinkGone {
        /// Linux's number of it.
        ifindex: u32,
    },
    /// An address is set.
    Address(OwnAddress),
    /// An address is gone.
    AddressGone(OwnAddress),
    /// A route is there. `replace` as `ip route replace` has it: routes of the same prefix, table,
    /// metric and TOS go.
    Route {
        /// The route.
        route: KernelRoute,
        /// Whether it takes the place of others.
        replace: bool,
    },
    /// A route is gone.
    RouteGone(KernelRoute),
    /// A neighbour is there or has changed.
    Neighbor(KernelNeighbor),
    /// A neighbour's entry is gone.
    NeighborGone {
        /// The link it was on.
        ifindex: u32,
        /// Its address.
        address: IpAddr,
    },
}

/// A link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Linux's number of it.
    pub ifindex: u32,
    /// Its name.
    pub name: String,
    /// Its MAC address, if it has one of Ethernet's form.
    pub mac: Option<MacAddr>,
    /// Largest IP packet.
    pub mtu: u32,
    /// Whether it is up (`IFF_UP`, the administrator's switch).
    pub up: bool,
}

/// An address of the director.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OwnAddress {
    /// The link it is on.
    pub ifindex: u32,
    /// Address and length of its subnet.
    pub address: InterfaceAddress,
}

/// A route of the local or the main table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KernelRoute {
    /// Destinations.
    pub prefix: Prefix,
    /// What the routes that exclude each other share.
    pub rank: Rank,
    /// What becomes of the packets.
    pub kind: RouteKind,
    /// The link, 0 for none.
    pub ifindex: u32,
    /// The gateway.
    pub gateway: Option<IpAddr>,
    /// The director's own address for it (`src` of `ip route`).
    pub source: Option<IpAddr>,
    /// Its own limit of the packet size (`mtu` of `ip route`).
    pub mtu: Option<u32>,
}

/// Which of several routes to one prefix counts: the lowest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Rank {
    /// Whether it is of the main table; the local table comes first.
    pub main: bool,
    /// Its metric.
    pub metric: u32,
    /// Its type of service.
    pub tos: u8,
}

/// What becomes of a route's packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RouteKind {
    /// They leave through the link.
    Unicast,
    /// They are for Linux itself: one of its addresses, whatever link has it.
    Own,
    /// Linux's own matter: broadcast, blackhole, unreachable and the like.
    Linux,
}

/// A neighbour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KernelNeighbor {
    /// The link it is on.
    pub ifindex: u32,
    /// Its address.
    pub address: IpAddr,
    /// What Linux knows of it.
    pub state: NeighborState,
}

/// What Linux knows of a neighbour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NeighborState {
    /// Its MAC address; confirmed lately (`NUD_REACHABLE`) or being confirmed.
    Known(MacAddr),
    /// Its MAC address, unconfirmed for a while (`NUD_STALE`).
    Stale(MacAddr),
    /// Its MAC address, by the administrator's word (`NUD_PERMANENT`, `NUD_NOARP`).
    Permanent(MacAddr),
    /// It has not answered (`NUD_INCOMPLETE`, `NUD_FAILED`).
    Unknown,
}

/// All that Linux has at one moment.
#[derive(Debug, Clone, Default)]
pub struct Dump {
    /// Every link.
    pub links: Vec<Link>,
    /// Every address that packets may be sent from.
    pub addresses: Vec<OwnAddress>,
    /// Every route of the local and the main table.
    pub routes: Vec<KernelRoute>,
    /// Every neighbour.
    pub neighbors: Vec<KernelNeighbor>,
}
