//! Schedulers: which destination a new conn gets.
//!
//! Each worker has its own [`Scheduler`] per service: a cursor, or the loads in order. What it chooses
//! from is the snapshot's [`Service`], and what lblc and lblcr remember is all workers' [`Locality`].
//! Worker 0 alone chooses exactly as a kernel does.

mod buckets;
mod changes;
mod crowd;
mod dh;
mod fo;
mod hash;
mod kind;
mod lblc;
mod lblcr;
mod lc;
mod least;
mod locality;
mod mh;
mod nq;
mod ovf;
mod places;
mod rr;
mod schedulers;
mod sed;
mod sh;
mod share;
mod tournament;
mod twos;
mod wlc;
mod wrr;

pub use buckets::Buckets;
pub use kind::{FlagError, SchedFlags, SchedulerKind, Scheduling};
pub use locality::{EXPIRATION, Locality};
pub use schedulers::Schedulers;

use crate::address::Address;
use crate::flow::FlowKey;
use crate::ids::{DestId, WorkerId};
use crate::service::{Dest, Service};
use crate::time::Tick;
use changes::Changes;
use crowd::Crowd;
use least::Least;

/// What a scheduler is asked: the packet that begins a conn, of either family, and when.
#[derive(Debug, Clone, Copy)]
pub struct Asked {
    /// Client's address, folded.
    src: u32,
    /// Destination address, folded.
    dst: u32,
    /// Client's port.
    sport: u16,
    /// Destination address as it is.
    address: u128,
    now: Tick,
}

impl Asked {
    /// About the packet with this key, whose source is the client.
    #[inline]
    pub fn new<A: Address>(key: &FlowKey<A>, now: Tick) -> Self {
        let (src, dst) = (key.src.fold(), key.dst.fold());
        Asked { src, dst, sport: key.sport, address: key.dst.into(), now }
    }

    /// What the hashing schedulers know a client by: its address, with or without the port added.
    #[inline]
    fn client(&self, with_port: bool) -> u32 {
        let port = if with_port { self.sport } else { 0 };
        self.src.wrapping_add(port.into())
    }
}

/// How many conns each destination has over all workers, as well as the asking worker knows.
pub trait Loads {
    /// ActiveConn of the destination.
    fn active(&self, dest: DestId) -> u32;
    /// InActConn of the destination.
    fn inactive(&self, dest: DestId) -> u32;
    /// A number that changes when counts do that [`Scheduler::load_changed`] was not told of, as
    /// when other workers' totals arrive.
    fn version(&self) -> u64 {
        0
    }
}

/// What one worker remembers between its choices for one service.
///
/// Worker *w* begins where a kernel would be after *w* choices, so that few conns spread over many
/// workers do not all go to the first servers.
#[derive(Debug, Clone)]
pub struct Scheduler {
    worker: WorkerId,
    choice: Choice,
    /// What the choice is to look at again.
    changes: Changes,
}

#[derive(Debug, Clone)]
enum Choice {
    Rr(rr::Cursor),
    Wrr(wrr::Cursor),
    Lc(Least<lc::Lc>),
    Wlc(Least<wlc::Wlc>),
    Sed(Least<sed::Sed>),
    Nq(Least<nq::Nq>),
    Ovf(Least<ovf::Ovf>),
    Lblc(Crowd),
    Lblcr(Crowd),
    Twos(twos::Dice),
    // What follows remembers nothing.
    Dh,
    Sh,
    Mh,
    Fo,
}

impl Choice {
    fn new(service: &Service, worker: WorkerId) -> Self {
        let dests = &service.dests;
        match service.scheduler.kind {
            SchedulerKind::Rr => Choice::Rr(rr::Cursor::new(service, worker)),
            SchedulerKind::Wrr => Choice::Wrr(wrr::Cursor::new(service, worker)),
            SchedulerKind::Lc => Choice::Lc(Least::new(dests)),
            SchedulerKind::Wlc => Choice::Wlc(Least::new(dests)),
            SchedulerKind::Sed => Choice::Sed(Least::new(dests)),
            SchedulerKind::Nq => Choice::Nq(Least::new(dests)),
            SchedulerKind::Ovf => Choice::Ovf(Least::new(dests)),
            SchedulerKind::Lblc => Choice::Lblc(Crowd::new(dests)),
            SchedulerKind::Lblcr => Choice::Lblcr(Crowd::new(dests)),
            SchedulerKind::Twos => Choice::Twos(twos::Dice::new(service, worker)),
            SchedulerKind::Dh => Choice::Dh,
            SchedulerKind::Sh => Choice::Sh,
            SchedulerKind::Mh => Choice::Mh,
            SchedulerKind::Fo => Choice::Fo,
        }
    }

