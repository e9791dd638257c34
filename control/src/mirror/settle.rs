//! What events and wishes come to: routes and next hops computed anew where something changed, and
//! the questions that follow.

use super::neighbors::NeighborKey;
use super::routes::Way;
use super::scope::{on_the_wire, target_on};
use super::state::{Changes, MirrorState};
use super::targets::Holder;
use dataplane::ids::NextHopId;
use dataplane::nexthop::{NextHop, NextHopState, NextHops};
use dataplane::route::RouteTarget;
use std::collections::HashSet;
use std::collections::hash_map::Entry;
use std::net::IpAddr;
use std::time::Instant;

impl MirrorState {
    /// Computes what all events and wishes since the last time come to.
    pub fn settle(&mut self, now: Instant) -> Changes {
        for key in self.neighbors.expire(now) {
            self.touch(key);
        }
        for target in self.targets.take_quiet(now) {
            self.release_one(target, Holder::Workers, now);
        }
        let routes_changed = self.settle_routes(now);
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

    /// Brings `routes` in line with the table; whether they changed.
    fn settle_routes(&mut self, now: Instant) -> bool {
        let mut changed = false;
        for prefix in self.table.take_dirty() {
            let way = self.table.way_of(prefix, &self.interfaces);
            let target = way.and_then(|way| self.target_of(way, now));
            let before = self.published.get(&prefix).copied();
            self.swap_gateway(before, target, way, now);
            // A route that only got another source or MTU changes next hops, but not itself.
            self.all_dirty = true;
            if before == target {
                continue;
            }
            changed = true;
            match target {
                Some(target) => {
                    self.routes.insert(prefix.address, prefix.len, target);
                    self.published.insert(prefix, target);
                }
                None => {
                    self.routes.remove(prefix.address, prefix.len);
                    self.published.remove(&prefix);
                }
            }
        }
        changed
    }

    /// A way as workers see it. A gateway for which there is no id is Linux's matter.
    fn target_of(&mut self, way: Way, now: Instant) -> Option<RouteTarget> {
        Some(match way {
            Way::Own => RouteTarget::Local,
            Way::Linux => RouteTarget::Linux,
            Way::Through { interface, gateway: None, .. } => RouteTarget::OnLink(interface),
            Way::Through { interface, gateway: Some(gateway), .. } => {
                match self.hold(target_on(interface, gateway), Holder::Routes, now) {
                    Ok(id) => RouteTarget::Via(id),
                    Err(_) => RouteTarget::Linux,
                }
            }
        })
    }

    /// Counts the prefixes of gateways: one more for the new target's, one less for the old one's.
    fn swap_gateway(
        &mut self,
        before: Option<RouteTarget>,
        target: Option<RouteTarget>,
        way: Option<Way>,
        now: Instant,
    ) {
        if let (
            Some(RouteTarget::Via(_)),
            Some(Way::Through { interface, gateway: Some(gateway), .. }),
        ) = (target, way)
        {
            let gateway = target_on(interface, gateway);
            let count = self.gateways.get(&gateway).map_or(0, |(_, count)| *count);
            self.gateways.insert(gateway, (interface, count + 1));
        }
        let Some(RouteTarget::Via(id)) = before else { return };
        let gateway = self.targets.hop(id).target;
        let Some((_, count)) = self.gateways.get_mut(&gateway) else { return };
        *count -= 1;
        if *count == 0 {
            self.gateways.remove(&gateway);
            self.release_one(gateway, Holder::Routes, now);
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
    pub(super) fn move_user(
        &mut self,
        id: NextHopId,
        from: Option<NeighborKey>,
        to: Option<NeighborKey>,
    ) {
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
    fn compute(&self, target: IpAddr) -> NextHop {
        let unreachable = NextHop { target, ..NextHop::NONE };
        let way = match self.gateways.get(&target) {
            // A gateway is on the link that its route names, whatever other routes say (`onlink`).
            Some(&(interface, _)) => {
                Some(Way::Through { interface, gateway: None, source: None, mtu: None })
            }
            None => self.table.lookup(target, &self.interfaces),
        };
        let (id, gateway, source, mtu) = match way {
            Some(Way::Through { interface, gateway, source, mtu }) => {
                (interface, gateway, source, mtu)
            }
            Some(Way::Own) => return NextHop::local(target),
            Some(Way::Linux) | None => return unreachable,
        };
        let interface = self.interfaces.get(id);
        let neighbor = on_the_wire(gateway.unwrap_or(target));
        let mac = self.neighbors.mac((id, neighbor));
        let local = source.or_else(|| self.interfaces.source_towards(id, neighbor, target));
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
            local: local.unwrap_or(NextHop::NONE.local),
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

/// The neighbour that a next hop's frames go to, if a route leads to one.
pub(super) fn neighbor_of(hop: &NextHop) -> Option<NeighborKey> {
    let leaves = matches!(hop.state, NextHopState::Unresolved | NextHopState::Resolved);
    leaves.then_some((hop.interface, hop.neighbor))
}
