//! Clients and real servers, and the network between them and the director, which loses,
//! duplicates and reorders.

use super::net::{self, Kind};
use super::segment::Segment;
use dataplane::flow::{FlowKey, protocol};
use dataplane::ids::PortId;
use dataplane::testing::Rng;
use dataplane::wire::tcp::flags::{ACK, FIN, RST, SYN};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Idle,
    Opening,
    Open,
    Closing,
}

/// One client end: an address and port that talks to one service.
#[derive(Debug)]
struct Client {
    key: FlowKey,
    phase: Phase,
    /// Whether the server has answered.
    heard: bool,
}

/// A segment under way to a port of the director.
#[derive(Debug, Clone, Copy)]
pub struct OnWire {
    pub port: PortId,
    pub segment: Segment,
}

/// All hosts and the wire.
pub struct Hosts {
    clients: Vec<Client>,
    pub wire: Vec<OnWire>,
    serial: u32,
}

impl Hosts {
    /// So many clients of these services.
    pub fn new(count: usize, kinds: &[Kind], rng: &mut Rng) -> Hosts {
        let clients = (0..count).map(|n| client(kinds, n, rng)).collect();
        Hosts { clients, wire: Vec::new(), serial: 0 }
    }

    /// Some clients send something.
    pub fn act(&mut self, count: usize, rng: &mut Rng) {
        for _ in 0..count {
            let at = rng.below(self.clients.len());
            let client = &mut self.clients[at];
            let (key, flags) = (client.key, client.next_flags(rng));
            self.serial += 1;
            let segment = segment(key, flags, self.serial, rng);
            self.transmit(OnWire { port: net::CLIENTS, segment }, rng);
        }
    }

    fn transmit(&mut self, packet: OnWire, rng: &mut Rng) {
        if rng.one_in(20) {
            return;
        }
        if rng.one_in(20) {
            self.wire.push(packet);
        }
        let at = if rng.one_in(4) { rng.below(self.wire.len() + 1) } else { self.wire.len() };
        self.wire.insert(at, packet);
    }

    /// A real server gets a segment: as (RIP:RPORT) of masq it answers through the director,
    /// otherwise straight to the client.
    pub fn at_server(&mut self, segment: &Segment, through: bool, rng: &mut Rng) {
        let flags = match segment.flags {
            _ if segment.key.proto == protocol::UDP => 0,
            flags if flags & RST != 0 => return,
            flags if flags & SYN != 0 => SYN | ACK,
            flags if flags & FIN != 0 => FIN | ACK,
            _ if rng.one_in(30) => RST,
            _ if rng.one_in(2) => return,
            _ => ACK,
        };
        if !through {
            self.at_client(segment.key);
            // Now and then one goes the wrong way.
            if !rng.one_in(20) {
                return;
            }
        }
        self.serial += 1;
        let answer = self::segment(segment.key.reversed(), flags, self.serial, rng);
        self.transmit(OnWire { port: net::SERVERS, segment: answer }, rng);
    }

    /// The client whose packets carry `key` gets an answer.
    pub fn at_client(&mut self, key: FlowKey) {
        let client = self
            .clients
            .iter_mut()
            .find(|client| (client.key.src, client.key.sport) == (key.src, key.sport));
        if let Some(client) = client {
            client.heard = true;
        }
    }

    /// Takes up to `most` segments for a port off the wire, in the order of arrival; `only` may
    /// leave some for later.
    pub fn arriving(
        &mut self,
        port: PortId,
        most: usize,
        mut only: impl FnMut(&Segment) -> bool,
    ) -> Vec<Segment> {
        let mut taken = Vec::new();
        self.wire.retain(|packet| {
            let take = packet.port == port && taken.len() < most && only(&packet.segment);
            if take {
                taken.push(packet.segment);
            }
            !take
        });
        taken
    }
}

fn client(kinds: &[Kind], n: usize, rng: &mut Rng) -> Client {
    let service = n % kinds.len();
    let dataplane::service::ServiceKey::Address { proto, vip, vport } = kinds[service].key else {
        panic!("an address")
    };
    let key = FlowKey {
        src: 0xac10_0001 + rng.below(3) as u32,
        dst: net::v4(vip),
        // One client's port serves one service, so reply tuples never collide.
        sport: 1000 + (n + 1000 * service) as u16,
        dport: if vport == 0 { 1000 + rng.below(5) as u16 } else { vport },
        proto,
    };
    Client { key, phase: Phase::Idle, heard: false }
}

impl Client {
    fn next_flags(&mut self, rng: &mut Rng) -> u8 {
        if self.key.proto == protocol::UDP {
            return 0;
        }
        let (phase, flags) = match self.phase {
            Phase::Idle if rng.one_in(15) => (Phase::Idle, [ACK, RST][rng.below(2)]),
            Phase::Idle => (Phase::Opening, SYN),
            Phase::Opening if self.heard => (Phase::Open, ACK),
            Phase::Opening if rng.one_in(4) => (Phase::Idle, RST),
            Phase::Opening => (Phase::Opening, SYN),
            Phase::Open if rng.one_in(5) => (Phase::Closing, FIN | ACK),
            Phase::Open if rng.one_in(20) => (Phase::Idle, RST | ACK),
            Phase::Open => (Phase::Open, ACK),
            Phase::Closing if rng.one_in(2) => (Phase::Idle, ACK),
            Phase::Closing => (Phase::Closing, FIN | ACK),
        };
        if phase == Phase::Idle {
            self.heard = false;
        }
        self.phase = phase;
        flags
    }
}

fn segment(key: FlowKey, flags: u8, serial: u32, rng: &mut Rng) -> Segment {
    let plain = Segment { key, flags, ttl: 64, df: rng.one_in(2), len: 4, serial };
    if flags & SYN != 0 {
        return plain;
    }
    let ttl = if rng.one_in(40) { 1 } else { 64 };
    let len = if rng.one_in(25) { 1500 } else { 4 + rng.below(60) as u16 };
    Segment { ttl, len, ..plain }
}
