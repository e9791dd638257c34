//! What was counted: sums over workers, rates over time, and the object `sluice stats` prints.

use super::identity::{Identities, since};
use crate::api::protocol::Stats;
use dataplane::counters::{DestTotals, Tally, WorkerCounters};
use dataplane::ids::DestId;
use dataplane::verdict::{DropReason, PuntClass};
use serde_json::{Map, Value, json};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// Counters of what is not a worker: read when asked for.
pub trait Readings: Send + Sync {
    /// Ports, in their order.
    fn ports(&self) -> Vec<PortReading>;
    /// The kernel twins' counters, as an object.
    fn twins(&self) -> Value;
    /// How each port was set up, as an array of objects with a `name`.
    fn port_set_up(&self) -> Value;
    /// Whatever `status` tells of the set-up.
    fn set_up(&self) -> Value;
}

/// One port's own counters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortReading {
    /// Its configured name.
    pub name: String,
    /// Counter names and values.
    pub counters: Vec<(&'static str, u64)>,
}

/// Averages of a destination: the kernel's estimator (`ip_vs_est.c`), every two seconds a quarter
/// of the way to the rate of those two seconds.
#[derive(Debug, Default)]
pub struct Rates {
    dests: HashMap<DestId, Estimate>,
}

#[derive(Debug, Default, Clone)]
struct Estimate {
    last: DestTotals,
    per_second: [f64; 5],
}

/// Seconds between two calls of [`Rates::tick`].
const INTERVAL: f64 = 2.0;

impl Rates {
    /// Takes a reading of every destination.
    pub fn tick(&mut self, ids: &Identities, counted: impl Fn(DestId) -> DestTotals) {
        let mut dests = HashMap::with_capacity(self.dests.len());
        for (_, dest) in ids.dests() {
            let now = counted(dest.id);
            let known = self.dests.remove(&dest.id);
            let mut estimate = known.unwrap_or(Estimate { last: now, per_second: [0.0; 5] });
            let grown = values(since(now, estimate.last));
            for (average, count) in estimate.per_second.iter_mut().zip(grown) {
                *average += (count as f64 / INTERVAL - *average) / 4.0;
            }
            estimate.last = now;
            dests.insert(dest.id, estimate);
        }
        self.dests = dests;
    }

    /// The averages of one destination, rounded.
    pub fn of(&self, id: DestId) -> Stats {
        let per_second = self.dests.get(&id).map_or([0.0; 5], |estimate| estimate.per_second);
        let [conns, inpkts, outpkts, inbytes, outbytes] =
            per_second.map(|rate| rate.round() as u64);
        Stats { conns, inpkts, outpkts, inbytes, outbytes }
    }
}

fn values(totals: DestTotals) -> [u64; 5] {
    [totals.conns, totals.in_packets, totals.out_packets, totals.in_bytes, totals.out_bytes]
}

/// Counts as the API lists them.
pub fn listed(totals: DestTotals) -> Stats {
    let [conns, inpkts, outpkts, inbytes, outbytes] = values(totals);
    Stats { conns, inpkts, outpkts, inbytes, outbytes }
}

/// One worker's counters as an object.
pub fn worker(counters: &Arc<WorkerCounters>) -> Value {
    let tally = counters.read();
    let Value::Object(mut object) = packets(&tally) else { return Value::Null };
    object.insert("conns".into(), counters.conns.load(Relaxed).into());
    object.insert("evicted".into(), counters.evicted.load(Relaxed).into());
    object.insert("toa_omitted".into(), counters.toa_omitted.load(Relaxed).into());
    let dropped_entries = counters.dropped_entries.load(Relaxed);
    object.insert("dropped_entries".into(), dropped_entries.into());
    object.insert("icmp_limited".into(), counters.icmp_limited.load(Relaxed).into());
    object.insert("generation".into(), counters.generation.load(Relaxed).into());
    object.insert("turns".into(), counters.turns.load(Relaxed).into());
    object.insert("idle_turns".into(), counters.idle_turns.load(Relaxed).into());
    Value::Object(object)
}

/// A tally as an object; drops that never happened are left out.
fn packets(tally: &Tally) -> Value {
    let punted: Map<String, Value> = PuntClass::ALL
        .iter()
        .map(|class| (class.name().to_owned(), tally.punted[class.index()].into()))
        .collect();
    let dropped: Map<String, Value> = DropReason::ALL
        .iter()
        .filter(|reason| tally.dropped[reason.index()] > 0)
        .map(|reason| (reason.name().to_owned(), tally.dropped[reason.index()].into()))
        .collect();
    json!({
        "received": tally.received,
        "handed_in": tally.handed_in,
        "from_twin": tally.from_twin,
        "made": tally.made,
        "sent": tally.sent,
        "punted": punted,
        "handed_out": tally.handed_out,
        "dropped": dropped,
        "held": tally.held,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::example::{fwmark, v4};

    #[test]
    fn a_steady_rate_is_approached_by_quarters() {
        let mut ids = Identities::default();
        let key = fwmark(1);
        let id = ids.dest(key, v4(1), 80, |_| DestTotals::default()).unwrap().id;
        let mut rates = Rates::default();
        for tick in 0..40 {
            rates.tick(&ids, |_| DestTotals { conns: tick * 200, ..DestTotals::default() });
            let expected = [0, 25, 44, 58];
            if let Some(&expected) = expected.get(tick as usize) {
                assert_eq!(rates.of(id).conns, expected, "tick {tick}");
            }
        }
        assert_eq!(rates.of(id).conns, 100);
    }
}
