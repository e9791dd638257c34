//! The start of all ports together, by the configuration and what their devices can.

use super::device::Device;
use super::plan::{Plan, Wish, plans, queues};
use super::pools::{self, Pool};
use super::rules::Addresses;
use super::{Faces, faces};
use crate::config::{Config, Port, Steering};
use dataplane::owner::SlotMap;

/// How all ports are started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Start {
    /// Whose each flow is.
    pub slot_map: SlotMap,
    /// By port.
    pub plans: Vec<Plan>,
    /// Every port is in one.
    pub pools: Vec<Pool>,
}

impl Start {
    /// For the ports of a configuration, which have these devices.
    pub fn of(config: &Config, devices: &[Device]) -> Start {
        let workers = config.workers.count;
        let ports: Vec<(&Port, &Device)> = config.ports.iter().zip(devices).collect();
        let queues: Vec<(u16, u16)> = ports.iter().map(|port| both_ways(workers, port)).collect();
        let nodes = devices.iter().zip(&queues).map(|(device, queues)| (device.node, queues.0));
        let pools = pools::pools(config.table.buffers, &nodes.collect::<Vec<_>>());
        let (faces, known) = (
            faces::of(config),
            Addresses {
                services: faces::virtual_addresses(config),
                servers: faces::answering_servers(config),
            },
        );
        let wish = |place: usize, port: &Port, faces: Faces| Wish {
            queues: port.queues,
            faces,
            steered: port.steering == Steering::Auto,
            known: &known,
            per_queue: per_queue(&pools, &queues, place),
            one_pool: pools.len() == 1,
        };
        let wishes = ports.iter().zip(&faces).enumerate();
        let wishes = wishes
            .map(|(place, ((port, device), faces))| ((*device).clone(), wish(place, port, *faces)));
        let (slot_map, plans) = plans(workers, &wishes.collect::<Vec<_>>());
        Start { slot_map, plans, pools }
    }
}

/// Receive and transmit queues of a port.
fn both_ways(workers: usize, (port, device): &(&Port, &Device)) -> (u16, u16) {
    let of = |most| queues(workers, port.queues, most);
    (of(device.rx_queues), of(device.tx_queues))
}

/// Buffers that may lie in each queue of a port: equal shares of half its pool.
fn per_queue(pools: &[Pool], queues: &[(u16, u16)], port: usize) -> u32 {
    let pool = pools.iter().find(|pool| pool.ports.contains(&port));
    pool.map_or(0, |pool| {
        let of_port = |&place: &usize| u32::from(queues[place].0) + u32::from(queues[place].1);
        let all: u32 = pool.ports.iter().map(of_port).sum();
        pool.buffers / 2 / all.max(1)
    })
}

#[cfg(test)]
mod tests {
    use super::super::{End, Spread, Way, nics};
    use super::*;

    const CONFIG: &str = "
        [workers]
        count = 2
        [table]
        buffers = 60000
        [[port]]
        name = 'wan'
        device = '0000:3b:00.0'
        addresses = ['10.0.0.1/24', '10.0.0.100/32']
        [[port]]
        name = 'lan'
        device = '0000:af:00.0'
        addresses = ['192.168.1.1/24']
        [[route]]
        prefix = 'default'
        via = '10.0.0.254'
        [[service]]
        protocol = 'tcp'
        address = '10.0.0.100'
        port = 80
        [[service.server]]
        address = '192.168.1.2'
        method = 'masq'
    ";

    fn start(text: &str, devices: &[Device]) -> Start {
        Start::of(&Config::parse(text, "x.toml", &[0, 1]).expect("valid"), devices)
    }

    #[test]
    fn two_arms_are_hashed_by_the_clients_end_and_share_a_node() {
        let got = start(CONFIG, &[nics::mlx5_cx(), nics::ice_e810()]);
        assert_eq!(got.plans[0].spread, Spread::ClientEnd(End::Source, Way::Fields));
        assert_eq!(got.plans[1].spread, Spread::ClientEnd(End::Destination, Way::Rules));
        let pool = Pool { node: Some(0), buffers: 60_000, ports: vec![0, 1] };
        assert_eq!(got.pools, [pool]);
        assert!(got.plans.iter().all(|plan| plan.fast_free));
        assert_eq!((got.plans[0].rx_ring, got.plans[1].rx_ring), (Some(1024), None));
    }

    #[test]
    fn ports_of_two_nodes_have_their_own_pools_and_look_whose_buffers_they_free() {
        let far = Device { node: Some(1), ..nics::ice_e810() };
        let got = start(CONFIG, &[nics::mlx5_cx(), far]);
        let pool = |node, port| Pool { node: Some(node), buffers: 30_000, ports: vec![port] };
        assert_eq!(got.pools, [pool(0, 0), pool(1, 1)]);
        assert!(got.plans.iter().all(|plan| !plan.fast_free));
    }

    #[test]
    fn rings_stay_as_drivers_would_have_them_where_buffers_are_few() {
        let few = CONFIG.replace("60000", "10000");
        let got = start(&few, &[nics::mlx5_cx(), nics::ice_e810()]);
        assert!(got.plans.iter().all(|plan| plan.rx_ring.is_none() && plan.tx_ring.is_none()));
    }

    #[test]
    fn the_operator_may_say_that_a_device_is_not_to_steer() {
        let off = CONFIG.replace("name = 'wan'", "name = 'wan'\nsteering = 'off'");
        let got = start(&off, &[nics::mlx5_cx(), nics::mlx5_cx()]);
        assert_eq!(got.plans[0].spread, Spread::BothEnds);
        assert_eq!(got.plans[1].spread, Spread::ClientEnd(End::Destination, Way::Fields));
    }
}
