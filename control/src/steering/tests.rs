//! Plans for the devices of [`super::nics`], which are mocked.

use super::nics;
use super::offloads::{Offload, Verdict};
use super::rules::MAX_RULES;
use super::*;
use dataplane::limits::OWNER_SLOTS;
use dataplane::owner::TOEPLITZ_KEY;
use std::net::IpAddr;
use std::sync::LazyLock;

static KNOWN: LazyLock<Addresses> = LazyLock::new(|| Addresses {
    services: vec!["10.0.0.100".parse().unwrap()],
    servers: vec!["192.168.1.2".parse().unwrap(), "2001:db8::2".parse().unwrap()],
});

fn wish(faces: Faces) -> Wish<'static> {
    Wish { queues: None, faces, steered: true, known: &KNOWN, per_queue: 8192, one_pool: true }
}

fn planned(device: Device, faces: Faces, workers: usize) -> Plan {
    plans(workers, &[(device, wish(faces))]).1.remove(0)
}

/// What the log says of a port whose driver takes everything.
fn said(device: &Device, faces: Faces, workers: usize) -> String {
    let (map, plans) = plans(workers, &[(device.clone(), wish(faces))]);
    let step = |asked: bool| if asked { Step::Done } else { Step::NotAsked };
    let granted = Granted {
        table: step(!plans[0].table.is_empty()),
        rules: step(!plans[0].rules.is_empty()),
    };
    tell::sentence("wan", device, &plans[0], &map, &granted)
}

#[test]
fn each_device_is_asked_for_what_it_can() {
    use End::{Destination, Source};
    use Spread::{BothEnds, ClientEnd, OneQueue};
    use Way::{Fields, Rules};
    let rows: [(Device, Spread, Spread, usize); 11] = [
        (nics::ixgbe_82599(), BothEnds, BothEnds, 0),
        (nics::i40e_xl710(), ClientEnd(Source, Rules), ClientEnd(Destination, Rules), 4),
        (nics::ice_e810(), ClientEnd(Source, Rules), ClientEnd(Destination, Rules), 4),
        (nics::mlx5_cx(), ClientEnd(Source, Fields), ClientEnd(Destination, Fields), 0),
        (nics::ena(), BothEnds, BothEnds, 0),
        (nics::virtio(), BothEnds, BothEnds, 0),
        (nics::af_packet(), Spread::Device, Spread::Device, 0),
        (nics::af_xdp(), OneQueue, OneQueue, 0),
        (nics::null(), BothEnds, BothEnds, 0),
        (nics::memif(), Spread::Device, Spread::Device, 0),
        (nics::tap(), BothEnds, BothEnds, 0),
    ];
    for (device, clients, servers, rules) in rows {
        for (faces, spread) in [(Faces::Clients, clients), (Faces::Servers, servers)] {
            let plan = planned(device.clone(), faces, 4);
            assert_eq!((plan.spread, plan.rules.len()), (spread, rules), "{}", device.driver);
            let is_steered = matches!(spread, ClientEnd(..));
            assert_eq!(plan.key.is_some(), is_steered, "{}", device.driver);
            let entries = if is_steered { usize::from(device.redirection) } else { 0 };
            assert_eq!(plan.table.len(), entries, "{}", device.driver);
            assert!(
                device.hash.contains(plan.hash),
                "{}: DPDK refuses what is not offered",
                device.driver
            );
            assert!(plan.rx_queues <= device.rx_queues && plan.tx_queues <= device.tx_queues);
        }
    }
}

#[test]
fn one_worker_has_one_queue_and_needs_no_hash() {
    for device in [nics::mlx5_cx(), nics::ice_e810(), nics::ixgbe_82599()] {
        let plan = planned(device.clone(), Faces::Clients, 1);
        assert_eq!((plan.spread, plan.rx_queues, plan.hash), (Spread::OneQueue, 1, Hash::empty()));
        assert!(plan.key.is_none() && plan.table.is_empty() && plan.rules.is_empty());
        assert!(said(&device, Faces::Clients, 1).ends_with("one worker, which owns every flow"));
    }
}

#[test]
fn the_key_is_the_owners_as_long_as_the_device_wants_it() {
    for (device, length) in [(nics::mlx5_cx(), 40), (nics::ice_e810(), 52)] {
        let key = planned(device, Faces::Clients, 2).key.expect("it is steered");
        assert_eq!((key.len(), &key[..40]), (length, &TOEPLITZ_KEY[..]));
    }
    let unstated = Device { hash_key: 0, ..nics::mlx5_cx() };
    assert_eq!(planned(unstated, Faces::Clients, 2).key.map(|key| key.len()), Some(40));
}

