//! The snapshot of services: which service takes a packet, and which addresses are virtual.

use super::{Dest, DestShared, Service, ServiceKey};
use crate::flow::FlowKey;
use crate::ids::{DestId, Generation};
use crate::proto::Timeouts;
use ahash::{AHashMap, AHashSet};
use std::ops::RangeInclusive;
use std::sync::Arc;

/// Gives packets to a range of destinations a mark, as `iptables -t mangle … -j MARK` does for a
/// kernel's fwmark services.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MarkRule {
    /// What matching packets get; never 0.
    pub mark: u32,
    /// IP protocol number; `None` for TCP and UDP alike.
    pub proto: Option<u8>,
    /// Destination network, host order; bits beyond `len` do not matter.
    pub prefix: u32,
    /// Prefix length, 0 to 32.
    pub len: u8,
    /// Destination ports, 0 to 65535 for all.
    pub dports: RangeInclusive<u16>,
}

impl MarkRule {
    /// Whether the destination address is in the rule's network.
    #[inline]
    pub fn covers(&self, addr: u32) -> bool {
        (addr ^ self.prefix).checked_shr(32 - u32::from(self.len)).unwrap_or(0) == 0
    }

    #[inline]
    fn matches(&self, key: &FlowKey) -> bool {
        self.covers(key.dst)
            && self.proto.is_none_or(|proto| proto == key.proto)
            && self.dports.contains(&key.dport)
    }
}

/// What one snapshot says of all services alike. Named as the kernel's sysctls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// `ipvsadm --set`, and the defaults of the states it does not set.
    pub timeouts: Timeouts,
    /// Bits: 1 schedules a SYN in TIME_WAIT or CLOSE anew, 2 one in FIN_WAIT too where only the
    /// client's side is seen.
    pub conn_reuse_mode: u8,
    /// Conns on a removed destination end at their next packet instead of waiting for it.
    pub expire_nodest_conn: bool,
    /// TCP conns may begin with any packet but RST.
    pub sloppy_tcp: bool,
    /// Packets with DF that are too big for the path are answered with fragmentation-needed.
    pub pmtu_disc: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            timeouts: Timeouts::default(),
            conn_reuse_mode: 1,
            expire_nodest_conn: false,
            sloppy_tcp: false,
            pmtu_disc: true,
        }
    }
}

/// The immutable table of one generation, built by control, read by workers.
#[derive(Debug)]
pub struct ServiceTable {
    /// Which publication it is.
    pub generation: Generation,
    /// What holds for all services.
    pub settings: Settings,
    services: Vec<Service>,
    /// Services by what they take.
    by_key: AHashMap<ServiceKey, usize>,
    /// With the index of the mark's service, if it has one.
    marks: Vec<(MarkRule, Option<usize>)>,
    vips: AHashSet<u32>,
    /// By [`DestId`].
    places: Vec<Place>,
}

/// Where a destination is found.
#[derive(Debug, Clone, Default)]
enum Place {
    /// The id is free.
    #[default]
    Unknown,
    /// Index of the service, index of the destination in it.
    Present(u32, u32),
    /// Removed, and some worker still has conns on it.
    Removed(Arc<DestShared>),
}

impl ServiceTable {
    /// A table of these services. `marks` in order of precedence. `lingering` are addresses that
    /// no service has any more but conns still do: they stay virtual, so that those conns keep
    /// their worker.
    pub fn new(
        generation: Generation,
        services: Vec<Service>,
        marks: Vec<MarkRule>,
        settings: Settings,
        lingering: &[u32],
    ) -> Self {
        let keys = services.iter().enumerate().map(|(at, service)| (service.key, at));
        let by_key: AHashMap<ServiceKey, usize> = keys.collect();
        let marks = (marks.into_iter())
            .map(|rule| (by_key.get(&ServiceKey::Fwmark(rule.mark)).copied(), rule))
            .map(|(service, rule)| (rule, service))
            .collect();
        let vips = virtual_addresses(&services).chain(lingering.iter().copied()).collect();
        let places = places(&services);
        ServiceTable { generation, settings, services, by_key, marks, vips, places }
    }

    /// Names the destinations that were removed while workers have conns on them, so that
    /// [`ServiceTable::shared`] still finds their counts.
    #[must_use]
    pub fn with_removed(mut self, removed: Vec<(DestId, Arc<DestShared>)>) -> Self {
        for (id, shared) in removed {
            let place = slot(&mut self.places, id);
            if !matches!(place, Place::Present(..)) {
                *place = Place::Removed(shared);
            }
        }
        self
    }

    /// Names mark rules that were removed while workers have conns that they made: their networks
    /// stay virtual, so that those conns keep their worker, and no packet gets a mark of them.
    #[must_use]
    pub fn with_removed_marks(mut self, removed: impl IntoIterator<Item = MarkRule>) -> Self {
        // Behind all others, where without a service a rule leaves its packets to the address.
        self.marks.extend(removed.into_iter().map(|rule| (rule, None)));
        self
    }

