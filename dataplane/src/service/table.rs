//! The snapshot of services: which service takes a packet, and which addresses are virtual.

use super::claims::{Claimed, Claims};
use super::lineage::Lineage;
use super::real_services::RealServices;
use super::{Dest, DestShared, IcmpLimits, Service};
use crate::address::Address;
use crate::by_family::ByFamily;
use crate::flow::{FlowKey, protocol};
use crate::forward::tunnel::Encap;
use crate::ids::{DestId, Generation, ServiceId};
use crate::local_ports::PortRange;
use crate::proto::Timeouts;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::sync::Arc;

/// Gives packets to a range of destinations a mark, as `iptables -t mangle … -j MARK` and
/// `ip6tables` do for a kernel's fwmark services.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MarkRule {
    /// What matching packets get; never 0.
    pub mark: u32,
    /// IP protocol number; `None` for all that have ports.
    pub proto: Option<u8>,
    /// Destination network, whose family the packets are of; bits beyond `len` do not matter.
    pub prefix: IpAddr,
    /// Prefix length, 0 to 32 or 128.
    pub len: u8,
    /// Destination ports, 0 to 65535 for all.
    pub dports: RangeInclusive<u16>,
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
    /// A client's template ends when its destination is quiesced, instead of leading it there on.
    pub expire_quiescent_template: bool,
    /// TCP conns may begin with any packet but RST.
    pub sloppy_tcp: bool,
    /// SCTP conns may begin with any packet but ABORT.
    pub sloppy_sctp: bool,
    /// TCP's states go by the table for floods: `secure_tcp` acts.
    pub secure_tcp: bool,
    /// Entries that look like a flood's end early: `drop_entry` acts.
    pub drop_entry: bool,
    /// How many new conns are refused.
    pub drop_packet: DropPacket,
    /// Packets with DF that are too big for the path are answered with fragmentation-needed.
    pub pmtu_disc: bool,
    /// Real servers that send from a masq service's port without a conn get port-unreachable.
    pub nat_icmp_send: bool,
    /// Packets of a fwmark service without a destination go on to the foreign address they are for.
    pub cache_bypass: bool,
    /// Ports that fullnat may use at local addresses.
    pub local_ports: PortRange,
    /// An ICMP error about a flow without a conn begins one, as a first packet does.
    pub schedule_icmp: bool,
    /// How many ICMP errors may be sent; none for any number.
    pub icmp_limits: Option<IcmpLimits>,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            timeouts: Timeouts::default(),
            conn_reuse_mode: 1,
            expire_nodest_conn: false,
            expire_quiescent_template: false,
            sloppy_tcp: false,
            sloppy_sctp: false,
            secure_tcp: false,
            drop_entry: false,
            drop_packet: DropPacket::default(),
            pmtu_disc: true,
            nat_icmp_send: false,
            cache_bypass: false,
            local_ports: PortRange::default(),
            schedule_icmp: false,
            icmp_limits: None,
        }
    }
}

/// What `drop_packet` does to packets that would begin a conn, worker by worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DropPacket {
    /// Every so many of them is dropped, 0 for none.
    pub rate: u32,
    /// They are counted anew each second: as the kernel does while memory is low.
    pub anew: bool,
}