#[test]
fn rules_hash_one_kind_of_packet_each_by_the_clients_end() {
    let both = Hash::L3_SOURCE | Hash::L4_SOURCE;
    let plan = planned(nics::ice_e810(), Faces::Clients, 4);
    let kinds: Vec<Hash> = plan.rules.iter().map(|rule| rule.hash - both).collect();
    assert_eq!(kinds, [Hash::IPV4_TCP, Hash::IPV4_UDP, Hash::IPV6_TCP, Hash::IPV6_UDP]);
    assert!(plan.rules.iter().all(|rule| rule.hash.contains(both) && !rule.brings_table));
    assert_eq!(plan.hash & both, Hash::empty(), "the configuration has no such field");
    let plan = planned(nics::ice_e810(), Faces::Servers, 4);
    let both = Hash::L3_DESTINATION | Hash::L4_DESTINATION;
    assert!(plan.rules.iter().all(|rule| rule.hash.contains(both)));
}

#[test]
fn a_port_that_clients_and_real_servers_share_has_rules_by_address_or_a_hash_over_both_ends() {
    let plan = planned(nics::mlx5_cx(), Faces::Both, 4);
    assert_eq!((plan.spread, plan.rules.len()), (Spread::PerAddress, 6));
    assert_eq!(plan.hash, nics::mlx5_cx().hash & Hash::FLOWS, "whoever has no rule");
    let about: Vec<(Packets, Transport)> =
        plan.rules.iter().step_by(2).map(|rule| (rule.packets, rule.transport)).collect();
    let [first, second] = KNOWN.servers[..] else { panic!("two") };
    let all = [
        Packets::ToService(KNOWN.services[0]),
        Packets::FromServer(first),
        Packets::FromServer(second),
    ];
    assert_eq!(about, all.map(|packets| (packets, Transport::Tcp)));
    for rule in &plan.rules {
        assert!(rule.brings_table && nics::mlx5_cx().hash.contains(rule.hash));
        let end = match rule.packets {
            Packets::ToService(_) => End::Source,
            _ => End::Destination,
        };
        assert!(rule.hash.contains(end.alone()));
        // `mlx5_validate_action_rss` asks for a kind of address besides the transport.
        assert!(rule.hash.intersects(Hash::IPV4 | Hash::IPV6));
    }
    for device in [nics::ice_e810(), nics::i40e_xl710(), nics::virtio()] {
        assert_eq!(planned(device, Faces::Both, 4).spread, Spread::BothEnds);
    }
}

#[test]
fn rules_by_address_are_bounded() {
    let servers = (0..5000).map(|n: u32| IpAddr::V4(n.into())).collect();
    let many = Addresses { servers, ..KNOWN.clone() };
    let wish = Wish { known: &many, ..wish(Faces::Both) };
    assert_eq!(plans(4, &[(nics::mlx5_cx(), wish)]).1[0].rules.len(), MAX_RULES);
}

#[test]
fn tables_bring_every_slot_to_its_owner_whatever_ports_and_workers() {
    let mut small = nics::mlx5_cx();
    small.redirection = 128;
    for workers in [2, 3, 4, 6, 7, 12, 16] {
        let ports = [
            (small.clone(), wish(Faces::Clients)),
            (nics::ice_e810(), wish(Faces::Servers)),
            (nics::ixgbe_82599(), wish(Faces::Clients)),
        ];
        let (map, plans) = plans(workers, &ports);
        for plan in &plans[..2] {
            assert_eq!(table::agreement(&map, &plan.table), OWNER_SLOTS, "{workers} workers");
        }
    }
}

#[test]
fn a_table_that_does_not_split_the_hash_as_slots_do_is_not_used() {
    for redirection in [0, 48, 320] {
        let device = Device { redirection, ..nics::mlx5_cx() };
        assert_eq!(planned(device, Faces::Clients, 4).spread, Spread::BothEnds, "{redirection}");
    }
}

#[test]
fn steering_can_be_turned_off() {
    for device in [nics::mlx5_cx(), nics::ice_e810()] {
        let off = Wish { steered: false, ..wish(Faces::Both) };
        let plan = plans(4, &[(device, off)]).1.remove(0);
        assert_eq!(plan.spread, Spread::BothEnds);
        assert!(plan.key.is_none() && plan.table.is_empty() && plan.rules.is_empty());
    }
}

