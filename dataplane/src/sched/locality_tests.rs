//! lblc and lblcr against the kernel's walks, over many addresses and snapshots.

use super::tests::{Counts, of_kind, overload, with_thresholds, wlc_literally};
use super::*;
use crate::address::Family;
use crate::service::ServiceKey;
use crate::service::example::dest;
use crate::time::ticks;
use std::collections::HashMap;

const DAY: u32 = ticks(86_400);

fn marked(kind: SchedulerKind, dests: Vec<Dest>) -> Service {
    let Service { id, .. } = of_kind(kind, &[]);
    let key = ServiceKey::Fwmark { mark: 1, family: Family::V4 };
    with_thresholds(Service::new(id, key, kind, dests).remembering(&mut None))
}

fn to(dst: u32) -> FlowKey {
    FlowKey { src: 0xac10_0001, dst, sport: 4000, dport: 80, proto: 6 }
}

/// By address, the destinations in the kernel's list of it, when it changed and when it was used;
/// and how often one was taken out.
#[derive(Default)]
struct Sets(HashMap<u128, (Vec<DestId>, Tick, Tick)>, u32);

/// `ip_vs_lblc_schedule` and `ip_vs_lblcr_schedule` with lists and without bounds.
fn choose_literally(
    sets: &mut Sets,
    service: &Service,
    asked: &Asked,
    loads: &Counts,
) -> Option<usize> {
    let replicates = service.scheduler.kind == SchedulerKind::Lblcr;
    sets.0.retain(|_, (_, _, used)| asked.now.since(*used) < DAY);
    let mut near = None;
    if let Some((set, changed, used)) = sets.0.get_mut(&asked.address) {
        *used = asked.now;
        near = least_of(set, service, loads);
        if set.len() > 1 && asked.now.since(*changed) > DAY {
            let most = most_of(set, service, loads);
            set.remove(most.expect("somebody has a weight"));
            *changed = asked.now;
            sets.1 += 1;
        }
    }
    if let Some(near) = near.filter(|&place| !is_crowded(place, service, loads)) {
        return Some(near);
    }
    let chosen = wlc_literally(service, loads)?;
    let id = service.dests[chosen].id;
    let (set, changed, _) = sets.0.entry(asked.address).or_insert((vec![], asked.now, asked.now));
    if !replicates {
        *set = vec![id];
    } else if !set.contains(&id) {
        set.insert(0, id);
        *changed = asked.now;
    }
    Some(chosen)
}

fn is_crowded(place: usize, service: &Service, loads: &Counts) -> bool {
    let active = |dest: &Dest| loads.active(dest.id);
    let dest = &service.dests[place];
    active(dest) > dest.weight && service.dests.iter().any(|dest| 2 * active(dest) < dest.weight)
}

fn least_of(set: &[DestId], service: &Service, loads: &Counts) -> Option<usize> {
    let mut best: Option<(usize, u64, u64)> = None;
    for id in set {
        let Some(place) = service.dests.iter().position(|dest| dest.id == *id) else { continue };
        let dest = &service.dests[place];
        let (load, weight) = (overhead(loads.active(*id), loads.inactive(*id)), dest.weight.into());
        if weight == 0 || dest.is_overloaded() {
            continue;
        }
        if best.is_none_or(|(_, least, by)| least * weight > load * by) {
            best = Some((place, load, weight));
        }
    }
    best.map(|(place, ..)| place)
}

fn most_of(set: &[DestId], service: &Service, loads: &Counts) -> Option<usize> {
    let mut most: Option<(usize, u64, u64)> = None;
    for (number, id) in set.iter().enumerate() {
        let Some(dest) = service.dests.iter().find(|dest| dest.id == *id) else {
            return Some(number);
        };
        let (load, weight) = (overhead(loads.active(*id), loads.inactive(*id)), dest.weight.into());
        if weight > 0 && most.is_none_or(|(_, most, by)| most * weight < load * by) {
            most = Some((number, load, weight));
        }
    }
    most.map(|(number, ..)| number)
}

/// Nothing is quiesced, so that the literal walk always finds a member to take out.
fn random_dests(rng: &mut fastrand::Rng) -> Vec<Dest> {
    let mut ids: Vec<u32> = (1..=6).filter(|_| rng.u8(..4) > 0).collect();
    rng.shuffle(&mut ids);
    ids.into_iter().map(|id| dest(id, rng.u32(1..5))).collect()
}

