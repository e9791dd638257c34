//! Persistent services (`ipvsadm -p`): which template a new conn has, which ports the two get, and
//! whether a template still holds. Pure rules, of `ip_vs_sched_persist` in `ip_vs_core.c` and
//! `ip_vs_check_template` in `ip_vs_conn.c`.

use super::ServiceKey;
use crate::address::Family;
use crate::flow::port::FTP;
use crate::template::{Engine, TemplateKey};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What makes a service persistent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Persistence {
    /// Ticks without a new conn after which a client may be scheduled anew. A change counts for
    /// templates to come.
    pub timeout: u32,
    /// Which clients share a template.
    pub mask: ClientMask,
    /// What tells clients apart besides their address.
    pub engine: Option<Engine>,
}

/// Which clients share a template (`-M`): those that are the same under the mask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientMask {
    /// Of IPv4, host order; any bits, not only leading ones.
    Netmask(u32),
    /// Leading bits of IPv6, 0 to 128.
    Prefix(u8),
}

impl ClientMask {
    /// Every address by itself: `-M 255.255.255.255`, `-M 128`.
    pub const fn exact(family: Family) -> ClientMask {
        match family {
            Family::V4 => ClientMask::Netmask(u32::MAX),
            Family::V6 => ClientMask::Prefix(128),
        }
    }

    /// The address that stands for a client and all that share its template. One of the other
    /// family stands for itself.
    pub fn apply(self, client: IpAddr) -> IpAddr {
        match (self, client) {
            (ClientMask::Netmask(mask), IpAddr::V4(addr)) => {
                Ipv4Addr::from_bits(addr.to_bits() & mask).into()
            }
            (ClientMask::Prefix(len), IpAddr::V6(addr)) => {
                let dropped = 128 - u32::from(len.min(128));
                let mask = u128::MAX.checked_shl(dropped).unwrap_or(0);
                Ipv6Addr::from_bits(addr.to_bits() & mask).into()
            }
            (_, other) => other,
        }
    }
}

/// What a service takes, as far as templates depend on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Takes {
    /// Packets to its address and this port, 0 for all.
    Port(u16),
    /// Packets with this mark.
    Fwmark(u32),
}

impl From<ServiceKey> for Takes {
    fn from(key: ServiceKey) -> Takes {
        match key {
            ServiceKey::Address { vport, .. } => Takes::Port(vport),
            ServiceKey::Fwmark { mark, .. } => Takes::Fwmark(mark),
        }
    }
}

impl Takes {
    fn port(self) -> u16 {
        match self {
            Takes::Port(port) => port,
            Takes::Fwmark(_) => 0,
        }
    }
}

/// A client's packet that begins a conn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrival {
    /// IP protocol number.
    pub proto: u8,
    /// Source address.
    pub client: IpAddr,
    /// Destination address.
    pub vip: IpAddr,
    /// Destination port.
    pub vport: u16,
}

/// Key of the template that a packet's conn has: by address and port if it came to the service's own
/// port, by address alone for FTP, whose data connections come to others, and for a service of all ports, by the mark alone for a fwmark
/// service. `data` is what the service's engine found; with an engine that found nothing there is
/// no key, and the packet is to be dropped.
pub fn template_key<'a>(
    takes: Takes,
    arrival: &Arrival,
    persistence: &Persistence,
    data: Option<&'a [u8]>,
) -> Option<TemplateKey<'a>> {
    let client = persistence.mask.apply(arrival.client);
    let at_port = arrival.vport == takes.port();
    let key = match takes {
        Takes::Fwmark(mark) if !at_port => TemplateKey::of_mark(client, mark),
        _ => {
            let vport = if at_port && takes.port() != FTP { arrival.vport } else { 0 };
            TemplateKey::of_address(arrival.proto, client, arrival.vip, vport)
        }
    };
    match persistence.engine {
        None => Some(key),
        Some(engine) => key.with_engine(engine, data?),
    }
}

/// The port that a new template names, of a destination with port `rport`: that one, or 0 where its
/// conns go to several.
pub fn template_port(takes: Takes, vport: u16, rport: u16) -> u16 {
    if vport == takes.port() && takes.port() != FTP { rport } else { 0 }
}

/// The port at the real server of a conn with a template: the destination's if the packet came to
/// the service's own port and the destination has one, else the packet's.
pub fn child_port(takes: Takes, vport: u16, rport: u16) -> u16 {
    if vport == takes.port() && rport != 0 { rport } else { vport }
}

