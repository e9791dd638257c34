//! The engine behind the API's socket.

use super::publish::Entry;
use super::state::Desired;
use super::{Engine, internal, listing, stats};
use crate::api::Backend;
use crate::api::protocol::{ApiError, ConnFilter, ConnRow, Listing, Status, Sysctl, Timeouts};
use crate::rules::{MarkRule, RuleChange};
use crate::workers::boot_time;
use dataplane::service::ServiceKey;
use serde_json::{Value, json};
use tokio::sync::mpsc;

/// Rows sent to a session at once.
const BATCH: usize = 1000;

impl Backend for Engine {
    async fn change(&self, changes: Vec<RuleChange>, replace: bool) -> Result<u64, ApiError> {
        Engine::change(self, changes, replace).await
    }

    async fn list(&self, service: Option<ServiceKey>) -> Result<Listing, ApiError> {
        let locked = self.locked.lock().await;
        let services = locked.state.list(service, |id| self.publisher.counted(id))?;
        Ok(Listing { table_size: self.table_size, services })
    }

    async fn conns(
        &self,
        filter: ConnFilter,
        rows: mpsc::Sender<Vec<ConnRow>>,
    ) -> Result<(), ApiError> {
        let _one_at_a_time = self.listing.lock().await;
        let now = boot_time();
        let mut left = filter.limit.unwrap_or(usize::MAX);
        let mut batch = Vec::new();
        for worker in 0..self.publisher.workers() {
            let dump = self.publisher.dump(worker).map_err(|error| internal(&error))?;
            while let Some(entry) = dump.next().await.map_err(|error| internal(&error))? {
                let row = match entry {
                    Entry::Conn(conn) => listing::row(&conn, now),
                    Entry::Template(template, data) => {
                        Some(listing::template_row(&template, &data))
                    }
                };
                let row = row.filter(|row| left > 0 && fits(&filter, row));
                left -= usize::from(row.is_some());
                batch.extend(row);
                if batch.len() == BATCH && rows.send(std::mem::take(&mut batch)).await.is_err() {
                    return Ok(());
                }
            }
        }
        let mut expected = Vec::new();
        self.expect.list(now, &mut expected);
        let expected = expected.iter().filter_map(|each| listing::row(&each.listed(now), now));
        batch.extend(expected.filter(|row| fits(&filter, row)).take(left));
        for rest in batch.chunks(BATCH) {
            // A receiver that is gone wants no more.
            let _ = rows.send(rest.to_vec()).await;
        }
        Ok(())
    }

    async fn zero(&self, service: Option<ServiceKey>) -> Result<(), ApiError> {
        let mut locked = self.locked.lock().await;
        Ok(locked.state.zero(service, |id| self.publisher.counted(id))?)
    }

    async fn stats(&self) -> Result<Value, ApiError> {
        let counters = self.publisher.counters();
        let workers: Vec<Value> = counters.iter().map(stats::worker).collect();
        let ports: Vec<Value> = self
            .readings
            .ports()
            .into_iter()
            .map(|port| {
                let counters = port.counters.into_iter();
                let mut object: serde_json::Map<String, Value> =
                    counters.map(|(name, count)| (name.to_owned(), count.into())).collect();
                object.insert("name".into(), port.name.into());
                Value::Object(object)
            })
            .collect();
        Ok(json!({
            "generation": self.publisher.oldest(),
            "table": { "size": self.table_size },
            "workers": workers,
            "ports": ports,
            "twins": self.readings.twins(),
        }))
    }

    async fn timeouts(&self) -> Result<Timeouts, ApiError> {
        Ok(self.locked.lock().await.state.timeouts())
    }

    async fn set_timeouts(&self, set: Timeouts) -> Result<(), ApiError> {
        self.edit(move |desired| Ok(desired.with_timeouts(set))).await.map(drop)
    }

    async fn sysctls(&self) -> Result<Vec<Sysctl>, ApiError> {
        Ok(self.locked.lock().await.state.sysctls())
    }

    async fn set_sysctl(&self, key: String, value: String) -> Result<(), ApiError> {
        let memory = self.memory();
        let edit = move |mut desired: Desired| {
            desired.sysctls.note_memory(memory);
            desired.with_sysctl(&key, &value)
        };
        self.edit(edit).await.map(drop)
    }

    async fn marks(&self) -> Result<Vec<MarkRule>, ApiError> {
        Ok(self.locked.lock().await.state.marks().to_vec())
    }

    async fn set_marks(&self, rules: Vec<MarkRule>) -> Result<(), ApiError> {
        self.replace_marks(rules).await.map(drop)
    }

    async fn ports(&self) -> Result<Value, ApiError> {
        Ok(self.readings.port_set_up())
    }

    async fn status(&self) -> Result<Status, ApiError> {
        Ok(Status {
            pid: std::process::id(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            uptime: self.started.elapsed().as_secs(),
            generation: self.publisher.oldest(),
            detail: self.readings.set_up(),
        })
    }
}

fn fits(filter: &ConnFilter, row: &ConnRow) -> bool {
    match filter.service {
        None => true,
        Some(ServiceKey::Address { proto, vip, vport }) => {
            (row.proto, row.vip) == (proto, vip) && (vport == 0 || row.vport == vport)
        }
        Some(ServiceKey::Fwmark { .. }) => false,
    }
}
