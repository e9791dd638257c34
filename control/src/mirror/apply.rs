//! What the configuration says about twins, given to Linux: addresses, MTU, static routes and
//! neighbours, and the link switched on.

use crate::config::{Config, Interface, StaticNeighbor, StaticRoute};
use dataplane::ids::InterfaceId;
use futures_util::TryStreamExt;
use rtnetlink::packet_route::neighbour::NeighbourState;
use rtnetlink::packet_route::route::{RouteAttribute, RouteMessage};
use rtnetlink::{Error, Handle, LinkMessageBuilder, LinkUnspec, RouteMessageBuilder};
use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Why a twin is not as configured.
#[derive(Debug)]
pub enum ApplyError {
    /// No netlink socket.
    Socket(std::io::Error),
    /// Linux refused: what was wanted, and its reason.
    Refused(String, Error),
}

impl fmt::Display for ApplyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ApplyError::Socket(error) => write!(f, "cannot open a netlink socket: {error}"),
            ApplyError::Refused(what, error) => write!(f, "Linux refuses {what}: {error}"),
        }
    }
}

impl std::error::Error for ApplyError {}

/// Sets up the twins, which must exist, in the calling thread's network namespace. What is there
/// already is left or replaced, so that a second time changes nothing.
///
/// # Errors
/// The first refusal; what came before it stays.
pub async fn apply(config: &Config) -> Result<(), ApplyError> {
    let handle = super::netlink::connect().map_err(ApplyError::Socket)?;
    let mut links = HashMap::new();
    let interfaces = config.interfaces.iter().enumerate();
    for (id, interface) in interfaces.filter(|(_, interface)| interface.twin) {
        let mtu = config.ports[interface.port.index()].mtu;
        let ifindex = apply_interface(&handle, interface, mtu).await?;
        links.insert(InterfaceId(id as u16), ifindex);
    }
    for route in &config.routes {
        if let Some(ifindex) = links.get(&route.interface) {
            apply_route(&handle, route, *ifindex).await?;
        }
    }
    for neighbor in &config.neighbors {
        if let Some(ifindex) = links.get(&neighbor.interface) {
            apply_neighbor(&handle, neighbor, *ifindex).await?;
        }
    }
    Ok(())
}

fn refused(what: String) -> impl FnOnce(Error) -> ApplyError {
    move |error| ApplyError::Refused(what, error)
}

async fn apply_interface(
    handle: &Handle,
    interface: &Interface,
    mtu: u16,
) -> Result<u32, ApplyError> {
    let name = &interface.name;
    let mut links = handle.link().get().match_name(name.clone()).execute();
    let link = links.try_next().await.and_then(|link| link.ok_or(Error::RequestFailed));
    let ifindex = link.map_err(refused(format!("to show the twin {name}")))?.header.index;
    let wanted = LinkMessageBuilder::<LinkUnspec>::new().index(ifindex).mtu(mtu.into()).up();
    let set = handle.link().set(wanted.build()).execute().await;
    set.map_err(refused(format!("to switch on the twin {name} with an MTU of {mtu}")))?;
    for own in &interface.addresses {
        let add = handle.address().add(ifindex, own.address, own.len).replace();
        add.execute().await.map_err(refused(format!("the address {own} on {name}")))?;
    }
    Ok(ifindex)
}

async fn apply_route(handle: &Handle, route: &StaticRoute, ifindex: u32) -> Result<(), ApplyError> {
    let add = handle.route().add(route_message(route, ifindex)).replace();
    add.execute().await.map_err(refused(format!("the route to {}", route.prefix)))
}

fn route_message(route: &StaticRoute, ifindex: u32) -> RouteMessage {
    let len = route.prefix.len;
    let mut message = match route.prefix.address {
        IpAddr::V4(address) => {
            RouteMessageBuilder::<Ipv4Addr>::new().destination_prefix(address, len).build()
        }
        IpAddr::V6(address) => {
            RouteMessageBuilder::<Ipv6Addr>::new().destination_prefix(address, len).build()
        }
    };
    message.attributes.push(RouteAttribute::Oif(ifindex));
    message.attributes.extend(route.via.map(|via| RouteAttribute::Gateway(via.into())));
    message
}

async fn apply_neighbor(
    handle: &Handle,
    neighbor: &StaticNeighbor,
    ifindex: u32,
) -> Result<(), ApplyError> {
    let add = handle.neighbours().add(ifindex, neighbor.address);
    let add = add.link_layer_address(&neighbor.mac.0).state(NeighbourState::Permanent).replace();
    add.execute().await.map_err(refused(format!("the neighbor {}", neighbor.address)))
}
