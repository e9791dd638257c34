//! Interfaces: the pairs of port and VLAN that have addresses, neighbours and a kernel twin.

use crate::ids::{InterfaceId, PortId};
use crate::limits::{MAX_INTERFACES, MAX_PORTS};

/// One pair of port and VLAN. Fixed at start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    /// Its port.
    pub port: PortId,
    /// Its VLAN id, 0 for untagged frames.
    pub vlan: u16,
    /// Its MAC address, the port's.
    pub mac: [u8; 6],
    /// Whether what is not load-balanced goes to a kernel twin.
    pub twin: bool,
}

const VLANS: usize = 4096;
const NONE: u16 = u16::MAX;

/// All interfaces, found by port and VLAN in one load.
#[derive(Debug)]
pub struct Interfaces {
    list: Vec<Interface>,
    by_port: Vec<Box<[u16; VLANS]>>,
}

impl Interfaces {
    /// A table of `list`; the places in it are the ids.
    ///
    /// # Panics
    /// If there are more than the limits allow, or a VLAN id is over 4095: configuration checks
    /// come before.
    pub fn new(list: Vec<Interface>) -> Self {
        assert!(list.len() <= MAX_INTERFACES, "at most {MAX_INTERFACES} interfaces");
        let ports = list.iter().map(|each| each.port.index() + 1).max().unwrap_or(0);
        assert!(ports <= MAX_PORTS, "at most {MAX_PORTS} ports");
        let mut by_port = vec![Box::new([NONE; VLANS]); ports];
        for (id, each) in list.iter().enumerate() {
            by_port[each.port.index()][usize::from(each.vlan)] = id as u16;
        }
        Interfaces { list, by_port }
    }

    /// The interface of frames that arrive on `port` with this VLAN id (0: untagged).
    #[inline]
    pub fn find(&self, port: PortId, vlan: u16) -> Option<InterfaceId> {
        let id = self.by_port.get(port.index())?[usize::from(vlan) % VLANS];
        (id != NONE).then_some(InterfaceId(id))
    }

    /// One of them.
    ///
    /// # Panics
    /// If the id is not of this table.
    #[inline]
    pub fn get(&self, id: InterfaceId) -> &Interface {
        &self.list[id.index()]
    }

    /// All, in the order of their ids.
    pub fn list(&self) -> &[Interface] {
        &self.list
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_find_their_interface_by_port_and_vlan() {
        let of = |port, vlan| Interface { port: PortId(port), vlan, mac: [0; 6], twin: true };
        let table = Interfaces::new(vec![of(0, 0), of(1, 100), of(1, 0)]);

        assert_eq!(table.find(PortId(0), 0), Some(InterfaceId(0)));
        assert_eq!(table.find(PortId(1), 100), Some(InterfaceId(1)));
        assert_eq!(table.find(PortId(1), 0), Some(InterfaceId(2)));
        assert_eq!(table.find(PortId(0), 100), None);
        assert_eq!(table.find(PortId(9), 0), None);
    }
}
