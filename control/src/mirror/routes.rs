//! Every route that Linux or the configuration has, and which of them counts.

use super::event::{KernelRoute, Rank, RouteKind};
use super::interfaces::Interfaces;
use super::scope::is_link_local;
use crate::config::{Prefix, StaticRoute};
use dataplane::address::Family;
use dataplane::ids::InterfaceId;
use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

/// Where a route's packets leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Out {
    /// A link of Linux's, which may stand for an interface.
    Link(u32),
    /// An interface without a twin.
    Interface(InterfaceId),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Route {
    rank: Rank,
    kind: RouteKind,
    out: Out,
    gateway: Option<IpAddr>,
    source: Option<IpAddr>,
    mtu: Option<u32>,
}

/// The route that counts for a prefix or an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// Through an interface.
    Through {
        interface: InterfaceId,
        /// `None` for destinations on the link.
        gateway: Option<IpAddr>,
        /// The director's own address for it, if the route names one.
        source: Option<IpAddr>,
        /// The route's own limit of the packet size.
        mtu: Option<u32>,
    },
    /// To Linux itself.
    Own,
    /// Linux's own matter: a link that is none of ours, for one.
    Linux,
}

/// Routes by prefix.
#[derive(Debug)]
pub(super) struct RouteTable {
    by_prefix: HashMap<Prefix, Vec<Route>>,
    /// Prefixes of each family and length, so that a look-up tries no length in vain.
    of_len: HashMap<(Family, u8), usize>,
    dirty: HashSet<Prefix>,
}

impl RouteTable {
    /// The routes that need no Linux: those of interfaces without a twin.
    pub(super) fn new(interfaces: &Interfaces, statics: &[StaticRoute]) -> Self {
        let mut table =
            RouteTable { by_prefix: HashMap::new(), of_len: HashMap::new(), dirty: HashSet::new() };
        for (id, interface) in interfaces.iter().filter(|(_, interface)| !interface.twin) {
            for own in &interface.addresses {
                table.push(own.subnet(), unicast(id, None));
                let local = Route { kind: RouteKind::Linux, ..unicast(id, None) };
                let host = Prefix::of(own.address, Family::of(own.address).bits());
                table.push(host, Route { rank: Rank { main: false, ..local.rank }, ..local });
            }
        }
        for route in statics.iter().filter(|route| !interfaces.get(route.interface).twin) {
            table.push(route.prefix, unicast(route.interface, route.via));
        }
        table
    }

    pub(super) fn add(&mut self, route: &KernelRoute, replace: bool) {
        if replace {
            self.retain(route.prefix, |old| old.rank != route.rank);
        }
        let new = Route::from(route);
        self.retain(route.prefix, |old| !old.same_as(&new));
        self.push(route.prefix, new);
    }

    pub(super) fn remove(&mut self, route: &KernelRoute) {
        let gone = Route::from(route);
        self.retain(route.prefix, |old| !old.same_as(&gone));
    }

    /// Puts what Linux has in place of what it had.
    pub(super) fn replace_all(&mut self, routes: &[KernelRoute]) {
        let prefixes: Vec<Prefix> = self.by_prefix.keys().copied().collect();
        for prefix in prefixes {
            self.retain(prefix, |old| matches!(old.out, Out::Interface(_)));
        }
        for route in routes {
            self.add(route, false);
        }
    }

    /// Every prefix must be looked at again: a link got another meaning.
    pub(super) fn links_changed(&mut self) {
        self.dirty.extend(self.by_prefix.keys());
    }

    /// The prefixes that may have changed since this was asked last.
    pub(super) fn take_dirty(&mut self) -> HashSet<Prefix> {
        std::mem::take(&mut self.dirty)
    }

    /// The route that counts for exactly this prefix: through an interface rather than a link that
    /// is none of ours, then by rank, then the older. A packet that the director forwards cannot
    /// leave through a management link.
    pub(super) fn way_of(&self, prefix: Prefix, interfaces: &Interfaces) -> Option<Way> {
        if is_link_local(prefix.address) {
            return self.by_prefix.contains_key(&prefix).then_some(Way::Linux);
        }
        let ways = self.by_prefix.get(&prefix)?.iter().map(|route| {
            let way = route.way(interfaces);
            let foreign = route.kind == RouteKind::Unicast && way == Way::Linux;
            ((foreign, route.rank), way)
        });
        ways.min_by_key(|(order, _)| *order).map(|(_, way)| way)
    }

    /// The longest prefix that has the address.
    pub(super) fn lookup(&self, address: IpAddr, interfaces: &Interfaces) -> Option<Way> {
        let family = Family::of(address);
        let lengths =
            (0..=family.bits()).rev().filter(|len| self.of_len.contains_key(&(family, *len)));
        lengths.filter_map(|len| self.way_of(Prefix::of(address, len), interfaces)).next()
    }

    fn push(&mut self, prefix: Prefix, route: Route) {
        let routes = self.by_prefix.entry(prefix).or_default();
        if routes.is_empty() {
            *self.of_len.entry(length_of(prefix)).or_default() += 1;
        }
        routes.push(route);
        self.dirty.insert(prefix);
    }

    fn retain(&mut self, prefix: Prefix, keep: impl Fn(&Route) -> bool) {
        let Some(routes) = self.by_prefix.get_mut(&prefix) else { return };
        let before = routes.len();
        routes.retain(keep);
        if routes.len() == before {
            return;
        }
        self.dirty.insert(prefix);
        if routes.is_empty() {
            self.by_prefix.remove(&prefix);
            let length = length_of(prefix);
            let count = self.of_len.get_mut(&length).map_or(0, |count| {
                *count -= 1;
                *count
            });
            if count == 0 {
                self.of_len.remove(&length);
            }
        }
    }
}

fn length_of(prefix: Prefix) -> (Family, u8) {
    (Family::of(prefix.address), prefix.len)
}

/// A route of the configuration.
fn unicast(interface: InterfaceId, gateway: Option<IpAddr>) -> Route {
    let rank = Rank { main: true, metric: 0, tos: 0 };
    let out = Out::Interface(interface);
    Route { rank, kind: RouteKind::Unicast, out, gateway, source: None, mtu: None }
}

impl Route {
    /// Whether Linux means the same route: a deletion repeats all but source and MTU.
    fn same_as(&self, other: &Route) -> bool {
        let identity = |route: &Route| (route.rank, route.kind, route.gateway);
        identity(self) == identity(other) && self.out == other.out
    }

    fn way(&self, interfaces: &Interfaces) -> Way {
        let interface = match self.out {
            Out::Interface(id) => Some(id),
            Out::Link(ifindex) => interfaces.of_link(ifindex),
        };
        let Route { gateway, source, mtu, .. } = *self;
        match (self.kind, interface) {
            (RouteKind::Unicast, Some(interface)) => {
                Way::Through { interface, gateway, source, mtu }
            }
            (RouteKind::Own, _) => Way::Own,
            _ => Way::Linux,
        }
    }
}

impl From<&KernelRoute> for Route {
    fn from(route: &KernelRoute) -> Route {
        Route {
            rank: route.rank,
            kind: route.kind,
            out: Out::Link(route.ifindex),
            gateway: route.gateway,
            source: route.source,
            mtu: route.mtu,
        }
    }
}