    /// Index of the service that takes a client's packet: by mark, else by address and port, else
    /// by address alone (`ip_vs_service_find`).
    #[inline]
    pub fn lookup(&self, key: &FlowKey) -> Option<usize> {
        self.lookup_mark(key).or_else(|| {
            let address = |vport| ServiceKey::Address { proto: key.proto, vip: key.dst, vport };
            let exact = self.by_key.get(&address(key.dport));
            exact.or_else(|| self.by_key.get(&address(0))).copied()
        })
    }

    fn lookup_mark(&self, key: &FlowKey) -> Option<usize> {
        self.marks.iter().find(|(rule, _)| rule.matches(key))?.1
    }

    /// Whether packets to the address are a client's: a service has it, a mark rule covers it (with
    /// a service or not: conns may have outlived it), or conns outlived its service.
    #[inline]
    pub fn is_vip(&self, addr: u32) -> bool {
        self.vips.contains(&addr) || self.marks.iter().any(|(rule, _)| rule.covers(addr))
    }

    /// Whether a packet with this key is a client's: as [`ServiceTable::is_vip`], but of a mark rule
    /// all must fit, so that a rule whose network holds clients does not take their replies.
    #[inline]
    pub fn is_from_client(&self, key: &FlowKey) -> bool {
        self.vips.contains(&key.dst) || self.marks.iter().any(|(rule, _)| rule.matches(key))
    }

    /// The service at an index that [`ServiceTable::lookup`] gave.
    #[inline]
    pub fn service(&self, index: usize) -> &Service {
        &self.services[index]
    }

    /// All services.
    pub fn services(&self) -> &[Service] {
        &self.services
    }

    /// Whether the destination has not been removed.
    #[inline]
    pub fn is_present(&self, id: DestId) -> bool {
        matches!(self.places.get(id.index()), Some(Place::Present(..)))
    }

    /// The destination, unless it was removed.
    #[inline]
    pub fn dest(&self, id: DestId) -> Option<&Dest> {
        let (service, place) = self.place(id)?;
        Some(&self.services[service].dests[place])
    }

    /// Index of the destination's service and its place in the service's list, unless it was
    /// removed.
    #[inline]
    pub fn place(&self, id: DestId) -> Option<(usize, usize)> {
        match self.places.get(id.index()) {
            Some(&Place::Present(service, dest)) => Some((service as usize, dest as usize)),
            _ => None,
        }
    }

    /// The counts of a destination, removed or not.
    #[inline]
    pub fn shared(&self, id: DestId) -> Option<&DestShared> {
        match self.places.get(id.index())? {
            Place::Removed(shared) => Some(shared),
            _ => self.dest(id).map(|dest| &*dest.shared),
        }
    }
}

impl Default for ServiceTable {
    fn default() -> Self {
        ServiceTable::new(Generation(0), Vec::new(), Vec::new(), Settings::default(), &[])
    }
}

fn virtual_addresses(services: &[Service]) -> impl Iterator<Item = u32> {
    services.iter().filter_map(|service| match service.key {
        ServiceKey::Address { vip, .. } => Some(vip),
        ServiceKey::Fwmark(_) => None,
    })
}

fn places(services: &[Service]) -> Vec<Place> {
    let mut places = Vec::new();
    for (s, service) in services.iter().enumerate() {
        for (d, dest) in service.dests.iter().enumerate() {
            *slot(&mut places, dest.id) = Place::Present(s as u32, d as u32);
        }
    }
    places
}

