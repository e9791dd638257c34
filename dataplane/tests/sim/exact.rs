//! The director against the model: every frame, punt, drop, state and counter after every batch.

use super::hosts::Hosts;
use super::model::{Around, Model, Out, from_server, is_active};
use super::net;
use super::segment::{Segment, normal, serial};
use super::tables;
use dataplane::address::Address;
use dataplane::counters::{DestTotals, Tally};
use dataplane::flow::FlowKey;
use dataplane::ids::PortId;
use dataplane::testing::control::Control;
use dataplane::testing::machine::{Machine, MachineConfig};
use dataplane::testing::{Rng, to_hex, verify};
use dataplane::time::Tick;
use dataplane::verdict::DropReason;
use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

/// What can be compared between runs: all frames sent, in order, batch by batch.
pub type Trace = Vec<Vec<(PortId, Vec<u8>)>>;

/// One run: its shape, its world.
pub struct Exact {
    machine: Machine,
    control: Control,
    model: Model,
    hosts: Hosts,
    rng: Rng,
    /// Randomness that differs between shapes: queues, order of the workers' turns.
    spread: Rng,
    now: Tick,
    queues: usize,
    many_servers: bool,
    before: Tally,
    /// Frames of the batch that were already looked at.
    arrived: Vec<(PortId, Vec<u8>)>,
    trace: Trace,
}

/// What a run is made from; only the seed and the number of servers change what is to come out.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    pub seed: u64,
    pub workers: usize,
    pub window: usize,
    pub many_servers: bool,
}

const STEPS: usize = 60;

/// Runs a story; panics where director and model part.
pub fn run(&Shape { seed, workers, window, many_servers }: &Shape) -> Trace {
    let mut rng = Rng::new(seed);
    let queues = 1 + Rng::new(seed ^ workers as u64).below(workers);
    let mut config = MachineConfig::new(net::interfaces());
    (config.workers, config.window, config.queues) = (workers, window, vec![queues; 2]);
    let mut run = Exact {
        machine: Machine::new(&config),
        control: net::control(&mut rng, many_servers),
        model: Model::default(),
        hosts: Hosts::new(24, &net::kinds(), &mut rng),
        spread: Rng::new(seed ^ 0xabcd),
        rng,
        now: Tick(u32::MAX - 5000),
        queues,
        many_servers,
        before: Tally::default(),
        arrived: Vec::new(),
        trace: Vec::new(),
    };
    run.control.publish(&run.machine);
    for step in 0..STEPS {
        super::note(seed, step);
        run.step();
    }
    run.end();
    run.trace
}

impl Exact {
    fn step(&mut self) {
        if self.rng.one_in(4) {
            let many = self.many_servers;
            net::change_rules(&mut self.control, &mut self.rng, many, &net::kinds());
            self.control.publish(&self.machine);
        }
        if self.rng.one_in(6) {
            net::change_neighbors(&mut self.control, &mut self.rng);
            self.control.publish(&self.machine);
        }
        let jumps = [0, 0, 1, 5, 16, 40, 200, 1000, 2000, 5000, 15000];
        self.now = self.now.after(jumps[self.rng.below(jumps.len())]);
        self.settle();
        self.model.flush(&self.control);
        self.model.review_held(&mut self.control, self.now);
        self.compare();
        let most = if self.rng.one_in(5) { 300 } else { 40 };
        let count = self.rng.below(most);
        self.hosts.act(count, &mut self.rng);
        for port in [net::CLIENTS, net::SERVERS] {
            let batch = self.batch(port);
            self.feed(port, &batch);
            self.settle();
            self.expect(port, &batch);
            self.compare();
        }
    }

    /// Segments that arrive now. With a server unresolved few enough that all can wait, and one a
    /// flow: what became of them must be seen in the tables afterwards. An odd segment is the
    /// last of its flow for the same reason.
    fn batch(&mut self, port: PortId) -> Vec<Segment> {
        let waiting = net::any_unresolved(&self.control);
        let room = if waiting { 4usize.saturating_sub(self.model.held()) } else { 200 };
        let most = room.min(1 + self.rng.below(150));
        let mut shut = HashSet::new();
        self.hosts.arriving(port, most, |segment| {
            let free = !shut.contains(&segment.key);
            if free && (waiting || segment.is_odd()) {
                shut.insert(segment.key);
            }
            free
        })
    }

