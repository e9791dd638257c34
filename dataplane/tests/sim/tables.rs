//! All workers' tables, read and recounted.

use super::net;
use dataplane::conn::Conn;
use dataplane::flow::FlowKey;
use dataplane::ids::DestId;
use dataplane::owner;
use dataplane::proto;
use dataplane::service::ForwardingMethod;
use dataplane::testing::control::Control;
use dataplane::testing::machine::Machine;
use std::collections::{HashMap, HashSet};
use std::sync::atomic::Ordering::Relaxed;

/// Every conn by its client's key, and the worker that has it.
pub type Conns = HashMap<FlowKey, (usize, Conn)>;

/// Every conn; a flow on two workers is an error.
pub fn conns(machine: &Machine) -> Conns {
    let mut all = Conns::new();
    for worker in 0..machine.workers() {
        let table = machine.conns(worker);
        for (_, conn) in table.live_in(table.ids()) {
            let twice = all.insert(conn.inbound_key(), (worker, *conn));
            assert!(twice.is_none(), "a flow is on one worker: {conn:?}, {twice:?}");
        }
    }
    all
}

/// Every conn is on the worker that its client end's slot names, slots being dealt in turn, and so is
/// its local end.
pub fn check_owners(machine: &Machine, conns: &Conns) {
    for (key, (worker, conn)) in conns {
        let of = |address, port| usize::from(owner::slot(address, port)) % machine.workers();
        assert_eq!(of(key.src, key.sport), *worker, "the owner of {key:?}");
        if is_fullnat(conn) {
            let local: u32 = machine.conns(*worker).local(conn);
            assert_eq!(of(local, conn.lport), *worker, "the owner of replies to {key:?}");
        }
    }
}

pub fn is_fullnat(conn: &Conn) -> bool {
    conn.flags.method() == Some(ForwardingMethod::Fullnat)
}

/// Conns by worker and local address equal a recount, and no two have one reply tuple.
pub fn check_locals(machine: &Machine, conns: &Conns) {
    let mut counts: HashMap<(usize, u16), u32> = HashMap::new();
    let mut ends = HashSet::new();
    for (worker, conn) in conns.values().filter(|(_, conn)| is_fullnat(conn)) {
        *counts.entry((*worker, conn.lip_index)).or_default() += 1;
        let end = (conn.rip, conn.rport, conn.lip_index, conn.lport);
        assert!(ends.insert(end), "one reply tuple: {conn:?}");
    }
    for worker in 0..machine.workers() {
        for index in 1..=net::LOCALS.len() as u16 {
            let count = counts.get(&(worker, index)).copied().unwrap_or_default();
            assert_eq!(machine.counters(worker).conns_of_local(index), count);
        }
    }
}

/// Active and inactive conns by worker and destination equal a recount, and what workers share
/// about a destination their sum.
pub fn check_counts(machine: &Machine, control: &Control, conns: &Conns) {
    let mut counts: HashMap<(usize, DestId), (u32, u32)> = HashMap::new();
    for (worker, conn) in conns.values() {
        let count = counts.entry((*worker, conn.dest)).or_default();
        match proto::is_active(conn.proto, conn.state) {
            true => count.0 += 1,
            false => count.1 += 1,
        }
    }
    for (id, shared) in control.all_shared() {
        let mut all = 0;
        for worker in 0..machine.workers() {
            let counters = machine.counters(worker).dest(id);
            let count = counts.get(&(worker, id)).copied().unwrap_or_default();
            assert_eq!((counters.active(), counters.inactive()), count, "{id:?} on {worker}");
            all += count.0 + count.1;
        }
        assert_eq!(shared.conns.load(Relaxed), all, "conns on {id:?}");
    }
}

/// Nothing is left: no conn, no count, no packet.
pub fn check_over(machine: &Machine, control: &Control) {
    let conns = conns(machine);
    assert!(conns.is_empty(), "{} conns are left", conns.len());
    check_counts(machine, control, &conns);
    assert_eq!(machine.live_packets(), 0, "buffers alive");
    assert_eq!(machine.totals().held, 0);
    machine.check();
}
