//! A director of one worker or several under a control plane of one thread: what `sluiced` is, without
//! threads, sockets and NICs.

use crate::network;
use control::api::protocol::{Answer, ApiError, ConnFilter, ConnRow, ErrorCode, Listing, Op};
use control::api::{CallError, Director};
use control::engine::defence::Memory;
use control::engine::state::{Desired, State};
use control::engine::{row, template_row};
use control::ipvsadm;
use control::rules::MarkRule;
use dataplane::counters::DestTotals;
use dataplane::ids::DestId;
use dataplane::ids::PortId;
use dataplane::mailbox::Message;
use dataplane::owner::SlotMap;
use dataplane::route::{RouteTarget, Routes};
use dataplane::template::{Cursor, Fate, Step, Template};
use dataplane::testing::machine::{Machine, MachineConfig, Punted};
use dataplane::time::{TICKS_PER_SECOND, Tick};
use std::io;
use std::net::IpAddr;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

/// How a trace is replayed.
#[derive(Debug, Clone, Copy)]
pub struct Setup {
    /// VLAN id of both interfaces, 0 for untagged frames.
    pub vlan: u16,
    /// Packets a turn of a worker takes at most.
    pub window: usize,
    /// How many workers there are; frames come in at each in turn.
    pub workers: usize,
    /// The one that owns every flow, or none: they share them.
    pub owner: Option<usize>,
}

/// The director, its control plane and its clock.
pub struct Bench {
    machine: Machine,
    state: State,
    routes: Routes,
    mtu: [u16; 2],
    vlan: u16,
    now: Tick,
    /// Frames that came in.
    fed: usize,
}

/// Room of the connection table: listings show it, and the kernel's had this size.
const TABLE: usize = 4096;

/// Turns after which workers have also ended what `expire_nodest_conn` ends with a destination.
const SETTLED: usize = 16;

/// More ids than the rules of any trace take.
const DESTS: Range<u32> = 0..100;

impl Bench {
    /// In the network of the recordings, without rules.
    pub fn new(setup: &Setup, server_mtu: u16) -> Self {
        let mut config = MachineConfig::new(network::interfaces(setup.vlan));
        (config.window, config.capacity) = (setup.window, TABLE);
        (config.workers, config.queues) = (setup.workers, vec![setup.workers; 2]);
        let mut bench = Bench {
            machine: Machine::new(&config),
            state: State::default(),
            routes: network::routes(),
            mtu: [1500, server_mtu],
            vlan: setup.vlan,
            now: Tick::from_secs(1000),
            fed: 0,
        };
        if let Some(owner) = setup.owner {
            let slot_map = SlotMap::from_fn(setup.workers, |_| owner);
            bench.machine.post(&Message::SlotMap(Arc::new(slot_map)));
        }
        bench.publish_network();
        bench
    }

    /// Lets time pass, with the worker's housekeeping every quarter of a second.
    pub fn wait(&mut self, duration: Duration) {
        let ticks = (duration.as_secs_f64() * f64::from(TICKS_PER_SECOND)).round() as u32;
        let end = self.now.after(ticks);
        self.defend();
        while self.now != end {
            self.now = self.now.after(4.min(end.since(self.now)));
            self.machine.settle(self.now);
        }
    }

    /// What control does each second, with memory enough.
    fn defend(&mut self) {
        let mut desired = self.state.desired().clone();
        if desired.sysctls.second(Memory::default()) {
            self.install(desired);
        }
    }

    /// Puts frames on the ports, in order on each.
    pub fn feed(&mut self, port: usize, frame: &[u8]) {
        self.machine.feed(PortId(port as u16), self.fed % self.machine.workers(), frame);
        self.fed += 1;
    }

    /// Has Linux send a frame on a port's kernel twin, which any worker may serve.
    pub fn feed_from_linux(&mut self, port: usize, frame: &[u8]) {
        let worker = self.fed % self.machine.workers();
        assert!(
            self.machine.feed_from_twin(worker, PortId(port as u16), frame),
            "room in the ring"
        );
        self.fed += 1;
    }

    /// Works until all is done; what was sent, by port, and what was punted.
    pub fn settle(&mut self) -> (Vec<(PortId, Vec<u8>)>, Vec<Punted>) {
        self.machine.settle(self.now);
        self.machine.check();
        self.machine.aggregate(DESTS.map(DestId));
        (self.machine.take_sent(), self.machine.take_punted())
    }

