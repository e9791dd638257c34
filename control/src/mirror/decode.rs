//! Netlink's messages as events.

use super::event::{
    Event, KernelNeighbor, KernelRoute, Link, NeighborState, OwnAddress, Rank, RouteKind,
};
use crate::config::{InterfaceAddress, MacAddr, Prefix};
use rtnetlink::packet_core::{NLM_F_REPLACE, NetlinkMessage, NetlinkPayload};
use rtnetlink::packet_route::address::{AddressAttribute, AddressHeaderFlags, AddressMessage};
use rtnetlink::packet_route::link::{LinkAttribute, LinkFlags, LinkMessage};
use rtnetlink::packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourMessage, NeighbourState,
};
use rtnetlink::packet_route::route::{
    RouteAddress, RouteAttribute, RouteFlags, RouteMessage, RouteMetric, RouteType,
};
use rtnetlink::packet_route::{AddressFamily, RouteNetlinkMessage};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// `RT_TABLE_MAIN` and `RT_TABLE_LOCAL` (`linux/rtnetlink.h`).
const MAIN_TABLE: u32 = 254;
const LOCAL_TABLE: u32 = 255;

/// What a notification says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Notification {
    /// Something of interest.
    Event(Event),
    /// The socket's buffer overflowed: some are lost.
    Overrun,
    /// Something else.
    Other,
}

pub(super) fn notification(message: &NetlinkMessage<RouteNetlinkMessage>) -> Notification {
    let replace = message.header.flags & NLM_F_REPLACE != 0;
    let event = match &message.payload {
        NetlinkPayload::Overrun(_) => return Notification::Overrun,
        NetlinkPayload::InnerMessage(inner) => event(inner, replace),
        _ => None,
    };
    event.map_or(Notification::Other, Notification::Event)
}

fn event(message: &RouteNetlinkMessage, replace: bool) -> Option<Event> {
    use RouteNetlinkMessage as M;
    Some(match message {
        M::NewLink(message) => Event::Link(link(message)?),
        M::DelLink(message) => Event::LinkGone { ifindex: link(message)?.ifindex },
        M::NewAddress(message) if !is_source(message) => Event::AddressGone(address(message)?),
        M::NewAddress(message) => Event::Address(address(message)?),
        M::DelAddress(message) => Event::AddressGone(address(message)?),
        M::NewRoute(message) => Event::Route { route: route(message)?, replace },
        M::DelRoute(message) => Event::RouteGone(route(message)?),
        M::NewNeighbour(message) => Event::Neighbor(neighbor(message)?),
        M::DelNeighbour(message) => {
            let KernelNeighbor { ifindex, address, .. } = neighbor(message)?;
            Event::NeighborGone { ifindex, address }
        }
        _ => return None,
    })
}

/// `None` for messages about a link's part in a bridge, which come with the link's own number.
pub(super) fn link(message: &LinkMessage) -> Option<Link> {
    if message.header.interface_family != AddressFamily::Unspec {
        return None;
    }
    let (mut name, mut mac, mut mtu) = (String::new(), None, 0);
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::IfName(value) => name.clone_from(value),
            LinkAttribute::Address(value) => mac = mac_of(value),
            LinkAttribute::Mtu(value) => mtu = *value,
            _ => {}
        }
    }
    let up = message.header.flags.contains(LinkFlags::Up);
    Some(Link { ifindex: message.header.index, name, mac, mtu, up })
}

/// The director's own address: `IFA_LOCAL`, which differs from `IFA_ADDRESS` on point-to-point links;
/// IPv6 has only the latter on others.
pub(super) fn address(message: &AddressMessage) -> Option<OwnAddress> {
    let (mut local, mut address) = (None, None);
    for attribute in &message.attributes {
        match attribute {
            AddressAttribute::Local(own) => local = Some(*own),
            AddressAttribute::Address(own) if own.is_ipv6() => address = Some(*own),
            _ => {}
        }
    }
    let address = InterfaceAddress { address: local.or(address)?, len: message.header.prefix_len };
    Some(OwnAddress { ifindex: message.header.index, address })
}

/// Whether packets may be sent from an IPv6 address: not while it may be another's (RFC 4862 section
/// 5.4), and not when it is to be used no more.
pub(super) fn is_source(message: &AddressMessage) -> bool {
    let unfit = AddressHeaderFlags::Tentative
        | AddressHeaderFlags::Dadfailed
        | AddressHeaderFlags::Deprecated;
    let flags = message.header.flags;
    message.header.family != AddressFamily::Inet6
        || !flags.intersects(unfit)
        || flags.contains(AddressHeaderFlags::Optimistic)
}

