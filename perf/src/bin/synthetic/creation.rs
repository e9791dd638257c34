//! Connections that come and go: SYNs alone, and whole lives.

use crate::{Bench, Options, Outcome};
use dataplane::service::ForwardingMethod;
use perf::report::Round;
use perf::site::{Done, Plan, VIP, drive, lost};
use perf::synthetic::{Arrivals, Lives, PACKETS_OF_A_LIFE, Source, client};
use std::error::Error;
use std::sync::atomic::Ordering::Relaxed;

/// Room for what lives in a second, at the rates to be measured.
const CAPACITY: usize = 14_000_000;
/// The fullest that the table may be, in percent.
const FULLEST: usize = 85;
const SERVERS: u32 = 8;
/// Packets between two looks at the table and the time.
const STEP: usize = 1 << 17;
/// Packets of the floor's turn.
const FLOOR_PACKETS: usize = 1 << 22;
const SECOND: u64 = 1_000_000_000;
/// Until as many end as begin.
const RAMP: u64 = 3 * SECOND;
/// Seconds to measure, unless told.
const SECONDS: usize = 12;
/// Connections between their first and last packet.
const LIVE: u64 = 1_000_000;

fn plan() -> Plan {
    Plan {
        capacity: CAPACITY,
        servers: SERVERS,
        method: ForwardingMethod::Masq,
        short_timeouts: Some(1),
        huge_pages: true,
    }
}

/// SYNs of clients that never come again, NAT, rr over 8 servers: a connection is made for each, and
/// another ends. A round a second; `--size` seconds.
pub fn arrivals(options: &Options) -> Outcome {
    let mut bench = Bench::new(options, &plan(), Arrivals::new(VIP))?;
    run(&mut bench, RAMP);
    for _ in 0..options.size.unwrap_or(SECONDS) {
        let round = second(&mut bench, Arrivals::new(VIP));
        let value = round.costs.map_or(0.0, |(_, ours)| 1e3 / ours);
        Round { value, ..round }.print("new-connections");
    }
    Ok(())
}

/// All seven packets of each connection, both ways, a million connections between first and last. A
/// round a second; `--size` seconds.
pub fn lives(options: &Options) -> Outcome {
    let mut bench = Bench::new(options, &plan(), Lives::new(VIP, vec![0], LIVE))?;
    let servers = order_of_servers(&mut bench)?;
    let fresh = || Lives::new(VIP, servers.clone(), LIVE);
    *bench.source() = fresh();
    run(&mut bench, RAMP);
    for _ in 0..options.size.unwrap_or(SECONDS) {
        let round = second(&mut bench, fresh());
        let cost = round.costs.map_or(0.0, |(_, ours)| ours);
        let value = 1e3 / (cost * PACKETS_OF_A_LIFE as f64);
        Round { value, ..round }.print("full-lives");
    }
    Ok(())
}

/// Real servers as rr chooses them: those of the first lives' connections, whose SYNs come first.
fn order_of_servers(bench: &mut Bench<Lives>) -> Result<Vec<u32>, Box<dyn Error>> {
    bench.source().only_begin();
    drive(&mut bench.worker, SERVERS as usize);
    let conns = bench.worker.director().conns();
    let server = |life| {
        let mut live = conns.live_in(conns.ids()).map(|(_, conn)| conn);
        live.find(|conn| (conn.cip, conn.cport) == client(life)).map(|conn| conn.rip)
    };
    let servers: Option<Vec<u32>> = (0..u64::from(SERVERS)).map(server).collect();
    servers.ok_or_else(|| "the first connections are not there".into())
}

/// The floor with a source of its own, then a second of the worker.
fn second<S: Source>(bench: &mut Bench<S>, scratch: S) -> Round {
    let before = bench.calibration.is_quiet();
    let floor = bench.floor(FLOOR_PACKETS, scratch);
    let (done, fullest) = run(bench, SECOND);
    let quiet = before && bench.calibration.is_quiet();
    let percent = fullest * 100 / CAPACITY;
    let counters = &bench.site.counters[0];
    let mut lost = lost(counters);
    let evicted = counters.evicted.load(Relaxed);
    if evicted > 0 || percent > FULLEST {
        lost = format!("{evicted} evicted, table {percent} % full {lost}");
    }
    let extra = format!("at most {fullest} connections, table {percent} % full");
    Round { value: 0.0, costs: Some((floor, done.cost())), quiet, lost, extra }
}

/// Drives the worker for some processor time; returns also how many connections there were at most.
fn run<S: Source>(bench: &mut Bench<S>, ns: u64) -> (Done, usize) {
    let (mut all, mut fullest) = (Done::default(), 0);
    while all.ns < ns {
        let done = drive(&mut bench.worker, STEP);
        all = Done { packets: all.packets + done.packets, ns: all.ns + done.ns };
        fullest = fullest.max(bench.worker.director().conns().len());
    }
    (all, fullest)
}
