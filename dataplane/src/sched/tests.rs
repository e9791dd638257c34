//! Each scheduler against a literal one, and what only several workers or snapshots show.

use super::*;
use crate::service::example::{dest, service};
use std::collections::HashMap;
use std::sync::atomic::Ordering::Relaxed;

/// Conns by destination, (active, inactive), and their version.
#[derive(Debug, Default)]
pub struct Counts(pub HashMap<DestId, (u32, u32)>, pub u64);

impl Loads for Counts {
    fn active(&self, dest: DestId) -> u32 {
        self.0.get(&dest).map_or(0, |counts| counts.0)
    }

    fn inactive(&self, dest: DestId) -> u32 {
        self.0.get(&dest).map_or(0, |counts| counts.1)
    }

    fn version(&self) -> u64 {
        self.1
    }
}

pub fn of_kind(scheduler: SchedulerKind, weights: &[u32]) -> Service {
    let dests = (1..).zip(weights).map(|(id, &weight)| dest(id, weight)).collect();
    let Service { id, key, .. } = service(Vec::new());
    Service::new(id, key, scheduler, dests).remembering(&mut None)
}

/// A client of the service, at a time.
pub fn asked() -> Asked {
    const KEY: FlowKey =
        FlowKey { src: 0xac10_0001, dst: 0x0a00_0064, sport: 4000, dport: 80, proto: 6 };
    Asked::new(&KEY, Tick(1000))
}

fn picks(scheduler: &mut Scheduler, service: &Service, count: usize) -> Vec<Option<usize>> {
    (0..count).map(|_| scheduler.schedule(service, &asked(), &Counts::default())).collect()
}

fn names(service: &Service, scheduler: &mut Scheduler, count: usize) -> String {
    let letter = |at: usize| char::from(b'A' - 1 + service.dests[at].id.0 as u8);
    let picks = picks(scheduler, service, count);
    picks.into_iter().map(|pick| pick.map_or('-', letter)).collect()
}

pub fn overload(service: &Service, rng: &mut fastrand::Rng, one_in: u8) {
    for dest in &service.dests {
        dest.shared.overloaded.store(rng.u8(..one_in) == 0, Relaxed);
    }
}

pub fn with_thresholds(mut service: Service) -> Service {
    service.dests.iter_mut().for_each(|dest| dest.u_threshold = 1);
    service
}

/// `ip_vs_wrr.c` step by step, without leaving out a round.
struct LiteralWrr {
    last: Option<usize>,
    level: i64,
}

impl LiteralWrr {
    fn new(service: &Service) -> Self {
        LiteralWrr { last: None, level: Self::top(service) }
    }

    fn top(service: &Service) -> i64 {
        i64::from(service.max_weight) - (i64::from(service.weight_gcd) - 1)
    }

    fn changed(&mut self, service: &Service) {
        let step = i64::from(service.weight_gcd);
        self.last = None;
        if self.level > Self::top(service) || self.level == 0 {
            self.level = Self::top(service);
        } else if step > 1 {
            self.level = self.level / step * step + 1;
        }
    }

    fn choose(&mut self, service: &Service) -> Option<usize> {
        let step = i64::from(service.weight_gcd);
        let top = Self::top(service);
        let began = self.last;
        let (mut lowest, mut restarted, mut stop, mut at) = (false, false, None, began);
        if top == 0 {
            return None;
        }
        loop {
            for next in at.map_or(0, |at| at + 1)..service.dests.len() {
                let dest = &service.dests[next];
                if !dest.is_overloaded() && i64::from(dest.weight) >= self.level {
                    self.last = Some(next);
                    return self.last;
                }
                if Some(next) == stop {
                    self.last = stop;
                    return None;
                }
            }
            at = None;
            self.level -= step;
            if self.level <= 0 {
                self.level = top;
                if lowest || began.is_none() {
                    self.last = None;
                    return None;
                }
                restarted = true;
            }
            lowest = self.level <= step;
            if lowest && restarted {
                stop = began;
            }
        }
    }
}

#[test]
fn names_lead_back_to_the_scheduler() {
    for kind in SchedulerKind::ALL {
        assert_eq!(SchedulerKind::from_name(kind.name()), Some(kind));
    }
    assert_eq!(SchedulerKind::from_name("WRR"), None);
}

/// A service whose weights often have a divisor, and which may have none.
fn random_wrr(rng: &mut fastrand::Rng) -> Service {
    let scale = rng.u32(1..4);
    let weights: Vec<u32> = (0..rng.usize(..7)).map(|_| scale * rng.u32(..6)).collect();
    with_thresholds(of_kind(SchedulerKind::Wrr, &weights))
}

fn weights(service: &Service) -> Vec<u32> {
    service.dests.iter().map(|dest| dest.weight).collect()
}

