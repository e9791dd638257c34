//! Next-hop ids: which target address each stands for, who holds it, and for how long.

use dataplane::ids::NextHopId;
use dataplane::limits::MAX_NEXT_HOPS;
use dataplane::nexthop::{NextHop, NextHopState};
use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// Ids for on-link clients that workers ask for. The rest is kept for real servers and gateways,
/// so that a scan of the subnet starves neither.
const MAX_REQUESTED: usize = MAX_NEXT_HOPS / 4 * 3;

/// How long an on-link client that does not answer keeps its id after a worker asked for it: ten
/// times what Linux takes to give up on a neighbour. A worker that needs it again asks again.
pub(super) const QUIET: Duration = Duration::from_secs(30);

/// How long one that answers keeps its id if there is a [`CROWD`].
pub(super) const IDLE: Duration = Duration::from_secs(300);

/// How many clients must have ids for those that answer to lose theirs. Nobody knows which of them
/// are idle, because workers do not ask for a next hop that they have.
const CROWD: usize = MAX_REQUESTED / 2;

/// How long a released id stands for nothing. Workers take tables between two windows, so that an
/// older one that names it is long gone when it stands for another target.
pub(super) const QUARANTINE: Duration = Duration::from_secs(10);

/// Ids looked at in one settlement.
const BATCH: usize = 1024;

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
    /// When a worker asked for it last.
    asked_at: Option<Instant>,
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
    by_target: HashMap<IpAddr, NextHopId>,
    /// Released ids and since when, the longest-free first.
    free: VecDeque<(Instant, NextHopId)>,
    /// Ids that workers hold, one entry each, and when to look at them next.
    quiet: VecDeque<(Instant, NextHopId)>,
}

impl Targets {
    pub(super) fn new() -> Self {
        let none = Slot { held: [true; 3], asked_at: None, hop: NextHop::NONE };
        let (by_target, free, quiet) = (HashMap::new(), VecDeque::new(), VecDeque::new());
        Targets { slots: vec![none], by_target, free, quiet }
    }

    /// The id of a target, given out anew if it has none; whether it had none.
    pub(super) fn hold(
        &mut self,
        target: IpAddr,
        holder: Holder,
        now: Instant,
    ) -> Result<(NextHopId, bool), NoNextHopLeft> {
        let known = self.find(target);
        if known.is_none() && holder == Holder::Workers && self.quiet.len() >= MAX_REQUESTED {
            return Err(NoNextHopLeft);
        }
        let id = match known {
            Some(id) => id,
            None => self.fresh(target, now).ok_or(NoNextHopLeft)?,
        };
        self.by_target.insert(target, id);
        let slot = &mut self.slots[id.index()];
        let held_before = std::mem::replace(&mut slot.held[holder as usize], true);
        if holder == Holder::Workers {
            slot.asked_at = Some(now);
            if !held_before {
                self.quiet.push_back((now + QUIET, id));
            }
        }
        Ok((id, known.is_none()))
    }

    /// The longest-free id if its quarantine is over, or else one that nobody had.
    fn fresh(&mut self, target: IpAddr, now: Instant) -> Option<NextHopId> {
        let hop = NextHop { target, ..NextHop::NONE };
        let slot = Slot { held: [false; 3], asked_at: None, hop };
        if let Some(&(since, id)) = self.free.front() {
            if since + QUARANTINE <= now {
                self.free.pop_front();
                self.slots[id.index()] = slot;
                return Some(id);
            }
        }
        (self.slots.len() < MAX_NEXT_HOPS).then(|| {
            self.slots.push(slot);
            NextHopId((self.slots.len() - 1) as u16)
        })
    }

    /// The targets that no worker has asked for lately and whose neighbour does not answer, or that
    /// are one of too many: the workers' claim is the caller's to release. Looks at a bounded number.
    pub(super) fn take_quiet(&mut self, now: Instant) -> Vec<IpAddr> {
        let mut quiet = Vec::new();
        for _ in 0..BATCH {
            let Some(&(_, id)) = self.quiet.front().filter(|(due, _)| *due <= now) else { break };
            self.quiet.pop_front();
            if self.keeps(id, now) {
                self.quiet.push_back((now + QUIET, id));
            } else {
                quiet.push(self.hop(id).target);
            }
        }
        quiet
    }

    /// Whether a worker's claim outlives its silence.
    fn keeps(&self, id: NextHopId, now: Instant) -> bool {
        let slot = &self.slots[id.index()];
        let answers = slot.hop.state == NextHopState::Resolved;
        let lately = if answers { IDLE } else { QUIET };
        let asked = slot.asked_at.is_some_and(|asked| asked + lately > now);
        asked || (answers && self.quiet.len() < CROWD)
    }

    /// When [`Targets::take_quiet`] has something to do.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.quiet.front().map(|(due, _)| *due)
    }

    /// The id of a target, if it has one.
    pub(super) fn find(&self, target: IpAddr) -> Option<NextHopId> {
        self.by_target.get(&target).copied()
    }

    /// Gives up one holder's claim; whether the id is free then.
    pub(super) fn release(&mut self, id: NextHopId, holder: Holder, now: Instant) -> bool {
        let slot = &mut self.slots[id.index()];
        let held = std::mem::replace(&mut slot.held[holder as usize], false);
        if !held || !slot.is_free() {
            return false;
        }
        self.by_target.remove(&slot.hop.target);
        slot.hop = NextHop::NONE;
        self.free.push_back((now, id));
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

    /// Whether this holder holds a target's id.
    pub(super) fn is_held(&self, target: IpAddr, holder: Holder) -> bool {
        self.find(target).is_some_and(|id| self.slots[id.index()].held[holder as usize])
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
