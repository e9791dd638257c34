//! The engine: the one desired state, and every way to change it.
//!
//! A change is applied to a copy of the desired state, compiled, published, and answered when every
//! worker has its generation. One change at a time; readers of counters do not wait for it.

mod backend;
pub mod compile;
pub mod defence;
#[cfg(test)]
mod fake;
pub mod identity;
mod listing;
pub mod locals;
pub mod paths;
pub mod publish;
pub mod settings;
pub mod state;
mod stats;
#[cfg(test)]
mod tests;

pub use listing::{row, template_row};
pub use stats::{PortReading, Readings};

use crate::api::protocol::{ApiError, ErrorCode};
use crate::config::Config;
use crate::rules::{MarkRule, RuleChange};
use dataplane::counters::{OthersLoad, aggregate};
use dataplane::expect::Expectations;
use dataplane::ids::{DestId, Generation};
use dataplane::mailbox::Message;
use dataplane::service::IcmpLimits;
use defence::Memory;
use paths::Paths;
use publish::Publisher;
use state::{Desired, State};
use std::net::IpAddr;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, PoisonError};
use std::time::Instant;
use tokio::sync::Mutex;

/// What the engine starts from.
pub struct Start {
    /// Control's side of the workers.
    pub publisher: Publisher,
    /// What each worker is told of the others' conns.
    pub others: Vec<Arc<OthersLoad>>,
    /// Data connections that the workers expect.
    pub expect: Arc<Expectations>,
    /// Next hops and the way of their publications.
    pub paths: Paths,
    /// Room of all connection tables.
    pub table_size: u64,
    /// Readings that come from elsewhere: ports, twins.
    pub readings: Box<dyn Readings>,
}

/// The desired state and the way to the workers.
pub struct Engine {
    locked: Arc<Mutex<Locked>>,
    publisher: Publisher,
    /// Destinations to aggregate: apart, because a change holds `locked` while it waits for workers.
    dests: Arc<Dests>,
    /// One listing of conns at a time: a worker scans for one.
    listing: Mutex<()>,
    others: Vec<Arc<OthersLoad>>,
    expect: Arc<Expectations>,
    table_size: u64,
    readings: Box<dyn Readings>,
    started: Instant,
}

/// What one change at a time may touch.
struct Locked {
    state: State,
    paths: Paths,
}

/// Ids of all destinations, present or lingering.
#[derive(Default)]
struct Dests(std::sync::Mutex<Arc<[DestId]>>);

impl Engine {
    /// An engine without services.
    pub fn new(start: Start) -> Self {
        Engine {
            locked: Arc::new(Mutex::new(Locked { state: State::default(), paths: start.paths })),
            publisher: start.publisher,
            dests: Arc::default(),
            listing: Mutex::new(()),
            others: start.others,
            expect: start.expect,
            table_size: start.table_size,
            readings: start.readings,
            started: Instant::now(),
        }
    }

    /// Takes a configuration's sysctls, timeouts and mark rules over, and its services, as one
    /// change.
    ///
    /// # Errors
    /// As [`Engine::change`].
    pub async fn configure(&self, config: &Config) -> Result<u64, ApiError> {
        let config = config.clone();
        self.edit(move |desired| desired.configured(&config)).await
    }

    /// Applies rule changes, all or none, and waits until every worker has them.
    ///
    /// # Errors
    /// The first change that cannot be, with nothing changed; or a worker that does not answer,
    /// with the change under way.
    pub async fn change(&self, changes: Vec<RuleChange>, replace: bool) -> Result<u64, ApiError> {
        self.edit(move |desired| desired.changed(&changes, replace)).await
    }

    /// Replaces the mark rules.
    ///
    /// # Errors
    /// As [`Engine::change`].
    pub async fn replace_marks(&self, marks: Vec<MarkRule>) -> Result<u64, ApiError> {
        self.edit(|desired| Ok(Desired { marks, ..desired })).await
    }

    /// Has the workers limit ICMP errors so, unless they do already.
    ///
    /// # Errors
    /// As [`Engine::change`].
    pub async fn limit_icmp(&self, limits: IcmpLimits) -> Result<(), ApiError> {
        let known = self.locked.lock().await.state.desired().sysctls.icmp_limits();
        if known == Some(limits) {
            return Ok(());
        }
        let edit = move |mut desired: Desired| {
            desired.sysctls.limit_icmp(limits);
            Ok(desired)
        };
        self.edit(edit).await.map(drop)
    }

