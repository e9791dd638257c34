//! Faults made on purpose, to see that each is found: an audit that cannot fail proves nothing.

use super::check::Seen;
use super::expected::{Expected, expected};
use super::frame::{Sent, sum_l4};
use super::plan::{Method, Plan, Service};
use super::sum::checksum;
use super::{Fault, Wire};

/// A frame that is right, and all that is known of it.
#[derive(Debug, Clone)]
pub struct Subject<'a> {
    plan: &'a Plan,
    sent: Sent,
    seen: Seen,
    wanted: Expected,
}

/// A frame that is wrong.
#[derive(Debug, Clone)]
pub struct Mutation {
    /// What it is taken for.
    pub sent: Sent,
    /// Where it leaves.
    pub wire: Wire,
    /// Its bytes.
    pub frame: Vec<u8>,
    /// What there is to find.
    pub fault: Fault,
}

/// Makes a fault; `None` where a frame cannot have it.
type Mutate = fn(&Subject) -> Option<Mutation>;

/// All of them by name.
pub const MUTATIONS: [(&str, Mutate); 19] = [
    ("wrong port", |subject| {
        let wire = if subject.wanted.wire == Wire::Clients { Wire::Servers } else { Wire::Clients };
        Some(Mutation { wire, ..subject.with(Fault::Wire, |_, _| {}) })
    }),
    ("another station's MAC", |subject| {
        Some(subject.with(Fault::NextHop, |frame, _| frame[2] ^= 0x40))
    }),
    ("another source MAC", |subject| {
        Some(subject.with(Fault::SourceMac, |frame, _| frame[11] ^= 1))
    }),
    ("one byte less", |subject| Some(subject.resized(-1))),
    ("one byte more", |subject| Some(subject.resized(1))),
    ("type of service", |subject| {
        Some(subject.summed(Fault::IpHeader, |frame, at| frame[at.ip + 1] ^= 0x20))
    }),
    ("time to live as it was", |subject| {
        Some(subject.summed(Fault::TimeToLive, |frame, at| frame[at.ttl] += 1))
    }),
    ("IP checksum", |subject| {
        let is_v4 = subject.service().vip.is_ipv4();
        is_v4.then(|| subject.with(Fault::IpChecksum, |frame, at| frame[at.ip + 11] ^= 1))
    }),
    ("source address", |subject| {
        Some(subject.summed(Fault::Address, |frame, at| frame[at.source] ^= 0x80))
    }),
    ("destination address", |subject| {
        Some(subject.summed(Fault::Address, |frame, at| frame[at.destination] ^= 0x80))
    }),
    ("destination port", |subject| {
        Some(subject.summed(Fault::Port, |frame, at| frame[at.l4 + 3] ^= 1))
    }),
    ("sequence number or length", |subject| {
        Some(subject.summed(Fault::L4Header, |frame, at| frame[at.l4 + 5] ^= 1))
    }),
    ("TCP or UDP checksum", |subject| {
        let sum = if subject.service().tcp { 16 } else { 6 };
        Some(subject.with(Fault::L4Checksum, |frame, at| frame[at.l4 + sum] ^= 0x10))
    }),
    ("a bit of the payload", |subject| {
        Some(subject.summed(Fault::Payload, |frame, at| frame[at.payload] ^= 4))
    }),
    ("another flow's data", |subject| {
        let headers_tell =
            subject.service().method != Method::Fullnat || subject.sent.from.is_some();
        let fault = if headers_tell { Fault::Port } else { Fault::Payload };
        let sent = Sent { flow: subject.sent.flow ^ 1, ..subject.sent };
        Some(Mutation { sent, ..subject.with(fault, |_, _| {}) })
    }),
    ("another server", |subject| {
        let other = (usize::from(subject.seen.server) + 1) % subject.service().servers.len();
        let Subject { plan, sent, seen, .. } = subject;
        let moved = expected(plan, sent, other as u8, seen.local, 0);
        let frame = moved.bytes().to_vec();
        let whole = sent.from.is_none() && (subject.is_tunnelless() || sent.is_whole());
        whole.then(|| Mutation { frame, ..subject.with(Fault::Moved, |_, _| {}) })
    }),
    ("another local end", |subject| {
        let has_one = subject.service().method == Method::Fullnat && subject.sent.from.is_none();
        has_one.then(|| subject.summed(Fault::LocalEnd, |frame, at| frame[at.l4 + 1] ^= 1))
    }),
    ("the tunnel's source", |subject| {
        let at = if subject.service().vip.is_ipv4() { 28 } else { 36 };
        subject.of_tunnel(|frame| frame[at] ^= 1)
    }),
    ("the tunnel's length", |subject| {
        let at = if subject.service().vip.is_ipv4() { 17 } else { 19 };
        subject.of_tunnel(|frame| frame[at] ^= 1)
    }),
];

/// Where fields lie.
struct Places {
    ip: usize,
    ttl: usize,
    source: usize,
    destination: usize,
    l4: usize,
    payload: usize,
}

impl<'a> Subject<'a> {
    /// The frame that `sent` has to become.
    pub fn new(plan: &'a Plan, sent: Sent, seen: Seen) -> Subject<'a> {
        Subject { plan, sent, seen, wanted: expected(plan, &sent, seen.server, seen.local, 0) }
    }

    fn service(&self) -> &Service {
        &self.plan.services[usize::from(self.sent.service)]
    }

    fn is_tunnelless(&self) -> bool {
        self.wanted.ip == 14
    }

    fn places(&self) -> Places {
        let (ip, v4) = (self.wanted.ip, self.service().vip.is_ipv4());
        let ttl = ip + if v4 { 8 } else { 7 };
        // Within an address, where neither family's servers and local addresses differ by that bit.
        let (source, destination) = if v4 { (ip + 12, ip + 16) } else { (ip + 9, ip + 25) };
        Places { ip, ttl, source, destination, l4: self.wanted.l4, payload: self.wanted.payload }
    }

    fn with(&self, fault: Fault, change: impl FnOnce(&mut [u8], Places)) -> Mutation {
        let mut frame = self.wanted.bytes().to_vec();
        change(&mut frame, self.places());
        Mutation { sent: self.sent, wire: self.wanted.wire, frame, fault }
    }

    /// The same with checksums that are right again: nothing but the fault is to be found.
    fn summed(&self, fault: Fault, change: impl FnOnce(&mut [u8], Places)) -> Mutation {
        let mut made = self.with(fault, change);
        let (ip, service) = (&mut made.frame[self.wanted.ip..], self.service());
        let l4_sum = service.ip_len() + if service.tcp { 16 } else { 6 };
        if service.vip.is_ipv4() {
            ip[10..12].fill(0);
            let sum = checksum(&[&ip[..20]]);
            ip[10..12].copy_from_slice(&sum.to_be_bytes());
        }
        // Where there is none, none is missed.
        if ip[l4_sum..l4_sum + 2] != [0, 0] {
            ip[l4_sum..l4_sum + 2].fill(0);
            sum_l4(service, ip);
        }
        made
    }

    fn resized(&self, by: isize) -> Mutation {
        let mut made = self.with(Fault::Length, |_, _| {});
        let len = made.frame.len();
        made.frame.resize(len.saturating_add_signed(by), 0);
        made
    }

    fn of_tunnel(&self, change: impl FnOnce(&mut [u8])) -> Option<Mutation> {
        let is_tunnel = !self.is_tunnelless();
        is_tunnel.then(|| self.with(Fault::Tunnel, |frame, _| change(frame)))
    }
}
