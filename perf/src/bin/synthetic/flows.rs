//! Packets of open connections, more of them than a capture could hold.

use crate::{Bench, Options, Outcome, floor};
use dataplane::service::ForwardingMethod;
use perf::report::Round;
use perf::site::{Plan, VIP, drive, lost};
use perf::synthetic::{Walk, client};

const FLOWS: usize = 10_000_000;
/// Packets of a round of few flows.
const LEAST: usize = 1 << 23;

/// NAT of TCP: `--size` flows, walked in another order than they were opened in.
pub fn run(options: &Options) -> Outcome {
    let flows = options.size.unwrap_or(FLOWS);
    let plan = Plan {
        capacity: flows + flows / 10,
        servers: 8,
        method: ForwardingMethod::Masq,
        short_timeouts: None,
        huge_pages: true,
    };
    let clients = (0..flows as u64).map(client).collect();
    let mut bench = Bench::new(options, &plan, Walk::new(clients, VIP))?;
    drive(&mut bench.worker, flows);
    bench.source().established(7);
    drive(&mut bench.worker, flows);
    let open = bench.worker.director().conns().len();
    if open != flows {
        return Err(format!("{open} of {flows} connections are open").into());
    }
    let packets = flows.max(LEAST);
    for _ in 0..options.rounds {
        let before = bench.calibration.is_quiet();
        // The same clients go on in the same order, where the floor leaves off.
        let floor = floor(bench.queue(), packets);
        let ours = drive(&mut bench.worker, packets).cost();
        let quiet = before && bench.calibration.is_quiet();
        let lost = lost(&bench.site.counters[0]);
        let costs = Some((floor, ours));
        Round { value: ours / floor, costs, quiet, lost, ..Round::default() }
            .print(&format!("synthetic-{}", size(flows)));
    }
    Ok(())
}

fn size(flows: usize) -> String {
    if flows >= 1_000_000 {
        format!("{}m", flows / 1_000_000)
    } else {
        format!("{}k", flows / 1000)
    }
}
