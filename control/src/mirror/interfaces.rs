//! The director's interfaces, and which Linux link stands for which.

use super::event::{Link, OwnAddress};
use super::scope::is_link_local;
use crate::config::{Config, InterfaceAddress, MacAddr};
use dataplane::address::Address;
use dataplane::ids::{InterfaceId, PortId};
use std::collections::HashMap;
use std::net::IpAddr;

/// An interface as the mirror must know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MirrorInterface {
    /// Name of the interface and of its twin.
    pub name: String,
    /// The port.
    pub port: PortId,
    /// VLAN id, 0 for untagged.
    pub vlan: u16,
    /// Whether Linux has a twin of it, whose MAC address, MTU and addresses count then.
    pub twin: bool,
    /// The port's MAC address.
    pub mac: MacAddr,
    /// Largest IP packet.
    pub mtu: u16,
    /// Addresses, for an interface without a twin.
    pub addresses: Vec<InterfaceAddress>,
}

impl MirrorInterface {
    /// The configuration's interfaces in the order of their ids; `macs` are the ports' MAC
    /// addresses, in the order of theirs.
    pub fn from_config(config: &Config, macs: &[MacAddr]) -> Vec<MirrorInterface> {
        let interface = |interface: &crate::config::Interface| MirrorInterface {
            name: interface.name.clone(),
            port: interface.port,
            vlan: interface.vlan,
            twin: interface.twin,
            mac: macs[interface.port.index()],
            mtu: config.ports[interface.port.index()].mtu,
            addresses: interface.addresses.clone(),
        };
        config.interfaces.iter().map(interface).collect()
    }
}

/// All interfaces, by id and by Linux's number.
#[derive(Debug)]
pub(super) struct Interfaces {
    list: Vec<MirrorInterface>,
    by_ifindex: HashMap<u32, InterfaceId>,
    links: HashMap<InterfaceId, Link>,
}

/// What a link's change means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LinkChange {
    /// Nothing here.
    None,
    /// MAC address or MTU of an interface.
    Properties,
    /// A twin came, went, or was switched up or down: Linux drops routes without a word then
    /// (`fib_disable_ip` in `net/ipv4/fib_frontend.c`), so its tables must be read anew.
    Presence(InterfaceId),
}

impl Interfaces {
    pub(super) fn new(mut list: Vec<MirrorInterface>) -> Self {
        for interface in list.iter_mut().filter(|interface| interface.twin) {
            interface.addresses.clear();
        }
        Interfaces { list, by_ifindex: HashMap::new(), links: HashMap::new() }
    }

    pub(super) fn get(&self, id: InterfaceId) -> &MirrorInterface {
        &self.list[id.index()]
    }

