//! The desired state: virtual services and their real servers, as the operator gave them.
//!
//! Pure: nothing here reads a clock, a file or a socket. [`Rules`] holds the state, a
//! [`RuleChange`] is one step of the operator, [`RuleError`] why a step is refused.

mod change;
mod error;
mod fullnat;
mod marks;
mod options;
mod quiesced;
mod tunnel;
pub mod words;

pub use change::RuleChange;
pub use error::{ChangeError, RuleError};
pub use fullnat::{FullnatOptions, MAX_LOCAL_ADDRESSES};
pub use marks::MarkRule;
pub use options::{Persistence, ServiceOptions};

use dataplane::address::Family;
use dataplane::forward::tunnel::Encap;
use dataplane::service::{ForwardingMethod, ServiceKey};
use quiesced::Quiesced;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// A virtual service as configured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VirtualService {
    /// What it takes.
    #[serde(with = "words::key")]
    pub key: ServiceKey,
    /// How it serves.
    #[serde(flatten)]
    pub options: ServiceOptions,
    /// In the order of adding (the kernel's list, and so the compiled table, is the reverse).
    pub real_servers: Vec<RealServer>,
}

/// A real server of one virtual service as configured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RealServer {
    /// Address, of the service's family or, through a tunnel, of any.
    pub rip: IpAddr,
    /// Port; 0 only for fwmark and port-0 services.
    pub rport: u16,
    /// How packets reach it.
    #[serde(with = "words::method")]
    pub method: ForwardingMethod,
    /// How the packets of a tunnel are wrapped; other methods do not look at it.
    #[serde(default, with = "tunnel", skip_serializing_if = "tunnel::is_plain")]
    pub tunnel: Encap,
    /// 0 quiesces.
    pub weight: u32,
    /// Upper connection threshold, 0 for none.
    #[serde(default)]
    pub u_threshold: u32,
    /// Lower connection threshold, 0 for three quarters of the upper.
    #[serde(default)]
    pub l_threshold: u32,
}

impl VirtualService {
    fn place(&self, rip: IpAddr, rport: u16) -> Option<usize> {
        self.real_servers.iter().position(|s| s.rip == rip && s.rport == rport)
    }
}

/// All virtual services, by key.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rules {
    services: BTreeMap<ServiceKey, VirtualService>,
    quiesced: Quiesced,
}

impl Rules {
    /// The virtual services, in the order of their keys.
    pub fn services(&self) -> impl Iterator<Item = &VirtualService> {
        self.services.values()
    }

    /// One virtual service.
    pub fn get(&self, key: ServiceKey) -> Option<&VirtualService> {
        self.services.get(&key)
    }

    /// The last weight other than 0 of one of the service's real servers; 0 if it was added with 0.
    pub fn last_weight(&self, service: ServiceKey, server: &RealServer) -> u32 {
        if server.weight > 0 { server.weight } else { self.quiesced.weight(service, server) }
    }

    /// How many virtual services there are.
    pub fn len(&self) -> usize {
        self.services.len()
    }

    /// No virtual service at all.
    pub fn is_empty(&self) -> bool {
        self.services.is_empty()
    }

    /// The rules after `changes`, which take effect whole or not at all; with `replace` they
    /// start from no rules, but for the weights that quiesced real servers had.
    ///
    /// # Errors
    /// The first change that is refused, and its place; `self` is as before.
    pub fn apply_all(&mut self, changes: &[RuleChange], replace: bool) -> Result<(), ChangeError> {
        let mut next = if replace { Rules::default() } else { self.clone() };
        for (at, change) in changes.iter().enumerate() {
            next.apply(change).map_err(|error| ChangeError { at, of: changes.len(), error })?;
        }
        let at = changes.len().saturating_sub(1);
        next.check_locals_apart().map_err(|error| ChangeError { at, of: changes.len(), error })?;
        if replace {
            next.quiesced.inherit(self, &next.services);
        }
        *self = next;
        Ok(())
    }

    /// Makes one change. Checks come in the kernel's order (`ip_vs_ctl.c`), so that a change
    /// wrong in several ways is refused for the same reason there and here.
    ///
    /// # Errors
    /// The kernel's reason; nothing changed.
    pub fn apply(&mut self, change: &RuleChange) -> Result<(), RuleError> {
        match change {
            RuleChange::AddService { service, options } => self.add_service(*service, options),
            RuleChange::EditService { service, options } => {
                let edited = self.services.get_mut(service).ok_or(RuleError::NoSuchService)?;
                options.check(*service)?;
                let before = std::mem::replace(&mut edited.options, options.clone());
                let fits = edited.check_fullnat();
                if fits.is_err() {
                    edited.options = before;
                }
                fits
            }
            RuleChange::DeleteService { service } => {
                let deleted = self.services.remove(service).ok_or(RuleError::NoSuchService)?;
                deleted
                    .real_servers
                    .iter()
                    .for_each(|server| self.quiesced.forget(*service, server));
                Ok(())
            }
            RuleChange::Flush => {
                *self = Rules::default();
                Ok(())
            }
            RuleChange::AddServer { service, server } => self.defined(*service)?.add(server),
            RuleChange::EditServer { service, server } => {
                let before = self.defined(*service)?.edit(server)?;
                self.quiesced.edited(*service, &before, server.weight);
                Ok(())
            }
            RuleChange::DeleteServer { service: key, rip, rport } => {
                let service = self.defined(*key)?;
                let place = service.place(*rip, *rport).ok_or(RuleError::NoSuchServer)?;
                let deleted = service.real_servers.remove(place);
                self.quiesced.forget(*key, &deleted);
                Ok(())
            }
        }
    }

