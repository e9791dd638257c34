//! The weights that quiesced real servers had before: mh keeps their share of its table, so that
//! quiescing one moves nobody else's clients (`last_weight` in `ip_vs_ctl.c`).

use super::{RealServer, Rules, VirtualService};
use dataplane::service::ServiceKey;
use std::collections::BTreeMap;
use std::net::IpAddr;

/// By service, address and port; nothing of servers that have a weight or were added without one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Quiesced(BTreeMap<(ServiceKey, IpAddr, u16), u32>);

impl Quiesced {
    /// The weight that a real server with weight 0 had; 0 if it never had one.
    pub fn weight(&self, service: ServiceKey, server: &RealServer) -> u32 {
        self.0.get(&(service, server.rip, server.rport)).copied().unwrap_or(0)
    }

    /// The real server gets another weight.
    pub fn edited(&mut self, service: ServiceKey, before: &RealServer, weight: u32) {
        let place = (service, before.rip, before.rport);
        if weight > 0 {
            self.0.remove(&place);
        } else if before.weight > 0 {
            self.0.insert(place, before.weight);
        }
    }

    /// The real server was deleted.
    pub fn forget(&mut self, service: ServiceKey, server: &RealServer) {
        self.0.remove(&(service, server.rip, server.rport));
    }

    /// Takes over what is known of the quiesced ones of these services: a configuration read again
    /// with a weight of 0 is to mh what an edit is.
    pub fn inherit(&mut self, old: &Rules, services: &BTreeMap<ServiceKey, VirtualService>) {
        for (&key, service) in services {
            let Some(before) = old.get(key) else { continue };
            for server in service.real_servers.iter().filter(|server| server.weight == 0) {
                let Some(place) = before.place(server.rip, server.rport) else { continue };
                let weight = old.last_weight(key, &before.real_servers[place]);
                if weight > 0 {
                    self.0.insert((key, server.rip, server.rport), weight);
                }
            }
        }
    }
}
