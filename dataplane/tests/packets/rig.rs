//! A director of one worker between two ports, and the exact account of what one batch of frames
//! did to it.

use dataplane::counters::Tally;
use dataplane::ids::{DestId, InterfaceId, PortId};
use dataplane::nexthop::NextHopState;
use dataplane::sched::SchedulerKind;
use dataplane::service::{ForwardingMethod, ServiceKey};
use dataplane::testing::control::{Control, Server, interface};
use dataplane::testing::machine::{Machine, MachineConfig};
use dataplane::testing::{Frame, MAC_CLIENT, MAC_DIRECTOR, assert_frames_equal, verify};
use dataplane::time::{Tick, ticks};
use dataplane::verdict::{DropReason, PuntClass};

/// The client's router is on it.
pub const C: PortId = PortId(0);
/// The real servers are on it.
pub const S: PortId = PortId(1);
/// Where tagged frames of port `C` belong, VLAN [`VLAN_C`].
pub const TAGGED_C: InterfaceId = InterfaceId(2);
/// Where tagged frames of port `S` belong, VLAN [`VLAN_S`].
pub const TAGGED_S: InterfaceId = InterfaceId(3);
pub const VLAN_C: u16 = 100;
pub const VLAN_S: u16 = 200;

pub const MAC_DS: [u8; 6] = [2, 0, 0, 0, 0x0d, 2];
pub const CLIENT: u32 = 0xac10_0001;
pub const VIP: u32 = 0x0a00_0064;
pub const ROUTER: u32 = 0x0a00_0002;
/// Clients behind the tagged interface, and their router.
pub const TAGGED_CLIENT: u32 = 0xac11_0001;
pub const TAGGED_ROUTER: u32 = 0x0a01_0002;
/// A real server behind the tagged interface.
pub const TAGGED_RIP: u32 = 0xc0a8_020b;

/// The same of IPv6, with real server 1, for a rig that [`Rig::speak_v6`] was called on.
pub const CLIENT_V6: u128 = 0x2001_0db8_00ac << 80 | 1;
pub const VIP_V6: u128 = 0x2001_0db8_0000 << 80 | 0x100;
pub const ROUTER_V6: u128 = 0x2001_0db8_0000 << 80 | 2;
pub const RIP_V6: u128 = 0x2001_0db8_0001 << 80 | 11;

/// Real server `n`'s address.
pub fn rip(n: u8) -> u32 {
    0xc0a8_010a + u32::from(n)
}

/// Its MAC address.
pub fn mac(n: u8) -> [u8; 6] {
    [2, 0, 0, 0, 0x0e, 0x10 + n]
}

/// How a destination's counters moved: signed, since levels fall too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Moved {
    pub conns: i64,
    pub in_packets: i64,
    pub in_bytes: i64,
    pub out_packets: i64,
    pub out_bytes: i64,
    pub active: i64,
    pub inactive: i64,
}

/// What a batch of frames is to do: everything not named stays as it was.
#[derive(Debug, Default)]
pub struct Expect {
    sent: Vec<(PortId, Vec<u8>)>,
    punted: Vec<(InterfaceId, PuntClass, Vec<u8>)>,
    drops: Vec<(DropReason, u64)>,
    made: u64,
    held: i64,
    dests: Vec<(DestId, Moved)>,
}

impl Expect {
    pub fn sends(mut self, port: PortId, frame: &Frame) -> Self {
        self.sent.push((port, frame.build()));
        self
    }

    pub fn punts(self, class: PuntClass, port: PortId, frame: &Frame) -> Self {
        self.punts_from(class, InterfaceId(port.0), &frame.build())
    }

    pub fn punts_from(mut self, class: PuntClass, from: InterfaceId, frame: &[u8]) -> Self {
        self.punted.push((from, class, frame.to_vec()));
        self
    }

    pub fn drops(mut self, reason: DropReason, count: u64) -> Self {
        self.drops.push((reason, count));
        self
    }

    /// ICMP errors and fragments beyond the first.
    pub fn makes(self, made: u64) -> Self {
        Expect { made, ..self }
    }

    /// How the number of waiting packets changes.
    pub fn holds(self, held: i64) -> Self {
        Expect { held, ..self }
    }

    pub fn dest(mut self, id: DestId, moved: Moved) -> Self {
        self.dests.push((id, moved));
        self
    }

