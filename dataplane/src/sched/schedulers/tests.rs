//! Tables that come and go, with the services asked at random between, against a worker that goes on
//! with every service at once.

use super::super::SchedulerKind;
use super::super::tests::{Counts, asked, overload};
use super::*;
use crate::ids::ServiceId;
use crate::service::example::{dest, service};
use crate::service::{Dest, Settings};
use fastrand::Rng;
use std::collections::BTreeMap;

/// A service as its rules have it.
#[derive(Clone)]
struct Rule {
    id: u32,
    /// Another number for each time that it was added.
    birth: u32,
    kind: SchedulerKind,
    dests: Vec<Dest>,
}

/// Control in miniature.
struct Rules {
    rng: Rng,
    rules: Vec<Rule>,
    births: u32,
    last: Arc<ServiceTable>,
}

const IDS: u32 = 9;

impl Rules {
    fn new(seed: u64) -> Rules {
        let rng = Rng::with_seed(seed);
        Rules { rng, rules: Vec::new(), births: 0, last: Arc::default() }
    }

    /// A change of any kind.
    fn edit(&mut self) {
        let (id, births) = (self.rng.u32(1..=IDS), self.births + 1);
        match self.rules.iter().position(|rule| rule.id == id) {
            // Deleted and added by one change is edited.
            None if self.last.find(ServiceId(id)).is_some() => {}
            None => {
                let (kind, dests) = (self.kind(), self.dests(id));
                let at = self.rng.usize(..=self.rules.len());
                self.rules.insert(at, Rule { id, birth: births, kind, dests });
                self.births = births;
            }
            Some(at) if self.rng.u8(..4) == 0 => drop(self.rules.remove(at)),
            Some(at) if self.rng.u8(..8) == 0 => self.rules[at].kind = self.kind(),
            Some(at) => self.edit_dests(at),
        }
    }

    fn kind(&mut self) -> SchedulerKind {
        // What has a cursor is asked for most.
        let kinds = [SchedulerKind::Rr, SchedulerKind::Wrr, SchedulerKind::Twos];
        if self.rng.bool() {
            kinds[self.rng.usize(..3)]
        } else {
            self.rng.choice(SchedulerKind::ALL).unwrap()
        }
    }

    fn dests(&mut self, id: u32) -> Vec<Dest> {
        let most = if self.rng.u8(..3) == 0 { 20 } else { 5 };
        (0..self.rng.u32(..most)).map(|n| dest(100 * id + n, self.rng.u32(..4))).collect()
    }

    fn edit_dests(&mut self, at: usize) {
        let Rules { rng, rules, .. } = self;
        let Rule { id, dests, .. } = &mut rules[at];
        let new = dest(100 * *id + rng.u32(..20), rng.u32(..4));
        match rng.usize(..=dests.len()) {
            place if place < dests.len() && rng.bool() => drop(dests.remove(place)),
            place if place < dests.len() => dests[place].weight = rng.u32(..4),
            _ if dests.iter().all(|dest| dest.id != new.id) => dests.insert(0, new),
            // Not to be seen by schedulers.
            _ => dests.iter_mut().for_each(|dest| dest.next_hop.0 += 1),
        }
    }

    fn table(&mut self) -> Arc<ServiceTable> {
        let services = self.rules.iter().map(|rule| {
            let Service { key, .. } = service(Vec::new());
            Service::new(ServiceId(rule.id), key, rule.kind, rule.dests.clone())
        });
        let generation = Generation(self.last.generation.0 + 1);
        let table =
            ServiceTable::new(generation, services.collect(), Vec::new(), Settings::default(), &[]);
        self.last = Arc::new(table.after(&self.last));
        self.last.clone()
    }
}

/// The straightforward way: every service at once, each found again by when it was added.
#[derive(Default)]
struct Eager(BTreeMap<u32, (u32, Service, Scheduler)>);

impl Eager {
    fn swap(&mut self, rules: &[Rule], table: &ServiceTable, worker: WorkerId) {
        let mut old = std::mem::take(&mut self.0);
        for (rule, service) in rules.iter().zip(table.services()) {
            let mut scheduler = Scheduler::new(service, worker);
            if let Some((birth, before, known)) = old.remove(&rule.id) {
                if birth == rule.birth {
                    scheduler = known;
                    scheduler.rebase(&before, service);
                }
            }
            self.0.insert(rule.id, (rule.birth, service.clone(), scheduler));
        }
    }
}

/// Both ways of one worker.
struct Worker {
    eager: Eager,
    lazy: Schedulers,
    table: Arc<ServiceTable>,
    counts: Counts,
}

