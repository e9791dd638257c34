//! DPDK for the benchmarks: devices that receive buffers for ever and discard what is sent.

use dataplane::ids::PortId;
use dataplane::io::dpdk::PortQueue;
use dpdk_bindings::{Eal, Error, HEADROOM, Mempool, Port, PortConfig};

use crate::synthetic::FRAME_LEN;

/// Enough for what is under way between two workers; those in use stay in the threads' caches.
const BUFFERS: u32 = 16_383;
const CACHE: u32 = 256;
const ROOM: u16 = 2048;

/// DPDK with null devices, and the queues of each.
pub struct Devices {
    /// DPDK itself.
    pub eal: Eal,
    /// The pool of all buffers.
    pub pool: Mempool,
    /// A device's queues, device by device.
    pub queues: Vec<Vec<PortQueue>>,
    _ports: Vec<Port>,
}

impl Devices {
    /// Starts DPDK with a device for each number of queues in `shapes`, on huge pages.
    ///
    /// # Errors
    /// DPDK's, when it does not start.
    pub fn new(shapes: &[u16], control_core: usize) -> Result<Devices, Error> {
        let fixed = ["--in-memory", "--no-pci", "--no-telemetry", "--log-level=error"];
        let mut args: Vec<String> = fixed.map(str::to_owned).to_vec();
        args.push(format!("--lcores=0@{control_core}"));
        let device = |at: usize| format!("net_null{at}");
        args.extend((0..shapes.len()).map(|at| format!("--vdev={},size={FRAME_LEN}", device(at))));
        let eal = Eal::init(&args)?;
        let pool = Mempool::new(&eal, "buffers", BUFFERS, CACHE, ROOM + HEADROOM as u16, None)?;
        let mut all = Devices { eal, pool, queues: Vec::new(), _ports: Vec::new() };
        for (at, &count) in shapes.iter().enumerate() {
            let mut port = Port::by_name(&all.eal, &device(at))?;
            let config = PortConfig {
                rx_queues: count,
                tx_queues: count,
                single_pool: true,
                ..PortConfig::default()
            };
            let (rx, tx) = port.start(&config, &all.pool)?;
            let pairs = rx.into_iter().zip(tx);
            let queues = pairs.map(|(rx, tx)| PortQueue::new(PortId(0), Some(rx), Some(tx)));
            all.queues.push(queues.collect());
            all._ports.push(port);
        }
        Ok(all)
    }
}
