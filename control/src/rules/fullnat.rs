//! Fullnat: the local addresses that a service's real servers answer to, and how they learn who the
//! client is. Beyond the kernel, which has no such method.

use super::{RealServer, RuleError, Rules, VirtualService, words};
use dataplane::address::Family;
use dataplane::flow::{port, protocol};
use dataplane::service::{ClientAddress, ForwardingMethod, ServiceKey};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// Local addresses of one service at most: more would not be searched for a free port.
pub const MAX_LOCAL_ADDRESSES: usize = 64;

/// What a service says to its fullnat servers.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct FullnatOptions {
    /// Addresses of the director that servers see in place of the client's (`--local-addresses`).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub local_addresses: Vec<IpAddr>,
    /// How they learn the client's (`--client-address`).
    #[serde(default, with = "words::client_address", skip_serializing_if = "is_none")]
    pub client_address: ClientAddress,
}

fn is_none(passed: &ClientAddress) -> bool {
    *passed == ClientAddress::None
}

impl FullnatOptions {
    /// Whether a service can have them, for itself.
    pub(super) fn check(&self, key: ServiceKey) -> Result<(), RuleError> {
        let locals = &self.local_addresses;
        let fit = |&local: &IpAddr| Family::of(local) == key.family() && super::is_unicast(local);
        let repeats = (1..locals.len()).any(|at| locals[..at].contains(&locals[at]));
        if locals.len() > MAX_LOCAL_ADDRESSES || repeats || !locals.iter().all(fit) {
            return Err(RuleError::LocalAddress);
        }
        let over_tcp = matches!(key, ServiceKey::Address { proto: protocol::TCP, .. })
            || matches!(key, ServiceKey::Fwmark { .. });
        let passed = self.client_address != ClientAddress::None;
        if passed && (!over_tcp || locals.is_empty()) {
            return Err(RuleError::ClientAddress);
        }
        Ok(())
    }
}

impl VirtualService {
    /// Whether its fullnat servers, if it has any, can be.
    pub(crate) fn check_fullnat(&self) -> Result<(), RuleError> {
        let is_fullnat = |server: &RealServer| server.method == ForwardingMethod::Fullnat;
        if self.real_servers.iter().any(is_fullnat) { self.may_have_fullnat() } else { Ok(()) }
    }

    /// Whether it can have fullnat servers: they need local addresses, and FTP needs a helper that
    /// knows of no fullnat.
    pub(super) fn may_have_fullnat(&self) -> Result<(), RuleError> {
        if self.options.fullnat.local_addresses.is_empty() {
            return Err(RuleError::NoLocalAddress);
        }
        match self.key {
            ServiceKey::Address { proto: protocol::TCP, vport: port::FTP, .. } => {
                Err(RuleError::FullnatFtp)
            }
            _ => Ok(()),
        }
    }
}

impl Rules {
    /// Whether no address is both local and virtual: replies to it would be clients' packets.
    pub(super) fn check_locals_apart(&self) -> Result<(), RuleError> {
        let vip = |key| match key {
            ServiceKey::Address { vip, .. } => Some(vip),
            ServiceKey::Fwmark { .. } => None,
        };
        let mut locals = self.services().flat_map(|it| &it.options.fullnat.local_addresses);
        match locals.any(|&local| self.services().any(|it| vip(it.key) == Some(local))) {
            true => Err(RuleError::LocalAddress),
            false => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::example::v4;
    use super::super::{RuleChange, ServiceOptions};
    use super::*;
    use dataplane::forward::tunnel::Encap;

    const LOCAL: IpAddr = v4(0xc0a8_0105);

    fn key(proto: u8, vip: u32) -> ServiceKey {
        ServiceKey::Address { proto, vip: v4(vip), vport: 80 }
    }

    fn options(locals: &[IpAddr], client_address: ClientAddress) -> ServiceOptions {
        let fullnat = FullnatOptions { local_addresses: locals.to_vec(), client_address };
        ServiceOptions { fullnat, ..ServiceOptions::default() }
    }

    fn add(service: ServiceKey, locals: &[IpAddr], passed: ClientAddress) -> RuleChange {
        RuleChange::AddService { service, options: options(locals, passed) }
    }

    fn server(service: ServiceKey) -> RuleChange {
        let (rip, method, tunnel) = (v4(0xc0a8_010b), ForwardingMethod::Fullnat, Encap::Ipip);
        let (rport, weight, u_threshold, l_threshold) = (8080, 1, 0, 0);
        let server = RealServer { rip, rport, method, tunnel, weight, u_threshold, l_threshold };
        RuleChange::AddServer { service, server }
    }

    fn refused(changes: &[RuleChange]) -> Option<RuleError> {
        Rules::default().apply_all(changes, false).err().map(|refused| refused.error)
    }

    #[test]
    fn what_cannot_be_is_refused_by_its_own_reason() {
        let (web, dns) = (key(protocol::TCP, 0x0a00_0064), key(protocol::UDP, 0x0a00_0064));
        let (none, toa) = (ClientAddress::None, ClientAddress::Toa);
        let wide: IpAddr = "2001:db8::5".parse().unwrap();
        let edit = RuleChange::EditService { service: web, options: options(&[], none) };
        let other = key(protocol::TCP, 0xc0a8_0105);
        let ftp = ServiceKey::Address { proto: protocol::TCP, vip: v4(0x0a00_0064), vport: 21 };
        let cases: [(&[RuleChange], _); 10] = [
            (&[add(web, &[LOCAL], toa), server(web)], None),
            (&[add(web, &[], none), server(web)], Some(RuleError::NoLocalAddress)),
            (&[add(ftp, &[LOCAL], none), server(ftp)], Some(RuleError::FullnatFtp)),
            (&[add(web, &[LOCAL], none), server(web), edit], Some(RuleError::NoLocalAddress)),
            (&[add(web, &[LOCAL, LOCAL], none)], Some(RuleError::LocalAddress)),
            (&[add(web, &[wide], none)], Some(RuleError::LocalAddress)),
            (&[add(web, &[v4(0x0a00_0064)], none)], Some(RuleError::LocalAddress)),
            (&[add(web, &[LOCAL], none), add(other, &[], none)], Some(RuleError::LocalAddress)),
            (&[add(dns, &[LOCAL], toa)], Some(RuleError::ClientAddress)),
            (&[add(web, &[], toa)], Some(RuleError::ClientAddress)),
        ];
        for (changes, reason) in cases {
            assert_eq!(refused(changes), reason, "{changes:?}");
        }
    }

    #[test]
    fn a_fullnat_server_keeps_its_own_port_and_its_service_reads_back_from_json() {
        let web = key(protocol::TCP, 0x0a00_0064);
        let mut rules = Rules::default();
        let changes = [add(web, &[LOCAL], ClientAddress::ProxyV2), server(web)];
        rules.apply_all(&changes, false).unwrap();
        let service = rules.get(web).unwrap();
        assert_eq!(service.real_servers[0].rport, 8080);
        let text = serde_json::to_string(service).unwrap();
        assert!(text.contains(r#""local_addresses":["192.168.1.5"],"client_address":"proxy-v2""#));
        assert_eq!(&serde_json::from_str::<VirtualService>(&text).unwrap(), service);
    }
}