impl Worker {
    fn new(id: WorkerId) -> Worker {
        let (lazy, table) = (Schedulers::new(id), Arc::default());
        Worker { eager: Eager::default(), lazy, table, counts: Counts::default() }
    }

    fn swap(&mut self, rules: &[Rule], table: Arc<ServiceTable>) {
        self.eager.swap(rules, &table, self.lazy.worker);
        let old = std::mem::replace(&mut self.table, table);
        self.lazy.swap(old);
    }

    /// Asks one of the services, both ways; whether any was there.
    fn ask(&mut self, rng: &mut Rng) -> bool {
        let Worker { eager, lazy, table, counts } = self;
        let Some(service) = rng.choice(table.services()) else { return false };
        if rng.u8(..9) == 0 {
            overload(service, rng, 4);
        }
        let (_, _, scheduler) = eager.0.get_mut(&service.id.0).expect("both have it");
        let want = scheduler.schedule(service, &asked(), counts);
        let got = lazy.schedule(service, &asked(), counts);
        assert_eq!(got, want, "{:?} of {:?}", service.scheduler.kind, table.generation);
        if let Some(place) = got {
            counts.0.entry(service.dests[place].id).or_default().0 += 1;
            scheduler.load_changed(place);
            lazy.load_changed(service, place);
        }
        true
    }
}

#[test]
fn lazy_schedulers_choose_as_those_do_that_go_on_at_once() {
    let (mut asked, mut late) = (0, 0);
    for seed in 0..300 {
        let mut rules = Rules::new(seed);
        let mut worker = Worker::new(WorkerId(seed as u16 % 4));
        for _ in 0..60 {
            let tables = rules.rng.usize(1..3);
            for _ in 0..tables {
                // A worker whose mailbox is full does not get every table.
                (0..rules.rng.usize(..4)).for_each(|_| rules.edit());
                rules.table();
            }
            worker.swap(&rules.rules, rules.last.clone());
            loop {
                let questions = rules.rng.usize(..6);
                asked += (0..questions).filter(|_| worker.ask(&mut rules.rng)).count();
                let budget = rules.rng.usize(1..4);
                if worker.lazy.catch_up(&worker.table, budget).is_some() {
                    break;
                }
                late += 1;
            }
        }
    }
    assert!(asked > 10_000 && late > 10_000, "{asked} {late}");
}

#[test]
fn a_swap_looks_at_the_services_that_changed_alone_and_gives_the_old_table_back() {
    let mut rules = Rules::new(1);
    (0..100).for_each(|_| rules.edit());
    let mut worker = Worker::new(WorkerId(0));
    rules.table();
    worker.swap(&rules.rules, rules.last.clone());
    assert!(worker.lazy.catch_up(&worker.table, 100).is_some() && !worker.lazy.are_behind());
    assert!(worker.lazy.catch_up(&worker.table, 100).is_none(), "it is given back once");

    let before = worker.table.clone();
    rules.rules[0].dests.insert(0, dest(99, 7));
    rules.table();
    worker.swap(&rules.rules, rules.last.clone());
    assert!(worker.lazy.catch_up(&worker.table, 1).is_none(), "one had its turn");
    let old = worker.lazy.catch_up(&worker.table, 1).expect("it was the only one");
    assert!(Arc::ptr_eq(&old, &before));
}

#[test]
#[should_panic(expected = "one table at a time")]
fn a_table_that_comes_too_early_is_refused() {
    let mut schedulers = Schedulers::new(WorkerId(0));
    schedulers.swap(Arc::default());
    schedulers.swap(Arc::default());
}

/// Each kind's state of a service that is deleted ends with it.
#[test]
fn a_service_added_again_begins_anew_even_if_the_table_without_it_was_never_seen() {
    for kind in [SchedulerKind::Rr, SchedulerKind::Wrr] {
        let mut rules = Rules::new(0);
        let rule = Rule { id: 1, birth: 1, kind, dests: vec![dest(1, 1), dest(2, 1), dest(3, 1)] };
        rules.rules.push(rule.clone());
        let mut schedulers = Schedulers::new(WorkerId(0));
        let first = rules.table();
        let ask = |schedulers: &mut Schedulers, table: &ServiceTable| {
            schedulers.schedule(&table.services()[0], &asked(), &Counts::default())
        };
        assert_eq!(
            (ask(&mut schedulers, &first), ask(&mut schedulers, &first)),
            (Some(0), Some(1))
        );

        rules.rules.clear();
        rules.table();
        rules.rules.push(rule);
        let third = rules.table();
        schedulers.swap(first);
        assert_eq!(ask(&mut schedulers, &third), Some(0), "{kind:?}");
    }
}
