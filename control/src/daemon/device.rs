//! Plans of [`crate::steering`] carried out on DPDK's ports.

use crate::config::Port as Configured;
use crate::steering::offloads::{Offload, Verdict};
use crate::steering::{
    Device, Faces, Granted, Hash, Packets, Plan, Rule, RxOffload, Step, Transport, TxOffload,
};
use dpdk_bindings::bits::{hash, rx, tx};
use dpdk_bindings::{
    Error, HashRule, Mempool, Port, PortConfig, PortInfo, Rss, RulePackets, RuleTransport,
};
use serde_json::{Map, Value, json};

/// Plans number things as DPDK does.
const _: () = {
    assert!(Hash::IPV4.bits() == hash::IPV4 && Hash::IPV6.bits() == hash::IPV6);
    assert!(Hash::IPV4_FRAGMENT.bits() == hash::IPV4_FRAGMENT);
    assert!(Hash::IPV6_FRAGMENT.bits() == hash::IPV6_FRAGMENT);
    assert!(Hash::IPV4_TCP.bits() == hash::IPV4_TCP && Hash::IPV6_TCP.bits() == hash::IPV6_TCP);
    assert!(Hash::IPV4_UDP.bits() == hash::IPV4_UDP && Hash::IPV6_UDP.bits() == hash::IPV6_UDP);
    assert!(Hash::IPV4_SCTP.bits() == hash::IPV4_SCTP && Hash::IPV6_SCTP.bits() == hash::IPV6_SCTP);
    assert!(Hash::IPV4_OTHER.bits() == hash::IPV4_OTHER);
    assert!(Hash::IPV6_OTHER.bits() == hash::IPV6_OTHER);
    assert!(Hash::L3_SOURCE.bits() == hash::L3_SOURCE);
    assert!(Hash::L4_SOURCE.bits() == hash::L4_SOURCE);
    assert!(Hash::L3_DESTINATION.bits() == hash::L3_DESTINATION);
    assert!(Hash::L4_DESTINATION.bits() == hash::L4_DESTINATION);
    assert!(RxOffload::IPV4_CHECKSUM.bits() == rx::IPV4_CHECKSUM);
    assert!(RxOffload::UDP_CHECKSUM.bits() == rx::UDP_CHECKSUM);
    assert!(RxOffload::TCP_CHECKSUM.bits() == rx::TCP_CHECKSUM);
    assert!(RxOffload::VLAN_STRIP.bits() == rx::VLAN_STRIP);
    assert!(RxOffload::SCATTER.bits() == rx::SCATTER && RxOffload::HASH.bits() == rx::HASH);
    assert!(TxOffload::IPV4_CHECKSUM.bits() == tx::IPV4_CHECKSUM);
    assert!(TxOffload::UDP_CHECKSUM.bits() == tx::UDP_CHECKSUM);
    assert!(TxOffload::TCP_CHECKSUM.bits() == tx::TCP_CHECKSUM);
    assert!(TxOffload::VLAN_INSERT.bits() == tx::VLAN_INSERT);
    assert!(TxOffload::MULTI_SEGMENT.bits() == tx::MULTI_SEGMENT);
    assert!(TxOffload::FAST_FREE.bits() == tx::FAST_FREE);
};

/// What a port's device can.
pub fn device(info: &PortInfo) -> Device {
    Device {
        driver: info.driver.clone(),
        node: info.node,
        rx_queues: info.max_rx_queues,
        tx_queues: info.max_tx_queues,
        rx_ring: info.rx_ring,
        tx_ring: info.tx_ring,
        hash: Hash::from_bits_truncate(info.hash_types),
        hash_key: info.hash_key,
        redirection: info.redirection,
        rx: RxOffload::from_bits_truncate(info.rx_offloads),
        tx: TxOffload::from_bits_truncate(info.tx_offloads),
    }
}

/// The port's start as DPDK wants it.
pub fn config(from: &Configured, plan: &Plan) -> PortConfig {
    PortConfig {
        rx_queues: plan.rx_queues,
        tx_queues: plan.tx_queues,
        rx_descriptors: plan.rx_ring,
        tx_descriptors: plan.tx_ring,
        mtu: Some(from.mtu),
        promiscuous: from.promiscuous,
        mac: from.mac.filter(|_| !from.promiscuous).map(|mac| mac.0),
        rss: Some(Rss { types: plan.hash.bits(), key: plan.key.clone() }),
        tell_hash: plan.tell_hash,
        single_pool: plan.fast_free,
    }
}

