//! The mirror's pure core: events and wishes in, publications and questions to Linux out.
//!
//! Services are no part of it, and neighbours touch no route: whatever 10,000 neighbours do, only
//! next hops in use are computed anew, and published together.

use super::event::{Dump, Event, KernelNeighbor, NeighborState};
use super::interfaces::{Interfaces, LinkChange, MirrorInterface};
use super::neighbors::{NeighborKey, Neighbors};
use super::routes::{RouteTable, Way};
use super::standing::{Ask, Standing};
use super::targets::{Holder, NoNextHopLeft, Targets};
use crate::config::{Prefix, StaticNeighbor, StaticRoute};
use dataplane::ids::{InterfaceId, NextHopId};
use dataplane::nexthop::{NextHop, NextHopState, NextHops};
use dataplane::route::{RouteTarget, Routes};
use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::time::Instant;

/// What has changed since the last settlement.
#[derive(Debug, Default)]
pub struct Changes {
    /// New routes, if any differ.
    pub routes: Option<Routes>,
    /// New next hops, if any differ.
    pub next_hops: Option<NextHops>,
    /// What to ask of Linux, in order.
    pub asks: Vec<Ask>,
    /// Whether Linux may have changed things without a word, and must be read anew.
    pub resync: bool,
}

/// Everything mirrored.
#[derive(Debug)]
pub struct MirrorState {
    interfaces: Interfaces,
    table: RouteTable,
    neighbors: Neighbors,
    targets: Targets,
    standing: Standing,
    routes: Routes,
    /// What `routes` has, to tell a change from a repetition.
    published: HashMap<Prefix, RouteTarget>,
    /// Interface of each gateway and the number of prefixes that it serves.
    gateways: HashMap<u32, (InterfaceId, usize)>,
    users: HashMap<NeighborKey, HashSet<NextHopId>>,
    dirty: HashSet<NextHopId>,
    all_dirty: bool,
    table_changed: bool,
    standing_dirty: bool,
    requested: HashSet<NextHopId>,
    resync: bool,
}

impl MirrorState {
    /// A mirror of nothing yet but the configuration's own entries. `interfaces` are in the order of
    /// their ids; entries for interfaces with a twin are Linux's and not taken in.
    pub fn new(
        interfaces: Vec<MirrorInterface>,
        routes: &[StaticRoute],
        neighbors: &[StaticNeighbor],
    ) -> Self {
        let interfaces = Interfaces::new(interfaces);
        let mut known = Neighbors::default();
        for it in neighbors.iter().filter(|it| !interfaces.get(it.interface).twin) {
            known.learn((it.interface, it.address.into()), it.mac, true);
        }
        MirrorState {
            table: RouteTable::new(&interfaces, routes),
            interfaces,
            neighbors: known,
            targets: Targets::new(),
            standing: Standing::default(),
            routes: Routes::default(),
            published: HashMap::new(),
            gateways: HashMap::new(),
            users: HashMap::new(),
            dirty: HashSet::new(),
            all_dirty: false,
            table_changed: true,
            standing_dirty: false,
            requested: HashSet::new(),
            resync: false,
        }
    }

    /// Takes in one change of Linux's.
    pub fn apply(&mut self, event: &Event, now: Instant) {
        match event {
            Event::Link(link) => {
                let change = self.interfaces.link(link);
                self.link_changed(change, now);
            }
            Event::LinkGone { ifindex } => {
                let change = self.interfaces.link_gone(*ifindex);
                self.link_changed(change, now);
            }
            Event::Address(own) => self.all_dirty |= self.interfaces.add_address(own),
            // Routes with that source go without a word (`fib_sync_down_addr`).
            Event::AddressGone(own) if self.interfaces.remove_address(own) => {
                (self.all_dirty, self.resync) = (true, true);
            }
            Event::AddressGone(_) => {}
            Event::Route { route, replace } => self.table.add(route, *replace),
            Event::RouteGone(route) => self.table.remove(route),
            Event::Neighbor(neighbor) => self.neighbor(neighbor, now),
            Event::NeighborGone { ifindex, address } => {
                if let Some(id) = self.interfaces.of_link(*ifindex) {
                    self.lose((id, u32::from(*address)), now);
                }
            }
        }
    }

