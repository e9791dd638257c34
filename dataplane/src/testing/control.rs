//! Control in miniature: the rules, neighbours and routes of a simulated director, and the
//! snapshots that its workers get of them.

use super::machine::Machine;
use crate::address::Address;
use crate::conn::DestDirectory;
use crate::flow::protocol;
use crate::forward::tunnel::Encap;
use crate::ids::{DestId, Generation, InterfaceId, NextHopId, PortId, ServiceId};
use crate::interface::Interface;
use crate::mailbox::Message;
use crate::nexthop::{NextHop, NextHopState, NextHops};
use crate::route::{RouteTarget, Routes};
use crate::sched::{Locality, SchedulerKind};
use crate::service::persistence::{ClientMask, Persistence};
use crate::service::{
    ClientAddress, Dest, DestShared, ForwardingMethod, Fullnat, MarkRule, Service, ServiceKey,
    ServiceTable, Settings,
};
use crate::template::Engine;
use crate::time::ticks;
use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;

/// An address as tests write it: an integer in host order, or of any family.
pub trait AnyIp: Copy {
    /// The address.
    fn any(self) -> IpAddr;
}

impl<A: Address> AnyIp for A {
    fn any(self) -> IpAddr {
        self.ip()
    }
}

impl AnyIp for IpAddr {
    fn any(self) -> IpAddr {
        self
    }
}

/// A destination as a rule names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Server {
    /// Real server's address.
    pub rip: IpAddr,
    /// Its port, 0 for the packet's own.
    pub rport: u16,
    /// 0 is quiesced.
    pub weight: u32,
    /// How packets reach it.
    pub method: ForwardingMethod,
    /// How its tunnel wraps them.
    pub encap: Encap,
    /// Upper and lower threshold, 0 for none.
    pub thresholds: (u32, u32),
}

impl Server {
    /// A destination of weight 1 without thresholds.
    pub fn new(rip: impl AnyIp, rport: u16, method: ForwardingMethod) -> Self {
        let encap = Encap::Ipip;
        Server { rip: rip.any(), rport, weight: 1, method, encap, thresholds: (0, 0) }
    }

    /// The same with another weight.
    pub fn weight(self, weight: u32) -> Self {
        Server { weight, ..self }
    }

    /// The same behind a tunnel that wraps so.
    pub fn encap(self, encap: Encap) -> Self {
        Server { encap, ..self }
    }

    /// The same with thresholds.
    pub fn thresholds(self, upper: u32, lower: u32) -> Self {
        Server { thresholds: (upper, lower), ..self }
    }
}

/// A service as a rule names it; its place in the list of all is its id.
#[derive(Debug, Clone)]
struct Rule {
    key: ServiceKey,
    scheduler: SchedulerKind,
    persistence: Option<Persistence>,
    one_packet: bool,
    calls_out: bool,
    fullnat: Fullnat,
    locality: Option<Arc<Locality>>,
    /// Deleted services keep their id: destinations added again find their conns.
    present: bool,
    /// The last added comes first.
    servers: Vec<Server>,
}

/// The desired state of a simulated director. Changes count from the next [`Control::publish`] on.
pub struct Control {
    /// What holds for all services.
    pub settings: Settings,
    /// Mark rules, in order of precedence.
    pub marks: Vec<MarkRule>,
    /// Next hops; their places are their ids, entry 0 stays [`NextHop::NONE`].
    pub next_hops: Vec<NextHop>,
    /// Routes.
    pub routes: Routes,
    interfaces: Vec<Interface>,
    rules: Vec<Rule>,
    /// Local addresses of fullnat; their places, from 1, are their indices.
    locals: Vec<IpAddr>,
    directory: DestDirectory,
    shared: HashMap<DestId, Arc<DestShared>>,
    generation: u64,
    /// The last snapshot.
    last: Arc<ServiceTable>,
    /// The destinations of the last snapshot, and the last that lacked one of the snapshot before while
    /// `expire_nodest_conn` was on.
    present: HashSet<DestId>,
    flush: Generation,
}

impl Control {
    /// No services, neighbours or routes, on these interfaces.
    pub fn new(interfaces: &[Interface]) -> Self {
        Control {
            settings: Settings::default(),
            marks: Vec::new(),
            next_hops: vec![NextHop::NONE],
            routes: Routes::default(),
            interfaces: interfaces.to_vec(),
            rules: Vec::new(),
            locals: Vec::new(),
            directory: DestDirectory::new(1000),
            shared: HashMap::new(),
            generation: 0,
            last: Arc::default(),
            present: HashSet::new(),
            flush: Generation::default(),
        }
    }

