//! How long one window takes at worst: connections end by the million, and control reloads ten
//! thousand services, while packets go on.

use crate::{Bench, Options, Outcome};
use dataplane::ids::{DestId, ServiceId};
use dataplane::mailbox::Message;
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
    let tables = services(&mut bench.site);
    for _ in 0..options.rounds {
        let before = bench.calibration.is_quiet();
        let mut samples = crowd_ends(&mut bench, &tables);
        let quiet = before && bench.calibration.is_quiet();
        samples.sort_unstable();
        let at = |share: f64| samples[((samples.len() - 1) as f64 * share) as usize] as f64 / 1e3;
        let extra = format!(
            "p50 {:.1}, p99 {:.1}, most {:.1} us of {} windows",
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

/// Two tables with ten thousand more services each, to be reloaded by turns.
fn services(site: &mut Site) -> [Arc<ServiceTable>; 2] {
    let table = site.control.services();
    let own = table.services()[0].clone();
    let more = (1..=SERVICES).map(|number| {
        let key = control::tcp(0x0b00_0000 + number / 100, 1000 + (number % 100) as u16);
        let dest = |place| Dest {
            id: DestId(own.dests.len() as u32 + 2 * number + place),
            shared: Arc::default(),
            ..own.dests[place as usize].clone()
        };
        let dests = vec![dest(0), dest(1)];
        Service::new(ServiceId(own.id.0 + number), key, SchedulerKind::Wlc, dests)
    });
    let all: Vec<Service> = std::iter::once(own.clone()).chain(more).collect();
    let vips: Vec<IpAddr> = all.iter().filter_map(vip).collect();
    std::array::from_fn(|_| {
        let settings = site.control.settings;
        Arc::new(ServiceTable::new(table.generation, all.clone(), Vec::new(), settings, &vips))
    })
}

fn vip(service: &Service) -> Option<IpAddr> {
    match service.key {
        ServiceKey::Address { vip, .. } => Some(vip),
        ServiceKey::Fwmark { .. } => None,
    }
}

/// Opens the crowd and waits for its end; returns nanoseconds of each window in which some ended.
fn crowd_ends(bench: &mut Bench<Mixed>, tables: &[Arc<ServiceTable>; 2]) -> Vec<u64> {
    bench.source().crowding = true;
    drive(&mut bench.worker, CROWD);
    bench.source().crowding = false;
    let (mut samples, mut windows) = (Vec::with_capacity(CROWD), 0);
    let mut live = bench.worker.director().conns().len();
    while live > FLOWS {
        let ending = one_window(bench, windows);
        let left = bench.worker.director().conns().len();
        if left < live {
            samples.push(ending);
            if samples.len() % RELOAD == 1 {
                reload(&bench.site, &tables[samples.len() / RELOAD % 2]);
            }
        }
        (live, windows) = (left, windows + 1);
    }
    samples
}

/// Nanoseconds of a window, with what its worker does before it.
fn one_window(bench: &mut Bench<Mixed>, number: usize) -> u64 {
    let start = processor::spent_ns();
    let now = processor::now();
    if number % TURNS == 0 {
        bench.worker.housekeep(now);
    }
    bench.worker.turn(now);
    processor::spent_ns() - start
}

/// What control does; what the worker gives back is kept by us.
fn reload(site: &Site, table: &Arc<ServiceTable>) {
    let mailbox = &site.mailboxes[0];
    while mailbox.collect().is_some() {}
    // A worker that has not come to the last one yet takes that one first.
    let _ = mailbox.post(Message::Services(table.clone()));
}
