//! Which ports of which real servers are a masq service's (`ip_vs_has_real_service` and
//! `ip_vs_find_real_service`, `ip_vs_ctl.c`).

use super::{ForwardingMethod, Service, ServiceKey};
use ahash::AHashMap;
use std::net::IpAddr;

/// Protocol, 0 for the destinations of a fwmark service, which are any protocol's; address; port.
type Port = (u8, IpAddr, u16);

/// The destinations by their ports; of several with one port, the last added.
#[derive(Debug, Default)]
pub(super) struct RealServices {
    ports: AHashMap<Port, Place>,
    /// Whether any service lets its servers begin conns (`conn_out_counter`).
    calls_out: bool,
}

/// A destination, in order of being added; of those added together, the later service's is the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    added: u64,
    service: usize,
    dest: usize,
}

impl RealServices {
    /// Of all services.
    pub(super) fn of(services: &[Service]) -> RealServices {
        let mut ports: AHashMap<Port, Place> = AHashMap::new();
        for (port, place) in services.iter().enumerate().flat_map(masq_ports) {
            let last = ports.entry(port).or_insert(place);
            *last = place.max(*last);
        }
        RealServices { ports, calls_out: services.iter().any(|service| service.calls_out) }
    }

    /// Whether there is such a port.
    pub(super) fn has(&self, proto: u8, rip: IpAddr, rport: u16) -> bool {
        self.last(proto, rip, rport).is_some()
    }

    /// Index of the service that a real server may begin a conn of, and of the destination in it.
    pub(super) fn caller(&self, proto: u8, rip: IpAddr, rport: u16) -> Option<(usize, usize)> {
        let last = if self.calls_out { self.last(proto, rip, rport) } else { None };
        last.map(|place| (place.service, place.dest))
    }

    fn last(&self, proto: u8, rip: IpAddr, rport: u16) -> Option<Place> {
        let of = |proto| self.ports.get(&(proto, rip, rport)).copied();
        of(proto).max(of(0))
    }
}

/// The ports of a service's masq destinations.
fn masq_ports((at, service): (usize, &Service)) -> impl Iterator<Item = (Port, Place)> {
    let proto = match service.key {
        ServiceKey::Address { proto, .. } => proto,
        ServiceKey::Fwmark { .. } => 0,
    };
    let dests = service.dests.iter().enumerate();
    let masq = dests.filter(|(_, dest)| dest.method == ForwardingMethod::Masq);
    masq.map(move |(place, dest)| {
        let place = Place { added: dest.added, service: at, dest: place };
        ((proto, dest.rip, dest.rport), place)
    })
}
