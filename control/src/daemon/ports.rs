//! DPDK at start: EAL, buffer pools, ports and their queues, dealt out to the workers.

use super::pools::Pools;
use super::{device, eal};
use crate::affinity::Cores;
use crate::config::{Config, MacAddr, Port as PortConfigured};
use crate::steering::{Device, Plan, Start, pools, tell};
use dataplane::ids::{PortId, WorkerId};
use dataplane::interface::{Interface, Interfaces};
use dataplane::io::dpdk::PortQueue;
use dataplane::owner::SlotMap;
use dataplane::worker::{PortShare, TxRoute};
use dpdk_bindings::{Eal, Error, Mempool, Port, RxQueue, TxQueue};
use serde_json::Value;

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
    /// Where frames that are made here come from.
    pub pool: Mempool,
    /// DPDK, running.
    pub eal: Eal,
    /// Whose each flow is.
    pub slot_map: SlotMap,
    /// How flows reach their owner, a sentence a port.
    pub steering: Vec<String>,
    /// How each port was set up, for `sluice ports`.
    pub facts: Vec<Value>,
}

/// Starts DPDK and every port.
///
/// # Errors
/// The first thing that could not be had; whatever was started is stopped again.
pub fn start(config: &Config, cores: &Cores) -> Result<Ports, Error> {
    let eal = Eal::init(&eal::args(config.eal_args(), &cores.control))?;
    let found = config.ports.iter().map(|port| Port::by_name(&eal, port.device.name()));
    let found = found.collect::<Result<Vec<Port>, Error>>()?;
    let devices = found.iter().map(|port| Ok(device::device(&port.info()?)));
    let devices = devices.collect::<Result<Vec<Device>, Error>>()?;
    let start = Start::of(config, &devices);
    warn(config, &devices, &start.plans);
    let mtu = config.ports.iter().map(|port| port.mtu).max().unwrap_or(1500);
    let pools = Pools::make(&eal, start.pools, mtu)?;
    let workers = config.workers.count;
    let mut all = Ports {
        ports: Vec::new(),
        macs: Vec::new(),
        shares: (0..workers).map(|_| Vec::new()).collect(),
        tx_routes: vec![Vec::new(); workers],
        pool: pools.first().clone(),
        eal,
        slot_map: start.slot_map,
        steering: Vec::new(),
        facts: Vec::new(),
    };
    let each = found.into_iter().zip(&config.ports).zip(devices.iter().zip(&start.plans));
    for (place, ((mut port, configured), (device, plan))) in each.enumerate() {
        let id = PortId(place as u16);
        all.open(id, &mut port, configured, device, plan, pools.of_port(place))?;
        all.ports.push(port);
    }
    Ok(all)
}

/// Says what of the configuration cannot be had, and what is scarce.
fn warn(config: &Config, devices: &[Device], plans: &[Plan]) {
    let workers = config.workers.count;
    for (port, device) in config.ports.iter().zip(devices) {
        let most = device.rx_queues.min(device.tx_queues);
        let line =
            port.queues.and_then(|asked| fewer_queues(&port.name, asked, most, workers as u16));
        line.iter().for_each(|line| log::warn!("{line}"));
    }
    let (needed, buffers) = (pools::at_work(plans, workers), config.table.buffers);
    if needed > buffers {
        log::warn!(
            "full queues and the workers' caches take {needed} packet buffers, and buffers = {buffers}: \
             packets may be lost for want of one"
        );
    }
}

impl Ports {
    /// Starts one port as planned and deals out its queues.
    fn open(
        &mut self,
        id: PortId,
        port: &mut Port,
        from: &PortConfigured,
        device: &Device,
        plan: &Plan,
        pool: &Mempool,
    ) -> Result<(), Error> {
        let (rx, tx) = port.start(&device::config(from, plan), pool)?;
        self.macs.push(from.mac.map_or(MacAddr(port.mac()?), |mac| mac));
        let granted = device::steer(port, plan);
        let sentence = tell::sentence(&from.name, device, plan, &self.slot_map, &granted);
        let mut facts = device::facts(&from.name, device, plan, port, pool);
        facts["steering"] = device::steering_facts(plan, &granted, &sentence);
        self.facts.push(facts);
        self.steering.push(sentence);
        self.deal(id, rx, tx);
        Ok(())
    }

