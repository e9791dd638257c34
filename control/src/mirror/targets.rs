//! Next-hop ids: which target address each stands for, and who holds it.

use dataplane::ids::NextHopId;
use dataplane::limits::MAX_NEXT_HOPS;
use dataplane::nexthop::NextHop;
use std::collections::{HashMap, VecDeque};

/// Ids for on-link clients that workers ask for. The rest is kept for real servers and gateways,
/// so that a scan of the subnet starves neither.
const MAX_REQUESTED: usize = MAX_NEXT_HOPS / 4 * 3;

/// Why a target gets no next-hop id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoNextHopLeft;

impl std::fmt::Display for NoNextHopLeft {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "all {} next hops are in use: remove real servers or gateways", MAX_NEXT_HOPS - 1)
    }
}

impl std::error::Error for NoNextHopLeft {}

/// Why an id is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Holder {
    /// A rule names it as a real server.
    Rules,
    /// A route names it as its gateway.
    Routes,
    /// A worker asked for it.
    Workers,
}

#[derive(Debug, Clone)]
struct Slot {
    /// By [`Holder`].
    held: [bool; 3],
    hop: NextHop,
}

impl Slot {
    fn is_free(&self) -> bool {
        self.held == [false; 3]
    }
}

/// All ids given out so far.
#[derive(Debug)]
pub(super) struct Targets {
    /// By id.
    slots: Vec<Slot>,
    by_target: HashMap<u32, NextHopId>,
    /// Released ids, the longest-free first.
    free: VecDeque<NextHopId>,
    requested: usize,
}

impl Targets {
    pub(super) fn new() -> Self {
        let none = Slot { held: [true; 3], hop: NextHop::NONE };
        let (by_target, free) = (HashMap::new(), VecDeque::new());
        Targets { slots: vec![none], by_target, free, requested: 0 }
    }

    /// The id of a target, given out anew if it has none; whether it had none.
    pub(super) fn hold(
        &mut self,
        target: u32,
        holder: Holder,
    ) -> Result<(NextHopId, bool), NoNextHopLeft> {
        if let Some(&id) = self.by_target.get(&target) {
            self.slots[id.index()].held[holder as usize] = true;
            return Ok((id, false));
        }
        if holder == Holder::Workers && self.requested >= MAX_REQUESTED {
            return Err(NoNextHopLeft);
        }
        let id = self.fresh(target).ok_or(NoNextHopLeft)?;
        self.requested += usize::from(holder == Holder::Workers);
        self.slots[id.index()].held[holder as usize] = true;
        self.by_target.insert(target, id);
        Ok((id, true))
    }

    /// An id nobody had, or else the longest-free: workers may still have conns with it.
    fn fresh(&mut self, target: u32) -> Option<NextHopId> {
        let slot = Slot { held: [false; 3], hop: NextHop { target, ..NextHop::NONE } };
        if self.slots.len() < MAX_NEXT_HOPS {
            self.slots.push(slot);
            return Some(NextHopId((self.slots.len() - 1) as u16));
        }
        let id = self.free.pop_front()?;
        self.slots[id.index()] = slot;
        Some(id)
    }

    /// The id of a target, if it has one.
    pub(super) fn find(&self, target: u32) -> Option<NextHopId> {
        self.by_target.get(&target).copied()
    }

    /// Gives up one holder's claim; whether the id is free then.
    pub(super) fn release(&mut self, id: NextHopId, holder: Holder) -> bool {
        let slot = &mut self.slots[id.index()];
        slot.held[holder as usize] = false;
        if !slot.is_free() {
            return false;
        }
        self.by_target.remove(&slot.hop.target);
        slot.hop = NextHop::NONE;
        self.free.push_back(id);
        true
    }

    pub(super) fn hop(&self, id: NextHopId) -> &NextHop {
        &self.slots[id.index()].hop
    }

    pub(super) fn set_hop(&mut self, id: NextHopId, hop: NextHop) {
        self.slots[id.index()].hop = hop;
    }

    pub(super) fn is_free(&self, id: NextHopId) -> bool {
        self.slots[id.index()].is_free()
    }

    /// Whether packets are expected to need it at any time, not only after a worker asked.
    pub(super) fn is_standing(&self, id: NextHopId) -> bool {
        let held = self.slots[id.index()].held;
        held[Holder::Rules as usize] || held[Holder::Routes as usize]
    }

    /// Ids in use.
    pub(super) fn ids(&self) -> Vec<NextHopId> {
        let ids = (1..self.slots.len()).map(|id| NextHopId(id as u16));
        ids.filter(|id| !self.is_free(*id)).collect()
    }

    /// The table of a publication.
    pub(super) fn table(&self) -> Vec<NextHop> {
        self.slots.iter().map(|slot| slot.hop).collect()
    }
}
