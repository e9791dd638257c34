//! Next hops: where frames for an address leave and with which MAC addresses.
//!
//! Published apart from services and routes, so that ARP churn compiles neither. An entry's id
//! stands for a *target address seen from the director* (a real server, a gateway, a client on the
//! same link) and never changes its meaning; what is behind it may change with every table.

use crate::address::Address;
use crate::by_family::{ByFamily, PerFamily};
use crate::ids::{InterfaceId, NextHopId, PortId};
use ahash::AHashMap;
use std::net::{IpAddr, Ipv4Addr};

/// One resolved or unresolved next hop. What every packet needs of it comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct NextHop {
    /// Port of the interface.
    pub port: PortId,
    /// VLAN id of the interface, 0 for untagged.
    pub vlan: u16,
    /// Largest IP packet that goes out whole.
    pub mtu: u16,
    /// The neighbour's MAC address.
    pub dst_mac: [u8; 6],
    /// The interface's own MAC address.
    pub src_mac: [u8; 6],
    /// What is known of it.
    pub state: NextHopState,
    /// The director's own address on the way to it: source of tunnel headers. Of the target's
    /// family.
    pub local: IpAddr,
    /// The address it stands for.
    pub target: IpAddr,
    /// The neighbour to ask for: the target itself, or the gateway towards it.
    pub neighbor: IpAddr,
    /// Interface frames leave through.
    pub interface: InterfaceId,
}

/// What is known of a next hop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum NextHopState {
    /// No route leads to the target.
    #[default]
    NoRoute,
    /// The neighbour has not answered yet: packets wait, the kernel is asked.
    Unresolved,
    /// `dst_mac` is good.
    Resolved,
    /// It is the director itself: packets go to Linux. The MTU is the largest there is.
    Local,
}

impl NextHop {
    /// The director's own address as a target.
    pub fn local(target: IpAddr) -> NextHop {
        let (state, mtu) = (NextHopState::Local, u16::MAX);
        NextHop { target, neighbor: target, local: target, state, mtu, ..NextHop::NONE }
    }

    /// Entry 0 of every table.
    pub const NONE: NextHop = NextHop {
        port: PortId(0),
        vlan: 0,
        mtu: 1500,
        dst_mac: [0; 6],
        src_mac: [0; 6],
        state: NextHopState::NoRoute,
        local: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        target: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        neighbor: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        interface: InterfaceId(0),
    };

    /// What plain packets need of it.
    fn plain(&self) -> PlainHop {
        let open = self.state == NextHopState::Resolved && self.vlan == 0;
        let mut macs = [0; 12];
        macs[..6].copy_from_slice(&self.dst_mac);
        macs[6..].copy_from_slice(&self.src_mac);
        PlainHop { macs, port: self.port, mtu: if open { self.mtu } else { 0 } }
    }
}

/// What packets that need nothing but their MAC addresses need of a next hop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C, align(16))]
pub struct PlainHop {
    /// The neighbour's MAC address and the interface's own, as a frame begins.
    pub macs: [u8; 12],
    /// Port of the interface.
    pub port: PortId,
    /// Largest IP packet that goes out so; 0 where none does: through a VLAN, or to a neighbour that
    /// is not known.
    pub mtu: u16,
}

impl PlainHop {
    /// What takes nothing.
    const NONE: PlainHop = PlainHop { macs: [0; 12], port: PortId(0), mtu: 0 };
}

/// All next hops of one publication. Entry 0 is [`NextHop::NONE`].
#[derive(Debug, Clone)]
pub struct NextHops {
    entries: Vec<NextHop>,
    plain: Vec<PlainHop>,
    by_target: ByFamily<Targets>,
    any_local: bool,
}

/// Ids by the target they stand for.
#[derive(Debug, Clone)]
struct Targets;

impl PerFamily for Targets {
    type Of<A: Address> = AHashMap<A, NextHopId>;
}