    /// Gives each worker the queues of its number; who has none to send sends through another.
    fn deal(&mut self, id: PortId, rx: Vec<RxQueue>, tx: Vec<TxQueue>) {
        let tx_queues = tx.len();
        let (mut rx, mut tx) = (rx.into_iter(), tx.into_iter());
        for worker in 0..self.shares.len() {
            let (rx, tx) = (rx.next(), tx.next());
            let route = match &tx {
                Some(_) => TxRoute::Own(self.shares[worker].len()),
                None => TxRoute::Through(WorkerId((worker % tx_queues) as u16)),
            };
            self.tx_routes[worker].push(route);
            if rx.is_some() || tx.is_some() {
                let queue = PortQueue::new(id, rx, tx);
                self.shares[worker].push(PortShare { port: id, queue });
            }
        }
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
    use crate::steering::{self, Step};
    use dataplane::io::{Packet, Queue};

    #[test]
    fn queues_that_cannot_be_had_are_told_with_both_numbers() {
        let told = |asked| fewer_queues("wan", asked, 2, 4);
        assert_eq!(told(2), None);
        assert_eq!(told(3).as_deref(), Some("port wan: queues = 3, but its device has 2"));
        assert_eq!(told(5).as_deref(), Some("port wan: queues = 5, but 4 workers take one each"));
    }

    /// 2 workers; `wan` has a queue for each, `lan` one for both.
    const CONFIG: &str = "
        [eal]
        args = ['--no-huge', '-m', '128', '--no-shconf', '--no-telemetry', '--log-level=lib.*:error']
        [workers]
        count = 2
        [table]
        buffers = 16383
        [[port]]
        name = 'wan'
        device = 'net_null0'
        mtu = 1400
        [[port]]
        name = 'lan'
        device = 'net_ring0'
        queues = 1
    ";

    /// A plan as for a NIC that hashes one end by rules, on a device that can only hash.
    fn steered(device: &Device) -> (SlotMap, Plan) {
        let as_ice = Device { driver: "net_ice".to_owned(), ..device.clone() };
        let wish = steering::Wish {
            queues: None,
            faces: steering::Faces::Clients,
            steered: true,
            known: &steering::Addresses::default(),
            per_queue: 0,
            one_pool: true,
        };
        let (map, mut plans) = steering::plans(2, &[(as_ice, wish)]);
        (map, plans.remove(0))
    }

    /// One of the tests that start EAL, each in a process of its own. What virtual devices cannot
    /// show: none hashes one end of a flow alone, none is on another NUMA node, and `net_null`, which
    /// keeps tables and keys, receives nothing to spread.
    #[test]
    fn plans_are_carried_out_and_what_a_device_refuses_is_told() {
        let config = Config::parse(CONFIG, "x.toml", &[0]).expect("valid");
        let cores = Cores::of(&config.workers, &[0]);
        let mut ports = start(&config, &cores).expect("EAL starts without huge pages");
        assert_eq!(
            ports.steering,
            [
                "port wan (net_null): 2 queues by a hash over both ends of a flow; flows reach their \
                 owners through hand-over rings",
                "port lan (net_ring): one queue for 2 workers; flows reach their owners through \
                 hand-over rings",
            ]
        );
        let wan = &ports.facts[0];
        assert_eq!((&wan["driver"], &wan["mtu"]), (&"net_null".into(), &1400.into()));
        assert_eq!((&wan["queues"]["rx"], &wan["queues"]["tx"]), (&2.into(), &2.into()));
        assert_eq!(wan["buffers"]["count"], 16_383);
        let fast_free = wan["offloads"]["tx_fast_free"].as_str();
        assert!(["granted", "not offered"].map(Some).contains(&fast_free), "{wan}");
        assert_eq!(ports.facts[1]["queues"]["rx"], 1);
        assert_eq!(ports.shares.iter().map(Vec::len).collect::<Vec<_>>(), [2, 1]);
        assert!(matches!(ports.tx_routes[1][1], TxRoute::Through(WorkerId(0))));
        frames_come_back(&mut ports);

        let device = device::device(&ports.ports[0].info().expect("it tells"));
        let (map, plan) = steered(&device);
        let granted = device::steer(&ports.ports[0], &plan);
        assert_eq!(granted.table, Step::Done);
        assert_eq!(ports.ports[0].redirection(128).expect("it tells"), plan.table);
        assert!(matches!(granted.rules, Step::Refused(_)), "{granted:?}");
        let told = tell::sentence("wan", &device, &plan, &map, &granted);
        assert!(told.contains("takes no rule for the source alone"), "{told}");
        let facts = device::steering_facts(&plan, &granted, &told);
        assert_eq!(facts["redirection_entries"], 128);
        assert!(facts["flow_rules"].as_str().is_some_and(|why| why.starts_with("refused: ")));
    }

    /// A ring's transmit queue is its receive queue.
    fn frames_come_back(ports: &mut Ports) {
        let queue = &mut ports.shares[0][1].queue;
        let frame = |tag: u8| {
            let mut frame = ports.pool.alloc().expect("the pool is not empty");
            assert!(Packet::grow_back(&mut frame, 60));
            Packet::bytes_mut(&mut frame).fill(tag);
            frame
        };
        let mut sent: Vec<_> = (0..40).map(frame).collect();
        queue.tx_burst(&mut sent);
        let mut got = Vec::new();
        assert_eq!((sent.len(), queue.rx_burst(&mut got, 64)), (0, 40));
        assert!(got.iter().zip(0..).all(|(frame, tag)| Packet::bytes(frame) == [tag; 60]));
    }
}
