//! The mirror's pure core: events and wishes in; `settle` makes publications and questions of them.
//!
//! Services are no part of it, and neighbours touch no route: whatever 10,000 neighbours do, only
//! next hops in use are computed anew, and published together.

use super::event::{Dump, Event, KernelNeighbor, NeighborState};
use super::interfaces::{Interfaces, LinkChange, MirrorInterface};
use super::neighbors::{NeighborKey, Neighbors};
use super::routes::RouteTable;
use super::settle::neighbor_of;
use super::standing::{Ask, Standing};
use super::targets::{Holder, NoNextHopLeft, Targets};
use crate::config::{Prefix, StaticNeighbor, StaticRoute};
use dataplane::ids::{InterfaceId, NextHopId};
use dataplane::nexthop::NextHops;
use dataplane::route::{RouteTarget, Routes};
use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
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
    pub(super) interfaces: Interfaces,
    pub(super) table: RouteTable,
    pub(super) neighbors: Neighbors,
    pub(super) targets: Targets,
    pub(super) standing: Standing,
    pub(super) routes: Routes,
    /// What `routes` has, to tell a change from a repetition.
    pub(super) published: HashMap<Prefix, RouteTarget>,
    /// Interface of each gateway and the number of prefixes that it serves.
    pub(super) gateways: HashMap<IpAddr, (InterfaceId, usize)>,
    pub(super) users: HashMap<NeighborKey, HashSet<NextHopId>>,
    pub(super) dirty: HashSet<NextHopId>,
    pub(super) all_dirty: bool,
    pub(super) table_changed: bool,
    pub(super) standing_dirty: bool,
    pub(super) requested: HashSet<NextHopId>,
    pub(super) resync: bool,
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
            known.learn((it.interface, it.address), it.mac, true);
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
                    self.lose((id, *address), now);
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
        let key = |it: &KernelNeighbor| Some((self.interfaces.of_link(it.ifindex)?, it.address));
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
    /// If there are not ids for all of them; then none is held that was not before.
    pub fn intern(
        &mut self,
        targets: &[IpAddr],
        now: Instant,
    ) -> Result<Vec<NextHopId>, NoNextHopLeft> {
        let (mut ids, mut new) = (Vec::with_capacity(targets.len()), Vec::new());
        for &target in targets {
            let held = self.targets.is_held(target, Holder::Rules);
            match self.hold(target, Holder::Rules, now) {
                Ok(id) => ids.push(id),
                Err(none_left) => {
                    self.release(&new, now);
                    return Err(none_left);
                }
            }
            new.extend((!held).then_some(target));
        }
        Ok(ids)
    }

    /// Gives up what [`MirrorState::intern`] gave. Only for real servers that no worker has conns to.
    pub fn release(&mut self, targets: &[IpAddr], now: Instant) {
        for target in targets {
            self.release_one(*target, Holder::Rules, now);
        }
    }

    /// A worker wants to send to this target and cannot.
    ///
    /// # Errors
    /// If there are no more ids for on-link clients.
    pub fn request(&mut self, target: IpAddr, now: Instant) -> Result<NextHopId, NoNextHopLeft> {
        let id = self.hold(target, Holder::Workers, now)?;
        self.requested.insert(id);
        Ok(id)
    }

    /// When [`MirrorState::settle`] has something to do even if nothing happens.
    pub fn deadline(&self) -> Option<Instant> {
        self.neighbors.deadline().into_iter().chain(self.targets.deadline()).min()
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
        let key = (id, neighbor.address);
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
    pub(super) fn touch(&mut self, key: NeighborKey) {
        if let Some(users) = self.users.get(&key) {
            self.dirty.extend(users);
        }
    }

    pub(super) fn hold(
        &mut self,
        target: IpAddr,
        holder: Holder,
        now: Instant,
    ) -> Result<NextHopId, NoNextHopLeft> {
        let (id, new) = self.targets.hold(target, holder, now)?;
        self.dirty.insert(id);
        self.table_changed |= new;
        self.standing_dirty |= holder != Holder::Workers;
        Ok(id)
    }

    pub(super) fn release_one(&mut self, target: IpAddr, holder: Holder, now: Instant) {
        let Some(id) = self.targets.find(target) else { return };
        let neighbor = neighbor_of(self.targets.hop(id));
        self.standing_dirty |= holder != Holder::Workers;
        self.dirty.insert(id);
        if self.targets.release(id, holder, now) {
            self.move_user(id, neighbor, None);
            self.requested.remove(&id);
            self.dirty.remove(&id);
            self.table_changed = true;
        }
    }
}
