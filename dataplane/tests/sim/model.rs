//! The director as its documents have it, naively: one map of conns, packets one by one, frames
//! built anew. All but the schedulers' choice, which it takes from what it sees, if it is allowed.

use super::net;
use super::segment::{Leaving, Segment, normal};
use dataplane::address::Address;
use dataplane::flow::{FlowKey, protocol};
use dataplane::ids::{DestId, Generation, PortId};
use dataplane::nexthop::{NextHop, NextHopState};
use dataplane::proto::{self, tcp};
use dataplane::service::ForwardingMethod::{Fullnat, Gatewaying, Ipip, Masq};
use dataplane::service::ServiceKey;
use dataplane::testing::control::{Control, Server};
use dataplane::testing::{Frame, MAC_CLIENT, MAC_DIRECTOR};
use dataplane::time::{Tick, ticks};
use dataplane::verdict::DropReason::{self, DestinationRemoved, NextHopTimeout, TtlExceeded};
use dataplane::wire::tcp::flags::{RST, SYN};
use std::collections::HashMap;

/// A conn.
#[derive(Debug, Clone)]
pub struct Entry {
    pub service: ServiceKey,
    pub server: Server,
    pub dest: DestId,
    pub state: u8,
    pub last_seen: Tick,
    pub timeout: u32,
    no_output: bool,
}

impl Entry {
    fn is_over(&self, now: Tick) -> bool {
        now.since(self.last_seen) >= self.timeout
    }
}

/// A frame that leaves, normalised, and the segment that its receiver makes of it.
#[derive(Debug, Clone)]
pub struct Out {
    pub port: PortId,
    pub frame: Vec<u8>,
    pub segment: Option<Segment>,
    /// The client's packets' key, so that order is compared flow by flow.
    pub flow: FlowKey,
    /// Whether the conn's real server answers through the director.
    pub through: bool,
}

/// What one destination did, in the order of `DestTotals`.
pub type Work = [u64; 5];

struct Held {
    target: u32,
    since: Tick,
    outs: Out,
}

/// The model's whole state, and what it expects of the batch under way.
#[derive(Default)]
pub struct Model {
    pub conns: HashMap<FlowKey, Entry>,
    /// The last table that workers took, and `expire_nodest_conn` in it.
    flushed: Generation,
    replies: HashMap<FlowKey, FlowKey>,
    held: Vec<Held>,
    pub work: HashMap<DestId, Work>,
    pub outs: Vec<Out>,
    pub punted: Vec<Vec<u8>>,
    pub drops: HashMap<&'static str, u64>,
    pub made: u64,
}

/// What the model looks at besides its own state.
pub struct Around<'a> {
    pub control: &'a mut Control,
    pub now: Tick,
    /// Where the director sent the packet, if that can be seen: a real server's address.
    pub seen: &'a dyn Fn(&Segment) -> Option<u32>,
}

impl Model {
    pub fn held(&self) -> usize {
        self.held.len()
    }

    /// One packet from the wire.
    pub fn process(&mut self, port: PortId, segment: &Segment, around: &mut Around) {
        self.forget_over(&segment.key, around.now);
        if self.conns.contains_key(&segment.key) {
            self.inbound(segment, around);
        } else if let Some(&key) = self.replies.get(&segment.key) {
            self.outbound(port, segment, key, around);
        } else {
            self.first(port, segment, around);
        }
    }

    fn forget_over(&mut self, key: &FlowKey, now: Tick) {
        let key = self.replies.get(key).copied().unwrap_or(*key);
        if self.conns.get(&key).is_some_and(|conn| conn.is_over(now)) {
            self.end(&key);
        }
    }

    fn end(&mut self, key: &FlowKey) {
        self.conns.remove(key);
        self.replies.retain(|_, inbound| inbound != key);
    }

    /// Forgets all whose time is over.
    pub fn expire(&mut self, now: Tick) {
        let over: Vec<FlowKey> =
            self.conns.iter().filter(|(_, conn)| conn.is_over(now)).map(|(key, _)| *key).collect();
        over.iter().for_each(|key| self.end(key));
    }

    /// With `expire_nodest_conn` a removal ends the conns of all removed destinations.
    pub fn flush(&mut self, control: &Control) {
        if std::mem::replace(&mut self.flushed, control.flush()) == control.flush() {
            return;
        }
        let is_gone = |conn: &Entry| {
            let place = |server: &Server| (server.rip, server.rport);
            let servers = control.servers(conn.service).unwrap_or(&[]);
            servers.iter().all(|server| place(server) != place(&conn.server))
        };
        let conns = self.conns.iter();
        let gone: Vec<FlowKey> =
            conns.filter(|(_, conn)| is_gone(conn)).map(|(key, _)| *key).collect();
        gone.iter().for_each(|key| self.end(key));
    }