    fn tally(&self, received: u64) -> Tally {
        let mut tally =
            Tally { received, made: self.made, sent: self.sent.len() as u64, ..Tally::default() };
        for (_, class, _) in &self.punted {
            tally.punted[class.index()] += 1;
        }
        for (reason, count) in &self.drops {
            tally.dropped[reason.index()] += count;
        }
        tally
    }
}

/// Nothing but receiving.
pub fn expect() -> Expect {
    Expect::default()
}

/// The director and its surroundings.
pub struct Rig {
    pub machine: Machine,
    pub control: Control,
    pub now: Tick,
    config: MachineConfig,
}

impl Rig {
    /// Neighbours and routes, no services.
    pub fn new() -> Rig {
        Rig::with(|_| ())
    }

    pub fn with(change: impl FnOnce(&mut MachineConfig)) -> Rig {
        let interfaces = vec![
            interface(0, 0, MAC_DIRECTOR),
            interface(1, 0, MAC_DS),
            interface(0, VLAN_C, MAC_DIRECTOR),
            interface(1, VLAN_S, MAC_DS),
        ];
        let mut control = Control::new(&interfaces);
        let mut config = MachineConfig::new(interfaces);
        change(&mut config);
        control.neighbor(ROUTER, InterfaceId(0), MAC_CLIENT);
        control.neighbor(TAGGED_ROUTER, TAGGED_C, [2, 0, 0, 0, 0x0c, 2]);
        for n in 1..=3 {
            control.neighbor(rip(n), InterfaceId(1), mac(n));
        }
        control.neighbor(TAGGED_RIP, TAGGED_S, [2, 0, 0, 0, 0x0e, 0x21]);
        control.route(0xac10_0000, 16, ROUTER);
        control.route(0xac11_0000, 16, TAGGED_ROUTER);
        let machine = Machine::new(&config);
        Rig { machine, control, now: Tick(1000), config }
    }

    /// The director after a restart that kept the conns.
    pub fn restarted(self) -> Rig {
        let machine = Machine::with_tables(&self.config, self.machine.into_tables());
        Rig { machine, ..self }
    }

    /// Adds IPv6's neighbours and the way to its client.
    pub fn speak_v6(&mut self) {
        self.control.neighbor(ROUTER_V6, InterfaceId(0), MAC_CLIENT);
        self.control.neighbor(RIP_V6, InterfaceId(1), mac(1));
        self.control.route(CLIENT_V6, 64, ROUTER_V6);
    }

    /// A rig with one service, rr, on real servers 1 to `servers`, ports as the service's.
    pub fn serving(key: ServiceKey, method: ForwardingMethod, servers: u8) -> Rig {
        let mut rig = Rig::new();
        rig.add(key, method, servers);
        rig.publish();
        rig
    }

    pub fn add(&mut self, key: ServiceKey, method: ForwardingMethod, servers: u8) {
        let ServiceKey::Address { vport, .. } = key else { panic!("an address") };
        self.control.service(key, SchedulerKind::Rr);
        for n in (1..=servers).rev() {
            self.control.server(key, Server::new(rip(n), vport, method));
        }
    }

    pub fn publish(&mut self) {
        self.control.publish(&self.machine);
        self.machine.settle(self.now);
    }

    pub fn resolve(&mut self, target: u32, state: NextHopState) {
        self.control.hop(target).state = state;
        self.publish_quietly();
    }

    /// Publishes, and lets the worker take it with its next step only.
    pub fn publish_quietly(&mut self) {
        self.control.publish(&self.machine);
    }

    pub fn id(&mut self, key: ServiceKey, rip: u32) -> DestId {
        let ServiceKey::Address { vport, .. } = key else { panic!("an address") };
        self.control.dest_id(key, rip, vport)
    }

    pub fn pass(&mut self, seconds: u32) {
        self.now = self.now.after(ticks(seconds));
    }

    /// Feeds frames, lets the director finish, and compares all that happened.
    pub fn check(&mut self, what: &str, frames: &[(PortId, &Frame)], expected: Expect) {
        let frames: Vec<_> = frames.iter().map(|(port, frame)| (*port, frame.build())).collect();
        self.check_bytes(what, &frames, expected);
    }