/// Gives a started port its redirection table and flow rules. What the driver refuses is no error:
/// software does it.
pub fn steer(port: &Port, plan: &Plan) -> Granted {
    let table = if plan.table.is_empty() {
        Step::NotAsked
    } else {
        step(port.set_redirection(&plan.table))
    };
    let rules = match table {
        Step::Done if !plan.rules.is_empty() => step(add_rules(port, plan)),
        _ => Step::NotAsked,
    };
    Granted { table, rules }
}

fn step(done: Result<(), Error>) -> Step {
    match done {
        Ok(()) => Step::Done,
        Err(Error::Rule { why, .. }) => Step::Refused(why),
        Err(Error::Port { why, .. }) => Step::Refused(why.to_string()),
        Err(error) => Step::Refused(error.to_string()),
    }
}

/// All of them or none.
fn add_rules(port: &Port, plan: &Plan) -> Result<(), Error> {
    for rule in &plan.rules {
        port.try_rule(&hash_rule(rule, plan))?;
    }
    for rule in &plan.rules {
        if let Err(error) = port.add_rule(&hash_rule(rule, plan)) {
            port.clear_rules()?;
            return Err(error);
        }
    }
    Ok(())
}

fn hash_rule<'a>(rule: &Rule, plan: &'a Plan) -> HashRule<'a> {
    let (key, queues): (&[u8], &[u16]) = match (rule.brings_table, &plan.key) {
        (true, Some(key)) => (key, &plan.table),
        _ => (&[], &[]),
    };
    HashRule {
        packets: match rule.packets {
            Packets::V4 => RulePackets::V4,
            Packets::V6 => RulePackets::V6,
            Packets::ToService(address) => RulePackets::To(address),
            Packets::FromServer(address) => RulePackets::From(address),
        },
        transport: match rule.transport {
            Transport::Tcp => RuleTransport::Tcp,
            Transport::Udp => RuleTransport::Udp,
        },
        types: rule.hash.bits(),
        key,
        queues,
    }
}

/// What `sluice ports` tells of a port: what was asked of its device, and what it granted.
pub fn facts(name: &str, device: &Device, plan: &Plan, port: &Port, pool: &Mempool) -> Value {
    let runs = port.set_up();
    let faces = match plan.faces {
        Faces::Clients => "clients",
        Faces::Servers => "servers",
        Faces::Both => "both",
    };
    json!({
        "name": name,
        "driver": device.driver,
        "node": device.node,
        "faces": faces,
        "mtu": runs.map(|runs| runs.mtu),
        "queues": {
            "rx": plan.rx_queues,
            "rx_possible": device.rx_queues,
            "rx_descriptors": runs.map(|runs| runs.rx_descriptors),
            "tx": plan.tx_queues,
            "tx_possible": device.tx_queues,
            "tx_descriptors": runs.map(|runs| runs.tx_descriptors),
        },
        "buffers": {
            "count": pool.count(),
            "bytes": pool.data_room(),
            "page_bytes": pool.page_size(),
        },
        "offloads": offloads(device, plan, port),
    })
}

fn offloads(device: &Device, plan: &Plan, port: &Port) -> Value {
    let runs = port.set_up();
    let is_on = |offload| match offload {
        Offload::Hashes => runs.is_some_and(|runs| runs.tell_hash),
        Offload::FastFree => runs.is_some_and(|runs| runs.fast_free),
        _ => false,
    };
    let told = |offload: Offload| {
        let told = match offload.verdict(device, plan.spread, plan.one_pool) {
            _ if !offload.is_offered(device) => "not offered".to_owned(),
            Verdict::NotWanted(why) => format!("not used: {why}"),
            _ if is_on(offload) => "granted".to_owned(),
            _ => "asked for, not granted".to_owned(),
        };
        (offload.name().to_owned(), told.into())
    };
    Value::Object(Offload::ALL.into_iter().map(told).collect::<Map<String, Value>>())
}

/// What `sluice ports` tells of how packets come to their owners.
pub fn steering_facts(plan: &Plan, granted: &Granted, sentence: &str) -> Value {
    let told = |step: &Step, some: usize| match step {
        Step::NotAsked => Value::Null,
        Step::Done => some.into(),
        Step::Refused(why) => format!("refused: {why}").into(),
    };
    json!({
        "how": sentence,
        "redirection_entries": told(&granted.table, plan.table.len()),
        "flow_rules": told(&granted.rules, plan.rules.len()),
    })
}