    /// Runs `ipvsadm ARGS`: its exit status and what it printed.
    pub fn ipvsadm(&mut self, args: &str) -> (i32, String) {
        let words: Vec<String> = args.split_whitespace().map(str::to_owned).collect();
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let mut streams =
            ipvsadm::Streams { input: &mut io::empty(), out: &mut out, err: &mut err };
        let status = ipvsadm::run(&words, self, &mut streams).expect("memory takes all output");
        out.append(&mut err);
        (status.into(), String::from_utf8(out).expect("text"))
    }

    /// Sets a value of `net.ipv4.vs`.
    pub fn sysctl(&mut self, key: &str, value: &str) -> Result<(), String> {
        let desired = self.state.desired().clone().with_sysctl(key, value);
        self.install(desired.map_err(|error| error.to_string())?);
        Ok(())
    }

    /// Appends a mark rule.
    pub fn mark(&mut self, rule: MarkRule) {
        let mut desired = self.state.desired().clone();
        desired.marks.push(rule);
        self.install(desired);
    }

    /// Makes a network the director's own, as `ip route add local` does.
    pub fn route_local(&mut self, (prefix, len): (IpAddr, u8)) {
        self.routes.insert(prefix, len, RouteTarget::Local);
        self.publish_network();
    }

    /// Sets a port's MTU.
    pub fn set_mtu(&mut self, port: usize, mtu: u16) {
        self.mtu[port] = mtu;
        self.publish_network();
    }

    /// The conns and templates that are listed.
    pub fn conns(&self) -> Vec<ConnRow> {
        let tables = (0..self.machine.workers()).map(|worker| self.machine.conns(worker));
        let live = tables
            .flat_map(|conns| conns.live_in(conns.ids()).map(move |(_, conn)| conns.listed(conn)));
        let mut expected = Vec::new();
        self.machine.expect().list(self.now, &mut expected);
        let expected = expected.iter().map(|expectation| expectation.listed(self.now));
        let listed = live.chain(expected);
        let mut rows: Vec<ConnRow> = listed.filter_map(|listed| row(&listed, self.now)).collect();
        let mut at = Cursor::all();
        let mut list = |template: &Template, data: &[u8]| {
            rows.push(template_row(template, data));
            Fate::Keep
        };
        let templates = self.machine.templates();
        while templates.visit(&mut at, u32::MAX, self.now, &mut list) != Step::Done {}
        rows
    }

    fn publish_network(&mut self) {
        let next_hops = network::next_hops(self.vlan, self.mtu);
        self.machine.post(&Message::NextHops(Arc::new(next_hops)));
        self.machine.post(&Message::Routes(Arc::new(self.routes.clone())));
        self.machine.settle(self.now);
    }

    fn install(&mut self, desired: Desired) {
        let machine = &self.machine;
        let counted = |id| counted(machine, id);
        let table =
            self.state.install(desired, &network::held(), counted).expect("a trace has few rules");
        let generation = table.generation;
        self.machine.post(&Message::Services(table));
        (0..SETTLED).for_each(|_| self.machine.settle(self.now));
        assert!(self.machine.has_applied(generation));
        self.state.sweep(|id| self::counted(&self.machine, id));
    }
}

fn counted(machine: &Machine, id: DestId) -> DestTotals {
    let mut totals = DestTotals::default();
    (0..machine.workers()).for_each(|worker| totals += machine.counters(worker).dest(id).read());
    DestTotals { persistent: machine.templates().persistent_conns(id).into(), ..totals }
}

impl Director for Bench {
    fn call(&mut self, op: Op) -> Result<Answer, CallError> {
        self.answer(op).map_err(CallError::Refused)
    }

    fn conns(
        &mut self,
        _: ConnFilter,
        each: &mut dyn FnMut(Vec<ConnRow>) -> io::Result<()>,
    ) -> Result<(), CallError> {
        each(Bench::conns(self)).map_err(CallError::Output)
    }
}

impl Bench {
    fn answer(&mut self, op: Op) -> Result<Answer, ApiError> {
        match op {
            Op::Change { changes, replace } => {
                self.install(self.state.desired().clone().changed(&changes, replace)?);
                Ok(Answer::Changed { generation: 0 })
            }
            Op::List { service } => {
                let services = self.state.list(service, |id| counted(&self.machine, id))?;
                Ok(Answer::Listing(Listing { table_size: TABLE as u64, services }))
            }
            Op::Zero { service } => {
                self.state.zero(service, |id| counted(&self.machine, id))?;
                Ok(Answer::Done {})
            }
            Op::TimeoutsGet => Ok(Answer::Timeouts(self.state.timeouts())),
            Op::TimeoutsSet(set) => {
                self.install(self.state.desired().clone().with_timeouts(set));
                Ok(Answer::Done {})
            }
            op => {
                let message = format!("ipvsadm never asks for {op:?}");
                Err(ApiError::new(ErrorCode::Internal, message))
            }
        }
    }
}
