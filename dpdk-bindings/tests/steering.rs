//! Capabilities, hashing, redirection tables and flow rules on virtual devices. What they cannot show:
//! none of them hashes by one end of a flow alone. As `vdev.rs`, each test needs a process of its own.

use std::process::Command;

mod common;

use common::{eal, frame, pool, receive, transmit, veth_pair};
use dpdk_bindings::bits::{hash, rx, tx};
use dpdk_bindings::{Error, HashRule, Mempool, Port, PortConfig, Rss, RulePackets, RuleTransport};

const FLOWS: u64 = hash::IPV4 | hash::IPV4_TCP | hash::IPV4_UDP | hash::IPV6 | hash::IPV6_TCP;

fn two_queues() -> PortConfig {
    PortConfig { rx_queues: 2, tx_queues: 2, ..PortConfig::default() }
}

#[test]
fn a_null_device_tells_what_it_can_and_hashes_as_it_is_told() {
    let eal = eal(&["net_null0"]);
    let pool = pool(&eal);
    let mut port = Port::by_name(&eal, "net_null0").expect("it was asked for");
    let info = port.info().expect("it tells");
    assert_eq!((info.driver.as_str(), info.redirection), ("net_null", 128));
    assert_eq!(info.hash_types & FLOWS, FLOWS);
    assert_eq!(info.hash_types & (hash::L3_SOURCE | hash::L4_DESTINATION), 0);

    let key: Vec<u8> = (0..40).collect();
    let rss = Rss { types: FLOWS, key: Some(key.clone()) };
    port.start(&PortConfig { rss: Some(rss), ..two_queues() }, &pool).expect("it starts");
    assert_eq!(port.hashing().expect("it tells").types, FLOWS);
    let table: Vec<u16> = (0..128).map(|entry| entry / 3 % 2).collect();
    port.set_redirection(&table).expect("it takes a table");
    assert_eq!(port.redirection(128).expect("it tells"), table);
    let beyond = port.set_redirection(&[2; 128]).expect_err("there are queues 0 and 1");
    assert!(beyond.to_string().contains("take its redirection table"), "{beyond}");
}

#[test]
fn a_key_of_the_wrong_length_and_kinds_that_a_device_cannot_hash_are_refused() {
    let eal = eal(&["net_null0"]);
    let pool = pool(&eal);
    let mut port = Port::by_name(&eal, "net_null0").expect("it was asked for");
    let mut start = |types, key: Option<Vec<u8>>| {
        let rss = Some(Rss { types, key });
        port.start(&PortConfig { rss, ..two_queues() }, &pool).map(|_| ())
    };
    let short = start(FLOWS, Some(vec![1; 39]));
    assert!(matches!(short, Err(Error::Key { asked: 39, needed: 40, .. })), "{short:?}");
    let source = start(FLOWS | hash::L3_SOURCE | hash::L4_SOURCE, None);
    assert!(matches!(source, Err(Error::Port { .. })), "{source:?}");
    assert!(start(FLOWS, Some(vec![1; 40])).is_ok());
}

#[test]
fn one_queue_needs_no_hash_and_a_device_without_one_has_no_table() {
    let eal = eal(&["net_ring0", "net_null0"]);
    let pool = pool(&eal);
    let mut ring = Port::by_name(&eal, "net_ring0").expect("it was asked for");
    assert_eq!(ring.info().map(|info| (info.hash_types, info.redirection)).ok(), Some((0, 0)));
    let one = PortConfig { rx_queues: 1, tx_queues: 1, tell_hash: true, ..PortConfig::default() };
    ring.start(&one, &pool).expect("it starts");
    assert!(ring.set_redirection(&[0; 128]).is_err());
    let mut null = Port::by_name(&eal, "net_null0").expect("it was asked for");
    let rss = Some(Rss { types: FLOWS, key: None });
    null.start(&PortConfig { rss, ..one }, &pool).expect("it starts");
    assert!(null.set_redirection(&[0; 128]).is_err(), "it does not hash");
}

