//! Whom a port faces: which end of the flows on it is the client's.

use crate::config::{Config, Interface, StaticRoute};
use dataplane::ids::{InterfaceId, PortId};
use dataplane::service::{ForwardingMethod, ServiceKey};
use serde::Deserialize;
use std::net::IpAddr;

/// Whose packets arrive on a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Faces {
    /// Clients': the source is the client's end.
    Clients,
    /// Real servers': the destination is the client's end, or a local end of fullnat, which has its
    /// client's slot.
    Servers,
    /// Both, or nobody knows. To hash a wrong end would be worse than to hash both: all packets of
    /// one real server's port, or to one virtual address, would come by one queue.
    Both,
}

/// Whom each port faces, by the configuration: what it says, else where its routes lead.
pub fn of(config: &Config) -> Vec<Faces> {
    let towards = |to: IpAddr| port_towards(config, to);
    let server_ports: Vec<PortId> =
        answering_servers(config).into_iter().filter_map(towards).collect();
    let client_ports = client_ports(config);
    let port = |(place, port): (usize, &crate::config::Port)| {
        let id = PortId(place as u16);
        port.faces.unwrap_or(match (client_ports.contains(&id), server_ports.contains(&id)) {
            (true, false) if !config.services.is_empty() => Faces::Clients,
            (false, true) => Faces::Servers,
            _ => Faces::Both,
        })
    };
    config.ports.iter().enumerate().map(port).collect()
}

/// Real servers whose replies pass the director.
pub fn answering_servers(config: &Config) -> Vec<IpAddr> {
    let servers = config.services.iter().flat_map(|service| &service.real_servers);
    let answering = servers.filter(|server| {
        matches!(server.method, ForwardingMethod::Masq | ForwardingMethod::Fullnat)
    });
    each_once(answering.map(|server| server.rip))
}

/// Virtual addresses, but those of mark rules.
pub fn virtual_addresses(config: &Config) -> Vec<IpAddr> {
    each_once(config.services.iter().filter_map(|service| match service.key {
        ServiceKey::Address { vip, .. } => Some(vip),
        ServiceKey::Fwmark { .. } => None,
    }))
}

fn each_once(addresses: impl Iterator<Item = IpAddr>) -> Vec<IpAddr> {
    let mut addresses: Vec<IpAddr> = addresses.collect();
    addresses.sort_unstable();
    addresses.dedup();
    addresses
}

/// Ports of default routes, and of subnets that virtual addresses lie in. A route that Linux will
/// learn is not known yet.
fn client_ports(config: &Config) -> Vec<PortId> {
    let defaults = config.routes.iter().filter(|route| route.prefix.len == 0);
    let defaults = defaults.map(|route| port_of(config, route.interface));
    let vips = virtual_addresses(config).into_iter();
    defaults.chain(vips.filter_map(|vip| on_link(config, vip).map(|(_, port)| port))).collect()
}

/// By the longest prefix among subnets and routes of the configuration.
fn port_towards(config: &Config, to: IpAddr) -> Option<PortId> {
    let route = |route: &&StaticRoute| route.prefix.contains(to);
    let routes = config.routes.iter().filter(route);
    let routes = routes.map(|route| (route.prefix.len, port_of(config, route.interface)));
    let longest = routes.chain(on_link(config, to)).max_by_key(|&(length, _)| length);
    longest.map(|(_, port)| port)
}

fn on_link(config: &Config, to: IpAddr) -> Option<(u8, PortId)> {
    let subnets = |interface: &Interface| {
        let port = interface.port;
        let subnets: Vec<_> = interface.addresses.iter().map(|each| each.subnet()).collect();
        subnets.into_iter().map(move |subnet| (subnet, port))
    };
    let all = config.interfaces.iter().flat_map(subnets);
    let fitting = all.filter(|(subnet, _)| subnet.contains(to));
    fitting.map(|(subnet, port)| (subnet.len, port)).max_by_key(|&(length, _)| length)
}

fn port_of(config: &Config, interface: InterfaceId) -> PortId {
    config.interfaces[interface.index()].port
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO_ARMS: &str = "
        [[port]]
        name = 'wan'
        device = 'net_null0'
        addresses = ['10.0.0.1/24', '10.0.0.100/32']
        [[port]]
        name = 'lan'
        device = 'net_null1'
        addresses = ['192.168.1.1/24']
        [[route]]
        prefix = 'default'
        via = '10.0.0.254'
    ";

    fn service(method: &str, server: &str) -> String {
        format!(
            "[[service]]\nprotocol = 'tcp'\naddress = '10.0.0.100'\nport = 80\n\
             [[service.server]]\naddress = '{server}'\nmethod = '{method}'\n"
        )
    }

    fn faces(text: &str) -> Vec<Faces> {
        of(&Config::parse(text, "x.toml", &[0]).expect("valid"))
    }

    #[test]
    fn a_port_towards_real_servers_that_answer_through_the_director_faces_servers() {
        for method in ["masq", "fullnat"] {
            let locals = "local_addresses = ['192.168.1.1']\n[[service.server]]";
            let service = service(method, "192.168.1.2");
            let service = match method {
                "fullnat" => service.replace("[[service.server]]", locals),
                _ => service,
            };
            assert_eq!(faces(&(TWO_ARMS.to_owned() + &service)), [Faces::Clients, Faces::Servers]);
        }
    }

    #[test]
    fn real_servers_that_answer_clients_themselves_are_not_faced() {
        let text = TWO_ARMS.to_owned() + &service("gatewaying", "192.168.1.2");
        assert_eq!(faces(&text), [Faces::Clients, Faces::Both]);
    }

    #[test]
    fn one_arm_faces_both() {
        let text = TWO_ARMS.to_owned() + &service("masq", "10.0.0.7");
        assert_eq!(faces(&text), [Faces::Both, Faces::Both]);
    }

    #[test]
    fn servers_behind_a_route_are_found_by_the_longest_prefix() {
        let route = "[[route]]\nprefix = '172.16.0.0/12'\nvia = '192.168.1.254'\n";
        let text = TWO_ARMS.to_owned() + route + &service("masq", "172.16.3.4");
        assert_eq!(faces(&text), [Faces::Clients, Faces::Servers]);
        let text = TWO_ARMS.to_owned() + &service("masq", "172.16.3.4");
        assert_eq!(faces(&text), [Faces::Both, Faces::Both], "by the default route");
    }

    #[test]
    fn without_a_service_nothing_is_known_but_what_the_operator_says() {
        assert_eq!(faces(TWO_ARMS), [Faces::Both, Faces::Both]);
        let said =
            TWO_ARMS.replace("device = 'net_null1'", "device = 'net_null1'\nfaces = 'servers'");
        assert_eq!(faces(&said), [Faces::Both, Faces::Servers]);
    }
}
