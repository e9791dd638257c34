//! What the connection table costs: nanoseconds per look-up one by one and over a window, per
//! insertion and removal, per timer looked at; beside a floor, the same keys only hashed.
//!
//! `conn_table [huge] [PERCENT]`: with 2 MiB pages from the system's pool; the tables PERCENT full
//! (100 unless told).

use dataplane::address::Address;
use dataplane::conn::{
    Candidate, ConnFlags, ConnId, ConnTable, Ended, NewConn, RegionError, TableConfig,
};
use dataplane::flow::{FlowKey, protocol};
use dataplane::ids::{DestId, NextHopId};
use dataplane::limits::WINDOW;
use dataplane::service::ForwardingMethod;
use dataplane::testing::Rng;
use dataplane::time::{Tick, ticks};
use perf::Samples;
use std::hint::black_box;
use std::process::ExitCode;

/// Packets of a run.
const PACKETS: usize = 1 << 20;
const RUNS: usize = 9;

fn main() -> ExitCode {
    match measure() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn measure() -> Result<(), RegionError> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let huge_pages = arguments.iter().any(|argument| argument == "huge");
    let percent = arguments.iter().find_map(|argument| argument.parse().ok()).unwrap_or(100);
    println!("ns each, median (best) of {RUNS} runs; tables {percent} % full, masq");
    println!(
        "    conns |        hash only |     one by one | window of {WINDOW} | insert+remove |   in windows |        timer"
    );
    for conns in [1_000, 100_000, 1_000_000] {
        let config = TableConfig {
            capacity: conns * 100 / percent,
            side_capacity: 0,
            secret: [0x243f_6a88_85a3_08d3, 0x1319_8a2e_0370_7344],
            huge_pages,
        };
        Bench::new(ConnTable::new(&config)?, conns).run();
    }
    Ok(())
}

/// A masq conn of client number `client`.
fn new_conn(client: u32) -> NewConn {
    NewConn {
        key: FlowKey {
            src: 0x0a00_0000 + client / 60_000,
            dst: 0xc000_0201,
            sport: (client % 60_000) as u16,
            dport: 443,
            proto: protocol::TCP,
        },
        rip: rip(client).ip(),
        rport: 8443,
        lport: 0,
        lip_index: 0,
        flags: ConnFlags::of_method(ForwardingMethod::Masq),
        state: 1,
        dest: DestId(1 + client % 64),
        timeout: ticks(900),
        next_hop: NextHopId(1),
        l3_delta: 1,
        l4_delta: 2,
    }
}

fn rip(client: u32) -> u32 {
    0xc633_6400 + client % 64
}

fn reply_key(new: &NewConn) -> FlowKey {
    FlowKey { src: u32::of(new.rip).unwrap_or(0), sport: new.rport, ..new.key.reversed() }
}

struct Bench {
    table: ConnTable,
    conns: usize,
    /// Keys of packets both ways of random conns.
    packets: Vec<FlowKey>,
    /// The next client that has no conn, `conns` after the first that has one.
    next: u32,
    now: Tick,
}

impl Bench {
    fn new(mut table: ConnTable, conns: usize) -> Bench {
        for client in 0..conns as u32 {
            insert(&mut table, client);
        }
        let mut random = Rng::new(1);
        let packets = (0..PACKETS)
            .map(|_| {
                let new = new_conn(random.below(conns) as u32);
                if random.one_in(2) { new.key } else { reply_key(&new) }
            })
            .collect();
        Bench { table, conns, packets, next: conns as u32, now: Tick(0) }
    }

    fn run(&mut self) {
        let [mut floor, mut scalar, mut window, mut churn, mut churn_windows, mut timer] =
            [const { Samples::new() }; 6];
        for _ in 0..RUNS {
            floor.measure(PACKETS, || self.hash_only());
            scalar.measure(PACKETS, || self.one_by_one());
            window.measure(PACKETS, || self.in_windows());
        }
        for _ in 0..RUNS {
            let pairs = PACKETS / 4 / WINDOW * WINDOW;
            churn.measure(pairs, || self.churn(pairs));
            churn_windows.measure(pairs, || self.churn_in_windows(pairs));
        }
        for _ in 0..RUNS {
            self.now = self.now.after(ticks(5));
            timer.measure(self.conns, || self.look_at_timers());
        }
        print!("{:>9} |", self.conns);
        for samples in [&floor, &scalar, &window, &churn, &churn_windows, &timer] {
            print!("  {:6.1} ({:6.1}) |", samples.median(), samples.best());
        }
        let ratio = |samples: &Samples| samples.median() / floor.median();
        println!(" = {:.1} and {:.1} x the floor", ratio(&scalar), ratio(&window));
    }