/// A route of the local or main table. Of several next hops the first counts.
pub(super) fn route(message: &RouteMessage) -> Option<KernelRoute> {
    let header = &message.header;
    let any: IpAddr = match header.address_family {
        AddressFamily::Inet => Ipv4Addr::UNSPECIFIED.into(),
        AddressFamily::Inet6 => Ipv6Addr::UNSPECIFIED.into(),
        _ => return None,
    };
    // What Linux learned of one destination, such as a path's MTU, is no route.
    if header.flags.contains(RouteFlags::Cloned) {
        return None;
    }
    let mut table = u32::from(header.table);
    let mut route = KernelRoute {
        prefix: Prefix::of(any, header.destination_prefix_length),
        rank: Rank { main: true, metric: 0, tos: header.tos },
        kind: match header.kind {
            RouteType::Unicast => RouteKind::Unicast,
            RouteType::Local => RouteKind::Own,
            _ => RouteKind::Linux,
        },
        ifindex: 0,
        gateway: None,
        source: None,
        mtu: None,
    };
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Table(value) => table = *value,
            other => route_attribute(&mut route, other),
        }
    }
    route.rank.main = match table {
        MAIN_TABLE => true,
        LOCAL_TABLE => false,
        _ => return None,
    };
    Some(route)
}

fn ip_of(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(address) => Some((*address).into()),
        RouteAddress::Inet6(address) => Some((*address).into()),
        _ => None,
    }
}

fn route_attribute(route: &mut KernelRoute, attribute: &RouteAttribute) {
    match attribute {
        RouteAttribute::Destination(address) => {
            if let Some(address) = ip_of(address) {
                route.prefix = Prefix::of(address, route.prefix.len);
            }
        }
        RouteAttribute::Priority(metric) => route.rank.metric = *metric,
        RouteAttribute::Oif(ifindex) => route.ifindex = *ifindex,
        RouteAttribute::Gateway(gateway) => route.gateway = ip_of(gateway),
        RouteAttribute::PrefSource(source) => route.source = ip_of(source),
        RouteAttribute::Metrics(metrics) => {
            route.mtu = metrics.iter().find_map(|metric| match metric {
                RouteMetric::Mtu(mtu) => Some(*mtu),
                _ => None,
            });
        }
        RouteAttribute::MultiPath(hops) => {
            if let Some(first) = hops.first() {
                route.ifindex = first.interface_index;
                for attribute in &first.attributes {
                    route_attribute(route, attribute);
                }
            }
        }
        // A gateway of another family: Linux's own matter.
        RouteAttribute::Via(_) => route.kind = RouteKind::Linux,
        _ => {}
    }
}

pub(super) fn neighbor(message: &NeighbourMessage) -> Option<KernelNeighbor> {
    if !matches!(message.header.family, AddressFamily::Inet | AddressFamily::Inet6) {
        return None;
    }
    let (mut address, mut mac): (Option<IpAddr>, _) = (None, None);
    for attribute in &message.attributes {
        match attribute {
            NeighbourAttribute::Destination(NeighbourAddress::Inet(value)) => {
                address = Some((*value).into());
            }
            NeighbourAttribute::Destination(NeighbourAddress::Inet6(value)) => {
                address = Some((*value).into());
            }
            NeighbourAttribute::LinkLayerAddress(value) => mac = mac_of(value),
            _ => {}
        }
    }
    let state = match (message.header.state, mac) {
        (NeighbourState::Reachable | NeighbourState::Delay | NeighbourState::Probe, Some(mac)) => {
            NeighborState::Known(mac)
        }
        (NeighbourState::Stale, Some(mac)) => NeighborState::Stale(mac),
        (NeighbourState::Permanent | NeighbourState::Noarp, Some(mac)) => {
            NeighborState::Permanent(mac)
        }
        _ => NeighborState::Unknown,
    };
    Some(KernelNeighbor { ifindex: message.header.ifindex, address: address?, state })
}

