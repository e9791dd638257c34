//! Counters of one worker: written by it alone, read by anybody, never locked.
//!
//! A single writer needs no read-modify-write: a relaxed load and a relaxed store are two plain
//! moves. The director gathers a window's packets in a [`Tally`] and adds it once.

mod others;

pub use others::{OthersLoad, aggregate};

use crate::ids::DestId;
use crate::limits::{MAX_DESTS, MAX_LOCALS};
use crate::verdict::{DropReason, PuntClass};
use bytemuck::Zeroable;
use crossbeam::utils::CachePadded;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

/// Adds to a counter whose only writer is the caller.
#[inline]
fn add(counter: &AtomicU64, count: u64) {
    counter.store(counter.load(Relaxed).wrapping_add(count), Relaxed);
}

/// All counters of one worker, shared with control.
#[derive(Debug)]
pub struct WorkerCounters {
    packets: CachePadded<Packets>,
    dests: Box<[DestCounters]>,
    /// Conns by the index of their local address ([`crate::conn::Locals`]).
    locals: Box<[AtomicU32]>,
    /// Conns in this worker's table.
    pub conns: AtomicU64,
    /// Conns dropped half-open to make room (the rule for a full table).
    pub evicted: AtomicU64,
    /// Packets that went without the TCP option that tells the client's address: no room.
    pub toa_omitted: AtomicU64,
    /// Entries that `drop_entry` dropped.
    pub dropped_entries: AtomicU64,
    /// ICMP errors that were not sent because of Linux's limits.
    pub icmp_limited: AtomicU64,
    /// Generation of the service table in use.
    pub generation: AtomicU64,
    /// Turns of the loop: standing still means a stall.
    pub turns: AtomicU64,
    /// Turns that found no packet.
    pub idle_turns: AtomicU64,
}

#[derive(Debug)]
struct Packets {
    received: AtomicU64,
    handed_in: AtomicU64,
    from_twin: AtomicU64,
    made: AtomicU64,
    sent: AtomicU64,
    handed_out: AtomicU64,
    held: AtomicU64,
    punted: [AtomicU64; PuntClass::COUNT],
    dropped: [AtomicU64; DropReason::COUNT],
}

/// Where packets came from and went, as numbers: a window's tally, or a reading of the totals.
///
/// Invariant: [`Tally::taken`] = [`Tally::given`] + held, for every worker at the end of a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Zeroable)]
pub struct Tally {
    /// From receive queues.
    pub received: u64,
    /// From other workers' hand-over rings.
    pub handed_in: u64,
    /// From kernel twins.
    pub from_twin: u64,
    /// Made here: ICMP errors and fragments.
    pub made: u64,
    /// Taken by transmit queues.
    pub sent: u64,
    /// Put on other workers' hand-over rings.
    pub handed_out: u64,
    /// Put on punt rings, by [`PuntClass::index`].
    pub punted: [u64; PuntClass::COUNT],
    /// Dropped, by [`DropReason::index`].
    pub dropped: [u64; DropReason::COUNT],
    /// Waiting for a next hop: a level, not a count. In a window's tally always 0.
    pub held: u64,
}

// By hand: the library implements `Default` for arrays of at most 32.
impl Default for Packets {
    fn default() -> Self {
        let zero = AtomicU64::default;
        Packets {
            received: zero(),
            handed_in: zero(),
            from_twin: zero(),
            made: zero(),
            sent: zero(),
            handed_out: zero(),
            held: zero(),
            punted: Default::default(),
            dropped: std::array::from_fn(|_| zero()),
        }
    }
}

impl Default for Tally {
    fn default() -> Self {
        Tally::zeroed()
    }
}

impl Tally {
    /// Packets that came into this worker's hands.
    pub fn taken(&self) -> u64 {
        self.received + self.handed_in + self.from_twin + self.made
    }

    /// Packets that left them.
    pub fn given(&self) -> u64 {
        self.sent
            + self.handed_out
            + self.punted.iter().sum::<u64>()
            + self.dropped.iter().sum::<u64>()
    }

    /// Whether every packet is accounted for.
    pub fn is_conserved(&self) -> bool {
        self.taken() == self.given() + self.held
    }

    /// Counts one drop.
    #[inline]
    pub fn drop_one(&mut self, reason: DropReason) {
        self.dropped[reason.index()] += 1;
    }
}