    /// Makes one change of the desired state: edits a copy, compiles it, sends it and waits until
    /// every worker has it. What takes long for many services runs on blocking threads.
    async fn edit(
        &self,
        edit: impl FnOnce(Desired) -> Result<Desired, ApiError> + Send + 'static,
    ) -> Result<u64, ApiError> {
        let locked = self.locked.clone().lock_owned().await;
        let (mut locked, desired) = blocking(move || {
            let desired = edit(locked.state.desired().clone())?;
            Ok((locked, desired))
        })
        .await?;
        let targets = state::targets(&desired.rules);
        let known = state::local_addresses(&locked.state.desired().rules);
        let locals = state::local_addresses(&desired.rules);
        let new: Vec<IpAddr> = locals.difference(&known).copied().collect();
        locked.paths.hold(&targets).await.map_err(|error| internal(&error))?;
        let (publisher, dests) = (self.publisher.clone(), self.dests.clone());
        let (mut locked, generation) = blocking(move || {
            let generation = locked.install(desired, &publisher, &dests)?;
            Ok((locked, generation))
        })
        .await?;
        self.publisher.applied(generation).await.map_err(|error| internal(&error))?;
        locked.sweep(&self.publisher, &self.dests);
        locked.warn_of_unanswered(&new).await;
        Ok(generation.0)
    }

    /// Publishes to every worker what the others carry: for least-connection choices over all of
    /// them. To be called every millisecond where there is more than one worker. Waits for no
    /// change that is under way.
    pub fn aggregate(&self) {
        if self.others.len() > 1 {
            let dests = self.dests.get();
            aggregate(dests.iter().copied(), self.publisher.counters(), &self.others);
        }
    }

    /// What is to be done each second: whether floods are to be defended against.
    ///
    /// # Errors
    /// As [`Engine::change`].
    pub async fn defend(&self) -> Result<(), ApiError> {
        let memory = self.memory();
        let acts = self.locked.lock().await.state.desired().sysctls.clone().second(memory);
        if acts {
            let edit = move |mut desired: Desired| {
                desired.sysctls.second(memory);
                Ok(desired)
            };
            self.edit(edit).await?;
        }
        Ok(())
    }

    /// What memory is available.
    fn memory(&self) -> Memory {
        let counters = self.publisher.counters();
        let fullest = counters.iter().map(|worker| worker.conns.load(Relaxed)).max().unwrap_or(0);
        let room = self.table_size as i64 / counters.len().max(1) as i64;
        let meminfo = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let pages = defence::free_pages(&meminfo).unwrap_or(i64::MAX);
        Memory { pages, free: room - fullest as i64, room }
    }

    /// What is to be done every two seconds: rates, ids of destinations that are gone, and tables
    /// that workers gave back.
    pub async fn tick(&self) {
        self.publisher.collect();
        let mut locked = self.locked.lock().await;
        locked.sweep(&self.publisher, &self.dests);
        locked.state.tick_rates(|id| self.publisher.counted(id));
    }
}

impl Locked {
    /// Says which of some local addresses of fullnat real servers cannot answer to.
    async fn warn_of_unanswered(&self, locals: &[IpAddr]) {
        for local in self.paths.unanswered(locals).await {
            log::warn!(
                "the local address {local} is not one of Linux's: nobody answers ARP for it, and \
                 what real servers send to it is lost (`ip addr add {local} dev …`)"
            );
        }
    }

    /// Compiles and sends a desired state; it is in force from then on. In one step, so that no
    /// state is in force that workers are not told of.
    fn install(
        &mut self,
        desired: Desired,
        publisher: &Publisher,
        dests: &Dests,
    ) -> Result<Generation, ApiError> {
        let counted = |id| publisher.counted(id);
        let table = self
            .state
            .install(desired, self.paths.held(), counted)
            .map_err(|error| ApiError::new(ErrorCode::BadValue, error.to_string()))?;
        let generation = table.generation;
        dests.set(self.state.dests().collect());
        publisher.send(&Message::Services(table));
        Ok(generation)
    }

    /// Frees ids and next hops of destinations that are gone and have no conns, unless a worker
    /// still runs an older table, and may begin conns on them.
    fn sweep(&mut self, publisher: &Publisher, dests: &Dests) {
        if publisher.has_applied(self.state.generation()) {
            self.state.sweep(|id| publisher.counted(id));
            self.state.sweep_locals(|index| publisher.conns_of_local(index));
            self.paths.release_all_but(&self.state.reachable());
            dests.set(self.state.dests().collect());
        }
    }
}

impl Dests {
    fn get(&self) -> Arc<[DestId]> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, dests: Arc<[DestId]>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = dests;
    }
}

/// Runs work that may take long on a thread where nobody waits for it. What it holds is kept to its
/// end even if the caller gives up.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ApiError> + Send + 'static,
) -> Result<T, ApiError> {
    tokio::task::spawn_blocking(work).await.map_err(|error| internal(&error))?
}

fn internal(error: &impl std::fmt::Display) -> ApiError {
    ApiError::new(ErrorCode::Internal, error.to_string())
}