    fn inbound(&mut self, segment: &Segment, around: &mut Around) {
        let conn = &self.conns[&segment.key];
        let settings = around.control.settings;
        let servers = around.control.servers(conn.service).unwrap_or(&[]);
        let same =
            |server: &&Server| (server.rip, server.rport) == (conn.server.rip, conn.server.rport);
        let present = servers.iter().find(same);
        let is_udp = segment.key.proto == protocol::UDP;
        let syn = segment.key.proto == protocol::TCP && segment.flags & SYN != 0;
        let quiesced = settings.expire_nodest_conn && present.is_some_and(|s| s.weight == 0);
        let over = syn && (quiesced || reusable(conn, settings.conn_reuse_mode))
            || present.is_none() && (settings.expire_nodest_conn || is_udp);
        if over {
            self.end(&segment.key);
            self.first(net::CLIENTS, segment, around);
        } else if present.is_none() {
            self.drop_one(DestinationRemoved);
        } else {
            self.follow(segment, around);
        }
    }

    fn first(&mut self, port: PortId, segment: &Segment, around: &mut Around) {
        let settings = around.control.settings;
        let begins = segment.key.proto == protocol::UDP
            || segment.flags & RST == 0 && (segment.flags & SYN != 0 || settings.sloppy_tcp);
        let Some(service) = find_service(around.control, &segment.key).filter(|_| begins) else {
            self.punt(port, segment);
            return;
        };
        let servers = around.control.servers(service).expect("present").to_vec();
        if servers.iter().all(|server| server.weight == 0) {
            self.refuse(segment, (3, 3, 0), DropReason::NoDestination, None);
            return;
        }
        let rip = (around.seen)(segment).unwrap_or_else(|| panic!("no trace of {segment:?}"));
        let chosen = servers.iter().find(|server| server.rip == rip.ip());
        let server = *chosen.unwrap_or_else(|| panic!("{rip:x} is none of {service:?}"));
        assert!(server.weight > 0, "a quiesced server was chosen: {segment:?}");
        let dest = around.control.dest_id(service, server.rip, server.rport);
        let no_output = server.method != Masq;
        let (last_seen, timeout, state) = (around.now, 0, tcp::state::NONE);
        let conn = Entry { service, server, dest, state, last_seen, timeout, no_output };
        if server.method == Masq {
            self.replies.insert(inner(&conn, &segment.key).reversed(), segment.key);
        }
        self.conns.insert(segment.key, conn);
        self.work.entry(dest).or_default()[0] += 1;
        self.follow(segment, around);
    }

    fn follow(&mut self, segment: &Segment, around: &mut Around) {
        let conn = self.conns.get_mut(&segment.key).expect("looked up");
        let work = self.work.entry(conn.dest).or_default();
        work[1] += 1;
        work[2] += u64::from(segment.ip_len());
        let side = if conn.no_output { tcp::Side::InputOnly } else { tcp::Side::Input };
        track(conn, side, segment, around);
        let conn = self.conns[&segment.key].clone();
        let hop = *around.control.hop(conn.server.rip);
        let mtu = if conn.server.method == Ipip { hop.mtu - 20 } else { hop.mtu };
        let passed = Segment { ttl: segment.ttl - 1, ..*segment };
        let like_a_reply = (conn.server.method != Masq).then_some(conn.dest);
        if segment.ttl == 1 {
            self.refuse(segment, (11, 0, 0), TtlExceeded, like_a_reply);
        } else if segment.df && segment.ip_len() > mtu {
            self.refuse(&passed, (3, 4, mtu.into()), DropReason::FragNeeded, like_a_reply);
        } else {
            let at_server = Segment { key: inner(&conn, &segment.key), ..passed };
            let leaving = match conn.server.method {
                Masq => Leaving::plain(&at_server),
                Gatewaying => Leaving::plain(&passed),
                Fullnat => unreachable!("no service of the model has local addresses"),
                Ipip => Leaving::tunnelled(&passed, net::v4(hop.local), net::v4(hop.target)),
            };
            let through = conn.server.method == Masq;
            self.send(leaving, &hop, (at_server, through), segment.key, around.now);
        }
    }

    fn outbound(&mut self, port: PortId, segment: &Segment, key: FlowKey, around: &mut Around) {
        if segment.ttl == 1 || segment.df && segment.ip_len() > 1500 {
            self.punt(port, segment);
            return;
        }
        let conn = self.conns.get_mut(&key).expect("has a reply tuple");
        let work = self.work.entry(conn.dest).or_default();
        work[3] += 1;
        work[4] += u64::from(segment.ip_len());
        conn.no_output = false;
        track(conn, tcp::Side::Output, segment, around);
        let passed = Segment { key: key.reversed(), ttl: segment.ttl - 1, ..*segment };
        let hop = *around.control.hop(net::ROUTER);
        self.send(Leaving::plain(&passed), &hop, (passed, false), key, around.now);
    }