    fn hash_only(&self) {
        let mut sum = 0;
        for key in &self.packets {
            sum ^= u64::from(black_box(self.table.hash(key)) == self.table.hash(&self.packets[0]));
        }
        black_box(sum);
    }

    fn one_by_one(&mut self) {
        for key in &self.packets {
            let found = self.table.lookup(key, self.table.hash(key));
            touch(&mut self.table, found.map(|(id, _)| id));
        }
    }

    fn in_windows(&mut self) {
        let mut hashes = [self.table.hash(&self.packets[0]); WINDOW];
        let mut candidates = [Candidate::NONE; WINDOW];
        for window in self.packets.chunks_exact(WINDOW) {
            for (key, hash) in window.iter().zip(&mut hashes) {
                *hash = self.table.hash(key);
                self.table.prefetch(*hash);
            }
            for (hash, candidate) in hashes.iter().zip(&mut candidates) {
                *candidate = self.table.candidate(*hash);
            }
            for (key, (hash, candidate)) in window.iter().zip(hashes.iter().zip(&candidates)) {
                let found = self.table.find(key, *hash, *candidate);
                touch(&mut self.table, found.map(|(id, _)| id));
            }
        }
    }

    /// Replaces `pairs` conns, oldest first, each by itself.
    fn churn(&mut self, pairs: usize) {
        for _ in 0..pairs {
            let old = new_conn(self.next - self.conns as u32).key;
            let found = self.table.lookup(&old, self.table.hash(&old));
            remove(&mut self.table, found.map(|(id, _)| id));
            self.table.end_window();
            insert(&mut self.table, self.next);
            self.next += 1;
        }
    }

    /// The same a window at a time, everything loaded a stage ahead.
    fn churn_in_windows(&mut self, pairs: usize) {
        let mut candidates = [Candidate::NONE; WINDOW];
        for _ in 0..pairs / WINDOW {
            let old = (self.next..).map(|client| new_conn(client - self.conns as u32).key);
            let old: [FlowKey; WINDOW] = array(old);
            let new: [NewConn; WINDOW] = array((self.next..).map(new_conn));
            self.next += WINDOW as u32;
            old.iter().for_each(|key| self.table.prefetch(self.table.hash(key)));
            for (key, candidate) in old.iter().zip(&mut candidates) {
                *candidate = self.table.candidate(self.table.hash(key));
            }
            new.iter().for_each(|new| self.table.prefetch(self.table.hash(&new.key)));
            for new in &new {
                self.table.candidate(self.table.hash(&new.key));
            }
            for (key, candidate) in old.iter().zip(&candidates) {
                let found = self.table.find(key, self.table.hash(key), *candidate);
                remove(&mut self.table, found.map(|(id, _)| id));
            }
            self.table.end_window();
            new.iter().for_each(|new| insert_new(&mut self.table, new));
        }
    }

    /// All conns are filed again, none is over.
    fn look_at_timers(&mut self) {
        while self.table.expire(self.now, 64, |_, _| false, &mut |_| panic!("over")) == 64 {}
    }
}

fn array<T>(items: impl Iterator<Item = T>) -> [T; WINDOW] {
    let mut items = items;
    std::array::from_fn(|_| items.next().expect("items without end"))
}

fn insert(table: &mut ConnTable, client: u32) {
    insert_new(table, &new_conn(client));
}

fn insert_new(table: &mut ConnTable, new: &NewConn) {
    let evicted = &mut |ended: &Ended| panic!("evicted {ended:?}");
    table.insert(new, Tick(0), evicted).expect("there is room");
}

fn remove(table: &mut ConnTable, id: Option<ConnId>) {
    black_box(table.remove(id.expect("the oldest conn is there")));
}

/// What the director at least does to a conn for a packet.
#[inline]
fn touch(table: &mut ConnTable, id: Option<ConnId>) {
    let conn = table.get_mut(id.expect("every packet's conn is there"));
    conn.last_seen = Tick(1);
    conn.in_packets = conn.in_packets.wrapping_add(1);
}
