//! Schedulers: which destination a new conn gets.
//!
//! Each worker has its own [`Scheduler`] per service, cursor only; what it chooses from is the
//! snapshot's [`Service`], and what lblc and lblcr remember is all workers' [`Locality`]. Worker 0 alone chooses exactly as a kernel does.

mod buckets;
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
mod rr;
mod sed;
mod sh;
mod twos;
mod wlc;
mod wrr;

pub use buckets::Buckets;
pub use kind::{FlagError, SchedFlags, SchedulerKind, Scheduling};
pub use locality::{EXPIRATION, Locality};

use crate::address::Address;
use crate::flow::FlowKey;
use crate::ids::{DestId, WorkerId};
use crate::service::{Dest, Service};
use crate::time::Tick;
use least::{Least, Measure};

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
}

#[derive(Debug, Clone)]
enum Choice {
    Rr(rr::Cursor),
    Wrr(wrr::Cursor),
    /// lc, wlc, sed, nq.
    Least(Least),
    Lblc(Least),
    Lblcr(Least),
    Twos(twos::Dice),
    // What follows remembers nothing.
    Dh,
    Sh,
    Mh,
    Fo,
    Ovf,
}

impl Choice {
    fn new(service: &Service, worker: WorkerId) -> Self {
        let least = |measure: Measure| Choice::Least(Least::new(&service.dests, measure));
        match service.scheduler.kind {
            SchedulerKind::Rr => Choice::Rr(rr::Cursor::new(service, worker)),
            SchedulerKind::Wrr => Choice::Wrr(wrr::Cursor::new(service, worker)),
            SchedulerKind::Lc => least(lc::share),
            SchedulerKind::Wlc => least(wlc::share),
            SchedulerKind::Sed => least(sed::share),
            SchedulerKind::Nq => least(nq::share),
            SchedulerKind::Lblc => Choice::Lblc(Least::new(&service.dests, wlc::share)),
            SchedulerKind::Lblcr => Choice::Lblcr(Least::new(&service.dests, wlc::share)),
            SchedulerKind::Twos => Choice::Twos(twos::Dice::new(service, worker)),
            SchedulerKind::Dh => Choice::Dh,
            SchedulerKind::Sh => Choice::Sh,
            SchedulerKind::Mh => Choice::Mh,
            SchedulerKind::Fo => Choice::Fo,
            SchedulerKind::Ovf => Choice::Ovf,
        }
    }

    fn least(&mut self) -> Option<&mut Least> {
        match self {
            Choice::Least(least) | Choice::Lblc(least) | Choice::Lblcr(least) => Some(least),
            _ => None,
        }
    }
}

impl Scheduler {
    /// As after `ipvsadm -A`, or `-E` with another scheduler.
    pub fn new(service: &Service, worker: WorkerId) -> Self {
        Scheduler { worker, choice: Choice::new(service, worker) }
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
        let dests = &service.dests;
        match &mut self.choice {
            Choice::Rr(cursor) => cursor.choose(dests),
            Choice::Wrr(cursor) => cursor.choose(service),
            Choice::Least(least) => least.choose(dests, loads),
            Choice::Lblc(least) => lblc::choose(least, service, asked, loads),
            Choice::Lblcr(least) => lblcr::choose(least, service, asked, loads),
            Choice::Twos(dice) => dice.choose(dests, loads),
            Choice::Dh => dh::choose(service, asked),
            Choice::Sh => sh::choose(service, asked),
            Choice::Mh => mh::choose(service, asked),
            Choice::Fo => fo::choose(dests),
            Choice::Ovf => ovf::choose(dests, loads),
        }
    }

    /// Carries on with the service's next snapshot. Nothing happens if the service is the same.
    pub fn rebase(&mut self, old: &Service, new: &Service) {
        if old.scheduler.kind != new.scheduler.kind {
            *self = Scheduler::new(new, self.worker);
            return;
        }
        if let Some(least) = self.choice.least() {
            least.rebase(&new.dests);
        }
        match &mut self.choice {
            Choice::Rr(cursor) => cursor.rebase(&old.dests, &new.dests),
            Choice::Wrr(cursor) => cursor.rebase(old, new, self.worker),
            _ => {}
        }
    }

    /// Tells that this worker's conns on the destination at `place` in the service's list began,
    /// ended, or moved between active and inactive. Saves comparing all destinations where the
    /// least loaded is wanted. A director that tells any change must tell all; one that never does
    /// is served too.
    #[inline]
    pub fn load_changed(&mut self, place: usize) {
        if let Some(least) = self.choice.least() {
            least.load_changed(place);
        }
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

/// The heaviest of those that fit; among equals the first in the list.
fn heaviest(dests: &[Dest], fits: impl Fn(&Dest) -> bool) -> Option<usize> {
    let fitting = (0..dests.len()).filter(|&place| fits(&dests[place]));
    fitting.min_by_key(|&place| std::cmp::Reverse(dests[place].weight))
}

#[cfg(test)]
mod golden;
#[cfg(test)]
mod hash_tests;
#[cfg(test)]
mod locality_tests;
#[cfg(test)]
mod tests;
