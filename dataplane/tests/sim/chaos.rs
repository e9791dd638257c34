//! What no model can follow: turns in any order, snapshots that reach workers at different moments,
//! tables that fill up, full queues, and the process killed at any moment and its tables adopted.
//! After every step the invariants hold all the same.

use super::errors;
use super::hosts::Hosts;
use super::met::Met;
use super::model::from_server;
use super::net;
use super::rewritten::{inner, key_of, kind_of, leaving, source};
use super::segment::{Segment, normal, serial};
use super::tables::{self, Conns};
use dataplane::address::Address;
use dataplane::conn::{Conn, ConnTable, Region};
use dataplane::flow::{FlowKey, protocol};
use dataplane::ids::DestId;
use dataplane::proto::tcp::state;
use dataplane::service::ForwardingMethod::{Fullnat, Ipip, Masq};
use dataplane::testing::control::{Control, Server};
use dataplane::testing::machine::{Machine, MachineConfig};
use dataplane::testing::{Frame, Rng, to_hex, verify};
use dataplane::time::Tick;
use dataplane::verdict::DropReason;
use dataplane::wire::tcp::flags::{FIN, RST, SYN};
use std::collections::{HashMap, HashSet};
use std::sync::atomic::Ordering::{Relaxed, SeqCst};

/// Upper threshold of the service that has one, never edited.
const UPPER: u32 = 6;
/// Conns that a table never runs out of here.
const AMPLE: usize = 1000;
/// Changes under way at once: each is three messages.
const MAX_UNREAD: usize = 15;
/// Packets in the machine from which on no more are fed.
const MAX_WAITING: usize = 200;

pub struct Chaos {
    machine: Machine,
    config: MachineConfig,
    control: Control,
    hosts: Hosts,
    rng: Rng,
    now: Tick,
    fed: u64,
    fed_by_linux: u64,
    /// Segments by serial number.
    segments: HashMap<u32, Segment>,
    /// Client ends of which such a packet ([`Chaos::ending_flags`]) was fed since the director last stood still: in between
    /// a conn may close and be opened anew unseen.
    closing: HashSet<(u32, u16)>,
    conns: Conns,
    /// Of all conns of fullnat that there were: client's key, real server, local port.
    local_ends: HashSet<(FlowKey, u32, u16)>,
    /// Whether some worker may have `expire_nodest_conn` set.
    nodest_ends_conns: bool,
    /// Changes posted since all workers had read the last.
    unread: usize,
    met: Met,
}

/// Runs `steps` steps, then lets everything end.
pub fn run(seed: u64, steps: usize) -> Met {
    let mut rng = Rng::new(seed ^ 0xc0a5);
    let mut config = MachineConfig::new(net::interfaces());
    config.workers = 1 + rng.below(4);
    config.queues = vec![1 + rng.below(config.workers), 1 + rng.below(config.workers)];
    config.window = [1, 2, 32, 128][rng.below(4)];
    config.capacity = [4, 16, AMPLE][rng.below(3)];
    let mut run = Chaos {
        machine: Machine::new(&config),
        config,
        control: control(&mut rng),
        hosts: Hosts::new(70, &net::all_kinds(), &mut rng),
        rng,
        now: Tick(u32::MAX - 20_000),
        fed: 0,
        fed_by_linux: 0,
        segments: HashMap::new(),
        closing: HashSet::new(),
        conns: Conns::new(),
        local_ends: HashSet::new(),
        nodest_ends_conns: false,
        unread: 0,
        met: Met::default(),
    };
    run.control.publish(&run.machine);
    for step in 0..steps {
        super::note(seed, step);
        run.step();
    }
    run.end();
    run.met
}

/// The usual services, one of them with thresholds.
fn control(rng: &mut Rng) -> Control {
    let mut control = net::control(rng, true);
    net::bring_back(&mut control, &net::fullnat(), rng, true);
    let kind = limited();
    for n in 0..net::REAL_SERVERS {
        let server = net::server(&kind, n, 1).thresholds(UPPER, 2);
        control.server(kind.key, server);
    }
    control
}

fn limited() -> net::Kind {
    net::kinds()[1]
}

impl Chaos {
    fn step(&mut self) {
        match self.rng.below(100) {
            0..20 => self.feed(),
            20..24 => self.change(),
            24..27 => self.pass(),
            27 => self.fill_queue(),
            28 if self.rng.one_in(4) => self.kill(),
            30 => self.machine.settle(self.now),
            31 => self.speak_as_linux(),
            32..36 => self.feed_error(),
            29 => self.machine.aggregate((1..100).map(DestId)),
            _ => {
                let worker = self.rng.below(self.config.workers);
                self.machine.step(worker, self.now);
            }
        }
        self.look_at_frames();
        self.check();
    }

