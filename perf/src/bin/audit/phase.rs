//! A phase: frames are sent as fast as they come back, and each that comes is judged.

use crate::links::Links;
use dpdk_bindings::Mbuf;
use perf::audit::{
    Ledger, Load, MUTATIONS, Mutation, Outcome, Plan, Rules, Sent, Subject, WIRES, Wire, Wrong,
    check, write,
};
use std::time::{Duration, Instant};

/// Frames under way at once: less than a link's ring holds, so that nothing is lost on it.
const UNDER_WAY: usize = 2048;
const BURST: usize = 32;
/// After so long without a frame others are sent, whatever is under way.
const SETTLED: Duration = Duration::from_millis(100);
/// After so long without a frame, at the end, nothing more comes: the worker may have to wait for its core.
const DRAINED: Duration = Duration::from_millis(400);
/// Wrong frames that are shown.
const SHOWN: usize = 8;
/// One right frame of so many has a fault made in a copy of it.
const INJECTED: u64 = 16;

/// What is to be done.
pub struct Phase {
    /// As results call it.
    pub name: String,
    /// How long frames are sent.
    pub time: Duration,
    /// Of a hundred flows of a service, so many may be begun.
    pub share: u64,
    /// What is right.
    pub rules: Rules,
    /// Whether faults are made.
    pub inject: bool,
    /// Places of the services in the plan.
    pub services: Vec<u16>,
}

/// What became of a service's frames.
#[derive(Debug, Clone, Copy, Default)]
pub struct Count {
    /// Sent by us.
    pub sent: u64,
    /// Come back.
    pub came: u64,
    /// Of those, compared whole.
    pub checked: u64,
    /// Wrong.
    pub wrong: u64,
    /// Not come back.
    pub lost: u64,
    /// Flows that got another server by a rule.
    pub moved: u64,
}

/// What came out.
#[derive(Debug, Clone, Default)]
pub struct Done {
    /// Seconds in which frames were sent.
    pub seconds: f64,
    /// By service.
    pub counts: Vec<Count>,
    /// Wrong frames that are no known one's.
    pub strange: u64,
    /// ICMP errors that might come.
    pub refusals: u64,
    /// The first wrong ones, with their bytes.
    pub faults: Vec<(Wrong, Vec<u8>)>,
    /// Of each kind of fault how many were made and how many were found.
    pub injected: Vec<(u64, u64)>,
}

/// The book, and what is sent.
pub struct Auditor {
    ledger: Ledger,
    load: Load,
    came: Vec<Mbuf>,
}

impl Auditor {
    /// With nothing sent yet.
    pub fn new(ledger: Ledger, load: Load) -> Auditor {
        Auditor { ledger, load, came: Vec::with_capacity(256) }
    }

    /// The plan.
    pub fn plan(&self) -> &Plan {
        self.ledger.plan()
    }

    /// Sends and judges, then waits until nothing more comes.
    pub fn run(&mut self, phase: &Phase, links: &mut Links) -> Done {
        let services = self.plan().services.len();
        let mut done = Done {
            counts: vec![Count::default(); services],
            injected: vec![(0, 0); MUTATIONS.len()],
            ..Done::default()
        };
        self.load.turn_to(&phase.services, phase.share);
        let (start, mut last, mut under_way) = (Instant::now(), Instant::now(), 0usize);
        loop {
            let now = Instant::now();
            let came = self.receive(phase, links, &mut done);
            under_way = under_way.saturating_sub(came);
            if came > 0 {
                last = now;
            } else if now - last > SETTLED {
                // What has not come by now was dropped.
                under_way = 0;
            }
            let is_sending = now - start < phase.time;
            if is_sending {
                done.seconds = (now - start).as_secs_f64();
                if links.send() == 0 && under_way + BURST <= UNDER_WAY {
                    under_way += self.send(links, &mut done);
                }
            } else if links.send() == 0 && (self.ledger.is_empty() || now - last > DRAINED) {
                break;
            }
        }
        for (count, lost) in done.counts.iter_mut().zip(self.ledger.give_up()) {
            count.lost = lost;
        }
        done
    }

    fn send(&mut self, links: &mut Links, done: &mut Done) -> usize {
        for _ in 0..BURST {
            let sent = self.load.next(&mut self.ledger);
            let plan = self.ledger.plan();
            // By any queue: with several workers half of the frames or more are to be handed over.
            let queue = (sent.number >> 3) as usize;
            if !links.put(sent.wire() as usize, queue, |frame| write(plan, &sent, frame)) {
                self.ledger.take_back(&sent);
                break;
            }
            done.counts[usize::from(sent.service)].sent += 1;
        }
        links.send();
        BURST
    }

    fn receive(&mut self, phase: &Phase, links: &mut Links, done: &mut Done) -> usize {
        let mut all = 0;
        for wire in WIRES {
            let mut came = std::mem::take(&mut self.came);
            all += links.receive(wire as usize, &mut came);
            for frame in came.drain(..) {
                self.judge(phase, wire, frame.bytes(), done);
            }
            self.came = came;
        }
        all
    }

    fn judge(&mut self, phase: &Phase, wire: Wire, frame: &[u8], done: &mut Done) {
        let count = |done: &mut Done, sent: &Sent, checked: bool| {
            let count = &mut done.counts[usize::from(sent.service)];
            count.came += 1;
            count.checked += u64::from(checked);
        };
        match self.ledger.receive(wire, frame, phase.rules) {
            Outcome::Unchecked(sent) => count(done, &sent, false),
            Outcome::Right(sent) => {
                count(done, &sent, true);
                if phase.inject && sent.number % INJECTED == 0 {
                    self.inject(&sent, done);
                }
            }
            Outcome::Moved(sent) => {
                count(done, &sent, true);
                done.counts[usize::from(sent.service)].moved += 1;
            }
            Outcome::Refusal => done.refusals += 1,
            Outcome::Wrong(sent, wrong) => {
                match sent {
                    Some(sent) => {
                        count(done, &sent, true);
                        done.counts[usize::from(sent.service)].wrong += 1;
                    }
                    None => done.strange += 1,
                }
                if done.faults.len() < SHOWN {
                    done.faults.push((wrong, frame.to_vec()));
                }
            }
        }
    }

    /// Makes every fault that a right frame can have, and sees whether it is found.
    fn inject(&mut self, sent: &Sent, done: &mut Done) {
        let Some(seen) = self.ledger.flow(sent.service, sent.flow).seen else { return };
        let plan = self.ledger.plan();
        let subject = Subject::new(plan, *sent, seen);
        for ((_, mutate), (made, found)) in MUTATIONS.iter().zip(&mut done.injected) {
            let Some(Mutation { sent, wire, frame, fault }) = mutate(&subject) else { continue };
            let result = check(plan, &sent, wire, &frame, Some(seen));
            *made += 1;
            *found += u64::from(result.is_err_and(|wrong| wrong.fault == fault));
        }
    }
}
