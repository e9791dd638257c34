//! What is said to Linux: dumps, subscriptions and questions about neighbours.

use super::decode;
use super::event::{Dump, KernelNeighbor, NeighborState};
use super::standing::Ask;
use futures_util::TryStreamExt;
use futures_util::stream::{Stream, StreamExt};
use rtnetlink::packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_REPLACE, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload,
};
use rtnetlink::packet_route::neighbour::{
    NeighbourAttribute, NeighbourExtFlags, NeighbourFlags, NeighbourMessage, NeighbourState as Nud,
};
use rtnetlink::packet_route::route::{RouteHeader, RouteMessage};
use rtnetlink::packet_route::{AddressFamily, RouteNetlinkMessage};
use rtnetlink::sys::AsyncSocket;
use rtnetlink::{Error, Handle, MulticastGroup, RouteMessageBuilder};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::pin::Pin;

/// Notifications of Linux's, in its order.
pub(super) type Notifications =
    Pin<Box<dyn Stream<Item = NetlinkMessage<RouteNetlinkMessage>> + Send>>;

/// Room for notifications that wait to be read: a few thousand neighbours at once. Beyond, the
/// tables are read anew.
const RECEIVE_BUFFER: usize = 4 << 20;

/// A connection for questions. Runs on the current tokio runtime, in the network namespace of the
/// calling thread.
pub(super) fn connect() -> std::io::Result<Handle> {
    let (connection, handle, _) = rtnetlink::new_connection()?;
    tokio::spawn(connection);
    Ok(handle)
}

/// Notifications about links, addresses, routes and neighbours from now on.
pub(super) fn subscribe() -> std::io::Result<Notifications> {
    let groups = [
        MulticastGroup::Link,
        MulticastGroup::Ipv4Ifaddr,
        MulticastGroup::Ipv4Route,
        MulticastGroup::Ipv6Ifaddr,
        MulticastGroup::Ipv6Route,
        MulticastGroup::Neigh,
    ];
    let (mut connection, _, messages) = rtnetlink::new_multicast_connection(&groups)?;
    let socket = connection.socket_mut().socket_mut();
    // Beyond the system's limit only root may go; with less room there are just more overruns.
    if let Err(error) = socket.set_rx_buf_sz(RECEIVE_BUFFER) {
        log::debug!("netlink keeps its receive buffer: {error}");
    }
    tokio::spawn(connection);
    Ok(Box::pin(messages.map(|(message, _)| message)))
}

/// All that Linux has.
pub(super) async fn dump(handle: &Handle) -> Result<Dump, Error> {
    let links: Vec<_> = handle.link().get().execute().try_collect().await?;
    let addresses: Vec<_> = handle.address().get().execute().try_collect().await?;
    let any = RouteHeader::RT_TABLE_UNSPEC.into();
    let mut routes = Vec::new();
    for any in [
        RouteMessageBuilder::<Ipv4Addr>::new().table_id(any).build(),
        RouteMessageBuilder::<Ipv6Addr>::new().table_id(any).build(),
    ] {
        let of_family: Vec<RouteMessage> = handle.route().get(any).execute().try_collect().await?;
        routes.extend(of_family);
    }
    let mut neighbors = Vec::new();
    for family in [AddressFamily::Inet, AddressFamily::Inet6] {
        let asked = handle.neighbours().get().set_address_family(family);
        let of_family: Vec<NeighbourMessage> = asked.execute().try_collect().await?;
        neighbors.extend(of_family);
    }
    Ok(Dump {
        links: links.iter().filter_map(decode::link).collect(),
        addresses: (addresses.iter().filter(|message| decode::is_source(message)))
            .filter_map(decode::address)
            .collect(),
        routes: routes.iter().filter_map(decode::route).collect(),
        neighbors: neighbors.iter().filter_map(decode::neighbor).collect(),
    })
}

/// Every address of the system's, also one that may not be sent from yet.
pub(super) async fn addresses(handle: &Handle) -> Result<Vec<IpAddr>, Error> {
    let found: Vec<_> = handle.address().get().execute().try_collect().await?;
    Ok(found.iter().filter_map(decode::address).map(|own| own.address.address).collect())
}

/// Puts a question, unless the administrator has answered it: asking would turn a permanent entry
/// into one that expires.
pub(super) async fn ask(handle: &mut Handle, ask: &Ask) -> Result<(), Error> {
    let known = neighbor(handle, ask).await?;
    if matches!(known, Some(KernelNeighbor { state: NeighborState::Permanent(_), .. })) {
        return Ok(());
    }
    let mut message = about(ask);
    message.header.state = Nud::None;
    message.header.flags = NeighbourFlags::Use;
    if ask.managed {
        message.attributes.push(NeighbourAttribute::ExtFlags(NeighbourExtFlags::Managed));
    }
    let mut request = NetlinkMessage::from(RouteNetlinkMessage::NewNeighbour(message));
    request.header.flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE;
    finish(handle, request).await.map(|_| ())
}

/// The entry that Linux has, if any.
async fn neighbor(handle: &mut Handle, ask: &Ask) -> Result<Option<KernelNeighbor>, Error> {
    let mut request = NetlinkMessage::from(RouteNetlinkMessage::GetNeighbour(about(ask)));
    request.header.flags = NLM_F_REQUEST | NLM_F_ACK;
    match finish(handle, request).await {
        Ok(Some(RouteNetlinkMessage::NewNeighbour(entry))) => Ok(decode::neighbor(&entry)),
        Ok(_) => Ok(None),
        Err(Error::NetlinkError(error)) if error.to_io().kind() == std::io::ErrorKind::NotFound => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

fn about(ask: &Ask) -> NeighbourMessage {
    let mut message = NeighbourMessage::default();
    message.header.family = match ask.address {
        IpAddr::V4(_) => AddressFamily::Inet,
        IpAddr::V6(_) => AddressFamily::Inet6,
    };
    message.header.ifindex = ask.ifindex;
    message.attributes.push(NeighbourAttribute::Destination(ask.address.into()));
    message
}

/// Sends a request and waits for its end; the last message that answers it.
async fn finish(
    handle: &mut Handle,
    request: NetlinkMessage<RouteNetlinkMessage>,
) -> Result<Option<RouteNetlinkMessage>, Error> {
    let mut answers = handle.request(request)?;
    let mut last = None;
    while let Some(answer) = answers.next().await {
        match answer.payload {
            NetlinkPayload::Error(error) if error.code.is_some() => {
                return Err(Error::NetlinkError(error));
            }
            NetlinkPayload::InnerMessage(message) => last = Some(message),
            _ => {}
        }
    }
    Ok(last)
}