    fn feed(&mut self) {
        if self.machine.live_packets() > MAX_WAITING {
            return;
        }
        let count = self.rng.below(60);
        self.hosts.act(count, &mut self.rng);
        for port in [net::CLIENTS, net::SERVERS] {
            for segment in self.hosts.arriving(port, 200, |_| true) {
                let queue = self.rng.below(self.config.queues[port.index()]);
                let frame = segment.frame();
                let from_server = if port == net::SERVERS { from_server(frame) } else { frame };
                self.machine.feed(port, queue, &from_server.build());
                self.fed += 1;
                self.segments.insert(segment.serial, segment);
                if segment.flags & self.ending_flags() != 0 {
                    let key = segment.key;
                    let clients = match port {
                        net::CLIENTS => vec![(key.src, key.sport)],
                        _ => self.clients_behind(&key),
                    };
                    self.closing.extend(clients);
                }
            }
        }
    }

    /// Whom a real server's packet may reach: at a local end, the clients whose conns have such a one.
    fn clients_behind(&self, key: &FlowKey) -> Vec<(u32, u16)> {
        if !net::LOCALS.contains(&key.dst) {
            return vec![(key.dst, key.dport)];
        }
        let has = |conn: &Conn| {
            tables::is_fullnat(conn) && (conn.rip, conn.lport) == (key.src, key.dport)
        };
        let conns = self.conns.values().filter(|(_, conn)| has(conn));
        conns.map(|(_, conn)| (conn.cip, conn.cport)).collect()
    }

    /// After a packet with one of these a conn may end: closed, or half-open in a full table.
    fn ending_flags(&self) -> u8 {
        if self.config.capacity < AMPLE { FIN | RST | SYN } else { FIN | RST }
    }

    /// An error about a conn that was there a moment ago: what becomes of it changes no conn.
    fn feed_error(&mut self) {
        if self.machine.live_packets() > MAX_WAITING {
            return;
        }
        if let Some((port, frame)) = errors::error(&self.conns, &mut self.rng) {
            let queue = self.rng.below(self.config.queues[port.index()]);
            self.machine.feed(port, queue, &frame.build());
            self.fed += 1;
        }
    }

    /// Linux sends something on a kernel twin.
    fn speak_as_linux(&mut self) {
        let port = [net::CLIENTS, net::SERVERS][self.rng.below(2)];
        let worker = self.rng.below(self.config.workers);
        let frame = Frame::icmp(net::VIP, net::ROUTER, 8, 0, 1).build();
        self.fed_by_linux += u64::from(self.machine.feed_from_twin(worker, port, &frame));
    }

    /// Changes rules while packets are on their way; a worker takes the change at its next turn.
    fn change(&mut self) {
        let generation = self.control.generation();
        if self.machine.has_applied(generation) {
            self.nodest_ends_conns = self.control.settings.expire_nodest_conn;
            self.unread = 0;
        } else if self.unread < MAX_UNREAD {
            self.met.half_applied += 1;
            self.unread += 1;
        } else {
            return;
        }
        match self.rng.below(3) {
            0 => net::change_neighbors(&mut self.control, &mut self.rng),
            _ => self.change_rules(),
        }
        self.nodest_ends_conns |= self.control.settings.expire_nodest_conn;
        self.control.publish(&self.machine);
    }

    /// The service with thresholds keeps its servers.
    fn change_rules(&mut self) {
        let key = limited().key;
        net::change_rules(&mut self.control, &mut self.rng, true, &net::all_kinds());
        let servers = self.control.servers(key);
        let as_ever = |server: &Server| server.thresholds == (UPPER, 2);
        if servers.is_none_or(|servers| !servers.iter().all(as_ever)) {
            self.control.service(key, limited().scheduler);
            for n in 0..net::REAL_SERVERS {
                let server = net::server(&limited(), n, 1).thresholds(UPPER, 2);
                self.control.server(key, server);
            }
        }
    }

    fn pass(&mut self) {
        let jumps = [1, 16, 40, 200, 1000, 5000];
        self.now = self.now.after(jumps[self.rng.below(jumps.len())]);
    }

    /// A transmit queue that is full for one turn.
    fn fill_queue(&mut self) {
        let worker = self.rng.below(self.config.workers);
        let shares = self.machine.worker_mut(worker).shares_mut();
        shares.iter_mut().for_each(|share| share.queue.tx_room = 1);
        self.machine.step(worker, self.now);
        let shares = self.machine.worker_mut(worker).shares_mut();
        shares.iter_mut().for_each(|share| share.queue.tx_room = usize::MAX);
    }

