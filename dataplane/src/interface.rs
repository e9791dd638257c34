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
    untagged: [Untagged; MAX_PORTS],
}

/// The interface of a port's untagged frames, and its MAC address as [`mac_word`] reads it.
#[derive(Debug, Clone, Copy)]
struct Untagged {
    mac: u64,
    id: InterfaceId,
}

/// No frame's destination.
const NO_MAC: u64 = u64::MAX;

/// A MAC address as a number that two frames to it have in common.
#[inline(always)]
fn mac_word(bytes: &[u8; 8]) -> u64 {
    u64::from_le_bytes(*bytes) & 0xffff_ffff_ffff
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
        let none = Untagged { mac: NO_MAC, id: InterfaceId(NONE) };
        let mut untagged = [none; MAX_PORTS];
        for (id, each) in list.iter().enumerate().filter(|(_, each)| each.vlan == 0) {
            let mut mac = [0; 8];
            mac[..6].copy_from_slice(&each.mac);
            let id = InterfaceId(id as u16);
            untagged[each.port.index()] = Untagged { mac: mac_word(&mac), id };
        }
        Interfaces { list, by_port, untagged }
    }

    /// The interface of an untagged frame that arrives on `port` and begins with `head`, if that
    /// names its MAC address: what [`Interfaces::find`] says, and that the frame is for it alone.
    #[inline(always)]
    pub fn addressed(&self, port: PortId, head: &[u8; 8]) -> Option<InterfaceId> {
        let Untagged { mac, id } = *self.untagged.get(port.index())?;
        (mac_word(head) == mac).then_some(id)
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
    fn untagged_frames_find_their_interface_by_port_and_address() {
        let of = |port, vlan, last| Interface {
            port: PortId(port),
            vlan,
            mac: [2, 0, 0, 0, 0, last],
            twin: true,
        };
        let table = Interfaces::new(vec![of(0, 100, 1), of(1, 0, 2), of(1, 100, 2)]);
        let to = |port, last| table.addressed(PortId(port), &[2, 0, 0, 0, 0, last, 9, 9]);

        assert_eq!(to(1, 2), Some(InterfaceId(1)));
        assert_eq!(to(1, 1), None, "another station's");
        assert_eq!(to(0, 1), None, "tagged frames only");
        assert_eq!(table.addressed(PortId(0), &[0xff; 8]), None, "broadcast");
        assert_eq!(to(16, 2), None, "no such port");
    }

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