fn slot(places: &mut Vec<Place>, id: DestId) -> &mut Place {
    assert!(id.index() < crate::limits::MAX_DESTS, "destination ids are bounded");
    if places.len() <= id.index() {
        places.resize_with(id.index() + 1, Place::default);
    }
    &mut places[id.index()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::protocol::{TCP, UDP};
    use crate::service::example::{dest, service};

    const VIP: u32 = 0x0a00_0064;
    const OTHER: u32 = 0x0a00_0065;

    fn to(proto: u8, dst: u32, dport: u16) -> FlowKey {
        FlowKey { src: 0xac10_0001, dst, sport: 4000, dport, proto }
    }

    fn address(proto: u8, vip: u32, vport: u16) -> ServiceKey {
        ServiceKey::Address { proto, vip, vport }
    }

    fn rule(mark: u32, prefix: u32, len: u8) -> MarkRule {
        MarkRule { mark, proto: None, prefix, len, dports: 0..=u16::MAX }
    }

    fn table(keys: &[ServiceKey], marks: Vec<MarkRule>) -> ServiceTable {
        let services =
            (1..).zip(keys).map(|(id, &key)| Service { key, ..service(vec![dest(id, 1)]) });
        ServiceTable::new(Generation(1), services.collect(), marks, Settings::default(), &[])
    }

    #[test]
    fn the_port_goes_before_any_port_and_the_protocol_must_fit() {
        let table =
            table(&[address(TCP, VIP, 0), address(TCP, VIP, 80), address(UDP, VIP, 53)], vec![]);
        assert_eq!(table.lookup(&to(TCP, VIP, 80)), Some(1));
        assert_eq!(table.lookup(&to(TCP, VIP, 81)), Some(0));
        assert_eq!(table.lookup(&to(UDP, VIP, 53)), Some(2));
        assert_eq!(table.lookup(&to(UDP, VIP, 80)), None);
        assert_eq!(table.lookup(&to(TCP, OTHER, 80)), None);
    }

    #[test]
    fn a_mark_goes_before_the_address() {
        let keys = [address(TCP, VIP, 80), ServiceKey::Fwmark(7)];
        let only_tcp = MarkRule { proto: Some(TCP), dports: 80..=90, ..rule(7, VIP, 32) };
        let table = table(&keys, vec![only_tcp]);
        assert_eq!(table.lookup(&to(TCP, VIP, 80)), Some(1));
        assert_eq!(table.lookup(&to(TCP, VIP, 91)), None);
        assert_eq!(table.lookup(&to(UDP, VIP, 80)), None);
    }

    #[test]
    fn a_mark_without_a_service_leaves_the_packet_to_the_address() {
        let keys = [address(TCP, VIP, 80), ServiceKey::Fwmark(1)];
        let table = table(&keys, vec![rule(7, VIP, 24), rule(1, VIP, 32)]);
        assert_eq!(table.lookup(&to(TCP, VIP, 80)), Some(0));
        assert!(table.is_vip(OTHER), "conns may have outlived the mark's service");
    }

    #[test]
    fn the_first_rule_that_matches_gives_the_mark() {
        let keys = [ServiceKey::Fwmark(1), ServiceKey::Fwmark(2)];
        let table = table(&keys, vec![rule(2, VIP, 32), rule(1, VIP, 24)]);
        assert_eq!(table.lookup(&to(UDP, VIP, 9)), Some(1));
        assert_eq!(table.lookup(&to(UDP, OTHER, 9)), Some(0));
    }

    #[test]
    fn virtual_are_service_addresses_marked_networks_and_lingering_addresses() {
        let services = vec![
            Service { key: address(TCP, VIP, 80), ..service(vec![]) },
            Service { key: ServiceKey::Fwmark(1), ..service(vec![]) },
        ];
        let marks = vec![rule(1, 0x0a01_0000, 16)];
        let table = ServiceTable::new(Generation(1), services, marks, Settings::default(), &[9]);
        for addr in [VIP, 0x0a01_0000, 0x0a01_ffff, 9] {
            assert!(table.is_vip(addr), "{addr:#x}");
        }
        for addr in [OTHER, 0x0a02_0000, 0x0a00_ffff, 0] {
            assert!(!table.is_vip(addr), "{addr:#x}");
        }
    }

    #[test]
    fn a_removed_mark_rule_keeps_its_network_virtual_and_marks_nothing() {
        let keys = [address(TCP, VIP, 80), ServiceKey::Fwmark(1), ServiceKey::Fwmark(2)];
        let table = table(&keys, vec![rule(2, OTHER, 32)]);
        let table = table.with_removed_marks([rule(1, VIP, 24)]);
        assert!(table.is_vip(0x0a00_00c8));
        assert_eq!(table.lookup(&to(TCP, 0x0a00_00c8, 80)), None, "its mark's service is live");
        assert_eq!(table.lookup(&to(TCP, VIP, 80)), Some(0), "the address is asked");
        assert_eq!(table.lookup(&to(TCP, OTHER, 80)), Some(2), "live rules go first");
    }

    #[test]
    fn a_rule_of_length_0_covers_everything_and_32_one_address() {
        assert!(rule(1, 5, 0).covers(u32::MAX));
        assert!(rule(1, 5, 32).covers(5) && !rule(1, 5, 32).covers(4));
    }

    #[test]
    fn destinations_are_found_by_id_and_removed_ones_only_by_their_counts() {
        let services = vec![service(vec![dest(3, 1), dest(1, 1)]), service(vec![dest(9, 4)])];
        let gone = Arc::new(DestShared::default());
        let table = ServiceTable::new(Generation(1), services, vec![], Settings::default(), &[])
            .with_removed(vec![(DestId(5), Arc::clone(&gone))]);
        assert_eq!(table.dest(DestId(9)).map(|dest| dest.weight), Some(4));
        assert_eq!(table.dest(DestId(1)).map(|dest| dest.id), Some(DestId(1)));
        assert_eq!(table.place(DestId(1)), Some((0, 1)));
        for id in [0, 2, 5, 10, 65_000] {
            assert!(table.dest(DestId(id)).is_none(), "{id}");
        }
        assert!(std::ptr::eq(table.shared(DestId(5)).unwrap(), &*gone));
        assert!(table.shared(DestId(3)).is_some() && table.shared(DestId(4)).is_none());
    }
}