fn mac_of(bytes: &[u8]) -> Option<MacAddr> {
    <[u8; 6]>::try_from(bytes).ok().map(MacAddr)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rtnetlink::packet_core::{NetlinkDeserializable, NetlinkHeader};

    /// The kernel's bytes of a route on a little-endian machine: `struct rtmsg`, then attributes.
    fn route_bytes(table: u8, kind: u8, len: u8, attributes: &[(u16, &[u8])]) -> Vec<u8> {
        let mut bytes = vec![2, len, 0, 0, table, 3, 0, kind, 0, 0, 0, 0];
        for (code, value) in attributes {
            bytes.extend((value.len() as u16 + 4).to_ne_bytes());
            bytes.extend(code.to_ne_bytes());
            bytes.extend(*value);
        }
        bytes
    }

    /// The event of an `RTM_NEWROUTE` with these bytes.
    fn decoded(bytes: &[u8]) -> Option<KernelRoute> {
        let mut header = NetlinkHeader::default();
        header.message_type = 24;
        let message = RouteNetlinkMessage::deserialize(&header, bytes).expect("well formed");
        match event(&message, false) {
            Some(Event::Route { route, .. }) => Some(route),
            None => None,
            other => panic!("{other:?}"),
        }
    }

    const DST: u16 = 1;
    const OIF: u16 = 4;
    const GATEWAY: u16 = 5;
    const PRIORITY: u16 = 6;
    const METRICS: u16 = 8;
    const MULTIPATH: u16 = 9;
    const TABLE: u16 = 15;

    #[test]
    fn a_route_through_a_gateway_is_read_whole() {
        let mtu = [8, 0, 2, 0, 0x14, 0x05, 0, 0];
        let attributes: [(u16, &[u8]); 5] = [
            (DST, &[198, 51, 100, 0]),
            (OIF, &[7, 0, 0, 0]),
            (GATEWAY, &[10, 0, 0, 254]),
            (PRIORITY, &[5, 0, 0, 0]),
            (METRICS, &mtu),
        ];
        let route = decoded(&route_bytes(254, 1, 24, &attributes)).expect("of the main table");
        assert_eq!(route.prefix.to_string(), "198.51.100.0/24");
        assert_eq!(route.rank, Rank { main: true, metric: 5, tos: 0 });
        assert_eq!((route.kind, route.ifindex), (RouteKind::Unicast, 7));
        assert_eq!(route.gateway, Some([10, 0, 0, 254].into()));
        assert_eq!(route.mtu, Some(1300));
    }

    #[test]
    fn routes_of_ipv6_are_read_and_what_was_learned_of_paths_is_not() {
        let net = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        let gateway = [0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
        let attributes: [(u16, &[u8]); 3] =
            [(DST, &net), (OIF, &[7, 0, 0, 0]), (GATEWAY, &gateway)];
        let mut bytes = route_bytes(254, 1, 32, &attributes);
        bytes[0] = 10;
        let route = decoded(&bytes).expect("of the main table");
        assert_eq!(route.prefix.to_string(), "2001:db8::/32");
        assert_eq!(route.gateway, Some("fe80::1".parse().unwrap()));
        // RTM_F_CLONED.
        bytes[9] = 2;
        assert_eq!(decoded(&bytes), None);
        let mut all = route_bytes(254, 1, 0, &[(OIF, &[7, 0, 0, 0])]);
        all[0] = 10;
        assert_eq!(decoded(&all).expect("a default route").prefix.to_string(), "::/0");
    }

    /// The kernel's bytes of `struct ifaddrmsg` and `IFA_ADDRESS`.
    fn address_event(flags: u8) -> Option<Event> {
        let mut bytes = vec![10, 64, flags, 0, 7, 0, 0, 0, 20, 0, 1, 0, 0xfd, 0];
        bytes.extend([0; 13]);
        bytes.push(1);
        let mut header = NetlinkHeader::default();
        header.message_type = 20;
        let message = RouteNetlinkMessage::deserialize(&header, &bytes).expect("well formed");
        event(&message, false)
    }

    #[test]
    fn an_ipv6_address_counts_once_it_is_known_to_be_ones_own_and_until_deprecated() {
        let own = OwnAddress { ifindex: 7, address: "fd00::1/64".parse().unwrap() };
        assert_eq!(address_event(0x80), Some(Event::Address(own)));
        // IFA_F_TENTATIVE, with IFA_F_OPTIMISTIC, IFA_F_DADFAILED, IFA_F_DEPRECATED.
        assert_eq!(address_event(0xc0), Some(Event::AddressGone(own)));
        assert_eq!(address_event(0xc4), Some(Event::Address(own)));
        assert_eq!(address_event(0x88), Some(Event::AddressGone(own)));
        assert_eq!(address_event(0xa0), Some(Event::AddressGone(own)));
    }

    #[test]
    fn the_first_of_several_next_hops_counts() {
        let hop = |ifindex, last| [16, 0, 0, 0, ifindex, 0, 0, 0, 8, 0, 5, 0, 10, 0, 0, last];
        let hops = [hop(7, 1), hop(8, 2)].concat();
        let route = decoded(&route_bytes(254, 1, 0, &[(MULTIPATH, &hops)])).expect("a route");
        assert_eq!((route.ifindex, route.gateway), (7, Some([10, 0, 0, 1].into())));
    }

    #[test]
    fn only_the_local_and_the_main_table_are_read() {
        let local = decoded(&route_bytes(255, 2, 32, &[(DST, &[10, 0, 0, 1])])).expect("local");
        assert_eq!((local.kind, local.rank.main), (RouteKind::Own, false));
        assert_eq!(decoded(&route_bytes(100, 1, 0, &[])), None);
        assert_eq!(decoded(&route_bytes(252, 1, 0, &[(TABLE, &1000_u32.to_ne_bytes())])), None);
        let blackhole = decoded(&route_bytes(254, 6, 8, &[(DST, &[10, 0, 0, 0])])).expect("main");
        assert_eq!(blackhole.kind, RouteKind::Linux);
    }
}