    /// Whether it remembers loads, and is to be told which of them change.
    fn remembers_loads(&self) -> bool {
        match self {
            Choice::Lc(_) | Choice::Wlc(_) | Choice::Sed(_) | Choice::Nq(_) | Choice::Ovf(_) => {
                true
            }
            Choice::Lblc(_) | Choice::Lblcr(_) => true,
            Choice::Rr(_) | Choice::Wrr(_) | Choice::Twos(_) => false,
            Choice::Dh | Choice::Sh | Choice::Mh | Choice::Fo => false,
        }
    }
}

impl Scheduler {
    /// As after `ipvsadm -A`, or `-E` with another scheduler.
    pub fn new(service: &Service, worker: WorkerId) -> Self {
        let mut scheduler =
            Scheduler { worker, choice: Choice::new(service, worker), changes: Changes::default() };
        scheduler.watch(&service.dests);
        scheduler
    }

    /// All loads are to be looked at.
    fn watch(&mut self, dests: &[Dest]) {
        self.changes.reset(if self.choice.remembers_loads() { dests.len() } else { 0 });
    }

    /// The place in `service.dests` of the destination for a new conn; `None` if none has a weight
    /// and room, or the one that a hash names has not. `service` is the one of [`Scheduler::new`]
    /// or of the last [`Scheduler::rebase`].
    pub fn schedule(
        &mut self,
        service: &Service,
        asked: &Asked,
        loads: &impl Loads,
    ) -> Option<usize> {
        let (dests, changes) = (&service.dests, &mut self.changes);
        match &mut self.choice {
            Choice::Rr(cursor) => cursor.choose(dests),
            Choice::Wrr(cursor) => cursor.choose(service),
            Choice::Lc(least) => least.choose(changes, dests, loads),
            Choice::Wlc(least) => least.choose(changes, dests, loads),
            Choice::Sed(least) => least.choose(changes, dests, loads),
            Choice::Nq(least) => least.choose(changes, dests, loads),
            Choice::Ovf(least) => least.choose(changes, dests, loads),
            Choice::Lblc(crowd) => lblc::choose(crowd, changes, service, asked, loads),
            Choice::Lblcr(crowd) => lblcr::choose(crowd, changes, service, asked, loads),
            Choice::Twos(dice) => dice.choose(dests, loads),
            Choice::Dh => dh::choose(service, asked),
            Choice::Sh => sh::choose(service, asked),
            Choice::Mh => mh::choose(service, asked),
            Choice::Fo => fo::choose(service),
        }
    }

    /// Carries on with the service's next snapshot. Nothing happens if the service is the same.
    pub fn rebase(&mut self, old: &Service, new: &Service) {
        if old.scheduler.kind != new.scheduler.kind {
            *self = Scheduler::new(new, self.worker);
            return;
        }
        match &mut self.choice {
            Choice::Rr(cursor) => cursor.rebase(&old.dests, &new.dests),
            Choice::Wrr(cursor) => cursor.rebase(old, new, self.worker),
            Choice::Lc(least) => least.rebase(&new.dests),
            Choice::Wlc(least) => least.rebase(&new.dests),
            Choice::Sed(least) => least.rebase(&new.dests),
            Choice::Nq(least) => least.rebase(&new.dests),
            Choice::Ovf(least) => least.rebase(&new.dests),
            Choice::Lblc(crowd) | Choice::Lblcr(crowd) => crowd.rebase(&new.dests),
            Choice::Twos(dice) => dice.rebase(&new.dests),
            Choice::Dh | Choice::Sh | Choice::Mh | Choice::Fo => {}
        }
        self.watch(&new.dests);
    }

    /// Tells that this worker's conns on the destination at `place` in the service's list began,
    /// ended, or moved between active and inactive. Saves looking at all destinations where loads
    /// are compared. A director that tells any change must tell all; one that never does is served
    /// too.
    #[inline]
    pub fn load_changed(&mut self, place: usize) {
        self.changes.note(place);
    }
}

/// Whether a scheduler may choose it: neither quiesced nor overloaded.
#[inline]
fn is_available(dest: &Dest) -> bool {
    dest.weight > 0 && !dest.is_overloaded()
}

/// Load as lc and wlc see it: an active conn counts as much as 256 idle ones
/// (`ip_vs_dest_conn_overhead`).
#[inline]
fn overhead(active: u32, inactive: u32) -> u64 {
    256 * u64::from(active) + u64::from(inactive)
}

#[cfg(test)]
mod golden;
#[cfg(test)]
mod hash_tests;
#[cfg(test)]
mod locality_tests;
#[cfg(test)]
mod tests;