#[test]
fn what_runs_is_told_with_the_queues_sizes() {
    let eal = eal(&["net_null0"]);
    let pool = pool(&eal);
    let mut port = Port::by_name(&eal, "net_null0").expect("it was asked for");
    assert!(port.set_up().is_none());
    let config = PortConfig {
        rx_descriptors: Some(512),
        tx_descriptors: Some(256),
        mtu: Some(1400),
        single_pool: true,
        ..two_queues()
    };
    port.start(&config, &pool).expect("it starts");
    let runs = *port.set_up().expect("it is started");
    assert_eq!((runs.rx_queues, runs.tx_queues, runs.mtu), (2, 2, 1400));
    assert_eq!((runs.rx_descriptors, runs.tx_descriptors), (512, 256));
    let offered = port.info().expect("it tells");
    assert_eq!(runs.fast_free, offered.tx_offloads & tx::FAST_FREE != 0);
    assert_eq!((runs.tell_hash, offered.rx_offloads & rx::HASH), (false, 0));
}

#[test]
fn a_device_without_flow_rules_says_so() {
    let eal = eal(&["net_null0"]);
    let pool = pool(&eal);
    let mut port = Port::by_name(&eal, "net_null0").expect("it was asked for");
    port.start(&two_queues(), &pool).expect("it starts");
    let rule = HashRule {
        packets: RulePackets::V4,
        transport: RuleTransport::Tcp,
        types: hash::IPV4_TCP | hash::L3_SOURCE | hash::L4_SOURCE,
        key: &[],
        queues: &[],
    };
    for refused in [port.try_rule(&rule), port.add_rule(&rule)] {
        let said = refused.expect_err("it has none").to_string();
        assert!(said.starts_with("port net_null0 takes no flow rule for it: "), "{said}");
    }
    assert!(port.clear_rules().is_ok(), "there is none to clear");
}

/// A tap's driver makes rules out of the kernel's traffic control, where the kernel has `multiq`
/// (sch_multiq) and `flower`. Where it has not, this shows no more than the refusal.
#[test]
fn a_tap_takes_rules_by_address_or_says_why_not() {
    veth_pair();
    let eal = eal(&["net_tap0,iface=tap0"]);
    let pool = pool(&eal);
    let mut port = Port::by_name(&eal, "net_tap0").expect("it was asked for");
    port.start(&two_queues(), &pool).expect("it starts");
    let has_multiq = Command::new("tc")
        .args("qdisc add dev va root multiq".split(' '))
        .status()
        .is_ok_and(|status| status.success());
    for packets in [
        RulePackets::From([192, 0, 2, 7].into()),
        RulePackets::To("2001:db8::7".parse().expect("an address")),
        RulePackets::V6,
    ] {
        for transport in [RuleTransport::Tcp, RuleTransport::Udp] {
            let types = hash::IPV4 | hash::IPV4_TCP;
            let rule = HashRule { packets, transport, types, key: &[], queues: &[0, 1, 0, 1] };
            let tried = port.try_rule(&rule);
            assert_eq!(tried.is_ok(), has_multiq, "{tried:?}");
        }
    }
    assert!(port.clear_rules().is_ok());
}

#[test]
fn a_pool_tells_its_pages_and_takes_a_node() {
    let eal = eal(&[]);
    let here = Mempool::new(&eal, "here", 1023, 0, 2048 + 128, Some(0)).expect("node 0 is there");
    assert!(here.page_size().is_some_and(|bytes| bytes.is_power_of_two()), "{here:?}");
    let far = Mempool::new(&eal, "far", 1023, 0, 2048 + 128, Some(7));
    assert!(matches!(far, Err(Error::Pool { .. })), "there is no node 7");
}

#[test]
fn frames_cross_a_port_that_was_told_how_to_spread_them() {
    veth_pair();
    let eal = eal(&["net_af_packet0,iface=va,qpairs=2", "net_af_packet1,iface=vb,qpairs=2"]);
    let pool = pool(&eal);
    let start = |name| {
        let mut port = Port::by_name(&eal, name).expect("it was asked for");
        let config = PortConfig { promiscuous: true, tell_hash: true, ..two_queues() };
        let queues = port.start(&config, &pool).expect("it starts");
        (port, queues)
    };
    let (a, (_, mut tx)) = start("net_af_packet0");
    let (_b, (mut rx, _)) = start("net_af_packet1");
    assert_eq!(a.set_up().map(|runs| runs.tell_hash), Some(false), "it cannot");
    transmit(&mut tx[1], (0..20).map(|tag| frame(&pool, tag, 60 + usize::from(tag))).collect());
    assert_eq!(receive(&mut rx, 20).len(), 20);
}