impl NextHops {
    /// A table of `entries`, whose ids are their places; entry 0 must be [`NextHop::NONE`].
    ///
    /// # Panics
    /// If entry 0 is another or there are more than ids.
    pub fn new(entries: Vec<NextHop>) -> Self {
        assert_eq!(entries.first(), Some(&NextHop::NONE), "entry 0 stands for no next hop");
        assert!(entries.len() <= crate::limits::MAX_NEXT_HOPS, "ids are 16 bits wide");
        let by_target = ByFamily { v4: targets(&entries), v6: targets(&entries) };
        let any_local = entries.iter().any(|hop| hop.state == NextHopState::Local);
        let plain = entries.iter().map(NextHop::plain).collect();
        NextHops { entries, plain, by_target, any_local }
    }

    /// The entry, or [`NextHop::NONE`] if this table is older than the id.
    #[inline]
    pub fn get(&self, id: NextHopId) -> &NextHop {
        self.entries.get(id.index()).unwrap_or(&NextHop::NONE)
    }

    /// The same for plain packets.
    #[inline]
    pub fn plain(&self, id: NextHopId) -> &PlainHop {
        self.plain.get(id.index()).unwrap_or(&PlainHop::NONE)
    }

    /// The id that stands for a target address.
    #[inline]
    pub fn find<A: Address>(&self, target: A) -> Option<NextHopId> {
        self.by_target.of::<A>().get(&target).copied()
    }

    /// As [`NextHops::find`], for an address of any family.
    pub fn find_ip(&self, target: IpAddr) -> Option<NextHopId> {
        match target {
            IpAddr::V4(target) => self.find(target.to_bits()),
            IpAddr::V6(target) => self.find(target.to_bits()),
        }
    }

    /// Whether the director itself is among the targets.
    #[inline]
    pub fn any_local(&self) -> bool {
        self.any_local
    }

    /// All entries, entry 0 included.
    pub fn entries(&self) -> &[NextHop] {
        &self.entries
    }
}

fn targets<A: Address>(entries: &[NextHop]) -> AHashMap<A, NextHopId> {
    let numbered = entries.iter().enumerate().skip(1);
    numbered.filter_map(|(id, hop)| Some((A::of(hop.target)?, NextHopId(id as u16)))).collect()
}

impl Default for NextHops {
    fn default() -> Self {
        NextHops::new(vec![NextHop::NONE])
    }
}

/// A worker's wish that a neighbour be resolved, sent to control.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ResolveRequest {
    /// Address to be reached.
    pub target: IpAddr,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn towards(target: impl Address) -> NextHop {
        NextHop { target: target.ip(), neighbor: target.ip(), ..NextHop::NONE }
    }

    #[test]
    fn an_entry_is_found_by_its_id_and_its_target() {
        let entries = vec![NextHop::NONE, towards(7_u32), towards(8_u32), towards(8_u128)];
        let hops = NextHops::new(entries);
        assert_eq!(hops.find(8_u32), Some(NextHopId(2)));
        assert_eq!(hops.find(8_u128), Some(NextHopId(3)));
        assert_eq!(hops.find(7_u128), None);
        for id in [NextHopId(2), NextHopId(3)] {
            assert_eq!(hops.find_ip(hops.get(id).target), Some(id));
        }
    }

    #[test]
    fn no_next_hop_stands_for_no_target() {
        let hops = NextHops::default();
        assert_eq!((hops.find(0_u32), hops.find(0_u128)), (None, None));
        assert_eq!(hops.get(NextHopId::NONE).state, NextHopState::NoRoute);
    }

    #[test]
    fn the_directors_own_address_is_known_to_be_there() {
        let own = NextHop::local(7_u32.ip());
        assert!(NextHops::new(vec![NextHop::NONE, towards(8_u32), own]).any_local());
        assert!(!NextHops::new(vec![NextHop::NONE, towards(8_u32)]).any_local());
    }

    #[test]
    fn an_id_newer_than_the_table_has_no_route() {
        assert_eq!(NextHops::default().get(NextHopId(9)), &NextHop::NONE);
    }

    #[test]
    #[should_panic = "entry 0"]
    fn a_table_without_the_empty_entry_is_refused() {
        let _ = NextHops::new(vec![towards(7_u32)]);
    }
}