    /// Takes in all that Linux has, in place of what it had.
    pub fn resync(&mut self, dump: &Dump, now: Instant) {
        let present: HashSet<u32> = dump.links.iter().map(|link| link.ifindex).collect();
        for ifindex in self.interfaces.ifindexes() {
            if !present.contains(&ifindex) {
                self.apply(&Event::LinkGone { ifindex }, now);
            }
        }
        for link in &dump.links {
            self.apply(&Event::Link(link.clone()), now);
        }
        self.interfaces.clear_twin_addresses();
        for own in &dump.addresses {
            self.interfaces.add_address(own);
        }
        self.table.replace_all(&dump.routes);
        self.resync_neighbors(&dump.neighbors, now);
        (self.all_dirty, self.resync) = (true, false);
    }

    fn resync_neighbors(&mut self, neighbors: &[KernelNeighbor], now: Instant) {
        let key = |it: &KernelNeighbor| {
            Some((self.interfaces.of_link(it.ifindex)?, u32::from(it.address)))
        };
        let present: HashSet<NeighborKey> = neighbors.iter().filter_map(key).collect();
        let twins = self.interfaces.iter().filter(|(_, it)| it.twin).map(|(id, _)| id);
        let known: Vec<NeighborKey> = twins.flat_map(|id| self.neighbors.on(id)).collect();
        for gone in known.into_iter().filter(|key| !present.contains(key)) {
            self.lose(gone, now);
        }
        for neighbor in neighbors {
            self.neighbor(neighbor, now);
        }
    }

    /// The ids that stand for these real servers, from now on and until released.
    ///
    /// # Errors
    /// If there are no more ids; those before the one that failed stay held.
    pub fn intern(&mut self, targets: &[u32]) -> Result<Vec<NextHopId>, NoNextHopLeft> {
        targets.iter().map(|target| self.hold(*target, Holder::Rules)).collect()
    }

    /// Gives up what [`MirrorState::intern`] gave. Only for real servers that no worker has conns to.
    pub fn release(&mut self, targets: &[u32]) {
        for target in targets {
            self.release_one(*target, Holder::Rules);
        }
    }

    /// A worker wants to send to this target and cannot.
    ///
    /// # Errors
    /// If there are no more ids for on-link clients.
    pub fn request(&mut self, target: u32) -> Result<NextHopId, NoNextHopLeft> {
        let id = self.hold(target, Holder::Workers)?;
        self.requested.insert(id);
        Ok(id)
    }

    /// When [`MirrorState::settle`] has something to do even if nothing happens.
    pub fn deadline(&self) -> Option<Instant> {
        self.neighbors.deadline()
    }

    /// Computes what all events and wishes since the last time come to.
    pub fn settle(&mut self, now: Instant) -> Changes {
        for key in self.neighbors.expire(now) {
            self.touch(key);
        }
        let routes_changed = self.settle_routes();
        self.settle_next_hops();
        if std::mem::take(&mut self.standing_dirty) {
            self.settle_standing();
        }
        self.ask_for_requested();
        Changes {
            routes: routes_changed.then(|| self.routes.clone()),
            next_hops: std::mem::take(&mut self.table_changed)
                .then(|| NextHops::new(self.targets.table())),
            asks: self.standing.take_asks(&self.interfaces),
            resync: std::mem::take(&mut self.resync),
        }
    }

    fn link_changed(&mut self, change: LinkChange, now: Instant) {
        match change {
            LinkChange::None => {}
            LinkChange::Properties => self.all_dirty = true,
            LinkChange::Presence(id) => {
                (self.all_dirty, self.standing_dirty, self.resync) = (true, true, true);
                self.table.links_changed();
                self.standing.forget(id);
                if !self.interfaces.is_up(id) {
                    for key in self.neighbors.on(id) {
                        self.lose(key, now);
                    }
                }
            }
        }
    }