impl Settings {
    /// Whether conns of the protocol may begin in their middle.
    pub fn is_sloppy(&self, proto: u8) -> bool {
        match proto {
            protocol::TCP => self.sloppy_tcp,
            protocol::SCTP => self.sloppy_sctp,
            _ => false,
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
    lineage: Lineage,
    claims: ByFamily<Claimed>,
    real_services: RealServices,
    /// Local addresses of fullnat by index.
    locals: Vec<(u16, IpAddr)>,
    /// By [`DestId`].
    places: Vec<Place>,
    flush: Generation,
}

const _: () = assert!(size_of::<Place>() == 16, "four to a cache line");

/// Where a destination is found.
#[derive(Debug, Clone, Default)]
enum Place {
    /// The id is free.
    #[default]
    Unknown,
    /// Index of the service, index of the destination in it, and how its tunnel wraps: in the cache
    /// line that says that it is there.
    Present(u32, u32, Encap),
    /// Removed, and some worker still has conns on it.
    Removed(Arc<DestShared>),
}

impl ServiceTable {
    /// A table of these services, which follows none. `marks` in order of precedence. `lingering` are addresses that
    /// no service has any more but conns still do: they stay virtual, so that those conns keep
    /// their worker.
    pub fn new(
        generation: Generation,
        mut services: Vec<Service>,
        marks: Vec<MarkRule>,
        settings: Settings,
        lingering: &[IpAddr],
    ) -> Self {
        let lineage = Lineage::new(generation, &mut services);
        let claims = ByFamily {
            v4: Claims::new(&services, &marks, lingering),
            v6: Claims::new(&services, &marks, lingering),
        };
        let places = places(&services);
        let real_services = RealServices::of(&services);
        ServiceTable {
            generation,
            settings,
            services,
            lineage,
            claims,
            locals: Vec::new(),
            real_services,
            places,
            flush: Generation::default(),
        }
    }

    /// Says which table was published before it: services that are in both go on. Without it they
    /// all begin with this one.
    #[must_use]
    pub fn after(mut self, before: &ServiceTable) -> Self {
        self.lineage.follow(&mut self.services, |id| before.find(id));
        self
    }

    /// Names the last generation that removed a destination while `expire_nodest_conn` was on.
    #[must_use]
    pub fn with_flush(self, flush: Generation) -> Self {
        ServiceTable { flush, ..self }
    }

    /// The last generation, this one or an earlier, whose removals end all conns of removed
    /// destinations (`ip_vs_expire_nodest_conn_flush`).
    pub fn flush(&self) -> Generation {
        self.flush
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
        for rule in removed {
            self.claims.v4.push_removed(&rule);
            self.claims.v6.push_removed(&rule);
        }
        self
    }

    /// Names the local addresses of fullnat, each by its index of [`crate::conn::Locals`]: those of the
    /// services, and others as long as conns may have them. No mark makes packets to them a client's.
    #[must_use]
    pub fn with_locals(mut self, locals: Vec<(u16, IpAddr)>) -> Self {
        for &(_, address) in &locals {
            self.claims.v4.push_local(address);
            self.claims.v6.push_local(address);
        }
        self.locals = locals;
        self
    }

    /// The local addresses of fullnat, each with its index.
    pub fn locals(&self) -> &[(u16, IpAddr)] {
        &self.locals
    }

    /// Index of the service that takes a client's packet: by mark, else by address and port, else
    /// the FTP service of the address if the packet may be of one of its data connections, else by
    /// address alone (`ip_vs_service_find`).
    #[inline]
    pub fn lookup<A: Address>(&self, key: &FlowKey<A>) -> Option<usize> {
        self.claims.of::<A>().lookup(key)
    }

    /// Whether a masq service has this real server.
    pub fn has_real_service<A: Address>(&self, proto: u8, rip: A, rport: u16) -> bool {
        self.real_services.has(proto, rip.ip(), rport)
    }

    /// Index of the service that a real server may begin a conn of from this port, and what
    /// it is there as a destination: of the services that have it, the one that got it last decides
    /// (`ip_vs_find_real_service`).
    pub fn caller<A: Address>(&self, proto: u8, rip: A, rport: u16) -> Option<(usize, &Dest)> {
        let (index, dest) = self.real_services.caller(proto, rip.ip(), rport)?;
        let service = self.service(index);
        service.calls_out.then(|| (index, &service.dests[dest]))
    }

    /// Whether packets to the address are a client's: a service has it, a mark rule covers it (with
    /// a service or not: conns may have outlived it), or conns outlived its service.
    #[inline]
    pub fn is_vip<A: Address>(&self, addr: A) -> bool {
        self.claims.of::<A>().is_vip(addr)
    }

    /// Whether a packet with this key is a client's: as [`ServiceTable::is_vip`], but of a mark rule
    /// all must fit, so that a rule whose network holds clients does not take their replies.
    #[inline]
    pub fn is_from_client<A: Address>(&self, key: &FlowKey<A>) -> bool {
        self.claims.of::<A>().is_from_client(key)
    }

    /// The service at an index that [`ServiceTable::lookup`] gave.
    #[inline]
    pub fn service(&self, index: usize) -> &Service {
        &self.services[index]
    }

    /// The service with an id.
    #[inline]
    pub fn find(&self, id: ServiceId) -> Option<&Service> {
        Some(self.service(self.lineage.index(id)?))
    }

    /// The services that began or were edited after a generation, all but the first `skip` of them.
    pub fn edited_since(
        &self,
        generation: Generation,
        skip: usize,
    ) -> impl Iterator<Item = &Service> {
        let rest = self.lineage.by_edit().get(skip..).unwrap_or_default().iter();
        let services = rest.map(|&index| self.service(index as usize));
        services.take_while(move |service| service.edited > generation)
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
            Some(&Place::Present(service, dest, _)) => Some((service as usize, dest as usize)),
            _ => None,
        }
    }

    /// How the destination's tunnel wraps packets, unless it was removed.
    #[inline]
    pub fn encap(&self, id: DestId) -> Option<Encap> {
        match self.places.get(id.index()) {
            Some(&Place::Present(.., encap)) => Some(encap),
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

fn places(services: &[Service]) -> Vec<Place> {
    let mut places = Vec::new();
    for (s, service) in services.iter().enumerate() {
        for (d, dest) in service.dests.iter().enumerate() {
            *slot(&mut places, dest.id) = Place::Present(s as u32, d as u32, dest.encap);
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
mod tests;
