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
mod settings;
mod stats;

pub use stats::{PortReading, Readings};

use crate::api::protocol::{ApiError, ErrorCode};
use crate::config::{Config, Mark};
use crate::rules::{MarkRule, RuleChange, Rules, VirtualService};
use compile::{Desired, compile};
use dataplane::counters::{DestTotals, OthersLoad, aggregate};
use dataplane::ids::{DestId, Generation};
use dataplane::mailbox::Message;
use identity::Identities;
use paths::Paths;
use publish::Publisher;
use settings::Sysctls;
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
    state: Mutex<State>,
    publisher: Publisher,
    /// One listing of conns at a time: a worker scans for one.
    listing: Mutex<()>,
    others: Vec<Arc<OthersLoad>>,
    table_size: u64,
    readings: Box<dyn Readings>,
    started: Instant,
}

/// What one change at a time may touch.
struct State {
    rules: Rules,
    marks: Vec<MarkRule>,
    sysctls: Sysctls,
    ids: Identities,
    generation: Generation,
    rates: stats::Rates,
    paths: Paths,
}

/// A desired state to be tried: what a change would make of the present one.
#[derive(Clone)]
struct Wanted {
    rules: Rules,
    marks: Vec<MarkRule>,
    sysctls: Sysctls,
}

impl Engine {
    /// An engine without services.
    pub fn new(start: Start) -> Self {
        let state = State {
            rules: Rules::default(),
            marks: Vec::new(),
            sysctls: Sysctls::default(),
            ids: Identities::default(),
            generation: Generation(0),
            rates: stats::Rates::default(),
            paths: start.paths,
        };
        Engine {
            state: Mutex::new(state),
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
        let mut state = self.state.lock().await;
        let mut wanted = state.wanted();
        wanted.sysctls.preset(config)?;
        wanted.marks = config.marks.iter().map(mark).collect();
        wanted.rules.apply_all(&changes(config), true)?;
        self.install(&mut state, wanted).await
    }

    /// Applies rule changes, all or none, and waits until every worker has them.
    ///
    /// # Errors
    /// The first change that cannot be, with nothing changed; or a worker that does not answer,
    /// with the change under way.
    pub async fn change(&self, changes: &[RuleChange], replace: bool) -> Result<u64, ApiError> {
        let mut state = self.state.lock().await;
        let mut wanted = state.wanted();
        wanted.rules.apply_all(changes, replace)?;
        self.install(&mut state, wanted).await
    }

    /// Replaces the mark rules.
    ///
    /// # Errors
    /// As [`Engine::change`].
    pub async fn replace_marks(&self, marks: Vec<MarkRule>) -> Result<u64, ApiError> {
        let mut state = self.state.lock().await;
        let wanted = Wanted { marks, ..state.wanted() };
        self.install(&mut state, wanted).await
    }

    /// Compiles and publishes a wanted state; it is the present one from then on.
    async fn install(&self, state: &mut State, wanted: Wanted) -> Result<u64, ApiError> {
        let targets = paths::targets(&wanted.rules);
        let next_hops = state.paths.hold(&targets).await.map_err(|error| internal(&error))?;
        let counted = |id| self.publisher.counted(id);
        let desired = Desired {
            rules: &wanted.rules,
            marks: &wanted.marks,
            settings: wanted.sysctls.settings(),
            next_hops,
        };
        let generation = Generation(state.generation.0 + 1);
        let table = compile(&desired, generation, &mut state.ids, counted)
            .map_err(|error| ApiError::new(ErrorCode::BadValue, error.to_string()))?;
        clear_overload(&state.rules, &table);
        state.generation = generation;
        (state.rules, state.marks, state.sysctls) = (wanted.rules, wanted.marks, wanted.sysctls);
        self.publisher
            .post(Message::Services(Arc::new(table)))
            .await
            .map_err(|error| internal(&error))?;
        self.publisher.applied(generation).await.map_err(|error| internal(&error))?;
        state.sweep(counted);
        Ok(generation.0)
    }

    /// Publishes to every worker what the others carry: for least-connection choices over all of
    /// them. To be called every millisecond where there is more than one worker.
    pub async fn aggregate(&self) {
        if self.others.len() > 1 {
            let state = self.state.lock().await;
            let ids = state.ids.dests().map(|(_, dest)| dest.id);
            aggregate(ids, self.publisher.counters(), &self.others);
        }
    }

    /// What is to be done every two seconds: rates, ids of destinations that are gone, and tables
    /// that workers gave back.
    pub async fn tick(&self) {
        let mut state = self.state.lock().await;
        let counted = |id| self.publisher.counted(id);
        state.sweep(counted);
        let State { ids, rates, .. } = &mut *state;
        rates.tick(ids, counted);
        self.publisher.collect();
    }
}

impl State {
    /// Frees ids and next hops of destinations that are gone and have no conns.
    fn sweep(&mut self, counted: impl Fn(DestId) -> DestTotals) {
        self.ids.sweep(counted);
        let mut needed = paths::targets(&self.rules);
        needed.extend(self.ids.dests().map(|(_, dest)| dest.rip));
        self.paths.release_all_but(&needed);
    }

    fn wanted(&self) -> Wanted {
        Wanted {
            rules: self.rules.clone(),
            marks: self.marks.clone(),
            sysctls: self.sysctls.clone(),
        }
    }
}

/// Ends the overload of destinations whose upper threshold was raised or taken away.
fn clear_overload(old: &Rules, table: &dataplane::service::ServiceTable) {
    for service in table.services() {
        let Some(before) = old.get(service.key) else { continue };
        for dest in &service.dests {
            let server = before.real_servers.iter();
            let same = |server: &&crate::rules::RealServer| {
                (server.rip, server.rport) == (dest.rip, dest.rport)
            };
            if let Some(server) = server.into_iter().find(same) {
                dest.thresholds_edited(server.u_threshold);
            }
        }
    }
}

fn mark(from: &Mark) -> MarkRule {
    let (first, last) = (*from.ports.start(), *from.ports.end());
    MarkRule {
        mark: from.mark,
        proto: from.proto,
        dst: (from.destination.address.into(), from.destination.len),
        dports: Some((first, last)).filter(|ports| *ports != (0, u16::MAX)),
    }
}

/// A configuration's services as the changes that make them.
fn changes(config: &Config) -> Vec<RuleChange> {
    let mut changes = Vec::new();
    for VirtualService { key, scheduler, real_servers } in &config.services {
        changes.push(RuleChange::AddService { service: *key, scheduler: *scheduler });
        let servers = real_servers.iter().cloned();
        changes.extend(servers.map(|server| RuleChange::AddServer { service: *key, server }));
    }
    changes
}

fn internal(error: &impl std::fmt::Display) -> ApiError {
    ApiError::new(ErrorCode::Internal, error.to_string())
}