    fn add_service(&mut self, key: ServiceKey, options: &ServiceOptions) -> Result<(), RuleError> {
        if self.services.contains_key(&key) {
            return Err(RuleError::ServiceExists);
        }
        if self.services.len() >= dataplane::limits::MAX_SERVICES {
            return Err(RuleError::NoRoom);
        }
        options.check(key)?;
        let options = options.clone();
        let service = VirtualService { key, options, real_servers: Vec::new() };
        self.services.insert(key, service);
        Ok(())
    }

    fn defined(&mut self, key: ServiceKey) -> Result<&mut VirtualService, RuleError> {
        self.services.get_mut(&key).ok_or(RuleError::ServiceNotDefined)
    }
}

impl VirtualService {
    fn add(&mut self, server: &RealServer) -> Result<(), RuleError> {
        let server = self.checked(server)?;
        if self.place(server.rip, server.rport).is_some() {
            return Err(RuleError::ServerExists);
        }
        if !is_unicast(server.rip) {
            return Err(RuleError::Invalid);
        }
        self.real_servers.push(server);
        Ok(())
    }

    /// Takes the server's numbers over; what it was before.
    fn edit(&mut self, server: &RealServer) -> Result<RealServer, RuleError> {
        let server = self.checked(server)?;
        let place = self.place(server.rip, server.rport).ok_or(RuleError::NoSuchServer)?;
        Ok(std::mem::replace(&mut self.real_servers[place], server))
    }

    /// The server with the port it gets, if its numbers are in range.
    fn checked(&self, server: &RealServer) -> Result<RealServer, RuleError> {
        let tunnels = server.method == ForwardingMethod::Ipip;
        if Family::of(server.rip) != self.key.family() && !tunnels {
            return Err(RuleError::Invalid);
        }
        if server.method == ForwardingMethod::Fullnat {
            self.may_have_fullnat()?;
        }
        const MAX: u32 = i32::MAX as u32;
        let numbers = [server.weight, server.u_threshold, server.l_threshold];
        if numbers.iter().any(|&n| n > MAX) || server.l_threshold > server.u_threshold {
            return Err(RuleError::OutOfRange);
        }
        if tunnels && matches!(server.tunnel, Encap::Gue { port: 0, .. }) {
            return Err(RuleError::Invalid);
        }
        Ok(RealServer { rport: self.port_for(server), ..server.clone() })
    }

    /// What is not rewritten arrives at the port the client chose.
    fn port_for(&self, server: &RealServer) -> u16 {
        match (self.key, server.method) {
            (_, ForwardingMethod::Masq | ForwardingMethod::Fullnat)
            | (ServiceKey::Fwmark { .. }, _) => server.rport,
            (ServiceKey::Address { vport, .. }, _) => vport,
        }
    }
}

/// Could be a host's own address: not 0/8, not multicast, not 240/4 with the limited broadcast.
/// Loopback is unicast: a real server may run on the director.
///
/// Of IPv6 as `ipv6_addr_type` and `__ip_vs_add_dest` have it: not unspecified, not multicast, not
/// link-local, which says nothing without a link, and no IPv4 address in IPv6's clothes.
fn is_unicast(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => (0x0100_0000..0xe000_0000).contains(&address.to_bits()),
        IpAddr::V6(address) => {
            !address.is_unspecified()
                && !address.is_multicast()
                && !address.is_unicast_link_local()
                && address.to_ipv4_mapped().is_none()
        }
    }
}

#[cfg(test)]
pub(crate) mod example {
    //! Names of addresses and services for tests.

    use dataplane::address::Family;
    use dataplane::service::ServiceKey;
    use std::net::{IpAddr, Ipv4Addr};

    /// An IPv4 address in host order.
    pub const fn v4(bits: u32) -> IpAddr {
        IpAddr::V4(Ipv4Addr::from_bits(bits))
    }

    /// The IPv4 service of a mark.
    pub const fn fwmark(mark: u32) -> ServiceKey {
        ServiceKey::Fwmark { mark, family: Family::V4 }
    }
}

#[cfg(test)]
mod tests;
