//! All workers' tables, read and recounted.

use dataplane::conn::Conn;
use dataplane::flow::FlowKey;
use dataplane::ids::DestId;
use dataplane::owner;
use dataplane::proto;
use dataplane::testing::control::Control;
use dataplane::testing::machine::Machine;
use std::collections::HashMap;
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

/// Every conn is on the worker that its client end's slot names, slots being dealt in turn.
pub fn check_owners(machine: &Machine, conns: &Conns) {
    for (key, (worker, _)) in conns {
        let slot = usize::from(owner::slot(key.src, key.sport));
        assert_eq!(slot % machine.workers(), *worker, "the owner of {key:?}");
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