    /// The process is killed: packets are lost, tables are adopted, counts are rebuilt from them.
    fn kill(&mut self) {
        let before = tables::conns(&self.machine);
        let images: Vec<Vec<u8>> =
            (0..self.config.workers).map(|worker| self.machine.conns(worker).image()).collect();
        let mut adopted = Vec::new();
        for image in &images {
            let region = Region::from_image(image, false).expect("its own image");
            let (table, report) = ConnTable::adopt(region, self.now).expect("its own image");
            assert_eq!(
                (report.adopted, report.torn, report.duplicate, report.no_room),
                (table.len(), 0, 0, 0)
            );
            self.met.adopted += report.adopted as u64;
            adopted.push(table);
        }
        self.retire();
        self.machine = Machine::with_tables(&self.config, adopted);
        let after = tables::conns(&self.machine);
        let names = |conns: &Conns| {
            let mut names: Vec<_> = conns
                .values()
                .map(|(w, c)| (*w, c.inbound_key().src, c.cport, c.dest, c.state, c.rip))
                .collect();
            names.sort();
            names
        };
        assert_eq!(names(&after), names(&before), "every conn is adopted as it was");
        for (id, shared) in self.control.all_shared() {
            let conns = after.values().filter(|(_, conn)| conn.dest == id).count();
            shared.conns.store(conns as u32, SeqCst);
        }
        (self.fed, self.fed_by_linux) = (0, 0);
        self.unread = 0;
        self.conns = after;
        self.control.publish(&self.machine);
        // No packet is taken before the rules are there.
        for worker in 0..self.config.workers {
            self.machine.step(worker, self.now);
        }
        self.check();
    }

    /// Notes what a machine did before it goes.
    fn retire(&mut self) {
        let totals = self.machine.totals();
        self.met.handed_over += totals.handed_in;
        self.met.table_full += totals.dropped[DropReason::TableFull.index()];
        self.met.tx_full += totals.dropped[DropReason::TxFull.index()];
        self.met.strayed += totals.dropped[DropReason::Strayed.index()];
        self.met.errors_of_tunnels += totals.dropped[DropReason::TunnelError.index()];
        for worker in 0..self.config.workers {
            self.met.evicted += self.machine.counters(worker).evicted.load(Relaxed);
        }
    }

    /// Every frame that left has true checksums, and is a segment that came in, rewritten for a
    /// server of its service, or its answer; then the hosts get it.
    fn look_at_frames(&mut self) {
        for (port, frame) in self.machine.take_sent() {
            let checks = verify(&frame).unwrap_or_else(|| panic!("no frame: {}", to_hex(&frame)));
            assert!(checks.ip && checks.l4 != Some(false), "checksums: {}", to_hex(&frame));
            // The director's own have another TOS, Linux says echo.
            let passed = frame[15] == 0 && frame[23] == protocol::ICMP && frame[34] != 8;
            self.met.errors_passed += u64::from(passed);
            let Some(segment) = serial(&frame).map(|serial| self.segments[&serial]) else {
                continue;
            };
            match port {
                net::SERVERS => self.at_server(&frame, &segment),
                _ => self.at_client(&frame, &segment),
            }
        }
        self.machine.take_punted();
        self.machine.take_wishes();
    }

    fn at_server(&mut self, frame: &[u8], segment: &Segment) {
        let rip = net::server_of(&frame[..6]);
        let kind = kind_of(segment);
        let passed = Segment { ttl: segment.ttl - 1, ..*segment };
        let n = rip - net::rip(0);
        let server = kind.iter().map(|kind| net::server(kind, n, 1)).find(|server| {
            let hop =
                self.control.next_hops.iter().find(|hop| hop.target == rip.ip()).expect("known");
            let local = match server.method {
                Fullnat => source(frame),
                _ => (net::v4(hop.local), 0),
            };
            let leaving = leaving(&passed, server, local);
            let macs = (frame[..6].try_into().unwrap(), hop.src_mac);
            // Errors about tunnels tell of paths as narrow as are believed.
            let narrowest = if server.method == Ipip { 552 } else { 1400 };
            let mtus = [narrowest, 1400, 1500];
            mtus.iter().any(|&mtu| leaving().frames(mtu, macs)[0] == normal(frame))
        });
        let server = server.unwrap_or_else(|| panic!("{segment:?} became {}", to_hex(frame)));
        let through = matches!(server.method, Masq | Fullnat);
        let mut seen = passed;
        if through {
            seen.key = inner(&segment.key, &server);
        }
        if server.method == Fullnat {
            (seen.key.src, seen.key.sport) = source(frame);
            assert!(net::LOCALS.contains(&seen.key.src), "from no local address: {segment:?}");
        }
        self.hosts.at_server(&seen, through, &mut self.rng);
    }