#[test]
fn addresses_keep_their_destinations_as_long_as_the_kernels_lists_say() {
    let mut taken_out = 0;
    for seed in 0..200 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let kind = [SchedulerKind::Lblc, SchedulerKind::Lblcr][seed as usize % 2];
        let is_told = rng.bool();
        let mut service = marked(kind, random_dests(&mut rng));
        let mut ours = Scheduler::new(&service, WorkerId(0));
        let (mut sets, mut counts, mut now) =
            (Sets::default(), Counts::default(), Tick(seed as u32));
        for step in 0..300 {
            if rng.u8(..40) == 0 {
                let next = marked(kind, random_dests(&mut rng));
                let next = next.remembering(&mut service.locality.clone());
                ours.rebase(&service, &next);
                service = next;
            }
            if rng.u8(..20) == 0 {
                overload(&service, &mut rng, 4);
            }
            now = now.after(if rng.u8(..3) == 0 { DAY / 4 + rng.u32(..DAY / 4) } else { 1 });
            let (key, id) = (to(0x0a01_0000 + rng.u32(..4)), DestId(rng.u32(1..=6)));
            counts.0.insert(id, (rng.u32(..8), rng.u32(..300)));
            if is_told {
                let place = service.dests.iter().position(|dest| dest.id == id);
                place.into_iter().for_each(|place| ours.load_changed(place));
            }
            let asked = Asked::new(&key, now);
            let want = choose_literally(&mut sets, &service, &asked, &counts);
            let pick = ours.schedule(&service, &asked, &counts);
            assert_eq!(pick, want, "seed {seed} step {step} {kind:?}");
        }
        taken_out += sets.1;
    }
    assert!(taken_out > 100, "{taken_out}: sets seldom shrink");
}

#[test]
fn lblcr_spreads_an_address_while_others_idle() {
    let service = marked(SchedulerKind::Lblcr, (1..=4).map(|id| dest(id, 2)).collect());
    let mut scheduler = Scheduler::new(&service, WorkerId(0));
    let mut counts = Counts::default();
    let picks = (0..12).map(|now| {
        let asked = Asked::new(&to(7), Tick(now));
        let place = scheduler.schedule(&service, &asked, &counts).unwrap();
        counts.0.entry(service.dests[place].id).or_default().0 += 1;
        place
    });
    assert_eq!(picks.collect::<Vec<_>>(), [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3]);
}

#[test]
fn an_address_service_remembers_its_only_address() {
    let service = of_kind(SchedulerKind::Lblc, &[2, 2]);
    let mut scheduler = Scheduler::new(&service, WorkerId(0));
    let mut counts = Counts::default();
    for active in 0..3 {
        let key = to(0x0a00_0064);
        let asked = Asked::new(&key, Tick(5));
        assert_eq!(scheduler.schedule(&service, &asked, &counts), Some(0));
        counts.0.insert(DestId(1), (active, 0));
    }
}

#[test]
fn workers_that_see_other_loads_send_an_address_one_way() {
    for kind in [SchedulerKind::Lblc, SchedulerKind::Lblcr] {
        let service = marked(kind, (1..=3).map(|id| dest(id, 9)).collect());
        let mut workers = [0, 1, 2].map(|id| Scheduler::new(&service, WorkerId(id)));
        // Each worker's own choice would be another destination.
        let loads = |idle: u32| {
            let loaded = (1..=3).filter(|&id| id != idle).map(|id| (DestId(id), (5, 0)));
            Counts(loaded.collect(), 0)
        };
        for (address, first) in [(7, 0), (8, 1), (9, 2)] {
            for step in 0..3 {
                let worker = (first + step) % 3;
                let asked = Asked::new(&to(address), Tick(step as u32));
                let pick = workers[worker].schedule(&service, &asked, &loads(worker as u32 + 1));
                assert_eq!(pick, Some(first), "{kind:?}: as worker {first}, who was asked first");
            }
        }
    }
}

#[test]
fn an_address_is_remembered_for_as_long_as_is_set() {
    let remembering = |seconds| {
        let service = marked(SchedulerKind::Lblc, (1..=2).map(|id| dest(id, 9)).collect());
        Service { locality_expiration: ticks(seconds), ..service }
    };
    for (seconds, after, second) in [(60, 59, 0), (60, 60, 1), (0, 0, 1)] {
        let service = remembering(seconds);
        let mut scheduler = Scheduler::new(&service, WorkerId(0));
        let mut counts = Counts::default();
        let first = scheduler.schedule(&service, &Asked::new(&to(7), Tick(1)), &counts);
        assert_eq!(first, Some(0));
        counts.0.insert(DestId(1), (5, 0));
        counts.1 += 1;
        let asked = Asked::new(&to(7), Tick(1).after(ticks(after)));
        let again = scheduler.schedule(&service, &asked, &counts);
        assert_eq!(again, Some(second), "{seconds} s, after {after} s");
    }
}
