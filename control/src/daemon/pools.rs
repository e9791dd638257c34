//! Pools of packet buffers on the NUMA nodes of the ports that receive into them.

use crate::steering::pools::{CACHE, Pool, room};
use dpdk_bindings::{Eal, Error, HEADROOM, Mempool};

/// The pools of all buffers, and which is whose.
pub struct Pools {
    made: Vec<Mempool>,
    plans: Vec<Pool>,
}

impl Pools {
    /// Takes the memory, with room for packets of `mtu` bytes. A node without enough of it has its pool
    /// elsewhere, with a warning.
    ///
    /// # Errors
    /// [`Error::Pool`] if there is not enough anywhere.
    pub fn make(eal: &Eal, plans: Vec<Pool>, mtu: u16) -> Result<Pools, Error> {
        let data_room = u16::try_from(room(mtu) + HEADROOM).unwrap_or(u16::MAX);
        let made = plans.iter().map(|plan| make(eal, plan, data_room)).collect::<Result<_, _>>()?;
        Ok(Pools { made, plans })
    }

    /// The one that a port receives into.
    pub fn of_port(&self, port: usize) -> &Mempool {
        let place = self.plans.iter().position(|pool| pool.ports.contains(&port));
        &self.made[place.unwrap_or(0)]
    }

    /// The one for frames that are made here.
    pub fn first(&self) -> &Mempool {
        &self.made[0]
    }
}

fn make(eal: &Eal, plan: &Pool, data_room: u16) -> Result<Mempool, Error> {
    let cache = CACHE.min(plan.buffers / 4);
    let name = plan.node.map_or_else(|| "buffers".to_owned(), |node| format!("buffers{node}"));
    let made = |node| Mempool::new(eal, &name, plan.buffers, cache, data_room, node);
    let Some(node) = plan.node else { return made(None) };
    made(Some(node)).or_else(|error| {
        let pool = made(None)?;
        log::warn!("{error}; they lie on another node than {node}, that of their ports");
        Ok(pool)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One of the tests that start EAL, each in a process of its own.
    #[test]
    fn a_node_without_memory_has_its_pool_elsewhere() {
        let memory = ["--no-huge", "-m", "64", "--no-shconf", "--no-pci", "--no-telemetry"];
        let args: Vec<&str> = memory.into_iter().chain(["--lcores=0"]).collect();
        let eal = Eal::init(&args).expect("EAL starts without huge pages");
        let plan = |node, port| Pool { node: Some(node), buffers: 1023, ports: vec![port] };
        let pools = Pools::make(&eal, vec![plan(0, 1), plan(7, 0)], 9000).expect("there is room");
        assert_eq!(pools.of_port(1).count(), 1023);
        assert_eq!(usize::from(pools.of_port(0).data_room()), 9216 + HEADROOM);
        assert!(pools.of_port(0).alloc().is_some() && pools.first().alloc().is_some());
    }
}