    fn neighbor(&mut self, neighbor: &KernelNeighbor, now: Instant) {
        let Some(id) = self.interfaces.of_link(neighbor.ifindex) else { return };
        let key = (id, u32::from(neighbor.address));
        let (mac, permanent) = match neighbor.state {
            NeighborState::Unknown => {
                self.neighbors.lose(key, self.users.contains_key(&key), now);
                return;
            }
            NeighborState::Known(mac) | NeighborState::Stale(mac) => (mac, false),
            NeighborState::Permanent(mac) => (mac, true),
        };
        let before = (self.neighbors.mac(key), self.neighbors.is_permanent(key));
        self.neighbors.learn(key, mac, permanent);
        if before != (Some(mac), permanent) {
            self.touch(key);
            self.standing_dirty |= before.1 != permanent;
        }
        let stale = matches!(neighbor.state, NeighborState::Stale(_));
        if stale && self.users.contains_key(&key) {
            self.standing.ask(key);
        }
    }

    /// Linux has deleted the entry: whoever uses it wants it back.
    fn lose(&mut self, key: NeighborKey, now: Instant) {
        let in_use = self.users.contains_key(&key);
        self.standing_dirty |= self.neighbors.is_permanent(key);
        let served = self.neighbors.lose(key, in_use, now);
        // A client that was asked for in vain is not asked for again until a worker wants it.
        if in_use && (served || self.standing.is_managed(key)) {
            self.standing.ask(key);
        }
    }

    /// Marks the next hops that go through a neighbour.
    fn touch(&mut self, key: NeighborKey) {
        if let Some(users) = self.users.get(&key) {
            self.dirty.extend(users);
        }
    }

    fn hold(&mut self, target: u32, holder: Holder) -> Result<NextHopId, NoNextHopLeft> {
        let (id, new) = self.targets.hold(target, holder)?;
        self.dirty.insert(id);
        self.table_changed |= new;
        self.standing_dirty |= holder != Holder::Workers;
        Ok(id)
    }

    fn release_one(&mut self, target: u32, holder: Holder) {
        let Some(id) = self.targets.find(target) else { return };
        let neighbor = neighbor_of(self.targets.hop(id));
        self.standing_dirty = true;
        self.dirty.insert(id);
        if self.targets.release(id, holder) {
            self.move_user(id, neighbor, None);
            self.requested.remove(&id);
            self.dirty.remove(&id);
            self.table_changed = true;
        }
    }

    /// Brings `routes` in line with the table; whether they changed.
    fn settle_routes(&mut self) -> bool {
        let mut changed = false;
        for prefix in self.table.take_dirty() {
            let way = self.table.way_of(prefix, &self.interfaces);
            let target = way.and_then(|way| self.target_of(way));
            let before = self.published.get(&prefix).copied();
            self.swap_gateway(before, target, way);
            // A route that only got another source or MTU changes next hops, but not itself.
            self.all_dirty = true;
            if before == target {
                continue;
            }
            changed = true;
            match target {
                Some(target) => {
                    self.routes.insert(prefix.address.into(), prefix.len, target);
                    self.published.insert(prefix, target);
                }
                None => {
                    self.routes.remove(prefix.address.into(), prefix.len);
                    self.published.remove(&prefix);
                }
            }
        }
        changed
    }

    /// A way as workers see it. A gateway for which there is no id is Linux's matter.
    fn target_of(&mut self, way: Way) -> Option<RouteTarget> {
        Some(match way {
            Way::Linux => RouteTarget::Local,
            Way::Through { interface, gateway: 0, .. } => RouteTarget::OnLink(interface),
            Way::Through { gateway, .. } => match self.hold(gateway, Holder::Routes) {
                Ok(id) => RouteTarget::Via(id),
                Err(_) => RouteTarget::Local,
            },
        })
    }