    /// Each flow's packets through one queue, another with each batch, so that they stay in order.
    fn feed(&mut self, port: PortId, batch: &[Segment]) {
        let mut queues: HashMap<FlowKey, usize> = HashMap::new();
        for segment in batch {
            let spread = &mut self.spread;
            let queue = *queues.entry(segment.key).or_insert_with(|| spread.below(self.queues));
            let frame = segment.frame();
            let frame = if port == net::SERVERS { from_server(frame) } else { frame };
            self.machine.feed(port, queue, &frame.build());
        }
    }

    /// Turns in random order until nothing is left to do and nothing is due.
    fn settle(&mut self) {
        let workers = self.machine.workers();
        let mut idle = 0;
        while idle < 4 {
            let first = self.spread.below(workers);
            let turn = |n| self.machine.step((first + n) % workers, self.now);
            idle = if (0..workers).map(turn).sum::<usize>() == 0 { idle + 1 } else { 0 };
            self.machine.check();
        }
    }

    fn expect(&mut self, port: PortId, batch: &[Segment]) {
        let sent = self.machine.take_sent();
        let seen = Seen::new(&sent, &self.machine);
        let mut around = Around {
            control: &mut self.control,
            now: self.now,
            seen: &|segment| seen.server(segment),
        };
        for segment in batch {
            let before = self.model.outs.len();
            self.model.process(port, segment, &mut around);
            if self.model.outs[before..].iter().any(|out| out.port == net::SERVERS) {
                seen.pass(segment);
            }
        }
        self.arrived = sent;
    }

    /// Compares what happened with what was to, and lets the hosts have what they were sent.
    fn compare(&mut self) {
        let mut sent = std::mem::take(&mut self.model.outs);
        let mut frames = std::mem::take(&mut self.arrived);
        frames.extend(self.machine.take_sent());
        compare_frames(&frames, &sent, self.machine.workers() == 1);
        self.trace.push(frames);
        let mut punted: Vec<_> = self.machine.take_punted().into_iter().map(|p| p.2).collect();
        let mut wanted = std::mem::take(&mut self.model.punted);
        punted.sort();
        wanted.sort();
        assert_eq!(punted, wanted, "punted");
        self.compare_tally(sent.len() as u64, wanted.len() as u64);
        self.model.expire(self.now);
        self.compare_conns();
        for out in sent.drain(..) {
            match out.segment {
                Some(segment) if out.port == net::SERVERS => {
                    self.hosts.at_server(&segment, out.through, &mut self.rng);
                }
                Some(segment) => self.hosts.at_client(segment.key.reversed()),
                None => {}
            }
        }
    }

    fn compare_tally(&mut self, sent: u64, punted: u64) {
        let now = self.machine.totals();
        let before = std::mem::replace(&mut self.before, now);
        assert_eq!(now.sent - before.sent, sent, "sent");
        assert_eq!(now.punted.iter().sum::<u64>() - before.punted.iter().sum::<u64>(), punted);
        assert_eq!(now.made - before.made, std::mem::take(&mut self.model.made), "made");
        assert_eq!(now.held, self.model.held() as u64, "held");
        assert_eq!(now.handed_in, now.handed_out);
        let drops = std::mem::take(&mut self.model.drops);
        for reason in DropReason::ALL {
            let dropped = now.dropped[reason.index()] - before.dropped[reason.index()];
            assert_eq!(dropped, drops.get(reason.name()).copied().unwrap_or(0), "{reason:?}");
        }
        assert_eq!(self.machine.live_packets() as u64, now.held, "buffers alive");
    }

