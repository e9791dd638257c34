//! How long one window takes at worst: connections end by the million, and control reloads ten
//! thousand services, while packets go on.

use crate::{Bench, Options, Outcome};
use dataplane::ids::{DestId, Generation, ServiceId};
use dataplane::mailbox::{Message, Retired};
use dataplane::sched::SchedulerKind;
use dataplane::service::{Dest, ForwardingMethod, Service, ServiceKey, ServiceTable};
use dataplane::testing::control;
use perf::processor;
use perf::report::Round;
use perf::site::{Plan, Site, VIP, drive, lost};
use perf::synthetic::{Arrivals, Source, Walk, client};
use std::net::IpAddr;
use std::sync::Arc;

/// Connections that end.
const CROWD: usize = 1_000_000;
/// Connections whose packets pass meanwhile.
const FLOWS: usize = 100_000;
const SERVICES: u32 = 10_000;
/// Windows between two reloads.
const RELOAD: usize = 500;
/// Reloads that there is a table for in each round.
const RELOADS: usize = 40;
/// Windows between two times that the worker keeps house, as in the appliance.
const TURNS: usize = 32;
/// Clients' numbers from which the crowd begins.
const CROWD_FROM: u64 = 1 << 30;

/// Packets of open connections, or the crowd's SYNs.
struct Mixed {
    walk: Walk,
    crowd: Arrivals,
    crowding: bool,
}

impl Source for Mixed {
    #[inline]
    fn fill(&mut self, frame: &mut [u8]) {
        if self.crowding { self.crowd.fill(frame) } else { self.walk.fill(frame) }
    }
}

/// The time of windows while a million connections end, `--rounds` times: microseconds below which
/// 999 of 1000 are.
pub fn run(options: &Options) -> Outcome {
    let plan = Plan {
        capacity: 2 * CROWD,
        servers: 8,
        method: ForwardingMethod::Masq,
        short_timeouts: Some(1),
        huge_pages: true,
    };
    let clients = (0..FLOWS as u64).map(client).collect();
    let crowd = Arrivals::new(VIP).from(CROWD_FROM);
    let source = Mixed { walk: Walk::new(clients, VIP), crowd, crowding: false };
    let mut bench = Bench::new(options, &plan, source)?;
    drive(&mut bench.worker, FLOWS);
    bench.source().walk.established(7);
    drive(&mut bench.worker, FLOWS);
    let mut last = bench.site.control.services();
    for _ in 0..options.rounds {
        let tables = tables(&mut bench.site, &last);
        let before = bench.calibration.is_quiet();
        let (mut samples, reloads) = crowd_ends(&mut bench, &tables);
        last = tables[reloads - 1].clone();
        let quiet = before && bench.calibration.is_quiet();
        samples.sort_unstable();
        let at = |share: f64| samples[((samples.len() - 1) as f64 * share) as usize] as f64 / 1e3;
        let extra = format!(
            "p50 {:.1}, p99 {:.1}, most {:.1} us of {} windows, {reloads} reloads",
            at(0.5),
            at(0.99),
            at(1.0),
            samples.len()
        );
        let lost = lost(&bench.site.counters[0]);
        Round { value: at(0.999), quiet, lost, extra, costs: None }.print("window-p999");
    }
    Ok(())
}

/// Tables with ten thousand more services each, all of which are edited from each to the next.
fn tables(site: &mut Site, last: &Arc<ServiceTable>) -> Vec<Arc<ServiceTable>> {
    let table = site.control.services();
    let own = table.services()[0].clone();
    let settings = site.control.settings;
    let mut tables = vec![last.clone()];
    for _ in 0..RELOADS {
        let before = &tables[tables.len() - 1];
        let generation = Generation(before.generation.0 + 1);
        let all: Vec<Service> =
            std::iter::once(own.clone()).chain(more(&own, generation)).collect();
        let vips: Vec<IpAddr> = all.iter().filter_map(vip).collect();
        let next = ServiceTable::new(generation, all, Vec::new(), settings, &vips).after(before);
        tables.push(Arc::new(next));
    }
    tables.split_off(1)
}

fn more(own: &Service, generation: Generation) -> impl Iterator<Item = Service> {
    (1..=SERVICES).map(move |number| {
        let key = control::tcp(0x0b00_0000 + number / 100, 1000 + (number % 100) as u16);
        let dest = |place| Dest {
            id: DestId(own.dests.len() as u32 + 2 * number + place),
            weight: 1 + generation.0 as u32 % 2 + place,
            shared: Arc::default(),
            ..own.dests[place as usize].clone()
        };
        let dests = vec![dest(0), dest(1)];
        Service::new(ServiceId(own.id.0 + number), key, SchedulerKind::Wrr, dests)
    })
}

fn vip(service: &Service) -> Option<IpAddr> {
    match service.key {
        ServiceKey::Address { vip, .. } => Some(vip),
        ServiceKey::Fwmark { .. } => None,
    }
}

/// Opens the crowd and waits for its end; returns nanoseconds of each window in which some ended, and
/// how many tables the worker took meanwhile.
fn crowd_ends(bench: &mut Bench<Mixed>, tables: &[Arc<ServiceTable>]) -> (Vec<u64>, usize) {
    bench.source().crowding = true;
    drive(&mut bench.worker, CROWD);
    bench.source().crowding = false;
    let (mut samples, mut windows, mut reloads) = (Vec::with_capacity(CROWD), 0, 0);
    let mut live = bench.worker.director().conns().len();
    while live > FLOWS {
        let ending = one_window(bench, windows);
        let left = bench.worker.director().conns().len();
        if left < live {
            if samples.len() >= reloads * RELOAD && reloads < tables.len() {
                reloads += usize::from(reload(&bench.site, &tables[reloads]));
            }
            samples.push(ending);
        }
        (live, windows) = (left, windows + 1);
    }
    (samples, reloads)
}

/// Nanoseconds of a window, with what its worker does before it.
fn one_window(bench: &mut Bench<Mixed>, number: usize) -> u64 {
    let start = processor::spent_ns();
    let now = processor::tick(start);
    if number % TURNS == 0 {
        bench.worker.housekeep(now);
    }
    bench.worker.turn(now);
    processor::spent_ns() - start
}

/// What control does. Whether the worker had given the table before back, and takes this one next;
/// what it gave back is kept by us.
fn reload(site: &Site, table: &Arc<ServiceTable>) -> bool {
    let mailbox = &site.mailboxes[0];
    let retired = std::iter::from_fn(|| mailbox.collect());
    let is_ready = retired.filter(|old| matches!(old, Retired::Services(_))).count() > 0;
    is_ready && mailbox.post(Message::Services(table.clone())).is_ok()
}
