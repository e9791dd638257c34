//! What a packet of an open connection costs a worker from receiving to sending, without DPDK:
//! nanoseconds, beside a floor that takes the same frames from the same queue, swaps their MAC
//! addresses and sends them.
//!
//! `window [METHOD [FLOWS]]`: masq, gatewaying or ipip; all three, with 1,000 and 100,000 and
//! 1,000,000 flows, unless told.

use dataplane::io::{Packet, Queue};
use dataplane::limits::BURST;
use dataplane::service::ForwardingMethod;
use perf::Samples;
use perf::buffer::{Buffer, Circle};
use perf::one_service::{METHODS, opened, turns};

const RUNS: usize = 9;
/// Packets of a run.
const PACKETS: usize = 1 << 20;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let flows: Option<usize> = arguments.get(1).and_then(|flows| flows.parse().ok());
    println!("ns a packet, median (best) of {RUNS} runs");
    for (name, method) in METHODS {
        if arguments.first().is_some_and(|only| only != name) {
            continue;
        }
        for flows in flows.map_or(vec![1_000, 100_000, 1_000_000], |flows| vec![flows]) {
            measure(name, method, flows);
        }
    }
}

fn measure(name: &str, method: ForwardingMethod, flows: usize) {
    let (mut worker, load) = opened(method, flows);
    let mut circle = Circle::new(&load);
    let [mut floor, mut ours] = [const { Samples::new() }; 2];
    for _ in 0..RUNS {
        floor.measure(PACKETS, || swap_macs(&mut circle));
        ours.measure(PACKETS, || turns(&mut worker, PACKETS));
    }
    let ratio = ours.median() / floor.median();
    println!(
        "{name:>10} {flows:>8} flows | floor {:5.1} ({:5.1}) | worker {:5.1} ({:5.1}) = {ratio:.1} x",
        floor.median(),
        floor.best(),
        ours.median(),
        ours.best()
    );
}

fn swap_macs(circle: &mut Circle) {
    let mut window: Vec<Buffer> = Vec::with_capacity(BURST);
    for _ in 0..PACKETS / BURST {
        circle.rx_burst(&mut window, BURST);
        for packet in &mut window {
            let (dst, src) = packet.bytes_mut()[..12].split_at_mut(6);
            dst.swap_with_slice(src);
        }
        circle.tx_burst(&mut window);
    }
}