    /// A resolved neighbour on an interface, on the link itself and with an MTU of 1500. The
    /// director's own address there ends in 1, of a network of 24 bits or 64.
    pub fn neighbor(
        &mut self,
        address: impl AnyIp,
        interface: InterfaceId,
        mac: [u8; 6],
    ) -> NextHopId {
        let Interface { port, vlan, mac: own, .. } = self.interfaces[interface.index()];
        let address = address.any();
        let local = match address {
            IpAddr::V4(address) => (address.to_bits() & 0xffff_ff00 | 1).ip(),
            IpAddr::V6(address) => (address.to_bits() >> 64 << 64 | 1).ip(),
        };
        self.next_hops.push(NextHop {
            target: address,
            neighbor: address,
            interface,
            port,
            vlan,
            mtu: 1500,
            dst_mac: mac,
            src_mac: own,
            local,
            state: NextHopState::Resolved,
        });
        NextHopId(self.next_hops.len() as u16 - 1)
    }

    /// The entry that stands for an address.
    ///
    /// # Panics
    /// If there is none.
    pub fn hop(&mut self, target: impl AnyIp) -> &mut NextHop {
        let mut hops = self.next_hops.iter_mut();
        hops.find(|hop| hop.target == target.any()).expect("a neighbour of this address")
    }

    /// Routes a prefix through the neighbour `gateway`.
    pub fn route<A: Address>(&mut self, prefix: A, len: u8, gateway: A) {
        let at = self.next_hops.iter().position(|hop| hop.target == gateway.ip());
        let id = NextHopId(at.expect("a neighbour of this address") as u16);
        self.routes.insert(prefix.ip(), len, RouteTarget::Via(id));
    }

    /// Adds a service, or changes its scheduler, or brings it back without destinations.
    pub fn service(&mut self, key: ServiceKey, scheduler: SchedulerKind) {
        match self.rules.iter_mut().find(|rule| rule.key == key) {
            Some(rule) => (rule.scheduler, rule.present) = (scheduler, true),
            None => self.rules.push(Rule {
                key,
                scheduler,
                persistence: None,
                one_packet: false,
                calls_out: false,
                fullnat: Fullnat::default(),
                locality: None,
                present: true,
                servers: Vec::new(),
            }),
        }
    }

    /// Makes a service persistent for so many seconds, each client by itself; none ends that.
    pub fn persist(&mut self, key: ServiceKey, seconds: Option<u32>, engine: Option<Engine>) {
        let mask = ClientMask::exact(key.family());
        self.rule(key).persistence =
            seconds.map(|seconds| Persistence { timeout: ticks(seconds), mask, engine });
    }

    /// Lets a service's masq servers begin conns, or no longer, as an engine does.
    pub fn calls_out(&mut self, key: ServiceKey, calls_out: bool) {
        self.rule(key).calls_out = calls_out;
    }

    /// Makes a service schedule each packet by itself, or no longer.
    pub fn one_packet(&mut self, key: ServiceKey, one_packet: bool) {
        self.rule(key).one_packet = one_packet;
    }

    /// Gives a service local addresses, and says how its real servers learn the client's.
    pub fn fullnat(
        &mut self,
        key: ServiceKey,
        locals: &[impl AnyIp],
        client_address: ClientAddress,
    ) {
        let indices = locals.iter().map(|local| {
            let known = self.locals.iter().position(|&known| known == local.any());
            let at = known.unwrap_or_else(|| {
                self.locals.push(local.any());
                self.locals.len() - 1
            });
            at as u16 + 1
        });
        let locals = indices.collect();
        self.rule(key).fullnat = Fullnat { locals, client_address };
    }

    /// Deletes a service and its destinations.
    pub fn delete_service(&mut self, key: ServiceKey) {
        let rule = self.rule(key);
        (rule.present, rule.locality) = (false, None);
        rule.servers.clear();
    }

    /// Adds a destination in front of the others, or edits it in its place.
    pub fn server(&mut self, key: ServiceKey, server: Server) {
        let rule = self.rule(key);
        let same = |old: &&mut Server| (old.rip, old.rport) == (server.rip, server.rport);
        match rule.servers.iter_mut().find(same) {
            Some(old) => {
                let before = std::mem::replace(old, server);
                let id = self.dest_id(key, server.rip, server.rport);
                let dest = self.dest(id, &server);
                dest.thresholds_edited(before.thresholds.0);
            }
            None => rule.servers.insert(0, server),
        }
    }

    /// Removes a destination.
    pub fn delete_server(&mut self, key: ServiceKey, rip: impl AnyIp, rport: u16) {
        let gone = (rip.any(), rport);
        self.rule(key).servers.retain(|server| (server.rip, server.rport) != gone);
    }

    /// The destinations of a service that is there, last added first.
    pub fn servers(&self, key: ServiceKey) -> Option<&[Server]> {
        let rule = self.rules.iter().find(|rule| rule.key == key && rule.present)?;
        Some(&rule.servers)
    }

