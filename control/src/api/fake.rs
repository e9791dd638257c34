//! A daemon without a data path, for tests: rules, timeouts and conns as they were put in.

use super::backend::Backend;
use super::client::{CallError, Director};
use super::protocol::{
    Answer, ApiError, ConnFilter, ConnRow, DestListing, Listing, Op, ServiceListing, Stats, Status,
    Sysctl, Timeouts,
};
use super::{server, sysctl};
use crate::rules::{MarkRule, RuleChange, RuleError, Rules, VirtualService};
use dataplane::service::ServiceKey;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};
use tokio::sync::mpsc;

/// What the fake daemon holds.
#[derive(Debug, Default)]
pub struct State {
    /// Changed by `change`.
    pub rules: Rules,
    /// One more a change.
    pub generation: u64,
    /// Changed by `timeouts_set`.
    pub timeouts: Timeouts,
    /// Handed out by `conns`, in batches of 700.
    pub conns: Vec<ConnRow>,
    /// Batches that found no taker.
    pub unsent: usize,
    /// Counters of every service and real server.
    pub stats: Stats,
    /// Changed by `sysctl_set`.
    pub sysctls: BTreeMap<String, String>,
    /// Changed by `marks_set`.
    pub marks: Vec<MarkRule>,
}

/// The fake daemon.
#[derive(Debug, Default)]
pub struct FakeBackend(Mutex<State>);

impl FakeBackend {
    /// Its state, to look at or prepare.
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }
}

fn listed(service: &VirtualService, stats: Stats) -> ServiceListing {
    let dest = |server: &crate::rules::RealServer| DestListing {
        server: server.clone(),
        active: 0,
        inactive: 0,
        persistent: 0,
        stats,
        rate: Stats::default(),
    };
    ServiceListing {
        key: service.key,
        options: service.options.clone(),
        stats,
        rate: Stats::default(),
        dests: service.real_servers.iter().rev().map(dest).collect(),
    }
}

impl Backend for FakeBackend {
    async fn change(&self, changes: Vec<RuleChange>, replace: bool) -> Result<u64, ApiError> {
        let mut state = self.state();
        state.rules.apply_all(&changes, replace)?;
        state.generation += 1;
        Ok(state.generation)
    }

    async fn list(&self, service: Option<ServiceKey>) -> Result<Listing, ApiError> {
        let state = self.state();
        if service.is_some_and(|key| state.rules.get(key).is_none()) {
            return Err(RuleError::NoSuchService.into());
        }
        let wanted = |s: &&VirtualService| service.is_none_or(|key| s.key == key);
        let services = state.rules.services().filter(wanted).map(|s| listed(s, state.stats));
        Ok(Listing { table_size: 4096, services: services.collect() })
    }

    async fn conns(
        &self,
        _filter: ConnFilter,
        rows: mpsc::Sender<Vec<ConnRow>>,
    ) -> Result<(), ApiError> {
        let batches: Vec<Vec<ConnRow>> =
            self.state().conns.chunks(700).map(<[ConnRow]>::to_vec).collect();
        let mut left = batches.len();
        for batch in batches {
            if rows.send(batch).await.is_err() {
                break;
            }
            left -= 1;
        }
        self.state().unsent = left;
        Ok(())
    }

    async fn zero(&self, service: Option<ServiceKey>) -> Result<(), ApiError> {
        self.list(service).await?;
        self.state().stats = Stats::default();
        Ok(())
    }

    async fn stats(&self) -> Result<Value, ApiError> {
        let dropped = json!({"no_route": 2, "tx_full": 4, "bad_ip_header": 0});
        let first = json!({"generation": 8, "received": 3, "dropped": dropped});
        let second = json!({"generation": 7, "received": 2, "dropped": {"no_route": 1}});
        Ok(json!({"generation": 8, "workers": [first, second]}))
    }

    async fn timeouts(&self) -> Result<Timeouts, ApiError> {
        Ok(self.state().timeouts)
    }

    async fn set_timeouts(&self, set: Timeouts) -> Result<(), ApiError> {
        let mut state = self.state();
        state.timeouts = state.timeouts.with(set);
        Ok(())
    }

    async fn sysctls(&self) -> Result<Vec<Sysctl>, ApiError> {
        let state = self.state();
        let value = |key: &str| state.sysctls.get(key).map_or(0, |value| value.parse().unwrap());
        let row = |&(key, ..): &(&str, i64, i64)| Sysctl::new(key, value(key));
        Ok(sysctl::SUPPORTED.iter().map(row).collect())
    }

    async fn set_sysctl(&self, key: String, value: String) -> Result<(), ApiError> {
        self.state().sysctls.insert(key, value);
        Ok(())
    }

    async fn marks(&self) -> Result<Vec<MarkRule>, ApiError> {
        Ok(self.state().marks.clone())
    }

    async fn set_marks(&self, rules: Vec<MarkRule>) -> Result<(), ApiError> {
        self.state().marks = rules;
        Ok(())
    }

    async fn ports(&self) -> Result<Value, ApiError> {
        let offloads = json!({"tx_fast_free": "granted", "rx_scatter": "not wanted"});
        Ok(json!([
            {"name": "wan", "driver": "net_ice", "node": 0, "offloads": offloads},
            {"name": "lan", "driver": "net_null", "node": null},
        ]))
    }

    async fn status(&self) -> Result<Status, ApiError> {
        Ok(Status {
            pid: std::process::id(),
            version: "0".into(),
            uptime: 1,
            generation: self.state().generation,
            detail: Value::Null,
        })
    }
}

/// The fake daemon without a socket between.
#[derive(Debug, Default, Clone)]
pub struct FakeDirector(pub Arc<FakeBackend>);

impl Director for FakeDirector {
    fn call(&mut self, op: Op) -> Result<Answer, CallError> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(server::answer(&*self.0, op)).map_err(CallError::Refused)
    }

    fn conns(
        &mut self,
        _filter: ConnFilter,
        each: &mut dyn FnMut(Vec<ConnRow>) -> io::Result<()>,
    ) -> Result<(), CallError> {
        let rows = self.0.state().conns.clone();
        each(rows).map_err(CallError::Output)
    }
}
