//! One client end that opens 60,000 conns, by its own ports or by the service's: all of them get in,
//! and nobody else's look-ups get dearer.

use super::net::{self, CLIENTS, VIP, VIP2};
use dataplane::conn::ConnTable;
use dataplane::flow::FlowKey;
use dataplane::sched::SchedulerKind::Rr;
use dataplane::service::ForwardingMethod::Masq;
use dataplane::testing::control::{Control, Server, tcp};
use dataplane::testing::machine::{Machine, MachineConfig};
use dataplane::testing::{Frame, Rng};
use dataplane::time::Tick;

const CROWD: u16 = 60_000;
const OTHERS: usize = 10_000;
const NOW: Tick = Tick(100);
const CLIENT: u32 = 0xac10_0001;

struct Scene {
    machine: Machine,
    fed: usize,
}

impl Scene {
    fn new() -> Scene {
        let mut config = MachineConfig::new(net::interfaces());
        config.capacity = 200_000;
        let mut control = Control::new(&net::interfaces());
        control.neighbor(net::rip(0), dataplane::ids::InterfaceId(1), net::mac(0, 0));
        for (key, port) in [(tcp(VIP, 80), 80), (tcp(VIP2, 0), 0)] {
            control.service(key, Rr);
            control.server(key, Server::new(net::rip(0), port, Masq));
        }
        let machine = Machine::new(&config);
        control.publish(&machine);
        Scene { machine, fed: 0 }
    }

    fn open(&mut self, (src, sport): (u32, u16), (dst, dport): (u32, u16)) {
        let frame = Frame::tcp(src, sport, dst, dport).build();
        self.machine.feed(CLIENTS, 0, &frame);
        self.fed += 1;
        if self.fed % 1000 == 0 {
            self.finish();
        }
    }

    fn finish(&mut self) {
        self.machine.settle(NOW);
        self.machine.take_sent();
        self.machine.check();
    }

    fn others(&mut self) -> Vec<FlowKey> {
        let mut rng = Rng::new(7);
        for n in 0..OTHERS {
            let client = (0xac11_0000 + rng.below(50_000) as u32, 1025 + n as u16);
            self.open(client, (VIP, 80));
        }
        self.finish();
        let conns = self.machine.conns(0);
        let keys = |conn: &dataplane::conn::Conn| [Some(conn.inbound_key()), conn.outbound_key()];
        conns.live_in(conns.ids()).flat_map(|(_, conn)| keys(conn)).flatten().collect()
    }

    /// How many of the keys the first look at the index leads to the right conn.
    fn found_at_once(&self, keys: &[FlowKey]) -> usize {
        let conns = self.machine.conns(0);
        keys.iter().filter(|key| found_at_once(conns, key)).count()
    }
}

fn found_at_once(conns: &ConnTable, key: &FlowKey) -> bool {
    let hash = conns.hash(key);
    let (id, _) = conns.lookup(key, hash).expect("a conn that is there");
    conns.candidate(hash).conn() == id
}

#[test]
fn one_client_with_60_000_ports_gets_all_its_conns_and_costs_nobody_else() {
    let mut scene = Scene::new();
    let others = scene.others();
    assert_eq!(others.len(), 2 * OTHERS);
    let before = scene.found_at_once(&others);
    for n in 0..CROWD {
        scene.open((CLIENT, 1025 + n), (VIP2, 80));
    }
    scene.finish();
    assert_eq!(scene.machine.conns(0).len(), OTHERS + usize::from(CROWD));
    let with_ports = scene.found_at_once(&others);
    for n in 0..CROWD {
        scene.open((CLIENT + 1, 4000), (VIP2, 1 + n));
    }
    scene.finish();
    assert_eq!(scene.machine.conns(0).len(), OTHERS + 2 * usize::from(CROWD));
    let with_both = scene.found_at_once(&others);
    for after in [with_ports, with_both] {
        assert!(after * 10 >= before * 9, "found at once: {before} before, {after} in the crowd");
    }
    // Nor does the crowd itself.
    let table = scene.machine.conns(0);
    let crowd: Vec<FlowKey> = table
        .live_in(table.ids())
        .map(|(_, conn)| conn.inbound_key())
        .filter(|key| key.src <= CLIENT + 1)
        .collect();
    assert!(scene.found_at_once(&crowd) * 10 >= crowd.len() * 9);
}
