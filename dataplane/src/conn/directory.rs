//! Which destination an id stands for.
//!
//! Conns carry ids, so an id must outlive its destination's removal until no worker has conns on
//! it, and a destination that is added again must find its id and thereby its conns. Control asks
//! at every change of the configuration, no packet does.

use crate::ids::{DestId, ServiceId};
use ahash::AHashMap;
use bytemuck::{Pod, Zeroable};
use std::collections::VecDeque;
use std::net::IpAddr;

/// What an id stands for, as it survives in a region. Zero: nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Pod, Zeroable)]
#[repr(C)]
pub struct DestRecord {
    /// Service the destination belongs to.
    pub service: ServiceId,
    /// Real server's address, network order; of an IPv4 address the first four bytes.
    rip: [u8; 16],
    /// Real server's port, 0 for the packet's own.
    pub rport: u16,
    /// Of the address: 4 or 6.
    version: u8,
    /// 1 while the id is given out; written last.
    used: u8,
}

type Name = (ServiceId, IpAddr, u16);

impl DestRecord {
    fn new((service, rip, rport): Name) -> DestRecord {
        let mut bytes = [0; 16];
        let version = match rip {
            IpAddr::V4(rip) => {
                bytes[..4].copy_from_slice(&rip.octets());
                4
            }
            IpAddr::V6(rip) => {
                bytes = rip.octets();
                6
            }
        };
        DestRecord { service, rip: bytes, rport, version, used: 1 }
    }

    /// Real server's address.
    pub fn rip(&self) -> IpAddr {
        match (self.version, self.rip) {
            (4, [a, b, c, d, ..]) => [a, b, c, d].into(),
            (_, bytes) => bytes.into(),
        }
    }

    fn name(&self) -> Name {
        (self.service, self.rip(), self.rport)
    }
}

/// The ids of all destinations, present and removed, that conns may carry.
#[derive(Debug, Clone)]
pub struct DestDirectory {
    /// By id; entry 0 is never used.
    records: Box<[DestRecord]>,
    by_name: AHashMap<Name, DestId>,
    /// Ids to be given out, the one that was freed first in front: a conn that should not be there
    /// any more is not soon another's.
    free: VecDeque<DestId>,
}

impl DestDirectory {
    /// An empty directory of at most `capacity` ids, 0 not counted.
    pub fn new(capacity: usize) -> DestDirectory {
        Self::from_records(vec![DestRecord::default(); capacity + 1].into())
    }

    /// Takes over the records of another process; of two with one name the first counts.
    ///
    /// # Panics
    /// If there is no record 0.
    pub fn from_records(mut records: Box<[DestRecord]>) -> DestDirectory {
        records[0] = DestRecord::default();
        let mut by_name = AHashMap::with_capacity(records.len());
        let mut free = VecDeque::with_capacity(records.len());
        for (number, record) in records.iter_mut().enumerate().skip(1) {
            let id = DestId(number as u32);
            if record.used == 1 && !by_name.contains_key(&record.name()) {
                by_name.insert(record.name(), id);
            } else {
                *record = DestRecord::default();
                free.push_back(id);
            }
        }
        DestDirectory { records, by_name, free }
    }

    /// The id of a destination: the one it has, else a new one. `None` if all are in use.
    pub fn allocate(&mut self, service: ServiceId, rip: IpAddr, rport: u16) -> Option<DestId> {
        if let Some(id) = self.find(service, rip, rport) {
            return Some(id);
        }
        let id = self.free.pop_front()?;
        self.records[id.index()] = DestRecord::new((service, rip, rport));
        self.by_name.insert((service, rip, rport), id);
        Some(id)
    }

    /// The id that a destination has.
    pub fn find(&self, service: ServiceId, rip: IpAddr, rport: u16) -> Option<DestId> {
        self.by_name.get(&(service, rip, rport)).copied()
    }

    /// What an id stands for.
    pub fn get(&self, id: DestId) -> Option<&DestRecord> {
        self.records.get(id.index()).filter(|record| record.used == 1)
    }

    /// Frees the id of a removed destination, once no worker has conns on it. Does nothing if it is
    /// not in use.
    pub fn free(&mut self, id: DestId) {
        let Some(record) = self.get(id).copied() else { return };
        self.by_name.remove(&record.name());
        self.records[id.index()] = DestRecord::default();
        self.free.push_back(id);
    }

    /// Ids in use.
    pub fn len(&self) -> usize {
        self.by_name.len()
    }

    /// Whether no id is in use.
    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    /// The records by id, as they are to survive.
    pub fn records(&self) -> &[DestRecord] {
        &self.records
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, Ipv6Addr};

    const SERVICE: ServiceId = ServiceId(7);
    const RIP: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 2, 1));
    const RIP6: IpAddr = IpAddr::V6(Ipv6Addr::new(10, 0, 2, 1, 0, 0, 0, 0));

    #[test]
    fn adding_a_destination_again_finds_its_id() {
        let mut directory = DestDirectory::new(4);
        let id = directory.allocate(SERVICE, RIP, 80).unwrap();
        assert_ne!(id, DestId(0));
        assert_ne!(directory.allocate(SERVICE, RIP, 81), Some(id));
        assert_ne!(directory.allocate(ServiceId(8), RIP, 80), Some(id));
        assert_eq!(directory.allocate(SERVICE, RIP, 80), Some(id));
        let record = directory.get(id).unwrap();
        assert_eq!((record.service, record.rip(), record.rport), (SERVICE, RIP, 80));
    }

    #[test]
    fn all_ids_but_0_are_given_out_once_and_again_only_when_freed() {
        let mut directory = DestDirectory::new(3);
        let ids: Vec<_> =
            (1..=3).map(|port| directory.allocate(SERVICE, RIP, port).unwrap()).collect();
        assert_eq!(ids, [DestId(1), DestId(2), DestId(3)]);
        assert_eq!(directory.allocate(SERVICE, RIP, 4), None);
        directory.free(ids[1]);
        directory.free(ids[1]);
        assert_eq!((directory.get(ids[1]), directory.len()), (None, 2));
        assert_eq!(directory.allocate(SERVICE, RIP, 4), Some(ids[1]));
        assert_eq!(directory.find(SERVICE, RIP, 2), None);
    }

    #[test]
    fn families_are_kept_apart() {
        let mut directory = DestDirectory::new(3);
        let [v4, v6] = [RIP, RIP6].map(|rip| directory.allocate(SERVICE, rip, 80).unwrap());
        assert_ne!(v4, v6);
        let later = DestDirectory::from_records(directory.records().into());
        assert_eq!([v4, v6].map(|id| later.get(id).unwrap().rip()), [RIP, RIP6]);
    }

    #[test]
    fn a_later_process_finds_the_same_ids() {
        let mut directory = DestDirectory::new(3);
        (1..=3).for_each(|port| assert!(directory.allocate(SERVICE, RIP, port).is_some()));
        directory.free(DestId(2));
        let mut later = DestDirectory::from_records(directory.records().into());
        assert_eq!(later.find(SERVICE, RIP, 3), Some(DestId(3)));
        assert_eq!(later.allocate(SERVICE, RIP, 9), Some(DestId(2)));
        assert_eq!(later.allocate(SERVICE, RIP, 10), None);
    }
}