#[test]
fn wrr_chooses_as_the_literal_walk_whatever_is_overloaded_or_edited() {
    for seed in 0..300 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut service = random_wrr(&mut rng);
        let mut ours = Scheduler::new(&service, WorkerId(0));
        let mut literal = LiteralWrr::new(&service);
        for step in 0..300 {
            if rng.u8(..4) == 0 {
                let one_in = rng.u8(1..5);
                overload(&service, &mut rng, one_in);
            }
            let edited = random_wrr(&mut rng);
            if rng.u8(..30) == 0 && weights(&edited) != weights(&service) {
                ours.rebase(&service, &edited);
                literal.changed(&edited);
                service = edited;
            }
            let pick = ours.schedule(&service, &asked(), &Counts::default());
            let want = literal.choose(&service);
            assert_eq!(pick, want, "seed {seed} step {step} {:?}", weights(&service));
        }
    }
}

#[test]
fn wrr_gives_turns_in_proportion_to_weights() {
    let service = of_kind(SchedulerKind::Wrr, &[4, 3, 2]);
    let mut scheduler = Scheduler::new(&service, WorkerId(0));
    assert_eq!(names(&service, &mut scheduler, 18), "AABABCABCAABABCABC");
}

#[test]
fn wrr_costs_the_same_with_the_widest_weights() {
    let service = of_kind(SchedulerKind::Wrr, &[1, 65_535]);
    let mut scheduler = Scheduler::new(&service, WorkerId(0));
    let picks = picks(&mut scheduler, &service, 2 * 65_536);
    assert_eq!(picks.iter().filter(|pick| **pick == Some(0)).count(), 2);
}

#[test]
fn wrr_begins_again_at_the_head_after_any_edit_but_not_without_one() {
    let service = of_kind(SchedulerKind::Wrr, &[1, 1, 1]);
    let mut scheduler = Scheduler::new(&service, WorkerId(0));
    assert_eq!(names(&service, &mut scheduler, 2), "AB");
    scheduler.rebase(&service, &service.clone());
    assert_eq!(names(&service, &mut scheduler, 3), "CAB");
    let edited = with_thresholds(service.clone());
    scheduler.rebase(&service, &edited);
    assert_eq!(names(&edited, &mut scheduler, 2), "AB");
}

#[test]
fn rr_skips_the_quiesced_and_the_overloaded_and_gives_up_when_all_are() {
    let service = with_thresholds(of_kind(SchedulerKind::Rr, &[1, 0, 2, 1]));
    let mut scheduler = Scheduler::new(&service, WorkerId(0));
    assert_eq!(names(&service, &mut scheduler, 4), "ACDA");
    service.dests[2].shared.overloaded.store(true, Relaxed);
    assert_eq!(names(&service, &mut scheduler, 3), "DAD");
    service.dests.iter().for_each(|dest| dest.shared.overloaded.store(true, Relaxed));
    assert_eq!(names(&service, &mut scheduler, 2), "--");
}

#[test]
fn rr_goes_on_with_the_successor_of_a_deleted_destination() {
    let old = of_kind(SchedulerKind::Rr, &[1; 5]);
    for last in 0..5 {
        let mut scheduler = Scheduler::new(&old, WorkerId(0));
        picks(&mut scheduler, &old, last + 1);
        let kept = old.dests.iter().filter(|dest| dest.id != old.dests[last].id);
        let new = Service { dests: kept.cloned().collect(), ..old.clone() };
        scheduler.rebase(&old, &new);
        let next = scheduler.schedule(&new, &asked(), &Counts::default()).unwrap();
        assert_eq!(new.dests[next].id, old.dests[(last + 1) % 5].id);
    }
}

#[test]
fn another_scheduler_begins_anew() {
    let rr = of_kind(SchedulerKind::Rr, &[1, 2]);
    let wrr = of_kind(SchedulerKind::Wrr, &[1, 2]);
    let mut scheduler = Scheduler::new(&rr, WorkerId(0));
    picks(&mut scheduler, &rr, 1);
    scheduler.rebase(&rr, &wrr);
    assert_eq!(names(&wrr, &mut scheduler, 3), "BAB");
    scheduler.rebase(&wrr, &rr);
    assert_eq!(names(&rr, &mut scheduler, 2), "AB");
}

#[test]
fn workers_begin_where_worker_0_would_be_after_as_many_choices() {
    for kind in [SchedulerKind::Rr, SchedulerKind::Wrr] {
        let service = of_kind(kind, &[3, 1, 2]);
        for worker in 0..64 {
            let mut first = Scheduler::new(&service, WorkerId(0));
            picks(&mut first, &service, worker.into());
            let mut own = Scheduler::new(&service, WorkerId(worker));
            assert_eq!(picks(&mut own, &service, 6), picks(&mut first, &service, 6));
        }
    }
}

