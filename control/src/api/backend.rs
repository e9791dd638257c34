//! What the server needs of the daemon.

use super::protocol::{ApiError, ConnFilter, ConnRow, Listing, Status, Sysctl, Timeouts};
use crate::rules::{MarkRule, RuleChange};
use dataplane::service::ServiceKey;
use serde_json::Value;
use std::future::Future;
use tokio::sync::mpsc;

/// The daemon behind the socket. Every answer is complete when its future is: a change is on all
/// workers, a listing is of one moment of each worker.
pub trait Backend: Send + Sync + 'static {
    /// Applies the changes at one generation, or none of them. The generation, once every worker
    /// has it.
    fn change(
        &self,
        changes: Vec<RuleChange>,
        replace: bool,
    ) -> impl Future<Output = Result<u64, ApiError>> + Send;

    /// All services or one; destinations in the kernel's list order.
    fn list(
        &self,
        service: Option<ServiceKey>,
    ) -> impl Future<Output = Result<Listing, ApiError>> + Send;

    /// Sends the rows that fit the filter, in batches of any size, until the receiver is gone.
    /// The answer is complete when the sender is dropped.
    fn conns(
        &self,
        filter: ConnFilter,
        rows: mpsc::Sender<Vec<ConnRow>>,
    ) -> impl Future<Output = Result<(), ApiError>> + Send;

    /// Zeroes the counters of one service or all.
    fn zero(
        &self,
        service: Option<ServiceKey>,
    ) -> impl Future<Output = Result<(), ApiError>> + Send;

    /// Counters of workers and ports, as an object.
    fn stats(&self) -> impl Future<Output = Result<Value, ApiError>> + Send;

    /// The timeouts in force.
    fn timeouts(&self) -> impl Future<Output = Result<Timeouts, ApiError>> + Send;

    /// Sets timeouts; 0 keeps the old value ([`Timeouts::with`]).
    fn set_timeouts(&self, set: Timeouts) -> impl Future<Output = Result<(), ApiError>> + Send;

    /// All values of `net.ipv4.vs` that have a meaning here.
    fn sysctls(&self) -> impl Future<Output = Result<Vec<Sysctl>, ApiError>> + Send;

    /// Sets one of them; the server has checked that the name is known and supported.
    fn set_sysctl(
        &self,
        key: String,
        value: String,
    ) -> impl Future<Output = Result<(), ApiError>> + Send;

    /// The mark rules in order.
    fn marks(&self) -> impl Future<Output = Result<Vec<MarkRule>, ApiError>> + Send;

    /// Replaces the mark rules; the server has checked each.
    fn set_marks(&self, rules: Vec<MarkRule>) -> impl Future<Output = Result<(), ApiError>> + Send;

    /// How each port was set up, as an array of objects.
    fn ports(&self) -> impl Future<Output = Result<Value, ApiError>> + Send;

    /// Who this is and how it is.
    fn status(&self) -> impl Future<Output = Result<Status, ApiError>> + Send;
}