impl std::ops::AddAssign for Tally {
    fn add_assign(&mut self, other: Tally) {
        self.received += other.received;
        self.handed_in += other.handed_in;
        self.from_twin += other.from_twin;
        self.made += other.made;
        self.sent += other.sent;
        self.handed_out += other.handed_out;
        self.held += other.held;
        self.punted.iter_mut().zip(other.punted).for_each(|(total, part)| *total += part);
        self.dropped.iter_mut().zip(other.dropped).for_each(|(total, part)| *total += part);
    }
}

impl WorkerCounters {
    /// All zero, with room for every destination id.
    pub fn new() -> Self {
        WorkerCounters {
            packets: CachePadded::default(),
            dests: std::iter::repeat_with(DestCounters::default).take(MAX_DESTS).collect(),
            locals: std::iter::repeat_with(AtomicU32::default).take(MAX_LOCALS).collect(),
            conns: AtomicU64::new(0),
            evicted: AtomicU64::new(0),
            toa_omitted: AtomicU64::new(0),
            dropped_entries: AtomicU64::new(0),
            icmp_limited: AtomicU64::new(0),
            generation: AtomicU64::new(0),
            turns: AtomicU64::new(0),
            idle_turns: AtomicU64::new(0),
        }
    }

    /// Adds a window's tally and sets the level of held packets. Writer only.
    pub fn gather(&self, tally: &Tally, held: usize) {
        let packets = &*self.packets;
        add(&packets.received, tally.received);
        add(&packets.handed_in, tally.handed_in);
        add(&packets.from_twin, tally.from_twin);
        add(&packets.made, tally.made);
        add(&packets.sent, tally.sent);
        add(&packets.handed_out, tally.handed_out);
        packets.held.store(held as u64, Relaxed);
        for (total, &count) in packets.punted.iter().zip(&tally.punted) {
            add_if_any(total, count);
        }
        for (total, &count) in packets.dropped.iter().zip(&tally.dropped) {
            add_if_any(total, count);
        }
    }

    /// The totals, each read on its own: exact while the worker stands still.
    pub fn read(&self) -> Tally {
        let packets = &*self.packets;
        Tally {
            received: packets.received.load(Relaxed),
            handed_in: packets.handed_in.load(Relaxed),
            from_twin: packets.from_twin.load(Relaxed),
            made: packets.made.load(Relaxed),
            sent: packets.sent.load(Relaxed),
            handed_out: packets.handed_out.load(Relaxed),
            punted: std::array::from_fn(|class| packets.punted[class].load(Relaxed)),
            dropped: std::array::from_fn(|reason| packets.dropped[reason].load(Relaxed)),
            held: packets.held.load(Relaxed),
        }
    }

    /// A packet goes without the option that tells the client's address. Writer only.
    pub fn omits_toa(&self) {
        add(&self.toa_omitted, 1);
    }

    /// Counts an ICMP error that is not sent. Writer only.
    pub fn icmp_limited(&self) {
        add(&self.icmp_limited, 1);
    }

    /// A conn with a local address begins. Writer only.
    pub fn local_begins(&self, index: u16) {
        shift(&self.locals[usize::from(index)], 1);
    }

    /// One ends. Writer only.
    pub fn local_ends(&self, index: u16) {
        shift(&self.locals[usize::from(index)], -1);
    }

    /// Conns that name a local address.
    pub fn conns_of_local(&self, index: u16) -> u32 {
        self.locals[usize::from(index)].load(Relaxed)
    }

    /// The counters of one destination.
    #[inline]
    pub fn dest(&self, id: DestId) -> &DestCounters {
        &self.dests[id.index()]
    }
}

impl Default for WorkerCounters {
    fn default() -> Self {
        WorkerCounters::new()
    }
}

/// Most reasons and classes do not occur in most windows: their lines stay untouched.
#[inline]
fn add_if_any(counter: &AtomicU64, count: u64) {
    if count != 0 {
        add(counter, count);
    }
}

/// What one worker did for one destination; one cache line.
#[derive(Debug, Default)]
#[repr(align(64))]
pub struct DestCounters {
    conns: AtomicU64,
    in_packets: AtomicU64,
    in_bytes: AtomicU64,
    out_packets: AtomicU64,
    out_bytes: AtomicU64,
    active: AtomicU32,
    inactive: AtomicU32,
}

