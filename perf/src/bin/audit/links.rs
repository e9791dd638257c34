//! Two memif links to the appliance.

use dpdk_bindings::{Eal, HEADROOM, Mbuf, Mempool, Port, PortConfig, RxQueue, TxQueue};
use perf::audit::{LONGEST, WIRES};
use std::error::Error;
use std::time::{Duration, Instant};

const BUFFERS: u32 = 32_767;
const CACHE: u32 = 256;
const ROOM: u16 = 2048;
const BURST: usize = 64;

/// One link.
struct Link {
    port: Port,
    queues: Vec<Pair>,
}

/// A queue each way.
struct Pair {
    rx: RxQueue,
    tx: TxQueue,
    /// What the link has not taken yet.
    waiting: Vec<Mbuf>,
}

/// Both, by [`perf::audit::Wire`].
pub struct Links {
    links: Vec<Link>,
    pool: Mempool,
    _eal: Eal,
}

impl Links {
    /// Starts DPDK on `core` and its end of each link, whose socket is the appliance's, with as many
    /// queues as that has: memif reads those that only one end has as if they were the first.
    pub fn new(socket: &str, core: usize, queues: u16) -> Result<Links, Box<dyn Error>> {
        let fixed = ["--in-memory", "--no-pci", "--no-telemetry", "--log-level=error"];
        let mut args: Vec<String> = fixed.map(str::to_owned).to_vec();
        args.push(format!("--lcores=0@{core}"));
        let device = |id: usize| format!("net_memif{id}");
        let links = 0..WIRES.len();
        args.extend(links.clone().map(|id| {
            let link = format!("role=client,id={id},socket={socket},socket-abstract=no,rsize=12");
            format!("--vdev={},{link}", device(id))
        }));
        let eal = Eal::init(&args)?;
        perf::processor::pin(core)?;
        let room = ROOM + HEADROOM as u16;
        let pool = Mempool::new(&eal, "frames", BUFFERS, CACHE, room, None)?;
        let link = |id| -> Result<Link, Box<dyn Error>> {
            let mut port = Port::by_name(&eal, &device(id))?;
            let config =
                PortConfig { rx_queues: queues, tx_queues: queues, ..PortConfig::default() };
            let (rx, tx) = port.start(&config, &pool)?;
            let pair = |(rx, tx)| Pair { rx, tx, waiting: Vec::with_capacity(BURST) };
            Ok(Link { port, queues: rx.into_iter().zip(tx).map(pair).collect() })
        };
        let links = links.map(link).collect::<Result<_, _>>()?;
        Ok(Links { links, pool, _eal: eal })
    }

    /// Returns once both are up.
    pub fn wait(&mut self, patience: Duration) -> Result<(), Box<dyn Error>> {
        let end = Instant::now() + patience;
        for link in &self.links {
            while !link.port.link()?.up {
                if Instant::now() > end {
                    return Err("the appliance does not join the links".into());
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        Ok(())
    }

    /// Appends what has come on a wire.
    pub fn receive(&mut self, wire: usize, into: &mut Vec<Mbuf>) -> usize {
        self.links[wire].queues.iter_mut().map(|queue| queue.rx.rx_burst(into, BURST)).sum()
    }

    /// Puts a frame among those to be sent on a wire, by one of its queues: `write` says how long it is.
    /// `false`, and `write` not called, if there is no buffer.
    pub fn put(
        &mut self,
        wire: usize,
        queue: usize,
        write: impl FnOnce(&mut [u8; LONGEST]) -> usize,
    ) -> bool {
        let Some(mut buffer) = self.pool.alloc() else { return false };
        if !buffer.grow_back(LONGEST) {
            return false;
        }
        let Some(bytes) = buffer.bytes_mut().first_chunk_mut() else { return false };
        let len = write(bytes);
        buffer.truncate(len);
        let queues = &mut self.links[wire].queues;
        let queue = queue % queues.len();
        queues[queue].waiting.push(buffer);
        true
    }

    /// Sends what the links take; returns how many frames wait on.
    pub fn send(&mut self) -> usize {
        let mut waiting = 0;
        for queue in self.links.iter_mut().flat_map(|link| &mut link.queues) {
            if !queue.waiting.is_empty() {
                queue.tx.tx_burst(&mut queue.waiting);
            }
            waiting += queue.waiting.len();
        }
        waiting
    }
}
