//! The local end that a fullnat conn gets towards its real server.
//!
//! Real servers answer to the local address and port, and a NIC or a director that hashes that end
//! must come to the worker that has the conn. [`owner::slot`] is linear over XOR, so the ports of an
//! address that are of one slot are known without a search: 128 of them, those of any other slot are
//! the same ones with some bits turned. A conn gets a port of its client's own slot where it can: then
//! both ends of it are of one slot, whatever number of workers share the slots. If all are taken, a
//! few other slots of the same worker are tried.
//!
//! Nothing is kept of what is taken: the connection table knows, and a port is free again with its
//! conn, whatever ends that, and after a restart. So a real server's TIME_WAIT is over before (the
//! conn's own lasts 120 s). All pairs of local address and port of a slot have their turn before one
//! is tried again.

#[cfg(test)]
mod tests;

use crate::address::{Address, Family};
use crate::ids::DestId;
use crate::limits::{LOCAL_PORT_PROBES, OWNER_SLOTS};
use crate::owner;
use crate::time::Tick;

/// Ports of an address that are of one slot.
pub const PORTS_PER_SLOT: usize = 65_536 / OWNER_SLOTS;

/// Searches that failed which are remembered.
const MEMORIES: usize = 1024;

/// Local ports that fullnat may use, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PortRange {
    /// The least.
    pub first: u16,
    /// The greatest.
    pub last: u16,
}

impl Default for PortRange {
    fn default() -> Self {
        PortRange { first: 1024, last: u16::MAX }
    }
}

impl PortRange {
    /// Whether the port is one of them.
    #[inline]
    pub fn contains(self, port: u16) -> bool {
        (self.first..=self.last).contains(&port)
    }
}

/// A local end: an index of [`crate::conn::Locals`] and a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LocalEnd {
    /// Index of the local address.
    pub index: u16,
    /// Port there.
    pub port: u16,
}

/// What a conn needs a local end for.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// Where it goes.
    pub dest: DestId,
    /// Indices of the service's local addresses.
    pub locals: &'a [u16],
    /// Ports to choose from.
    pub range: PortRange,
}

/// One worker's choices so far.
#[derive(Debug)]
pub struct LocalPorts {
    v4: Spread,
    v6: Spread,
    /// By slot: the place among its pairs where the next search begins. Not the same for all, so that
    /// a service's local addresses have their share from the first conn on.
    turns: Box<[u32]>,
    /// Searches that failed, to be failed at once for the rest of their tick: a flood of clients of one
    /// slot is not to cost a search each.
    failed: Box<[Failed]>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Failed {
    dest: DestId,
    slot: u16,
    at: Tick,
}

impl LocalPorts {
    /// No choice made yet.
    pub fn new() -> LocalPorts {
        let never = Failed { dest: DestId(u32::MAX), slot: 0, at: Tick::default() };
        LocalPorts {
            v4: Spread::new::<u32>(),
            v6: Spread::new::<u128>(),
            turns: (0..OWNER_SLOTS as u32).collect(),
            failed: vec![never; MEMORIES].into(),
        }
    }

    /// A local end that `is_free` for the conn, of the first of `slots` that has one among the
    /// [`LOCAL_PORT_PROBES`] pairs that it tries. `None`: the local ports are exhausted.
    pub fn choose<A: Address>(
        &mut self,
        wanted: &Wanted<'_>,
        slots: impl Iterator<Item = u16>,
        now: Tick,
        address: impl Fn(u16) -> A,
        mut is_free: impl FnMut(A, u16) -> bool,
    ) -> Option<LocalEnd> {
        for slot in slots {
            let place = (usize::from(slot) * 31 + wanted.dest.index()) % MEMORIES;
            let failed = Failed { dest: wanted.dest, slot, at: now };
            if self.failed[place] == failed {
                continue;
            }
            let found = self.choose_of(slot, wanted, &address, &mut is_free);
            if found.is_some() {
                return found;
            }
            self.failed[place] = failed;
        }
        None
    }

    fn choose_of<A: Address>(
        &mut self,
        slot: u16,
        wanted: &Wanted<'_>,
        address: &impl Fn(u16) -> A,
        is_free: &mut impl FnMut(A, u16) -> bool,
    ) -> Option<LocalEnd> {
        let Wanted { locals, range, .. } = *wanted;
        let pairs = locals.len() * PORTS_PER_SLOT;
        let begin = self.turns[usize::from(slot)];
        for probe in 0..pairs.min(LOCAL_PORT_PROBES) as u32 {
            let at = begin.wrapping_add(probe) as usize % pairs;
            let index = locals[at % locals.len()];
            let local = address(index);
            let port = self.spread::<A>().port(local, slot, at / locals.len());
            if range.contains(port) && is_free(local, port) {
                self.turns[usize::from(slot)] = begin.wrapping_add(probe + 1);
                return Some(LocalEnd { index, port });
            }
        }
        self.turns[usize::from(slot)] = begin.wrapping_add(LOCAL_PORT_PROBES as u32);
        None
    }

    #[inline]
    fn spread<A: Address>(&self) -> &Spread {
        match A::FAMILY {
            Family::V4 => &self.v4,
            Family::V6 => &self.v6,
        }
    }
}

impl Default for LocalPorts {
    fn default() -> Self {
        LocalPorts::new()
    }
}

/// How ports spread over slots, for the address 0 of a family.
#[derive(Debug)]
struct Spread {
    /// One port of each slot.
    one: Box<[u16]>,
    /// The ports of slot 0: turning these bits of a port leaves it in its slot.
    same: Box<[u16]>,
}

impl Spread {
    fn new<A: Address>() -> Spread {
        let bits: [u16; 16] = std::array::from_fn(|bit| owner::slot(A::default(), 1 << bit));
        let (mut one, mut same) = (vec![0; OWNER_SLOTS], Vec::with_capacity(PORTS_PER_SLOT));
        let (mut port, mut slot) = (0_u16, 0_u16);
        // All ports, each one bit from the one before.
        for step in 1..=u32::from(u16::MAX) + 1 {
            one[usize::from(slot)] = port;
            if slot == 0 {
                same.push(port);
            }
            let bit = step.trailing_zeros().min(15);
            port ^= 1 << bit;
            slot ^= bits[bit as usize];
        }
        Spread { one: one.into(), same: same.into() }
    }

    /// The port at a place below [`PORTS_PER_SLOT`] among those of the address that are of the slot.
    #[inline]
    fn port<A: Address>(&self, local: A, slot: u16, place: usize) -> u16 {
        self.one[usize::from(slot ^ owner::slot(local, 0))] ^ self.same[place]
    }
}