/// A reading of [`DestCounters`], summable over workers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DestTotals {
    /// Conns scheduled since the id was given out.
    pub conns: u64,
    /// Packets from clients.
    pub in_packets: u64,
    /// Bytes of those packets, IP header and payload.
    pub in_bytes: u64,
    /// Packets to clients (masq only).
    pub out_packets: u64,
    /// Bytes of those packets, IP header and payload.
    pub out_bytes: u64,
    /// Conns in an active state (`ip_vs_proto_tcp.c`).
    pub active: u64,
    /// All other conns.
    pub inactive: u64,
    /// Persistence templates of all workers: no worker's part, so added where parts are summed.
    pub persistent: u64,
}

impl DestCounters {
    /// One packet of `bytes` from a client.
    #[inline]
    pub fn inbound(&self, bytes: u64) {
        add(&self.in_packets, 1);
        add(&self.in_bytes, bytes);
    }

    /// One packet of `bytes` to a client.
    #[inline]
    pub fn outbound(&self, bytes: u64) {
        add(&self.out_packets, 1);
        add(&self.out_bytes, bytes);
    }

    /// More `bytes` of a packet from a client: a later fragment.
    pub fn more_inbound(&self, bytes: u64) {
        add(&self.in_bytes, bytes);
    }

    /// More `bytes` of a packet to a client.
    pub fn more_outbound(&self, bytes: u64) {
        add(&self.out_bytes, bytes);
    }

    /// A conn begins, inactive until its first packet is tracked.
    pub fn conn_begins(&self) {
        add(&self.conns, 1);
        shift(&self.inactive, 1);
    }

    /// A conn begins and ends, with its only packet.
    pub fn conn_passes(&self) {
        add(&self.conns, 1);
    }

    /// A conn that an adopted region brought along.
    pub fn conn_adopted(&self, active: bool) {
        shift(if active { &self.active } else { &self.inactive }, 1);
    }

    /// A conn ends.
    pub fn conn_ends(&self, active: bool) {
        shift(if active { &self.active } else { &self.inactive }, -1);
    }

    /// A conn changes between active and inactive.
    pub fn conn_turns(&self, active: bool) {
        let step = if active { 1 } else { -1 };
        shift(&self.active, step);
        shift(&self.inactive, -step);
    }

    /// Conns in an active state.
    #[inline]
    pub fn active(&self) -> u32 {
        self.active.load(Relaxed)
    }

    /// All other conns.
    #[inline]
    pub fn inactive(&self) -> u32 {
        self.inactive.load(Relaxed)
    }

    /// All of them at once, each read on its own.
    pub fn read(&self) -> DestTotals {
        DestTotals {
            conns: self.conns.load(Relaxed),
            in_packets: self.in_packets.load(Relaxed),
            in_bytes: self.in_bytes.load(Relaxed),
            out_packets: self.out_packets.load(Relaxed),
            out_bytes: self.out_bytes.load(Relaxed),
            active: u64::from(self.active()),
            inactive: u64::from(self.inactive()),
            persistent: 0,
        }
    }
}

impl std::ops::AddAssign for DestTotals {
    fn add_assign(&mut self, other: DestTotals) {
        self.conns += other.conns;
        self.in_packets += other.in_packets;
        self.in_bytes += other.in_bytes;
        self.out_packets += other.out_packets;
        self.out_bytes += other.out_bytes;
        self.active += other.active;
        self.inactive += other.inactive;
        self.persistent += other.persistent;
    }
}

#[inline]
fn shift(level: &AtomicU32, step: i32) {
    level.store(level.load(Relaxed).wrapping_add_signed(step), Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gathered_tally_reads_back_and_is_conserved() {
        let counters = WorkerCounters::new();
        let mut tally = Tally { received: 5, made: 1, sent: 3, ..Tally::default() };
        tally.drop_one(DropReason::NoRoute);
        tally.punted[PuntClass::Rest.index()] = 1;

        counters.gather(&tally, 1);
        counters.gather(&Tally { received: 1, sent: 1, ..Tally::default() }, 1);

        let total = counters.read();
        assert_eq!((total.received, total.sent, total.held), (6, 4, 1));
        assert!(total.is_conserved(), "{total:?}");
    }

    #[test]
    fn a_lost_packet_breaks_conservation() {
        assert!(!Tally { received: 2, sent: 1, ..Tally::default() }.is_conserved());
    }
}
