//! How workers that choose by themselves share conns out, beside the kernel's one list: 1, 2, 4 and
//! 16 of them, on servers of weights 1, 2 and 3 as recorded.

use super::net::{self, CLIENTS, VIP};
use dataplane::ids::{DestId, InterfaceId};
use dataplane::sched::SchedulerKind;
use dataplane::service::ForwardingMethod::Masq;
use dataplane::testing::Frame;
use dataplane::testing::control::{Control, Server, tcp};
use dataplane::testing::machine::{Machine, MachineConfig};
use dataplane::time::Tick;

const NOW: Tick = Tick(100);
const SERVERS: usize = 3;
/// Conns opened: ten times the recorded ones.
const TIMES: u32 = 10;
/// New conns between two publications of the totals: 1 ms at ten thousand a second.
const BETWEEN_TOTALS: u32 = 10;

/// What the kernel gave each server of 60 conns.
fn kernels(kind: SchedulerKind) -> [u32; SERVERS] {
    let name = format!("tests/golden/sched_{}_w123_syn.json", kind.name());
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    let text = std::fs::read_to_string(path).expect("a recording");
    let recording: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let picks = recording["result"]["picks"].as_array().expect("picks");
    let mut shares = [0; SERVERS];
    picks.iter().filter_map(|pick| pick.as_u64()).for_each(|n| shares[n as usize - 1] += 1);
    shares
}

/// What `workers` give each server of `conns`.
fn ours(kind: SchedulerKind, workers: usize, conns: u32) -> [u32; SERVERS] {
    let key = tcp(VIP, 80);
    let mut config = MachineConfig::new(net::interfaces());
    (config.workers, config.queues) = (workers, vec![workers; config.queues.len()]);
    let mut control = Control::new(&net::interfaces());
    control.service(key, kind);
    for n in 0..SERVERS {
        control.neighbor(net::rip(n as u32), InterfaceId(1), net::mac(n as u32, 0));
        control.server(key, Server::new(net::rip(n as u32), 80, Masq).weight(n as u32 + 1));
    }
    let ids: Vec<DestId> =
        (0..SERVERS).map(|n| control.dest_id(key, net::rip(n as u32), 80)).collect();
    let mut machine = Machine::new(&config);
    control.publish(&machine);
    machine.settle(NOW);
    for conn in 0..conns {
        if conn % BETWEEN_TOTALS == 0 {
            machine.aggregate(ids.iter().copied());
        }
        let client = 0xac10_0000 + conn % 7 * 256 + 1 + conn % 200;
        let frame = Frame::tcp(client, 10_000 + conn as u16, VIP, 80).build();
        machine.feed(CLIENTS, conn as usize % workers, &frame);
        machine.settle(NOW);
    }
    let counted = |id: &DestId| {
        let of = |worker| machine.counters(worker).dest(*id).read();
        (0..workers).map(|worker| (of(worker).active + of(worker).inactive) as u32).sum()
    };
    std::array::from_fn(|n| counted(&ids[n]))
}

#[test]
fn every_number_of_workers_shares_conns_out_as_the_kernel_does() {
    use SchedulerKind::{Fo, Lc, Nq, Rr, Sed, Wlc, Wrr};
    for kind in [Rr, Wrr, Lc, Wlc, Sed, Nq, Fo] {
        let kernel = kernels(kind).map(|share| share * TIMES);
        for workers in [1, 2, 4, 16] {
            let ours = ours(kind, workers, 60 * TIMES);
            // A worker's cursor, and a total that is a moment old, are off by little each.
            let most = 2 * workers as u32 + BETWEEN_TOTALS;
            let near = kernel.iter().zip(&ours).all(|(a, b)| a.abs_diff(*b) <= most);
            println!("{:4} {workers:2} workers {ours:?}, the kernel {kernel:?}", kind.name());
            assert!(near, "{kind:?} with {workers} workers: {ours:?}, the kernel {kernel:?}");
        }
    }
}

#[test]
fn few_conns_on_many_workers_do_not_pile_up_on_the_first_servers() {
    for kind in [SchedulerKind::Rr, SchedulerKind::Wrr] {
        let shares = ours(kind, 16, 12);
        let due = if kind == SchedulerKind::Rr { [4, 4, 4] } else { [2, 4, 6] };
        let near = shares.iter().zip(due).all(|(got, due): (&u32, u32)| got.abs_diff(due) <= 3);
        assert!(near, "{kind:?}: {shares:?} of {due:?}");
    }
}