    /// Counts the prefixes of gateways: one more for the new target's, one less for the old one's.
    fn swap_gateway(
        &mut self,
        before: Option<RouteTarget>,
        target: Option<RouteTarget>,
        way: Option<Way>,
    ) {
        if let (Some(RouteTarget::Via(_)), Some(Way::Through { interface, gateway, .. })) =
            (target, way)
        {
            let count = self.gateways.get(&gateway).map_or(0, |(_, count)| *count);
            self.gateways.insert(gateway, (interface, count + 1));
        }
        let Some(RouteTarget::Via(id)) = before else { return };
        let gateway = self.targets.hop(id).target;
        let Some((_, count)) = self.gateways.get_mut(&gateway) else { return };
        *count -= 1;
        if *count == 0 {
            self.gateways.remove(&gateway);
            self.release_one(gateway, Holder::Routes);
        }
    }

    fn settle_next_hops(&mut self) {
        let ids: Vec<NextHopId> = if std::mem::take(&mut self.all_dirty) {
            self.dirty.clear();
            self.targets.ids()
        } else {
            self.dirty.drain().collect()
        };
        for id in ids {
            let old = *self.targets.hop(id);
            let new = self.compute(old.target);
            if old == new {
                continue;
            }
            self.table_changed = true;
            self.targets.set_hop(id, new);
            self.move_user(id, neighbor_of(&old), neighbor_of(&new));
        }
    }

    /// Keeps `users` in line with a next hop that goes through another neighbour.
    fn move_user(&mut self, id: NextHopId, from: Option<NeighborKey>, to: Option<NeighborKey>) {
        if from == to {
            return;
        }
        self.standing_dirty = true;
        if let Some(Entry::Occupied(mut users)) = from.map(|key| self.users.entry(key)) {
            users.get_mut().remove(&id);
            if users.get().is_empty() {
                users.remove();
            }
        }
        if let Some(to) = to {
            self.users.entry(to).or_default().insert(id);
        }
    }

    /// What is behind a target address.
    fn compute(&self, target: u32) -> NextHop {
        let unreachable = NextHop { target, ..NextHop::NONE };
        let way = match self.gateways.get(&target) {
            // A gateway is on the link that its route names, whatever other routes say (`onlink`).
            Some(&(interface, _)) => {
                Some(Way::Through { interface, gateway: 0, source: 0, mtu: None })
            }
            None => self.table.lookup(target, &self.interfaces),
        };
        let Some(Way::Through { interface: id, gateway, source, mtu }) = way else {
            return unreachable;
        };
        let interface = self.interfaces.get(id);
        let neighbor = if gateway == 0 { target } else { gateway };
        let mac = self.neighbors.mac((id, neighbor));
        let local = if source == 0 { self.interfaces.source_towards(id, neighbor) } else { source };
        let limit = mtu.and_then(|mtu| u16::try_from(mtu).ok()).unwrap_or(u16::MAX);
        NextHop {
            target,
            neighbor,
            interface: id,
            port: interface.port,
            vlan: interface.vlan,
            mtu: interface.mtu.min(limit),
            dst_mac: mac.map_or([0; 6], |mac| mac.0),
            src_mac: interface.mac.0,
            local,
            state: if mac.is_some() { NextHopState::Resolved } else { NextHopState::Unresolved },
        }
    }

    /// Brings Linux's list of neighbours to keep resolved in line.
    fn settle_standing(&mut self) {
        let ids = self.targets.ids();
        let standing = ids.iter().filter(|id| self.targets.is_standing(**id));
        let keys = standing.filter_map(|id| neighbor_of(self.targets.hop(*id)));
        let askable =
            keys.filter(|key| self.interfaces.get(key.0).twin && self.interfaces.is_up(key.0));
        let wanted: HashSet<NeighborKey> =
            askable.filter(|key| !self.neighbors.is_permanent(*key)).collect();
        let permanent = |key: NeighborKey| self.neighbors.is_permanent(key);
        self.standing.want(wanted, permanent);
    }

    fn ask_for_requested(&mut self) {
        for id in std::mem::take(&mut self.requested) {
            let hop = self.targets.hop(id);
            if hop.state == NextHopState::Unresolved {
                self.standing.ask((hop.interface, hop.neighbor));
            }
        }
    }
}

/// The neighbour that a next hop's frames go to, if a route leads there.
fn neighbor_of(hop: &NextHop) -> Option<NeighborKey> {
    (hop.state != NextHopState::NoRoute).then_some((hop.interface, hop.neighbor))
}
