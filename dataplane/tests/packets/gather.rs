//! A window is gathered from all ports.

use crate::rig::*;
use dataplane::service::ForwardingMethod::Masq;
use dataplane::testing::Frame;
use dataplane::testing::control::tcp;
use dataplane::time::Tick;
use dataplane::wire::tcp::flags::{ACK, SYN};

const WINDOW: usize = 4;

#[test]
fn a_port_that_always_fills_the_window_starves_no_other() {
    let mut rig = Rig::with(|config| config.window = WINDOW);
    rig.add(tcp(VIP, 80), Masq, 1);
    rig.publish();
    let machine = &mut rig.machine;
    let syn = |port| Frame::tcp(CLIENT, port, VIP, 80).flags(SYN).build();
    for busy in 0..4 * WINDOW as u16 {
        machine.feed(C, 0, &syn(1000 + busy));
    }
    assert_eq!(machine.step(0, Tick(0)), WINDOW);
    let lonely = from_server(1, Frame::tcp(rip(1), 80, CLIENT, 1000).flags(SYN | ACK));
    machine.feed(S, 0, &lonely.build());

    machine.step(0, Tick(0));
    machine.step(0, Tick(0));

    let to_client = machine.take_sent().into_iter().filter(|(port, _)| *port == C).count();
    assert_eq!(to_client, 1, "the other port's frame was taken within two turns");
}
