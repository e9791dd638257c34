//! Against a model that does what the kernel does when it does it, one timer event after the other.

use super::*;
use crate::testing::Rng;
use std::collections::HashMap;

/// A child: of which template of the model, and when it ends.
struct Child {
    of: usize,
    id: TemplateId,
    ends: u64,
}

/// A template, its timer in ticks since the begin.
#[derive(Clone, Copy)]
struct Entry {
    dest: u32,
    deadline: u64,
    timeout: u64,
    children: u32,
    assured: bool,
    alive: bool,
}

/// The kernel's way: an event is handled at its moment.
#[derive(Default)]
struct Model {
    entries: Vec<Entry>,
    by_key: HashMap<usize, usize>,
    children: Vec<Child>,
    now: u64,
}

impl Model {
    /// Works off all events up to `now`, a child's end before a template's at the same tick; the
    /// ended children are returned.
    fn advance(&mut self, now: u64) -> Vec<Child> {
        let mut ended = Vec::new();
        while self.now < now {
            self.now += 1;
            let at = self.now;
            for child in self.children.extract_if_ended(at) {
                self.entries[child.of].children -= 1;
                ended.push(child);
            }
            for entry in self.entries.iter_mut().filter(|entry| entry.alive && entry.deadline == at)
            {
                if entry.children > 0 {
                    (entry.timeout, entry.deadline) = (ticks(60).into(), at + u64::from(ticks(60)));
                } else {
                    entry.alive = false;
                }
            }
            let entries = &self.entries;
            self.by_key.retain(|_, of| entries[*of].alive);
        }
        ended
    }

    /// What a listing shows: destination, timeout, time left, children, assured; sorted.
    fn shown(&self) -> Vec<(u32, u64, u64, u32, bool)> {
        let alive = self.entries.iter().filter(|entry| entry.alive);
        let mut shown: Vec<_> = alive
            .map(|e| (e.dest, e.timeout, e.deadline - self.now, e.children, e.assured))
            .collect();
        shown.sort_unstable();
        shown
    }
}

trait ExtractEnded {
    fn extract_if_ended(&mut self, at: u64) -> Vec<Child>;
}

impl ExtractEnded for Vec<Child> {
    fn extract_if_ended(&mut self, at: u64) -> Vec<Child> {
        let (ended, left) = std::mem::take(self).into_iter().partition(|child| child.ends == at);
        *self = left;
        ended
    }
}

struct Run {
    rng: Rng,
    store: TemplateStore,
    model: Model,
    /// Tick of the model's 0.
    start: Tick,
}

impl Run {
    fn now(&self) -> Tick {
        self.start.after(self.model.now as u32)
    }

    /// A new conn of some client: the template it has, or a new one, or one in place of an invalid.
    fn conn_begins(&mut self) {
        let number = self.rng.below(12);
        let data = [number as u8; 200];
        let key = match number % 3 {
            0 => TemplateKey::of_mark(IpAddr::from([number as u16; 8]), 7),
            1 => key(number as u32),
            _ => key(0).with_engine(Engine::Sip, &data[..=number]).unwrap(),
        };
        let (valid, now) = (!self.rng.one_in(8), self.now());
        let known = self.model.by_key.get(&number).copied();
        let joined = self.store.join(&key, now, |template| {
            let dest = self.model.entries[known.expect("known to the model")].dest;
            assert_eq!(template.dest, DestId(dest));
            valid
        });
        let (of, template) = match (joined, known) {
            (Join::Joined(template), Some(of)) if valid => (of, template),
            (Join::Missing, Some(_)) if !valid => self.create(number, &key),
            (Join::Missing, None) => self.create(number, &key),
            other => panic!("{other:?} with valid {valid}"),
        };
        let entry = &mut self.model.entries[of];
        entry.children += 1;
        entry.deadline = self.model.now + entry.timeout;
        let ends = self.model.now + 1 + self.rng.below(ticks(200) as usize) as u64;
        self.model.children.push(Child { of, id: template.id, ends });
        if self.rng.one_in(3) {
            entry.assured = true;
            self.store.assure(template.id);
        }
    }

    fn create(&mut self, number: usize, key: &TemplateKey<'_>) -> (usize, Template) {
        let (dest, seconds) = (self.rng.below(16) as u32, 1 + self.rng.below(150) as u32);
        let made = self.store.create(key, &new(dest, seconds), self.now()).expect("room");
        let timeout = ticks(seconds).into();
        let blank = Entry { dest, deadline: 0, timeout, children: 0, assured: false, alive: true };
        self.model.entries.push(blank);
        self.model.by_key.insert(number, self.model.entries.len() - 1);
        (self.model.entries.len() - 1, made)
    }

    /// Time passes; the store hears of ended children late, and maybe after a sweep.
    fn time_passes(&mut self) {
        let longest = if self.rng.one_in(5) { 3000 } else { 60 };
        let ended = self.model.advance(self.model.now + self.rng.below(longest) as u64);
        if self.rng.one_in(2) {
            sweep(&self.store, self.now());
        }
        for child in ended {
            let end = self.start.after(child.ends as u32);
            self.store.detach(child.id, end, ChildEnd::Expired);
        }
    }

    fn compare(&self) {
        let mut shown: Vec<_> = listing(&self.store, self.now())
            .iter()
            .map(|t| (t.dest.0, t.timeout.into(), t.remaining.into(), t.children, t.assured))
            .collect();
        shown.sort_unstable();
        assert_eq!(shown, self.model.shown(), "at {}", self.model.now);
    }

    /// A listing passes over what is over and removes it: the counts are exact after one.
    fn compare_counts(&self) {
        for dest in 0..16 {
            let alive = |entry: &&Entry| entry.alive && entry.dest == dest;
            let count = self.model.entries.iter().filter(alive).count() as u32;
            assert_eq!(self.store.persistent_conns(DestId(dest)), count);
        }
    }
}

#[test]
#[cfg_attr(miri, ignore)]
fn the_store_does_what_the_model_does() {
    for seed in 0..20 {
        let start = Tick(u32::MAX - 5000);
        let mut run =
            Run { rng: Rng::new(seed), store: store(1024), model: Model::default(), start };
        for _ in 0..600 {
            (0..run.rng.below(4)).for_each(|_| run.conn_begins());
            run.time_passes();
            run.compare();
            run.compare_counts();
        }
        assert!(run.model.entries.len() > 100, "too little happened");
    }
}