    fn compare_conns(&mut self) {
        let table = tables::conns(&self.machine);
        tables::check_counts(&self.machine, &self.control, &table);
        let mut found = 0;
        tables::check_owners(&self.machine, &table);
        for (key, (_, conn)) in &table {
            let Some(model) = self.model.conns.get(key) else {
                assert!(conn.is_expired(self.now), "the model has no {conn:?}");
                continue;
            };
            found += 1;
            let got = (conn.dest, conn.state, conn.last_seen, conn.timeout, conn.rip.ip());
            let wanted =
                (model.dest, model.state, model.last_seen, model.timeout, model.server.rip);
            assert_eq!(got, wanted, "{key:?}");
            assert_eq!(is_active(key, model), dataplane::proto::is_active(conn.proto, conn.state));
        }
        assert_eq!(found, self.model.conns.len(), "every conn of the model is in a table");
        for (id, work) in &self.model.work {
            let mut all = DestTotals::default();
            (0..self.machine.workers())
                .for_each(|worker| all += self.machine.counters(worker).dest(*id).read());
            let got = [all.conns, all.in_packets, all.in_bytes, all.out_packets, all.out_bytes];
            assert_eq!(got, *work, "work for {id:?}");
        }
    }

    /// Time passes, all ends.
    fn end(&mut self) {
        (0..net::REAL_SERVERS).for_each(|n| {
            self.control.hop(net::rip(n)).state = dataplane::nexthop::NextHopState::Resolved;
        });
        self.control.publish(&self.machine);
        for _ in 0..10 {
            self.now = self.now.after(16 * 500);
            self.settle();
        }
        self.machine.take_sent();
        tables::check_over(&self.machine, &self.control);
    }
}

/// What of the director's choices can be seen from outside.
struct Seen {
    /// By serial number, the servers it was sent to, in order.
    sent: RefCell<HashMap<u32, VecDeque<u32>>>,
    conns: HashMap<FlowKey, u32>,
}

impl Seen {
    fn new(sent: &[(PortId, Vec<u8>)], machine: &Machine) -> Seen {
        let mut by_serial: HashMap<u32, VecDeque<u32>> = HashMap::new();
        for (port, frame) in sent {
            let serial = serial(frame).filter(|_| *port == net::SERVERS);
            if let Some(serial) = serial {
                by_serial.entry(serial).or_default().push_back(net::server_of(&frame[..6]));
            }
        }
        let conns = tables::conns(machine).into_iter().map(|(key, (_, c))| (key, c.rip)).collect();
        Seen { sent: RefCell::new(by_serial), conns }
    }

    fn server(&self, segment: &Segment) -> Option<u32> {
        let sent = self.sent.borrow();
        let seen = sent.get(&segment.serial).and_then(|servers| servers.front());
        seen.or_else(|| self.conns.get(&segment.key)).copied()
    }

    fn pass(&self, segment: &Segment) {
        self.sent.borrow_mut().get_mut(&segment.serial).and_then(VecDeque::pop_front);
    }
}

/// Whole order with one worker, each flow's with several.
fn compare_frames(sent: &[(PortId, Vec<u8>)], wanted: &[Out], one_order: bool) {
    for (_, frame) in sent {
        let checks = verify(frame).unwrap_or_else(|| panic!("no frame: {}", to_hex(frame)));
        assert!(checks.ip && checks.l4 != Some(false), "checksums: {}", to_hex(frame));
    }
    let flows: HashMap<(PortId, &[u8]), FlowKey> =
        wanted.iter().map(|out| ((out.port, &out.frame[..]), out.flow)).collect();
    let mut got: BTreeMap<String, Vec<Vec<u8>>> = BTreeMap::new();
    for (port, frame) in sent {
        let frame = normal(frame);
        let flow = flows.get(&(*port, &frame[..]));
        let flow = flow.unwrap_or_else(|| panic!("not expected on {port:?}: {}", to_hex(&frame)));
        let name = if one_order { format!("{port:?}") } else { format!("{port:?} {flow:?}") };
        got.entry(name).or_default().push(frame);
    }
    let mut expected: BTreeMap<String, Vec<Vec<u8>>> = BTreeMap::new();
    for Out { port, frame, flow, .. } in wanted {
        let name = if one_order { format!("{port:?}") } else { format!("{port:?} {flow:?}") };
        expected.entry(name).or_default().push(frame.clone());
    }
    assert_eq!(got, expected, "frames sent");
}
