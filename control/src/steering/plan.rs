//! All of one port's start.

use super::device::{Device, Hash};
use super::faces::Faces;
use super::offloads::{Offload, Verdict};
use super::rules::{self, Addresses, Rule};
use super::spread::Spread;
use super::{pools, table};
use dataplane::owner::{SlotMap, TOEPLITZ_KEY};

/// Bytes of a hash's key where the driver does not say.
const KEY: usize = 40;

/// What is wanted of a port.
#[derive(Debug, Clone)]
pub struct Wish<'a> {
    /// Pairs of queues, or `None` for one a worker.
    pub queues: Option<u16>,
    /// Whose packets arrive.
    pub faces: Faces,
    /// The device is to bring packets to their owner where it can.
    pub steered: bool,
    /// What rules by address can be about.
    pub known: &'a Addresses,
    /// Buffers that may lie in each of the port's queues.
    pub per_queue: u32,
    /// All ports' buffers are of one pool.
    pub one_pool: bool,
}

/// How a port is started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Receive queues; queue and worker have the same number.
    pub rx_queues: u16,
    /// Transmit queues.
    pub tx_queues: u16,
    /// Frames a receive queue holds; `None`: as the driver would have it.
    pub rx_ring: Option<u16>,
    /// The same of a transmit queue.
    pub tx_ring: Option<u16>,
    /// Whose packets arrive.
    pub faces: Faces,
    /// How packets come to queues.
    pub spread: Spread,
    /// What the device hashes.
    pub hash: Hash,
    /// The hash's key; `None`: the device's own.
    pub key: Option<Vec<u8>>,
    /// The redirection table; empty: the device's own.
    pub table: Vec<u16>,
    /// Flow rules, all of them or none.
    pub rules: Vec<Rule>,
    /// The device is to tell each packet's hash.
    pub tell_hash: bool,
    /// Sent buffers go back the fast way.
    pub fast_free: bool,
    /// All ports' buffers are of one pool.
    pub one_pool: bool,
}

/// Plans for all ports of `workers` workers, and the slot map that their tables express.
pub fn plans(workers: usize, ports: &[(Device, Wish<'_>)]) -> (SlotMap, Vec<Plan>) {
    let spreads: Vec<Spread> =
        ports.iter().map(|(device, wish)| spread(workers, device, wish)).collect();
    let steered = ports.iter().zip(&spreads);
    let steered = steered.filter(|(_, spread)| spread.is_steered());
    let map = table::slot_map(workers, steered.map(|((device, _), _)| device.redirection));
    let each = ports.iter().zip(spreads);
    let plans = each.map(|((device, wish), spread)| plan(device, wish, spread, &map)).collect();
    (map, plans)
}

/// Queues in one direction: not more than `asked`, than workers, nor than the device has.
pub fn queues(workers: usize, asked: Option<u16>, most: u16) -> u16 {
    let workers = workers as u16;
    asked.unwrap_or(workers).min(workers).min(most)
}

fn spread(workers: usize, device: &Device, wish: &Wish<'_>) -> Spread {
    Spread::of(device, queues(workers, wish.queues, device.rx_queues), wish.faces, wish.steered)
}

fn plan(device: &Device, wish: &Wish<'_>, spread: Spread, map: &SlotMap) -> Plan {
    let rx_queues = queues(map.workers(), wish.queues, device.rx_queues);
    let is_steered = spread.is_steered();
    let asked = |offload: Offload| offload.verdict(device, spread, wish.one_pool) == Verdict::Asked;
    Plan {
        rx_queues,
        tx_queues: queues(map.workers(), wish.queues, device.tx_queues),
        rx_ring: pools::ring(device.rx_ring, wish.per_queue),
        tx_ring: pools::ring(device.tx_ring, wish.per_queue),
        faces: wish.faces,
        spread,
        hash: spread.configured(device),
        key: is_steered.then(|| key(device)),
        table: match is_steered {
            true => table::redirection(map, device.redirection, rx_queues),
            false => Vec::new(),
        },
        rules: rules::of(device, spread, wish.known),
        tell_hash: asked(Offload::Hashes),
        fast_free: asked(Offload::FastFree),
        one_pool: wish.one_pool,
    }
}

/// The owner's key, as long as the device's. An end has 18 bytes at most, for which the first 22 of
/// the key are used; what comes behind serves packets that no rule is about.
fn key(device: &Device) -> Vec<u8> {
    let length = if device.hash_key == 0 { KEY } else { usize::from(device.hash_key) };
    let mut key = TOEPLITZ_KEY.to_vec();
    key.resize(length, 0);
    key
}
