//! Schedulers: which destination a new conn gets.
//!
//! Each worker has its own [`Scheduler`] per service, cursor only; what it chooses from is the
//! snapshot's [`Service`]. Worker 0 alone chooses exactly as a kernel does.

mod lc;
mod least;
mod rr;
mod wlc;
mod wrr;

use crate::ids::{DestId, WorkerId};
use crate::service::{Dest, Service};

/// The schedulers that exist, by ipvsadm's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SchedulerKind {
    /// Round robin.
    Rr,
    /// Weighted round robin.
    Wrr,
    /// Least connections.
    Lc,
    /// Weighted least connections.
    Wlc,
}

impl SchedulerKind {
    /// Every scheduler, in the order of ipvsadm's manual.
    pub const ALL: [SchedulerKind; 4] = [Self::Rr, Self::Wrr, Self::Lc, Self::Wlc];

    /// As ipvsadm writes it.
    pub fn name(self) -> &'static str {
        match self {
            SchedulerKind::Rr => "rr",
            SchedulerKind::Wrr => "wrr",
            SchedulerKind::Lc => "lc",
            SchedulerKind::Wlc => "wlc",
        }
    }

    /// The scheduler ipvsadm calls `name`, if it exists here.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
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
    Least(least::Least),
}

impl Scheduler {
    /// As after `ipvsadm -A`, or `-E` with another scheduler.
    pub fn new(service: &Service, worker: WorkerId) -> Self {
        let choice = match service.scheduler {
            SchedulerKind::Rr => Choice::Rr(rr::Cursor::new(service, worker)),
            SchedulerKind::Wrr => Choice::Wrr(wrr::Cursor::new(service, worker)),
            SchedulerKind::Lc => Choice::Least(least::Least::new(&service.dests, lc::share)),
            SchedulerKind::Wlc => Choice::Least(least::Least::new(&service.dests, wlc::share)),
        };
        Scheduler { worker, choice }
    }

    /// The place in `service.dests` of the destination for a new conn; `None` if none has a weight
    /// and room. `service` is the one of [`Scheduler::new`] or of the last [`Scheduler::rebase`].
    pub fn schedule(&mut self, service: &Service, loads: &impl Loads) -> Option<usize> {
        match &mut self.choice {
            Choice::Rr(cursor) => cursor.choose(&service.dests),
            Choice::Wrr(cursor) => cursor.choose(service),
            Choice::Least(least) => least.choose(&service.dests, loads),
        }
    }

    /// Carries on with the service's next snapshot. Nothing happens if the service is the same.
    pub fn rebase(&mut self, old: &Service, new: &Service) {
        match &mut self.choice {
            _ if old.scheduler != new.scheduler => *self = Scheduler::new(new, self.worker),
            Choice::Rr(cursor) => cursor.rebase(&old.dests, &new.dests),
            Choice::Wrr(cursor) => cursor.rebase(old, new, self.worker),
            Choice::Least(least) => least.rebase(&new.dests),
        }
    }

    /// Tells that this worker's conns on the destination at `place` in the service's list began,
    /// ended, or moved between active and inactive. Saves lc and wlc comparing all destinations.
    /// A director that tells any change must tell all; one that never does is served too.
    #[inline]
    pub fn load_changed(&mut self, place: usize) {
        if let Choice::Least(least) = &mut self.choice {
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
fn overhead(dest: &Dest, loads: &impl Loads) -> u64 {
    256 * u64::from(loads.active(dest.id)) + u64::from(loads.inactive(dest.id))
}

#[cfg(test)]
mod golden;
#[cfg(test)]
mod tests;
