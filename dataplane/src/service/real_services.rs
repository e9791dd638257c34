//! Which ports of which real servers are a masq service's (`ip_vs_has_real_service`, `ip_vs_ctl.c`).

use super::{ForwardingMethod, Service, ServiceKey};
use ahash::AHashSet;
use std::net::IpAddr;

/// Protocol, 0 for the destinations of a fwmark service, which are any protocol's; address; port.
#[derive(Debug, Default)]
pub(super) struct RealServices(AHashSet<(u8, IpAddr, u16)>);

impl RealServices {
    /// Of all services.
    pub(super) fn of(services: &[Service]) -> RealServices {
        let places = services.iter().flat_map(|service| {
            let proto = match service.key {
                ServiceKey::Address { proto, .. } => proto,
                ServiceKey::Fwmark { .. } => 0,
            };
            let masq = |dest: &&super::Dest| dest.method == ForwardingMethod::Masq;
            service.dests.iter().filter(masq).map(move |dest| (proto, dest.rip, dest.rport))
        });
        RealServices(places.collect())
    }

    /// Whether there is such a place.
    pub(super) fn has(&self, proto: u8, rip: IpAddr, rport: u16) -> bool {
        self.0.contains(&(proto, rip, rport)) || self.0.contains(&(0, rip, rport))
    }
}