    fn at_client(&mut self, frame: &[u8], segment: &Segment) {
        let passed = |key| Segment { key, ttl: segment.ttl - 1, ..*segment };
        let macs = (dataplane::testing::MAC_CLIENT, dataplane::testing::MAC_DIRECTOR);
        let (dst, dport) = match net::LOCALS.contains(&segment.key.dst) {
            true => {
                self.met.answers_to_locals += 1;
                self.client_of(frame, segment)
            }
            false => (segment.key.dst, segment.key.dport),
        };
        let fits = |vip, vport| {
            let key = FlowKey { src: vip, sport: vport, dst, dport, ..segment.key };
            let leaving = super::segment::Leaving::plain(&passed(key));
            leaving.frames(1500, macs)[0] == normal(frame)
        };
        let source = u16::from_be_bytes([frame[34], frame[35]]);
        let right = [net::VIP, net::VIP2, net::VIP3].into_iter().any(|vip| fits(vip, source));
        assert!(right, "{segment:?} became {}", to_hex(frame));
        self.hosts.at_client(FlowKey { src: dst, sport: dport, ..segment.key });
    }

    /// The client that an answer to a local end went to: one whose conn has, or had when the answer
    /// passed, this end.
    fn client_of(&self, frame: &[u8], answer: &Segment) -> (u32, u16) {
        let client = key_of(frame).reversed();
        let known = self.local_ends.contains(&(client, answer.key.src, answer.key.dport));
        assert!(known, "{answer:?} went to {client:?}");
        (client.src, client.sport)
    }

    fn check(&mut self) {
        self.machine.check();
        let totals = self.machine.totals();
        let in_rings = totals.handed_out - totals.handed_in;
        let waiting = self.fed - totals.received + self.fed_by_linux - totals.from_twin;
        let taken = totals.received + totals.from_twin + totals.made;
        let given =
            totals.sent + totals.punted.iter().sum::<u64>() + totals.dropped.iter().sum::<u64>();
        assert_eq!(taken, given + totals.held + in_rings, "in sum");
        let alive = self.machine.live_packets() as u64;
        assert_eq!(alive, waiting + in_rings + totals.held, "buffers alive");
        let conns = tables::conns(&self.machine);
        tables::check_owners(&self.machine, &conns);
        tables::check_counts(&self.machine, &self.control, &conns);
        tables::check_locals(&self.machine, &conns);
        let fullnat = conns.iter().filter(|(_, (_, conn))| tables::is_fullnat(conn));
        self.local_ends.extend(fullnat.map(|(key, (_, conn))| (*key, conn.rip, conn.lport)));
        self.check_moves(&conns);
        self.check_thresholds();
        self.conns = conns;
        if alive == totals.held {
            self.closing.clear();
        }
    }

    fn check_thresholds(&mut self) {
        let key = limited().key;
        let servers = self.control.servers(key).unwrap_or(&[]).to_vec();
        for server in servers {
            let id = self.control.dest_id(key, server.rip, server.rport);
            let conns = self.control.shared(id).conns.load(Relaxed);
            assert!(conns <= UPPER, "{conns} conns of at most {UPPER} on {server:?}");
        }
    }

    /// Invariant 4: a conn has another destination only if the old one had ended by a rule.
    fn check_moves(&mut self, conns: &Conns) {
        for (key, (_, new)) in conns {
            let Some((_, old)) = self.conns.get(key).filter(|(_, old)| old.dest != new.dest) else {
                continue;
            };
            self.met.moved += 1;
            assert!(self.may_move(key, old), "{old:?} became {new:?}");
        }
    }

    fn may_move(&self, key: &FlowKey, old: &Conn) -> bool {
        let closed = matches!(old.state, state::TIME_WAIT | state::CLOSE | state::FIN_WAIT);
        let closing = self.closing.contains(&(key.src, key.sport));
        let half_open = old.proto == protocol::TCP && old.state == state::SYN_RECV;
        let evicted = half_open && self.config.capacity < AMPLE;
        // A UDP conn leaves a removed destination.
        let udp = old.proto == protocol::UDP;
        closed || closing || evicted || udp || old.is_expired(self.now) || self.nodest_ends_conns
    }

    /// Time passes until nothing is left.
    fn end(&mut self) {
        self.look_at_frames();
        for _ in 0..10 {
            self.machine.settle(self.now);
            self.look_at_frames();
            self.check();
            self.now = self.now.after(16 * 500);
        }
        self.machine.settle(self.now);
        tables::check_over(&self.machine, &self.control);
        self.retire();
    }
}