    /// Ids and interfaces in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (InterfaceId, &MirrorInterface)> {
        self.list.iter().enumerate().map(|(place, it)| (InterfaceId(place as u16), it))
    }

    /// The interface that a link stands for.
    pub(super) fn of_link(&self, ifindex: u32) -> Option<InterfaceId> {
        self.by_ifindex.get(&ifindex).copied()
    }

    /// Linux's number of an interface's twin, while there is one.
    pub(super) fn ifindex(&self, id: InterfaceId) -> Option<u32> {
        self.links.get(&id).map(|link| link.ifindex)
    }

    pub(super) fn is_up(&self, id: InterfaceId) -> bool {
        !self.get(id).twin || self.links.get(&id).is_some_and(|link| link.up)
    }

    pub(super) fn link(&mut self, link: &Link) -> LinkChange {
        let named = self.iter().find(|(_, it)| it.twin && it.name == link.name).map(|(id, _)| id);
        let before = self.of_link(link.ifindex);
        if let Some(renamed) = before.filter(|_| before != named) {
            self.link_gone(link.ifindex);
            self.adopt(named, link);
            return LinkChange::Presence(renamed);
        }
        let Some(id) = named else { return LinkChange::None };
        let old = self.links.get(&id).cloned();
        self.adopt(named, link);
        match old {
            Some(old) if (old.ifindex, old.up) != (link.ifindex, link.up) => {
                LinkChange::Presence(id)
            }
            Some(old) if old == *link => LinkChange::None,
            Some(_) => LinkChange::Properties,
            None => LinkChange::Presence(id),
        }
    }

    fn adopt(&mut self, id: Option<InterfaceId>, link: &Link) {
        let Some(id) = id else { return };
        if let Some(old) = self.links.insert(id, link.clone()) {
            self.by_ifindex.remove(&old.ifindex);
        }
        self.by_ifindex.insert(link.ifindex, id);
        let interface = &mut self.list[id.index()];
        interface.mac = link.mac.unwrap_or(interface.mac);
        interface.mtu = u16::try_from(link.mtu).unwrap_or(u16::MAX);
    }

    pub(super) fn link_gone(&mut self, ifindex: u32) -> LinkChange {
        let Some(id) = self.by_ifindex.remove(&ifindex) else { return LinkChange::None };
        self.links.remove(&id);
        self.list[id.index()].addresses.clear();
        LinkChange::Presence(id)
    }

    /// Takes in an address; whether it is new on an interface of ours.
    pub(super) fn add_address(&mut self, own: &OwnAddress) -> bool {
        let Some(id) = self.of_link(own.ifindex) else { return false };
        let addresses = &mut self.list[id.index()].addresses;
        let new = !addresses.contains(&own.address);
        if new {
            addresses.push(own.address);
        }
        new
    }

    /// Forgets an address; whether an interface of ours had it.
    pub(super) fn remove_address(&mut self, own: &OwnAddress) -> bool {
        let Some(id) = self.of_link(own.ifindex) else { return false };
        let addresses = &mut self.list[id.index()].addresses;
        let before = addresses.len();
        addresses.retain(|address| *address != own.address);
        addresses.len() < before
    }

    /// Forgets every address that Linux gave.
    pub(super) fn clear_twin_addresses(&mut self) {
        for interface in self.list.iter_mut().filter(|interface| interface.twin) {
            interface.addresses.clear();
        }
    }

    /// The address that Linux would send from to a target behind a neighbour on the interface. Of
    /// IPv4 the first in the neighbour's subnet, else the first there is (`inet_select_addr` in
    /// `net/ipv4/devinet.c`).
    pub(super) fn source_towards(
        &self,
        id: InterfaceId,
        neighbor: IpAddr,
        target: IpAddr,
    ) -> Option<IpAddr> {
        if target.is_ipv6() {
            return self.ipv6_source_towards(id, target);
        }
        let own = || self.get(id).addresses.iter().filter(|own| own.address.is_ipv4());
        let near = own().find(|own| own.subnet().contains(neighbor));
        near.or(own().next()).map(|own| own.address)
    }

    /// Of IPv6: one that is valid beyond the link, rather on the interface, rather with a long
    /// prefix in common, as far as its own subnet goes (RFC 6724 section 5, rules 2, 5 and 8).
    fn ipv6_source_towards(&self, id: InterfaceId, target: IpAddr) -> Option<IpAddr> {
        let all = self.iter().flat_map(|(on, it)| it.addresses.iter().map(move |own| (on, own)));
        let global = all.filter(|(_, own)| own.address.is_ipv6() && !is_link_local(own.address));
        let rank = |&(on, own): &(InterfaceId, &InterfaceAddress)| {
            (on == id, common_bits(own.address, target).min(own.len))
        };
        // Of equals the first: `max_by_key` alone would give the last.
        let mut best = None;
        for candidate in global {
            if best.as_ref().is_none_or(|best| rank(best) < rank(&candidate)) {
                best = Some(candidate);
            }
        }
        best.map(|(_, own)| own.address)
    }

    /// Numbers of the links that stand for interfaces.
    pub(super) fn ifindexes(&self) -> Vec<u32> {
        self.by_ifindex.keys().copied().collect()
    }
}

/// How many leading bits two IPv6 addresses share.
fn common_bits(a: IpAddr, b: IpAddr) -> u8 {
    match (u128::of(a), u128::of(b)) {
        (Some(a), Some(b)) => (a ^ b).leading_zeros() as u8,
        _ => 0,
    }
}
