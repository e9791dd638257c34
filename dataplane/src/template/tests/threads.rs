//! Many workers at once.

use super::*;
use crate::testing::Rng;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;

const CLIENTS: u32 = 6;
const ROUNDS: u32 = if cfg!(miri) { 30 } else { 30_000 };

/// One worker: its conns, and what they are children of, by client.
struct Worker<'a> {
    store: &'a TemplateStore,
    clock: &'a AtomicU32,
    number: u32,
    held: Vec<(u32, TemplateId)>,
    made: u32,
}

impl Worker<'_> {
    fn now(&self) -> Tick {
        Tick(self.clock.load(Relaxed))
    }

    /// A conn of this client; what the lock is denied for is tried again.
    fn begin(&mut self, client: u32) {
        let template = loop {
            match self.store.join(&key(client), self.now(), |_| true) {
                Join::Joined(template) => break template,
                Join::Busy => continue,
                Join::Missing => {}
            }
            match self.store.create(&key(client), &new(self.number, 1), self.now()) {
                Ok(template) => break template,
                Err(Refusal::Busy) => {}
                Err(Refusal::Full) => panic!("there is room for every client"),
            }
        };
        self.made += u32::from(template.dest == DestId(self.number) && template.children == 1);
        for (_, id) in self.held.iter().filter(|(of, _)| *of == client) {
            assert_eq!(*id, template.id, "a client has one template while it has conns");
        }
        self.held.push((client, template.id));
    }

    fn end(&mut self, at: usize, how: ChildEnd) {
        let (_, id) = self.held.swap_remove(at);
        self.store.detach(id, self.now(), how);
    }

    fn work(mut self) -> Self {
        let mut rng = Rng::new(self.number.into());
        for round in 0..ROUNDS {
            if self.held.len() < 4 || self.held.len() < 12 && rng.one_in(2) {
                self.begin(rng.below(CLIENTS as usize) as u32);
            } else {
                let how = if rng.one_in(3) { ChildEnd::Dropped } else { ChildEnd::Expired };
                self.end(rng.below(self.held.len()), how);
            }
            if rng.one_in(7) && !self.held.is_empty() {
                self.store.assure(self.held[0].1);
            }
            if round % 300 == 299 {
                (0..self.held.len()).for_each(|_| self.end(0, ChildEnd::Expired));
            }
        }
        self
    }
}

/// Lets time pass, sweeps and lists, until told to stop.
fn pass_time(store: &TemplateStore, clock: &AtomicU32, stop: &AtomicBool) {
    let mut sweeper = Sweeper::new(0, 1, Tick(clock.load(Relaxed)));
    while !stop.load(Relaxed) {
        let now = Tick(clock.fetch_add(1, Relaxed));
        sweeper.sweep(store, now, 64);
        let mut clients = Vec::new();
        store.visit(&mut Cursor::all(), 64, now, |template, _| {
            clients.push(template.client);
            Fate::Keep
        });
        let shown = clients.len();
        clients.sort_unstable();
        clients.dedup();
        assert_eq!(clients.len(), shown, "one template a key, at any moment");
        std::thread::yield_now();
    }
}

#[test]
fn workers_share_one_template_a_client_and_every_child_is_counted_once() {
    let (store, clock, stop) = (store(64), AtomicU32::new(u32::MAX - 50), AtomicBool::new(false));
    let workers: Vec<Worker<'_>> = std::thread::scope(|scope| {
        let work =
            |number| Worker { store: &store, clock: &clock, number, held: Vec::new(), made: 0 };
        let workers: Vec<_> =
            (0..4).map(|number| scope.spawn(move || work(number).work())).collect();
        let time = scope.spawn(|| pass_time(&store, &clock, &stop));
        let workers = workers.into_iter().map(|worker| worker.join().expect("no panic")).collect();
        stop.store(true, Relaxed);
        time.join().expect("no panic");
        workers
    });
    let now = Tick(clock.load(Relaxed));
    let held: Vec<_> = workers.iter().flat_map(|worker| &worker.held).collect();
    for client in 0..CLIENTS {
        let templates: Vec<_> =
            listing(&store, now).into_iter().filter(|t| t.client == ip(client)).collect();
        let children = held.iter().filter(|(of, _)| *of == client).count() as u32;
        assert!(templates.len() <= 1);
        assert_eq!(templates.iter().map(|t| t.children).sum::<u32>(), children);
    }
    held.iter().for_each(|(_, id)| store.detach(*id, now, ChildEnd::Expired));
    sweep(&store, now.after(ticks(61)));
    assert!(store.is_empty());
    assert!((0..16).all(|dest| store.persistent_conns(DestId(dest)) == 0));
    let made: u32 = workers.iter().map(|worker| worker.made).sum();
    assert!(made > CLIENTS, "templates ended and began again: {made}");
}
