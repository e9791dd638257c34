//! Next hops: where frames for an address leave and with which MAC addresses.
//!
//! Published apart from services and routes, so that ARP churn compiles neither. An entry's id
//! stands for a *target address seen from the director* (a real server, a gateway, a client on the
//! same link) and never changes its meaning; what is behind it may change with every table.

use crate::ids::{InterfaceId, NextHopId, PortId};
use ahash::AHashMap;

/// One resolved or unresolved next hop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NextHop {
    /// The address it stands for, host order.
    pub target: u32,
    /// The neighbour to ask for: the target itself, or the gateway towards it.
    pub neighbor: u32,
    /// Interface frames leave through.
    pub interface: InterfaceId,
    /// Port of that interface.
    pub port: PortId,
    /// VLAN id of that interface, 0 for untagged.
    pub vlan: u16,
    /// Largest IP packet that goes out whole.
    pub mtu: u16,
    /// The neighbour's MAC address.
    pub dst_mac: [u8; 6],
    /// The interface's own MAC address.
    pub src_mac: [u8; 6],
    /// The director's own address on the way to it: source of tunnel headers, host order.
    pub local: u32,
    /// What is known of it.
    pub state: NextHopState,
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
}

impl NextHop {
    /// Entry 0 of every table.
    pub const NONE: NextHop = NextHop {
        target: 0,
        neighbor: 0,
        interface: InterfaceId(0),
        port: PortId(0),
        vlan: 0,
        mtu: 1500,
        dst_mac: [0; 6],
        src_mac: [0; 6],
        local: 0,
        state: NextHopState::NoRoute,
    };
}

/// All next hops of one publication. Entry 0 is [`NextHop::NONE`].
#[derive(Debug, Clone)]
pub struct NextHops {
    entries: Vec<NextHop>,
    by_target: AHashMap<u32, NextHopId>,
}

impl NextHops {
    /// A table of `entries`, whose ids are their places; entry 0 must be [`NextHop::NONE`].
    ///
    /// # Panics
    /// If entry 0 is another or there are more than ids.
    pub fn new(entries: Vec<NextHop>) -> Self {
        assert_eq!(entries.first(), Some(&NextHop::NONE), "entry 0 stands for no next hop");
        assert!(entries.len() <= crate::limits::MAX_NEXT_HOPS, "ids are 16 bits wide");
        let by_target = (entries.iter().enumerate().skip(1))
            .map(|(id, hop)| (hop.target, NextHopId(id as u16)))
            .collect();
        NextHops { entries, by_target }
    }

    /// The entry, or [`NextHop::NONE`] if this table is older than the id.
    #[inline]
    pub fn get(&self, id: NextHopId) -> &NextHop {
        self.entries.get(id.index()).unwrap_or(&NextHop::NONE)
    }

    /// The id that stands for a target address.
    #[inline]
    pub fn find(&self, target: u32) -> Option<NextHopId> {
        self.by_target.get(&target).copied()
    }

    /// All entries, entry 0 included.
    pub fn entries(&self) -> &[NextHop] {
        &self.entries
    }
}

impl Default for NextHops {
    fn default() -> Self {
        NextHops::new(vec![NextHop::NONE])
    }
}

/// A worker's wish that a neighbour be resolved, sent to control.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ResolveRequest {
    /// Address to be reached, host order.
    pub target: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn towards(target: u32) -> NextHop {
        NextHop { target, neighbor: target, ..NextHop::NONE }
    }

    #[test]
    fn an_entry_is_found_by_its_id_and_its_target() {
        let hops = NextHops::new(vec![NextHop::NONE, towards(7), towards(8)]);
        assert_eq!(hops.find(8), Some(NextHopId(2)));
        assert_eq!(hops.get(NextHopId(2)).target, 8);
    }

    #[test]
    fn no_next_hop_stands_for_no_target() {
        let hops = NextHops::default();
        assert_eq!(hops.find(0), None);
        assert_eq!(hops.get(NextHopId::NONE).state, NextHopState::NoRoute);
    }

    #[test]
    fn an_id_newer_than_the_table_has_no_route() {
        assert_eq!(NextHops::default().get(NextHopId(9)), &NextHop::NONE);
    }

    #[test]
    #[should_panic = "entry 0"]
    fn a_table_without_the_empty_entry_is_refused() {
        let _ = NextHops::new(vec![towards(7)]);
    }
}