    fn send(
        &mut self,
        leaving: Leaving,
        hop: &NextHop,
        (segment, through): (Segment, bool),
        flow: FlowKey,
        now: Tick,
    ) {
        let frames = leaving.frames(hop.mtu, (hop.dst_mac, hop.src_mac));
        self.made += frames.len() as u64 - 1;
        for (at, frame) in frames.into_iter().enumerate() {
            let segment = (at == 0).then_some(segment);
            let out = Out { port: hop.port, frame, segment, flow, through };
            if hop.state == NextHopState::Resolved {
                self.outs.push(out);
            } else {
                self.held.push(Held { target: net::v4(hop.target), since: now, outs: out });
            }
        }
    }

    /// What waits and may go, goes, to the MAC address of this moment; what waited too long does not.
    pub fn review_held(&mut self, control: &mut Control, now: Tick) {
        for mut held in std::mem::take(&mut self.held) {
            let hop = *control.hop(held.target);
            if hop.state == NextHopState::Resolved {
                held.outs.frame[..6].copy_from_slice(&hop.dst_mac);
                self.outs.push(held.outs);
            } else if now.since(held.since) >= ticks(3) {
                self.drop_one(NextHopTimeout);
            } else {
                self.held.push(held);
            }
        }
    }

    fn punt(&mut self, port: PortId, segment: &Segment) {
        let frame = segment.frame();
        let frame = if port == net::SERVERS { from_server(frame) } else { frame };
        self.punted.push(frame.build());
    }

    /// An ICMP error to the client, who had called the VIP. It counts as a reply of `counted_for`.
    fn refuse(
        &mut self,
        quoted: &Segment,
        what: (u8, u8, u32),
        reason: DropReason,
        counted_for: Option<DestId>,
    ) {
        self.drop_one(reason);
        self.made += 1;
        let FlowKey { src, dst, .. } = quoted.key;
        let quote = quoted.frame().build_ip();
        let frame = Frame::icmp(dst, src, what.0, what.1, what.2).tos(0xc0);
        let frame = frame.payload(&quote[..quote.len().min(548)]).macs(MAC_CLIENT, MAC_DIRECTOR);
        let frame = normal(&frame.build());
        if let Some(dest) = counted_for {
            let work = self.work.entry(dest).or_default();
            work[3] += 1;
            work[4] += 28 + quote.len().min(548) as u64;
        }
        let flow = quoted.key;
        self.outs.push(Out { port: net::CLIENTS, frame, segment: None, flow, through: false });
    }

    fn drop_one(&mut self, reason: DropReason) {
        *self.drops.entry(reason.name()).or_default() += 1;
    }
}

/// The link header of what real servers send; whose it is does not matter to the director.
pub fn from_server(frame: Frame) -> Frame {
    frame.macs(net::MAC_DS, net::mac(0, 0))
}

/// A client's key as its real server sees it.
fn inner(conn: &Entry, key: &FlowKey) -> FlowKey {
    let dport = if conn.server.rport == 0 { key.dport } else { conn.server.rport };
    match conn.server.method {
        Masq => FlowKey { dst: net::v4(conn.server.rip), dport, ..*key },
        _ => *key,
    }
}

fn reusable(conn: &Entry, mode: u8) -> bool {
    use tcp::state::{CLOSE, FIN_WAIT, TIME_WAIT};
    let closed = conn.state == TIME_WAIT || conn.state == CLOSE;
    mode != 0 && (closed || mode & 2 != 0 && conn.state == FIN_WAIT && conn.no_output)
}

fn track(conn: &mut Entry, side: tcp::Side, segment: &Segment, around: &Around) {
    if segment.key.proto == protocol::TCP {
        conn.state = tcp::next(conn.state, side, segment.flags, false);
    }
    let timeouts = &around.control.settings.timeouts;
    conn.timeout = timeouts.timeout(segment.key.proto, conn.state);
    conn.last_seen = around.now;
}

fn find_service(control: &Control, key: &FlowKey) -> Option<ServiceKey> {
    [key.dport, 0].into_iter().find_map(|vport| {
        let service = ServiceKey::Address { proto: key.proto, vip: key.dst.ip(), vport };
        control.servers(service).map(|_| service)
    })
}

/// Whether a state counts as ActiveConn.
pub fn is_active(key: &FlowKey, conn: &Entry) -> bool {
    proto::is_active(key.proto, conn.state)
}