    /// The id of a destination, present or not.
    pub fn dest_id(&mut self, key: ServiceKey, rip: impl AnyIp, rport: u16) -> DestId {
        let at = self.rules.iter().position(|rule| rule.key == key).expect("a service once added");
        let service = ServiceId(at as u32 + 1);
        self.directory.allocate(service, rip.any(), rport).expect("a small number of destinations")
    }

    /// What workers share about a destination.
    pub fn shared(&mut self, id: DestId) -> &Arc<DestShared> {
        self.shared.entry(id).or_default()
    }

    /// All destinations that there ever were, with what is shared about them.
    pub fn all_shared(&self) -> impl Iterator<Item = (DestId, &Arc<DestShared>)> {
        self.shared.iter().map(|(id, shared)| (*id, shared))
    }

    /// The snapshot of the services. Every address that ever was virtual stays so, and every
    /// destination that ever was is named, since conns may be left on it.
    pub fn services(&mut self) -> Arc<ServiceTable> {
        self.generation += 1;
        let mut services = Vec::new();
        for (at, rule) in self.rules.clone().iter().enumerate() {
            if rule.present {
                let dests = rule.servers.iter().map(|server| {
                    let id = self.dest_id(rule.key, server.rip, server.rport);
                    self.dest(id, server)
                });
                let dests = dests.collect();
                let id = ServiceId(at as u32 + 1);
                let service = Service::new(id, rule.key, rule.scheduler, dests)
                    .remembering(&mut self.rules[at].locality);
                let Rule { persistence, one_packet, calls_out, ref fullnat, .. } = *rule;
                let fullnat = fullnat.clone();
                services.push(Service { persistence, one_packet, calls_out, fullnat, ..service });
            }
        }
        let vips: Vec<IpAddr> = self.rules.iter().filter_map(|rule| vip(rule.key)).collect();
        let removed = self.shared.iter().map(|(id, shared)| (*id, shared.clone())).collect();
        let generation = Generation(self.generation);
        let table =
            ServiceTable::new(generation, services, self.marks.clone(), self.settings, &vips);
        let locals = (1..).zip(self.locals.iter().copied()).collect();
        self.note_removals(&table);
        let table = table.after(&self.last).with_removed(removed).with_locals(locals);
        self.last = Arc::new(table.with_flush(self.flush));
        self.last.clone()
    }

    fn note_removals(&mut self, table: &ServiceTable) {
        let dests = table.services().iter().flat_map(|service| &service.dests);
        let present: HashSet<DestId> = dests.map(|dest| dest.id).collect();
        if self.settings.expire_nodest_conn && !self.present.is_subset(&present) {
            self.flush = Generation(self.generation);
        }
        self.present = present;
    }

    /// The generation of the last snapshot whose removals end conns.
    pub fn flush(&self) -> Generation {
        self.flush
    }

    /// The generation of the last snapshot.
    pub fn generation(&self) -> Generation {
        Generation(self.generation)
    }

    /// Posts everything to every worker: next hops first, as services name them.
    pub fn publish(&mut self, machine: &Machine) {
        machine.post(&Message::NextHops(Arc::new(NextHops::new(self.next_hops.clone()))));
        machine.post(&Message::Routes(Arc::new(self.routes.clone())));
        machine.post(&Message::Services(self.services()));
    }

    fn rule(&mut self, key: ServiceKey) -> &mut Rule {
        self.rules.iter_mut().find(|rule| rule.key == key).expect("a service once added")
    }

    fn dest(&mut self, id: DestId, server: &Server) -> Dest {
        let hops = &self.next_hops;
        let hop = hops.iter().position(|hop| hop.target == server.rip).unwrap_or(0);
        Dest {
            id,
            rip: server.rip,
            rport: server.rport,
            weight: server.weight,
            last_weight: server.weight,
            method: server.method,
            encap: server.encap,
            u_threshold: server.thresholds.0,
            l_threshold: server.thresholds.1,
            next_hop: NextHopId(hop as u16),
            added: u64::from(id.0),
            shared: self.shared(id).clone(),
        }
    }
}

fn vip(key: ServiceKey) -> Option<IpAddr> {
    match key {
        ServiceKey::Address { vip, .. } => Some(vip),
        ServiceKey::Fwmark { .. } => None,
    }
}

/// A TCP service's key.
pub fn tcp(vip: impl AnyIp, vport: u16) -> ServiceKey {
    ServiceKey::Address { proto: protocol::TCP, vip: vip.any(), vport }
}

/// A UDP service's key.
pub fn udp(vip: impl AnyIp, vport: u16) -> ServiceKey {
    ServiceKey::Address { proto: protocol::UDP, vip: vip.any(), vport }
}

/// An interface with a kernel twin.
pub fn interface(port: u16, vlan: u16, mac: [u8; 6]) -> Interface {
    Interface { port: PortId(port), vlan, mac, twin: true }
}