#[test]
fn least_loads_are_exact_among_random_ones() {
    for seed in 0..500 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let weights: Vec<u32> = (0..rng.usize(..9)).map(|_| rng.u32(..4)).collect();
        let loads = (1..9).map(|id| (DestId(id), (rng.u32(..3), rng.u32(..600)))).collect();
        let loads = Counts(loads, 0);
        for (kind, literal) in LITERAL {
            let service = with_thresholds(of_kind(kind, &weights));
            overload(&service, &mut rng, 5);
            let pick = Scheduler::new(&service, WorkerId(0)).schedule(&service, &asked(), &loads);
            assert_eq!(pick, literal(&service, &loads), "seed {seed} {kind:?} {weights:?}");
        }
    }
}

type Literal = fn(&Service, &Counts) -> Option<usize>;

const LITERAL: [(SchedulerKind, Literal); 6] = [
    (SchedulerKind::Lc, |service, loads| least_literally(service, |d| (weigh(d, loads), 1))),
    (SchedulerKind::Wlc, wlc_literally),
    (SchedulerKind::Sed, |service, loads| {
        least_literally(service, |dest| (u128::from(loads.active(dest.id)) + 1, dest.weight))
    }),
    (SchedulerKind::Nq, nq_literally),
    (SchedulerKind::Fo, |service, _| heaviest_literally(service, |_| true)),
    (SchedulerKind::Ovf, |service, loads| {
        heaviest_literally(service, |dest| loads.active(dest.id) <= dest.weight)
    }),
];

fn weigh(dest: &Dest, loads: &Counts) -> u128 {
    u128::from(loads.active(dest.id)) * 256 + u128::from(loads.inactive(dest.id))
}

/// `ip_vs_wlc.c`.
pub fn wlc_literally(service: &Service, loads: &Counts) -> Option<usize> {
    least_literally(service, |dest| (weigh(dest, loads), dest.weight))
}

/// `ip_vs_lc.c`, `ip_vs_wlc.c` and `ip_vs_sed.c`: a later one wins only if it is strictly better.
fn least_literally(service: &Service, share: impl Fn(&Dest) -> (u128, u32)) -> Option<usize> {
    let mut least: Option<(usize, (u128, u32))> = None;
    for (at, dest) in service.dests.iter().enumerate() {
        if dest.weight == 0 || dest.is_overloaded() {
            continue;
        }
        let (load, weight) = share(dest);
        if least.is_none_or(|(_, (least, by))| least * u128::from(weight) > load * u128::from(by)) {
            least = Some((at, (load, weight)));
        }
    }
    least.map(|(at, _)| at)
}

/// `ip_vs_nq.c`: the walk ends at the first idle one.
fn nq_literally(service: &Service, loads: &Counts) -> Option<usize> {
    let is_idle =
        |dest: &Dest| dest.weight > 0 && !dest.is_overloaded() && loads.active(dest.id) == 0;
    let share = |dest: &Dest| (u128::from(loads.active(dest.id)) + 1, dest.weight);
    service.dests.iter().position(is_idle).or_else(|| least_literally(service, share))
}

/// `ip_vs_fo.c` and `ip_vs_ovf.c`.
fn heaviest_literally(service: &Service, fits: impl Fn(&Dest) -> bool) -> Option<usize> {
    let mut heaviest: Option<usize> = None;
    for (at, dest) in service.dests.iter().enumerate() {
        let is_heavier = heaviest.is_none_or(|other| dest.weight > service.dests[other].weight);
        if dest.weight > 0 && !dest.is_overloaded() && fits(dest) && is_heavier {
            heaviest = Some(at);
        }
    }
    heaviest
}

#[test]
fn flags_are_named_by_their_scheduler_and_refused_by_others() {
    let with = |kind: SchedulerKind, names: &[&str]| {
        names.iter().try_fold(Scheduling::from(kind), |all, name| all.with_flag(name))
    };
    for (kind, names) in [
        (SchedulerKind::Sh, &["sh-fallback", "sh-port"][..]),
        (SchedulerKind::Mh, &["mh-fallback", "mh-port", "flag-3"]),
        (SchedulerKind::Rr, &["flag-1", "flag-2", "flag-3"]),
        (SchedulerKind::Wlc, &[]),
    ] {
        let scheduling = with(kind, names).unwrap();
        assert_eq!(scheduling.flag_names().collect::<Vec<_>>(), names);
    }
    assert_eq!(with(SchedulerKind::Sh, &["flag-2"]), with(SchedulerKind::Sh, &["sh-port"]));
    assert_eq!(with(SchedulerKind::Mh, &["sh-port"]), Err(FlagError::Incompatible));
    assert_eq!(with(SchedulerKind::Sh, &["port"]), Err(FlagError::Invalid));
}

#[test]
fn wlc_compares_beyond_64_bits() {
    let most = i32::MAX as u32;
    let service = of_kind(SchedulerKind::Wlc, &[most, most - 1]);
    let full = u32::MAX;
    for (first, second) in [((full, full), (full, full)), ((full, 0), (full - 1, 200))] {
        let loads = Counts([(DestId(1), first), (DestId(2), second)].into(), 0);
        let pick = Scheduler::new(&service, WorkerId(0)).schedule(&service, &asked(), &loads);
        assert_eq!(pick, wlc_literally(&service, &loads));
    }
}
