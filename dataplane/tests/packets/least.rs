//! Schedulers that compare loads, through the whole director: whatever changes a count - a conn that begins,
//! turns, closes, expires or gives way, an edit, another worker - the next choice knows it.

use crate::rig::*;
use dataplane::address::Address;
use dataplane::ids::{DestId, InterfaceId};
use dataplane::sched::SchedulerKind::{self, Lc, Nq, Ovf, Sed, Wlc};
use dataplane::service::ForwardingMethod::Gatewaying;
use dataplane::service::ServiceKey;
use dataplane::testing::control::{Server, tcp, udp};
use dataplane::testing::{Frame, Rng};
use dataplane::wire::tcp::flags::{ACK, FIN, RST, SYN};

const SERVERS: u8 = 12;

/// What the kernel's formula gives a server with so many active and inactive conns, over what; `None`
/// if it is not to be chosen.
fn share(scheduler: SchedulerKind, weight: u64, active: u64, inactive: u64) -> Option<(u64, u64)> {
    match scheduler {
        _ if weight == 0 => None,
        Lc => Some((256 * active + inactive, 1)),
        Wlc => Some((256 * active + inactive, weight)),
        Nq if active == 0 => Some((0, 1)),
        Sed | Nq => Some((active + 1, weight)),
        _ => (active <= weight).then_some((100 - weight, 1)),
    }
}

/// The formula over all workers' counters, read anew: the first of the least loaded.
fn naive(rig: &mut Rig, key: ServiceKey, scheduler: SchedulerKind) -> Option<u32> {
    let mut best: Option<(u64, u64, Server)> = None;
    for server in rig.control.servers(key).expect("a service").to_vec() {
        let id = rig.control.dest_id(key, server.rip, server.rport);
        let counters: Vec<_> = (0..rig.machine.workers())
            .map(|worker| rig.machine.counters(worker).dest(id))
            .collect();
        let active = counters.iter().map(|dest| u64::from(dest.active())).sum();
        let inactive = counters.iter().map(|dest| u64::from(dest.inactive())).sum();
        let Some((load, by)) = share(scheduler, server.weight.into(), active, inactive) else {
            continue;
        };
        if best.is_none_or(|(least, over, _)| load * over < least * by) {
            best = Some((load, by, server));
        }
    }
    u32::of(best?.2.rip)
}

fn change(rig: &mut Rig, key: ServiceKey, rng: &mut Rng) {
    let n = 1 + rng.below(SERVERS.into()) as u8;
    match rng.below(4) {
        0 => rig.control.delete_server(key, rip(n), 80),
        _ => {
            let weight = rng.below(4) as u32;
            rig.control.server(key, Server::new(rip(n), 80, Gatewaying).weight(weight));
        }
    }
    rig.publish();
}

/// Feeds one packet and says to which server it went.
fn goes_to(rig: &mut Rig, rng: &mut Rng, frame: &Frame) -> Option<u32> {
    let queue = rng.below(rig.machine.workers());
    rig.machine.feed(C, queue, &frame.build());
    rig.machine.settle(rig.now);
    rig.machine.aggregate((0..20).map(DestId));
    rig.machine.check();
    rig.machine.take_punted();
    let (port, sent) = rig.machine.take_sent().pop()?;
    (port == S).then(|| rip(sent[5] - 0x10))
}

fn story(key: ServiceKey, scheduler: SchedulerKind, workers: usize, seed: u64) {
    let mut rng = Rng::new(seed);
    let mut rig = Rig::with(|config| {
        config.workers = workers;
        config.queues = vec![workers; 2];
        config.capacity = 40;
    });
    for n in 4..=SERVERS {
        rig.control.neighbor(rip(n), InterfaceId(1), mac(n));
    }
    rig.add(key, Gatewaying, SERVERS);
    rig.control.service(key, scheduler);
    rig.publish();
    let mut chosen = 0;
    for _ in 0..1500 {
        match rng.below(20) {
            0 => change(&mut rig, key, &mut rng),
            1 => rig.now = rig.now.after([1, 100, 1000, 5000][rng.below(4)]),
            _ => {}
        }
        // Until nothing is due: what the wheel is about to end counts as long as it is there.
        (0..3).for_each(|_| rig.machine.settle(rig.now));
        rig.machine.aggregate((0..20).map(DestId));
        let port = 1025 + rng.below(60) as u16;
        let flags = [SYN, SYN, ACK, FIN | ACK, RST][rng.below(5)];
        let frame = match key == udp(VIP, 80) {
            true => Frame::udp(CLIENT, port, VIP, 80),
            false => Frame::tcp(CLIENT, port, VIP, 80).flags(flags),
        };
        let is_new = (0..workers).all(|worker| {
            let conns = rig.machine.conns(worker);
            conns.live_in(conns.ids()).all(|(_, conn)| conn.cport != port)
        });
        let full = (0..workers).any(|worker| rig.machine.conns(worker).len() == 40);
        let expected = naive(&mut rig, key, scheduler);
        let got = goes_to(&mut rig, &mut rng, &frame);
        if is_new && flags == SYN && !full {
            assert_eq!(got, expected, "{scheduler:?}, {workers} workers, seed {seed}");
            chosen += 1;
        }
    }
    assert!(chosen > 50, "{chosen} choices");
}

#[test]
fn the_least_loaded_server_is_chosen_whatever_changed_the_loads() {
    for seed in 0..6 {
        for scheduler in [Lc, Wlc, Sed, Nq, Ovf] {
            let key = if seed % 2 == 0 { tcp(VIP, 80) } else { udp(VIP, 80) };
            story(key, scheduler, 1, seed);
            story(key, scheduler, 3, seed);
        }
    }
}
