//! Forwards a fixed number of packets of open connections, for callgrind to count their instructions:
//! `instructions METHOD PACKETS`, with masq, gatewaying or ipip. See `perf/instructions`.
//!
//! Two runs with different numbers of packets differ by what those packets cost and nothing else.

use perf::one_service::{METHODS, opened, turns};

/// Few enough to stay in the first caches, where an instruction is what costs.
const FLOWS: usize = 1000;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [method, packets] = arguments.as_slice() else { usage() };
    let Some(&(_, method)) = METHODS.iter().find(|(name, _)| name == method) else { usage() };
    let Ok(packets) = packets.parse() else { usage() };
    let (mut worker, _) = opened(method, FLOWS);
    turns(&mut worker, packets);
}

fn usage() -> ! {
    eprintln!("instructions: say masq, gatewaying or ipip, and how many packets");
    std::process::exit(2);
}