    pub fn check_bytes(&mut self, what: &str, frames: &[(PortId, Vec<u8>)], expected: Expect) {
        let (tally, dests) = (self.machine.totals(), self.dests());
        for (port, frame) in frames {
            self.machine.feed(*port, 0, frame);
        }
        self.machine.settle(self.now);
        self.machine.check();
        let sent = self.machine.take_sent();
        assert_eq!(sent.len(), expected.sent.len(), "{what}: frames sent");
        for (got, wanted) in sent.iter().zip(&expected.sent) {
            assert_eq!(got.0, wanted.0, "{what}: port");
            assert_frames_equal(&got.1, &wanted.1, what);
            let checks = verify(&got.1).expect("a whole frame");
            assert!(checks.ip && checks.l4 != Some(false), "{what}: checksums");
        }
        assert_eq!(self.machine.take_punted(), expected.punted, "{what}: punted");
        let after = self.machine.totals();
        let wanted = expected.tally(frames.len() as u64);
        assert_eq!(moved_tally(&tally, &after, expected.held), wanted, "{what}: tally");
        for (id, before, after) in moved_dests(&dests, &self.dests()) {
            let wanted = expected.dests.iter().find(|(dest, _)| *dest == id);
            let wanted = wanted.map_or_else(Moved::default, |(_, moved)| *moved);
            assert_eq!(minus(after, before), wanted, "{what}: {id:?}");
        }
        assert_eq!(self.machine.live_packets() as u64, after.held, "{what}: buffers alive");
    }

    /// Counters of the first destinations.
    pub fn dests(&self) -> Vec<(DestId, Moved)> {
        let read = |id| {
            let all = self.machine.counters(0).dest(DestId(id)).read();
            let moved = Moved {
                conns: all.conns as i64,
                in_packets: all.in_packets as i64,
                in_bytes: all.in_bytes as i64,
                out_packets: all.out_packets as i64,
                out_bytes: all.out_bytes as i64,
                active: all.active as i64,
                inactive: all.inactive as i64,
            };
            (DestId(id), moved)
        };
        (0..50).map(read).collect()
    }
}

fn moved_dests<'a>(
    before: &'a [(DestId, Moved)],
    after: &'a [(DestId, Moved)],
) -> impl Iterator<Item = (DestId, Moved, Moved)> + 'a {
    before.iter().zip(after).map(|(old, new)| (old.0, old.1, new.1))
}

fn minus(after: Moved, before: Moved) -> Moved {
    Moved {
        conns: after.conns - before.conns,
        in_packets: after.in_packets - before.in_packets,
        in_bytes: after.in_bytes - before.in_bytes,
        out_packets: after.out_packets - before.out_packets,
        out_bytes: after.out_bytes - before.out_bytes,
        active: after.active - before.active,
        inactive: after.inactive - before.inactive,
    }
}

/// The difference of two readings; the level of held packets is checked against `held`.
fn moved_tally(before: &Tally, after: &Tally, held: i64) -> Tally {
    assert_eq!(after.held as i64 - before.held as i64, held, "held packets");
    Tally {
        received: after.received - before.received,
        handed_in: after.handed_in - before.handed_in,
        from_twin: after.from_twin - before.from_twin,
        made: after.made - before.made,
        sent: after.sent - before.sent,
        handed_out: after.handed_out - before.handed_out,
        punted: std::array::from_fn(|n| after.punted[n] - before.punted[n]),
        dropped: std::array::from_fn(|n| after.dropped[n] - before.dropped[n]),
        held: 0,
    }
}

/// A new conn with one packet of `bytes`, active or not.
pub fn begun(bytes: i64, active: bool) -> Moved {
    let (active, inactive) = if active { (1, 0) } else { (0, 1) };
    Moved { conns: 1, in_packets: 1, in_bytes: bytes, active, inactive, ..Moved::default() }
}

/// Packets of an existing conn, inwards.
pub fn inwards(packets: i64, bytes: i64) -> Moved {
    Moved { in_packets: packets, in_bytes: bytes, ..Moved::default() }
}

/// Packets of an existing conn, outwards.
pub fn outwards(packets: i64, bytes: i64) -> Moved {
    Moved { out_packets: packets, out_bytes: bytes, ..Moved::default() }
}

/// The MAC addresses of frames from the director to real server `n`.
pub fn to_server(n: u8) -> ([u8; 6], [u8; 6]) {
    (mac(n), MAC_DS)
}

/// A frame with the MAC addresses of the way from real server `n` to the director.
pub fn from_server(n: u8, frame: Frame) -> Frame {
    frame.macs(MAC_DS, mac(n))
}

/// A frame with the MAC addresses of the way from the director to the clients' router.
pub fn to_client(frame: Frame) -> Frame {
    frame.macs(MAC_CLIENT, MAC_DIRECTOR)
}
