//! A worker under pressure: it keeps up with the end of conns, and with its own queues.

use crate::rig::*;
use dataplane::owner;
use dataplane::service::ForwardingMethod::{Gatewaying, Masq};
use dataplane::testing::Frame;
use dataplane::testing::control::{tcp, udp};
use dataplane::verdict::DropReason;
use dataplane::wire::tcp::flags::SYN;

fn owner_of(address: u32, port: u16, workers: usize) -> usize {
    usize::from(owner::slot(address, port)) % workers
}

#[test]
fn a_busy_workers_table_does_not_fill_with_expired_conns() {
    let key = udp(VIP, 53);
    let mut rig = Rig::with(|config| {
        config.capacity = 100_000;
        config.buffers = 20_000;
    });
    rig.control.settings.timeouts.udp = 16; // one second
    rig.add(key, Gatewaying, 1);
    rig.publish();
    // 100 new conns a tick = 1,600 cps * 1 s = 1,600 live at any time; room for 100,000. Each
    // housekeeping is followed by 32 turns of which each finds a full window.
    let mut client = 0u32;
    let mut worst = 0;
    for _round in 0..200 {
        rig.now = rig.now.after(16);
        // one second passes in ONE housekeeping interval here: everything before is over.
        rig.machine.worker_mut(0).housekeep(rig.now);
        for _ in 0..32 {
            for _ in 0..128 {
                client += 1;
                let port = (client % 60_000) as u16 + 1;
                let frame = Frame::udp(CLIENT + client / 60_000, port, VIP, 53);
                rig.machine.feed(C, 0, &frame.build());
            }
            rig.machine.worker_mut(0).turn(rig.now);
            rig.machine.take_sent();
        }
        worst = worst.max(rig.machine.conns(0).len());
    }
    let full = rig.machine.totals().dropped[DropReason::TableFull.index()];
    assert_eq!(
        (full, worst <= 100_000),
        (0, true),
        "live at most 4096 at a time, table 100,000; most {worst}"
    );
}

#[test]
fn hand_over_does_not_starve_a_workers_own_queue() {
    let mut rig = Rig::with(|config| {
        config.workers = 2;
        config.queues = vec![2; 2];
        config.buffers = 100_000;
    });
    rig.add(tcp(VIP, 80), Masq, 1);
    rig.publish();
    let port = (4000..).find(|&port| owner_of(CLIENT, port, 2) == 0).unwrap();
    let flood = Frame::tcp(CLIENT, port, VIP, 80).flags(SYN).build();
    let mut arp = vec![0xff; 6];
    arp.extend([2, 0, 0, 0, 0x0c, 1, 8, 6]);
    arp.extend([0; 46]);
    rig.machine.feed(C, 0, &arp);
    for _ in 0..100 {
        for _ in 0..128 {
            rig.machine.feed(C, 1, &flood);
        }
        rig.machine.step(1, rig.now);
        rig.machine.step(0, rig.now);
        rig.machine.take_sent();
    }
    let punted = rig.machine.take_punted();
    assert_eq!(punted.len(), 1, "the ARP request waits for ever");
}