#[test]
fn offloads_are_asked_for_if_offered_and_of_use() {
    let asked = |device: &Device, one_pool| -> Vec<&str> {
        let (wish, spread) =
            (wish(Faces::Clients), planned(device.clone(), Faces::Clients, 4).spread);
        let wish = Wish { one_pool, ..wish };
        let plan = plans(4, &[(device.clone(), wish)]).1.remove(0);
        let all = Offload::ALL.into_iter();
        let is_asked = |each: &Offload| each.verdict(device, spread, one_pool) == Verdict::Asked;
        let asked: Vec<&str> = all.filter(is_asked).map(Offload::name).collect();
        assert_eq!(plan.fast_free, asked.contains(&"tx_fast_free"));
        assert_eq!(plan.tell_hash, asked.contains(&"rx_hash"));
        asked
    };
    for device in [nics::ice_e810(), nics::i40e_xl710(), nics::mlx5_cx(), nics::ena()] {
        assert_eq!(asked(&device, true), ["tx_fast_free"], "{}", device.driver);
        assert!(asked(&device, false).is_empty(), "{}: pools on two nodes", device.driver);
    }
    assert_eq!(asked(&nics::ena_of_one_end(), true), ["rx_hash", "tx_fast_free"]);
    for device in [nics::ixgbe_82599(), nics::virtio(), nics::af_packet(), nics::memif()] {
        assert!(asked(&device, true).is_empty(), "{}", device.driver);
        let spread = Spread::BothEnds;
        assert_eq!(Offload::FastFree.verdict(&device, spread, true), Verdict::NotOffered);
    }
}

#[test]
fn queues_and_rings_keep_to_workers_device_and_buffers() {
    let few = Wish { queues: Some(2), per_queue: 500, ..wish(Faces::Clients) };
    let plan = plans(4, &[(nics::mlx5_cx(), few)]).1.remove(0);
    assert_eq!((plan.rx_queues, plan.tx_queues, plan.rx_ring, plan.tx_ring), (2, 2, None, None));
    let plan = planned(nics::ixgbe_82599(), Faces::Clients, 4);
    assert_eq!((plan.rx_ring, plan.tx_ring), (Some(1024), Some(1024)));
    let plan = planned(nics::i40e_xl710(), Faces::Clients, 4);
    assert_eq!((plan.rx_ring, plan.tx_ring), (None, Some(1024)));
    let one = planned(nics::af_xdp(), Faces::Clients, 4);
    assert_eq!((one.rx_queues, one.tx_queues, one.rx_ring), (1, 1, None));
    assert_eq!(pools::at_work(&[plan, one], 4), 4 * 1024 * 2 + 2 * 1024 + 4 * (384 + 256));
}

#[test]
fn the_log_says_what_the_device_does_and_what_software_does() {
    for (device, faces, workers, want) in [
        (
            nics::ice_e810(),
            Faces::Clients,
            4,
            "port wan (net_ice): 4 queues by the owner's hash over the source, so that flows arrive at \
             their owners; software looks the owner up all the same and hands over the rest, such as \
             fragments and ICMP",
        ),
        (
            nics::mlx5_cx(),
            Faces::Both,
            4,
            "port wan (mlx5_pci): 4 queues, by the owner's hash over the client's end where 1 virtual \
             address or 2 real servers is the other, so that flows arrive at their owners; software \
             looks the owner up all the same and hands over the rest, such as services added later, \
             fragments and ICMP",
        ),
        (
            nics::virtio(),
            Faces::Servers,
            8,
            "port wan (net_virtio): 4 queues by a hash over both ends of a flow; flows reach their \
             owners through hand-over rings",
        ),
        (
            nics::af_xdp(),
            Faces::Clients,
            2,
            "port wan (net_af_xdp): one queue for 2 workers; flows reach their owners through \
             hand-over rings",
        ),
        (
            nics::memif(),
            Faces::Clients,
            2,
            "port wan (net_memif): 2 queues, spread by the device as it likes; flows reach their \
             owners through hand-over rings",
        ),
    ] {
        assert_eq!(said(&device, faces, workers), want);
    }
    let both = said(&nics::ice_e810(), Faces::Both, 4);
    assert!(both.contains("4 queues by a hash over both ends"), "{both}");
    let half = Device { rx_queues: 2, ..nics::mlx5_cx() };
    let told = said(&half, Faces::Clients, 4);
    assert!(told.contains("so that 50 % of flows arrive at their owners"), "{told}");
}

#[test]
fn what_a_driver_refuses_is_said_with_its_words() {
    let told = |device: Device, faces, granted: Granted| {
        let (map, plans) = plans(4, &[(device.clone(), wish(faces))]);
        tell::sentence("lan", &device, &plans[0], &map, &granted)
    };
    let no = || Step::Refused("no room".to_owned());
    let table = Granted { table: no(), rules: Step::NotAsked };
    assert!(told(nics::mlx5_cx(), Faces::Clients, table).ends_with(
        "4 queues by the device's own redirection table, since it takes no other (no room); flows \
             reach their owners through hand-over rings"
    ));
    let rules = Granted { table: Step::Done, rules: no() };
    assert!(told(nics::ice_e810(), Faces::Servers, rules.clone()).ends_with(
        "4 queues by a hash over both ends of a flow, since the device takes no rule for the \
             destination alone (no room); flows reach their owners through hand-over rings"
    ));
    let both = told(nics::mlx5_cx(), Faces::Both, rules);
    assert!(both.contains("takes no rules for the client's end alone (no room)"), "{both}");
}
