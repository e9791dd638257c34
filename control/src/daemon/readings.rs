//! Counters of ports and kernel twins, read when somebody asks.

use crate::config::{Config, Idle};
use crate::engine::{PortReading, Readings};
use crate::twin::{FromKernel, ToKernel, TwinCounters};
use dataplane::verdict::PuntClass;
use dpdk_bindings::Port;
use serde_json::{Map, Value, json};
use std::sync::{Arc, Weak};

/// What the daemon knows besides the workers. Holds ports weakly, so that they close when their
/// owner says so.
pub struct DaemonReadings {
    ports: Vec<(String, Weak<Port>)>,
    twins: Arc<TwinCounters>,
    set_up: Value,
    port_set_up: Value,
}

impl DaemonReadings {
    /// Of these ports and twins.
    pub fn new(
        config: &Config,
        ports: &[Arc<Port>],
        twins: Arc<TwinCounters>,
        steering: Vec<String>,
        facts: Vec<Value>,
    ) -> Self {
        let names = config.ports.iter().map(|port| port.name.clone());
        let idle = match config.workers.idle {
            Idle::Sleep => "sleep",
            Idle::Spin => "spin",
        };
        let interfaces = config.interfaces.iter().map(|each| each.name.clone());
        let set_up = json!({
            "workers": config.workers.count,
            "idle": idle,
            "interfaces": interfaces.collect::<Vec<_>>(),
            "steering": steering,
        });
        DaemonReadings {
            ports: names.zip(ports.iter().map(Arc::downgrade)).collect(),
            twins,
            set_up,
            port_set_up: Value::Array(facts),
        }
    }
}

impl Readings for DaemonReadings {
    fn ports(&self) -> Vec<PortReading> {
        let reading = |(name, port): &(String, Weak<Port>)| {
            let stats = port.upgrade()?.stats().ok()?;
            let counters = vec![
                ("rx_packets", stats.rx_packets),
                ("rx_bytes", stats.rx_bytes),
                ("tx_packets", stats.tx_packets),
                ("tx_bytes", stats.tx_bytes),
                ("rx_missed", stats.rx_missed),
                ("rx_errors", stats.rx_errors),
                ("rx_no_buffer", stats.rx_no_buffer),
                ("tx_errors", stats.tx_errors),
            ];
            Some(PortReading { name: name.clone(), counters })
        };
        self.ports.iter().filter_map(reading).collect()
    }

    fn twins(&self) -> Value {
        let class = |class: &PuntClass| {
            let outcomes = ToKernel::ALL.iter().map(|&outcome| {
                (outcome.name().to_owned(), self.twins.to_kernel(*class, outcome).into())
            });
            (class.name().to_owned(), Value::Object(outcomes.collect()))
        };
        let from = FromKernel::ALL
            .iter()
            .map(|&outcome| (outcome.name().to_owned(), self.twins.from_kernel(outcome).into()));
        json!({
            "to_kernel": PuntClass::ALL.iter().map(class).collect::<Map<String, Value>>(),
            "from_kernel": from.collect::<Map<String, Value>>(),
            "taps_lost": self.twins.taps_lost(),
            "heartbeat": self.twins.heartbeat(),
        })
    }

    fn port_set_up(&self) -> Value {
        self.port_set_up.clone()
    }

    fn set_up(&self) -> Value {
        self.set_up.clone()
    }
}
