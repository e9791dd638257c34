//! Packet buffers: how large, how many, and on which NUMA node.

use super::plan::Plan;
use dataplane::limits::WINDOW;

/// Buffers a worker's thread keeps to itself; DPDK lets it have half as many more.
pub const CACHE: u32 = 256;

/// Room of a buffer beyond its headroom: an MTU of 2,000 with tags.
const LEAST_ROOM: usize = 2048;

/// Ethernet header, two tags, what drivers reckon besides, and a tunnel's outer headers.
const BEYOND_MTU: usize = 64;

/// `net_ixgbe` takes buffers in steps of 1 KiB and would cut a frame that needs the rest of the last
/// (`ixgbe_dev_rx_init`), `net_i40e` and `net_ice` in steps of 128 bytes.
const STEP: usize = 1024;

/// Frames that a queue holds at least, where there are buffers enough: 69 us of the smallest frames
/// at 10 Gbit/s. Some drivers would have 256.
const RING: u16 = 1024;

/// A pool of buffers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pool {
    /// Where it lies; `None`: anywhere.
    pub node: Option<u32>,
    /// How many buffers.
    pub buffers: u32,
    /// Places of the ports that receive into it.
    pub ports: Vec<usize>,
}

/// A pool for each NUMA node that has ports, its share of all `buffers` by the number of queues
/// there. Ports without a node use the first.
pub fn pools(buffers: u32, ports: &[(Option<u32>, u16)]) -> Vec<Pool> {
    let mut nodes: Vec<u32> = ports.iter().filter_map(|port| port.0).collect();
    nodes.sort_unstable();
    nodes.dedup();
    let first = nodes.first().copied();
    let nodes = if nodes.is_empty() { vec![None] } else { nodes.into_iter().map(Some).collect() };
    let all: u64 = ports.iter().map(|port| u64::from(port.1)).sum();
    let pool = |node: Option<u32>| {
        let here = |place: &usize| ports[*place].0.or(first) == node;
        let ports_here: Vec<usize> = (0..ports.len()).filter(here).collect();
        let queues: u64 = ports_here.iter().map(|&place| u64::from(ports[place].1)).sum();
        let share = u64::from(buffers) * queues / all.max(1);
        Pool { node, buffers: share as u32, ports: ports_here }
    };
    nodes.into_iter().map(pool).collect()
}

/// Bytes of a buffer beyond its headroom, for packets of this length at most.
pub fn room(mtu: u16) -> usize {
    LEAST_ROOM.max((usize::from(mtu) + BEYOND_MTU).next_multiple_of(STEP))
}

/// Frames a queue is to hold, where its driver would have it hold `drivers` (0: it does not say, and
/// [`RING`] is what it gets) and `share` buffers may lie in it.
pub fn ring(drivers: u16, share: u32) -> Option<u16> {
    let wants_more = (1..RING).contains(&drivers) && u32::from(RING) <= share;
    wants_more.then_some(RING)
}

/// Buffers that are out of their pools without any congestion: in all queues, in the workers' caches,
/// and in two windows of each worker.
pub fn at_work(plans: &[Plan], workers: usize) -> u32 {
    let ring = |asked: Option<u16>| u32::from(asked.unwrap_or(RING));
    let of_port = |plan: &Plan| {
        u32::from(plan.rx_queues) * ring(plan.rx_ring)
            + u32::from(plan.tx_queues) * ring(plan.tx_ring)
    };
    let of_worker = CACHE * 3 / 2 + 2 * WINDOW as u32;
    plans.iter().map(of_port).sum::<u32>() + workers as u32 * of_worker
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_of_one_node_or_none_share_a_pool() {
        let one = |node, ports| vec![Pool { node, buffers: 65_535, ports }];
        assert_eq!(pools(65_535, &[(None, 2), (None, 1)]), one(None, vec![0, 1]));
        assert_eq!(pools(65_535, &[(Some(1), 2), (Some(1), 2)]), one(Some(1), vec![0, 1]));
        assert_eq!(pools(65_535, &[(None, 2), (Some(0), 2)]), one(Some(0), vec![0, 1]));
    }

    #[test]
    fn each_node_has_its_share_by_queues() {
        let got = pools(60_000, &[(Some(1), 4), (Some(0), 1), (None, 1)]);
        let want = [
            Pool { node: Some(0), buffers: 20_000, ports: vec![1, 2] },
            Pool { node: Some(1), buffers: 40_000, ports: vec![0] },
        ];
        assert_eq!(got, want);
        assert!(got.iter().map(|pool| pool.buffers).sum::<u32>() <= 60_000);
    }

    #[test]
    fn a_frame_of_any_mtu_fits_whole_into_what_every_driver_uses_of_a_buffer() {
        for mtu in 68..=9600 {
            let room = room(mtu);
            for step in [1, 128, 1024] {
                // The longest overhead that a driver reckons is 26 bytes (`I40E_ETH_OVERHEAD`).
                assert!(room / step * step >= usize::from(mtu) + 26, "{mtu}: {room} by {step}");
            }
        }
        assert_eq!((room(1500), room(1984), room(1985), room(9000)), (2048, 2048, 3072, 9216));
    }

    #[test]
    fn short_rings_are_lengthened_where_buffers_suffice() {
        assert_eq!((ring(256, 5000), ring(512, 1024)), (Some(1024), Some(1024)));
        assert_eq!((ring(256, 1023), ring(1024, 5000), ring(2048, 5000)), (None, None, None));
        assert_eq!(ring(0, 5000), None, "the driver does not say");
    }
}
