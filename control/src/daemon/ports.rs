//! DPDK at start: EAL, the buffer pool, ports and their queues, dealt out to the workers.

use super::eal;
use crate::affinity::Cores;
use crate::config::{Config, MacAddr, Port as PortConfigured};
use dataplane::ids::{PortId, WorkerId};
use dataplane::interface::{Interface, Interfaces};
use dataplane::io::dpdk::PortQueue;
use dataplane::worker::{PortShare, TxRoute};
use dpdk_bindings::{Eal, Error, HEADROOM, Mempool, Port, PortConfig, PortInfo};

/// Buffers a worker's thread keeps to itself.
const POOL_CACHE: u32 = 256;

/// Room for a frame of this many bytes beyond the headroom: an MTU of 2,000 with tags; larger
/// MTUs get what they need.
const LEAST_ROOM: usize = 2048;

/// All ports, started, and what each worker has of them.
pub struct Ports {
    /// The ports themselves, in the configuration's order. Dropped last: they close then.
    pub ports: Vec<Port>,
    /// The MAC address of each.
    pub macs: Vec<MacAddr>,
    /// Each worker's shares.
    pub shares: Vec<Vec<PortShare<PortQueue>>>,
    /// How each worker reaches each port.
    pub tx_routes: Vec<Vec<TxRoute>>,
    /// The pool of all buffers.
    pub pool: Mempool,
    /// DPDK, running.
    pub eal: Eal,
    /// How flows reach their owner, a sentence a port.
    pub steering: Vec<String>,
}

/// Starts DPDK and every port.
///
/// # Errors
/// The first thing that could not be had; whatever was started is stopped again.
pub fn start(config: &Config, cores: &Cores) -> Result<Ports, Error> {
    let eal = Eal::init(&eal::args(config.eal_args(), &cores.control))?;
    let buffers = config.table.buffers;
    let cache = POOL_CACHE.min(buffers / 4);
    let pool = Mempool::new(&eal, "buffers", buffers, cache, data_room(config), None)?;
    let workers = config.workers.count;
    let mut all = Ports {
        ports: Vec::new(),
        macs: Vec::new(),
        shares: (0..workers).map(|_| Vec::new()).collect(),
        tx_routes: vec![Vec::new(); workers],
        pool,
        eal: eal.clone(),
        steering: Vec::new(),
    };
    for (id, configured) in config.ports.iter().enumerate() {
        let mut port = Port::by_name(&eal, configured.device.name())?;
        all.open(PortId(id as u16), &mut port, configured)?;
        all.ports.push(port);
    }
    Ok(all)
}

impl Ports {
    /// Starts one port with as many queues as there are workers, or as it has.
    fn open(&mut self, id: PortId, port: &mut Port, from: &PortConfigured) -> Result<(), Error> {
        let info = port.info()?;
        let workers = self.shares.len() as u16;
        let wanted = from.queues.unwrap_or(workers).min(workers);
        let rx_queues = wanted.min(info.max_rx_queues);
        let tx_queues = wanted.min(info.max_tx_queues);
        let most = info.max_rx_queues.min(info.max_tx_queues);
        if let Some(line) =
            from.queues.and_then(|asked| fewer_queues(&from.name, asked, most, workers))
        {
            log::warn!("{line}");
        }
        let settings = PortConfig {
            rx_queues,
            tx_queues,
            mtu: Some(from.mtu),
            promiscuous: from.promiscuous,
            mac: from.mac.filter(|_| !from.promiscuous).map(|mac| mac.0),
            single_pool: true,
            ..PortConfig::default()
        };
        let (rx, tx) = port.start(&settings, &self.pool)?;
        self.macs.push(from.mac.map_or(MacAddr(port.mac()?), |mac| mac));
        self.steering.push(steering(&from.name, &info, rx_queues, workers));
        let (mut rx, mut tx) = (rx.into_iter(), tx.into_iter());
        for worker in 0..usize::from(workers) {
            let (rx, tx) = (rx.next(), tx.next());
            let route = match &tx {
                Some(_) => TxRoute::Own(self.shares[worker].len()),
                None => TxRoute::Through(WorkerId(worker as u16 % tx_queues)),
            };
            self.tx_routes[worker].push(route);
            if rx.is_some() || tx.is_some() {
                let queue = PortQueue::new(id, rx, tx);
                self.shares[worker].push(PortShare { port: id, queue });
            }
        }
        Ok(())
    }
}

/// What to say about `asked` queues of which some cannot be had: each worker takes one, and the
/// device has `most`. Fewer queues than workers are normal.
fn fewer_queues(name: &str, asked: u16, most: u16, workers: u16) -> Option<String> {
    if asked > workers {
        let reason = format!("{workers} workers take one each");
        Some(format!("port {name}: queues = {asked}, but {reason}"))
    } else if asked > most {
        Some(format!("port {name}: queues = {asked}, but its device has {most}"))
    } else {
        None
    }
}

/// Says at start how packets come to the worker that owns their flow.
fn steering(name: &str, info: &PortInfo, queues: u16, workers: u16) -> String {
    let driver = &info.driver;
    match (workers, queues) {
        (1, _) => format!("port {name} ({driver}): one worker, which owns every flow"),
        (_, 1) => format!(
            "port {name} ({driver}): one queue for {workers} workers; flows reach their owners \
             through hand-over rings"
        ),
        _ if info.rss => format!(
            "port {name} ({driver}): {queues} queues by RSS; flows that arrive elsewhere reach \
             their owners through hand-over rings"
        ),
        _ => format!(
            "port {name} ({driver}): {queues} queues, spread by the device as it likes; flows \
             reach their owners through hand-over rings"
        ),
    }
}

fn data_room(config: &Config) -> u16 {
    let mtu = config.ports.iter().map(|port| port.mtu).max().unwrap_or(1500);
    let room = LEAST_ROOM.max(usize::from(mtu) + 64) + HEADROOM;
    u16::try_from(room).unwrap_or(u16::MAX)
}

/// The interface table of the data path.
pub fn interfaces(config: &Config, macs: &[MacAddr]) -> Interfaces {
    let each = |interface: &crate::config::Interface| Interface {
        port: interface.port,
        vlan: interface.vlan,
        mac: macs[interface.port.index()].0,
        twin: interface.twin,
    };
    Interfaces::new(config.interfaces.iter().map(each).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queues_that_cannot_be_had_are_told_with_both_numbers() {
        let told = |asked| fewer_queues("wan", asked, 2, 4);
        assert_eq!(told(2), None);
        assert_eq!(told(3).as_deref(), Some("port wan: queues = 3, but its device has 2"));
        assert_eq!(told(5).as_deref(), Some("port wan: queues = 5, but 4 workers take one each"));
    }
}
