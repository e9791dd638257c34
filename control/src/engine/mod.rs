//! The engine: the one desired state, and every way to change it.
//!
//! A change is applied to a copy of the rules, compiled, published, and answered when every
//! worker has its generation. One change at a time; readers of counters do not wait for it.

mod backend;
pub mod compile;
pub mod identity;
mod listing;
pub mod paths;
pub mod publish;
pub mod settings;
pub mod state;
mod stats;

pub use listing::row;
pub use stats::{PortReading, Readings};

use crate::api::protocol::{ApiError, ErrorCode};
use crate::config::Config;
use crate::rules::{MarkRule, RuleChange};
use dataplane::counters::{DestTotals, OthersLoad, aggregate};
use dataplane::ids::DestId;
use dataplane::mailbox::Message;
use paths::Paths;
use publish::Publisher;
use state::{State, Wanted};
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::Mutex;

/// What the engine starts from.
pub struct Start {
    /// Control's side of the workers.
    pub publisher: Publisher,
    /// What each worker is told of the others' conns.
    pub others: Vec<Arc<OthersLoad>>,
    /// Next hops and the way of their publications.
    pub paths: Paths,
    /// Room of all connection tables.
    pub table_size: u64,
    /// Readings that come from elsewhere: ports, twins.
    pub readings: Box<dyn Readings>,
}

/// The desired state and the way to the workers.
pub struct Engine {
    locked: Mutex<Locked>,
    publisher: Publisher,
    /// One listing of conns at a time: a worker scans for one.
    listing: Mutex<()>,
    others: Vec<Arc<OthersLoad>>,
    table_size: u64,
    readings: Box<dyn Readings>,
    started: Instant,
}

/// What one change at a time may touch.
struct Locked {
    state: State,
    paths: Paths,
}

impl Engine {
    /// An engine without services.
    pub fn new(start: Start) -> Self {
        Engine {
            locked: Mutex::new(Locked { state: State::default(), paths: start.paths }),
            publisher: start.publisher,
            listing: Mutex::new(()),
            others: start.others,
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
        let mut locked = self.locked.lock().await;
        let wanted = locked.state.wanted().configured(config)?;
        self.install(&mut locked, wanted).await
    }

    /// Applies rule changes, all or none, and waits until every worker has them.
    ///
    /// # Errors
    /// The first change that cannot be, with nothing changed; or a worker that does not answer,
    /// with the change under way.
    pub async fn change(&self, changes: &[RuleChange], replace: bool) -> Result<u64, ApiError> {
        let mut locked = self.locked.lock().await;
        let wanted = locked.state.wanted().changed(changes, replace)?;
        self.install(&mut locked, wanted).await
    }

    /// Replaces the mark rules.
    ///
    /// # Errors
    /// As [`Engine::change`].
    pub async fn replace_marks(&self, marks: Vec<MarkRule>) -> Result<u64, ApiError> {
        let mut locked = self.locked.lock().await;
        let wanted = Wanted { marks, ..locked.state.wanted() };
        self.install(&mut locked, wanted).await
    }

    /// Compiles and publishes a wanted state; it is the present one from then on.
    async fn install(&self, locked: &mut Locked, wanted: Wanted) -> Result<u64, ApiError> {
        let targets = state::targets(&wanted.rules);
        let next_hops = locked.paths.hold(&targets).await.map_err(|error| internal(&error))?;
        let counted = |id| self.publisher.counted(id);
        let table = locked
            .state
            .install(wanted, next_hops, counted)
            .map_err(|error| ApiError::new(ErrorCode::BadValue, error.to_string()))?;
        let generation = table.generation;
        self.publisher
            .post(Message::Services(Arc::new(table)))
            .await
            .map_err(|error| internal(&error))?;
        self.publisher.applied(generation).await.map_err(|error| internal(&error))?;
        locked.sweep(counted);
        Ok(generation.0)
    }

    /// Publishes to every worker what the others carry: for least-connection choices over all of
    /// them. To be called every millisecond where there is more than one worker.
    pub async fn aggregate(&self) {
        if self.others.len() > 1 {
            let locked = self.locked.lock().await;
            aggregate(locked.state.dests(), self.publisher.counters(), &self.others);
        }
    }

    /// What is to be done every two seconds: rates, ids of destinations that are gone, and tables
    /// that workers gave back.
    pub async fn tick(&self) {
        let mut locked = self.locked.lock().await;
        let counted = |id| self.publisher.counted(id);
        locked.sweep(counted);
        locked.state.tick_rates(counted);
        self.publisher.collect();
    }
}

impl Locked {
    /// Frees ids and next hops of destinations that are gone and have no conns.
    fn sweep(&mut self, counted: impl Fn(DestId) -> DestTotals) {
        self.state.sweep(counted);
        self.paths.release_all_but(&self.state.reachable());
    }
}

fn internal(error: &impl std::fmt::Display) -> ApiError {
    ApiError::new(ErrorCode::Internal, error.to_string())
}