/// Whether a template holds whose destination has this weight; `None` if it was removed. Neither
/// weight 0 nor overload keep a client with a template away, unless `expire_quiescent_template`
/// says so of the weight.
pub fn is_valid(weight: Option<u32>, expire_quiescent_template: bool) -> bool {
    weight.is_some_and(|weight| weight != 0 || !expire_quiescent_template)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::protocol::{TCP, UDP};

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn arrival(proto: u8, vport: u16) -> Arrival {
        Arrival { proto, client: ip("172.16.3.8"), vip: ip("10.0.0.100"), vport }
    }

    fn persistence(mask: u32, engine: Option<Engine>) -> Persistence {
        Persistence { timeout: 16, mask: ClientMask::Netmask(mask), engine }
    }

    #[test]
    fn masks_group_clients_of_their_family() {
        for (mask, client, network) in [
            (ClientMask::exact(Family::V4), "172.16.3.8", "172.16.3.8"),
            (ClientMask::Netmask(0xffff_ff00), "172.16.3.8", "172.16.3.0"),
            (ClientMask::Netmask(0x00ff_00ff), "172.16.3.8", "0.16.0.8"),
            (ClientMask::Netmask(0), "172.16.3.8", "0.0.0.0"),
            (ClientMask::exact(Family::V6), "2001:db8::1", "2001:db8::1"),
            (ClientMask::Prefix(64), "2001:db8:0:1:2::1", "2001:db8:0:1::"),
            (ClientMask::Prefix(47), "2001:db8:3:1:2::1", "2001:db8:2::"),
            (ClientMask::Prefix(0), "2001:db8::1", "::"),
            (ClientMask::Prefix(64), "172.16.3.8", "172.16.3.8"),
            (ClientMask::Netmask(0), "2001:db8::1", "2001:db8::1"),
        ] {
            assert_eq!(mask.apply(ip(client)), ip(network), "{mask:?} of {client}");
        }
    }

    #[test]
    fn the_key_is_as_wide_as_the_service() {
        let (client, vip) = (ip("172.16.3.0"), ip("10.0.0.100"));
        let of_address = |proto, vport| TemplateKey::of_address(proto, client, vip, vport);
        for (takes, proto, vport, key) in [
            (Takes::Port(80), TCP, 80, of_address(TCP, 80)),
            (Takes::Port(53), UDP, 53, of_address(UDP, 53)),
            (Takes::Port(0), TCP, 443, of_address(TCP, 0)),
            (Takes::Port(FTP), TCP, FTP, of_address(TCP, 0)),
            (Takes::Port(FTP), TCP, 40_000, of_address(TCP, 0)),
            (Takes::Fwmark(1), TCP, 80, TemplateKey::of_mark(client, 1)),
            (Takes::Fwmark(1), UDP, FTP, TemplateKey::of_mark(client, 1)),
            // The kernel compares ports before it asks for a mark, and a fwmark service's is 0.
            (Takes::Fwmark(1), UDP, 0, of_address(UDP, 0)),
        ] {
            let persistence = persistence(0xffff_ff00, None);
            let found = template_key(takes, &arrival(proto, vport), &persistence, None);
            assert_eq!(found, Some(key), "{takes:?} port {vport}");
        }
    }

    #[test]
    fn an_engine_adds_what_it_found_and_leaves_no_key_if_that_is_nothing() {
        let (sip, none) = (persistence(u32::MAX, Some(Engine::Sip)), persistence(u32::MAX, None));
        let key = |persistence, data| {
            template_key(Takes::Port(5060), &arrival(UDP, 5060), persistence, data)
        };
        let plain = key(&none, Some(b"call-0")).unwrap();
        assert_eq!(key(&sip, Some(b"call-0")), plain.with_engine(Engine::Sip, b"call-0"));
        assert_ne!(key(&sip, Some(b"call-0")), key(&sip, Some(b"call-1")));
        assert_eq!(key(&sip, None), None);
        assert_eq!(key(&sip, Some(&[0; 256])), None);
    }

    #[test]
    fn ports_follow_the_destination_where_the_packet_came_to_the_services_own() {
        for (takes, vport, rport, template, child) in [
            (Takes::Port(80), 80, 8080, 8080, 8080),
            (Takes::Port(80), 80, 0, 0, 80),
            (Takes::Port(0), 443, 8080, 0, 443),
            (Takes::Port(0), 443, 0, 0, 443),
            (Takes::Port(FTP), FTP, 2121, 0, 2121),
            (Takes::Port(FTP), 40_000, 2121, 0, 40_000),
            (Takes::Fwmark(1), 80, 8080, 0, 80),
            (Takes::Fwmark(1), 80, 0, 0, 80),
        ] {
            let what = format!("{takes:?} port {vport} to {rport}");
            assert_eq!(template_port(takes, vport, rport), template, "template of {what}");
            assert_eq!(child_port(takes, vport, rport), child, "child of {what}");
        }
    }

    #[test]
    fn a_template_holds_while_its_destination_may_have_it() {
        for (weight, expire_quiescent, valid) in [
            (Some(1), false, true),
            (Some(1), true, true),
            (Some(0), false, true),
            (Some(0), true, false),
            (None, false, false),
            (None, true, false),
        ] {
            assert_eq!(is_valid(weight, expire_quiescent), valid, "{weight:?} {expire_quiescent}");
        }
    }
}
