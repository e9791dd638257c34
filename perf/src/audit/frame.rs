//! The frames that are sent: each a function of its number and what it is about.

use super::plan::{Plan, Service};
use super::sum::checksum;
use super::{Wire, plan::Method};
use std::net::IpAddr;

/// The longest, as it is sent.
pub const LONGEST: usize = 1434;
/// What the payload ends with: service, flow and number.
const TRAILER: usize = 14;
/// TCP's no-operations and timestamps (RFC 7323).
const TIMESTAMPS: [u8; 12] = [1, 1, 8, 10, 0x12, 0x34, 0x56, 0x78, 0x9a, 0xbc, 0xde, 0xf0];
/// One in so many frames is a long one; has options; of UDP over IPv4, no checksum.
const LONG: u64 = 32;
const OPTIONS: u64 = 8;
const UNSUMMED: u64 = 16;

/// What a frame is about. Everything else of it follows from its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sent {
    /// No other frame has it; 0 is none.
    pub number: u64,
    /// The service, by its place in the plan.
    pub service: u16,
    /// The client.
    pub flow: u32,
    /// TCP's flags; 0 of UDP.
    pub flags: u8,
    /// The server that it comes from, by its place in the service; `None`: it comes from the client.
    pub from: Option<u8>,
    /// Of a reply in fullnat the local end that it goes to: the address by its place, and the port.
    pub local: (u8, u16),
}

impl Sent {
    /// The wire that it is sent on.
    pub fn wire(&self) -> Wire {
        if self.from.is_none() { Wire::Clients } else { Wire::Servers }
    }

    /// A number like one by chance, the same for the same use of the same frame.
    fn chance(&self, salt: u64) -> u64 {
        let mut value = self.number.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(salt);
        value = (value ^ value >> 31).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        value ^ value >> 29
    }

    /// Time to live, or hop limit.
    pub fn time_to_live(&self) -> u8 {
        [64, 128, 255, 2][self.chance(1) as usize % 4]
    }

    /// Type of service, or traffic class.
    pub fn tos(&self) -> u8 {
        [0, 0xb8][self.chance(2) as usize % 2]
    }

    /// Whether it must not be fragmented, of IPv4.
    pub fn is_whole(&self) -> bool {
        self.chance(3) % 2 == 0
    }

    /// The length of its TCP or UDP header.
    pub fn l4_len(&self, service: &Service) -> usize {
        match service.tcp {
            true if self.chance(4) % OPTIONS == 0 => 20 + TIMESTAMPS.len(),
            true => 20,
            false => 8,
        }
    }

    /// Whether it has no checksum (RFC 768).
    pub fn is_unsummed(&self, service: &Service) -> bool {
        !service.tcp && service.vip.is_ipv4() && self.chance(5) % UNSUMMED == 0
    }

    /// Its payload's length: most frames are as short as they can be.
    fn payload_len(&self) -> usize {
        match self.chance(6) % LONG {
            0 => TRAILER + 4 + self.chance(7) as usize % (LONGEST - 14 - 40 - 32 - TRAILER - 3),
            _ => TRAILER + 4,
        }
    }

    /// Both ends as they are sent: source, then destination.
    pub fn ends(&self, service: &Service) -> [(IpAddr, u16); 2] {
        let client = service.client(self.flow);
        let Some(server) = self.from else { return [client, (service.vip, service.vport)] };
        let server = (service.servers[usize::from(server)].address, service.rport);
        match service.method {
            Method::Fullnat => [server, (service.locals[usize::from(self.local.0)], self.local.1)],
            _ => [server, client],
        }
    }
}

/// The number at the end of a frame, or 0 if it is too short for one.
pub fn number_of(frame: &[u8]) -> u64 {
    frame.last_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes))
}

/// Writes the frame as it is sent; returns its length.
pub fn write(plan: &Plan, sent: &Sent, into: &mut [u8; LONGEST]) -> usize {
    let service = &plan.services[usize::from(sent.service)];
    let [source, destination] = sent.ends(service);
    let (own, other) = match sent.from {
        None => (plan.own[0], plan.gateway),
        Some(server) => (plan.own[1], service.servers[usize::from(server)].mac),
    };
    into[..6].copy_from_slice(&own);
    into[6..12].copy_from_slice(&other);
    let l4 = 14 + service.ip_len();
    let payload = l4 + sent.l4_len(service);
    let end = payload + sent.payload_len();
    write_payload(sent, &mut into[payload..end]);
    write_l4(service, sent, (source.1, destination.1), &mut into[l4..end]);
    write_ip(service, sent, (source.0, destination.0), &mut into[12..end]);
    if !sent.is_unsummed(service) {
        sum_l4(service, &mut into[14..end]);
    }
    end
}

fn write_payload(sent: &Sent, payload: &mut [u8]) {
    let (body, trailer) = payload.split_at_mut(payload.len() - TRAILER);
    let pattern = sent.chance(8).to_be_bytes();
    for (place, byte) in body.iter_mut().enumerate() {
        *byte = pattern[place % 8] ^ (place / 8) as u8;
    }
    trailer[..2].copy_from_slice(&sent.service.to_be_bytes());
    trailer[2..6].copy_from_slice(&sent.flow.to_be_bytes());
    trailer[6..].copy_from_slice(&sent.number.to_be_bytes());
}

fn write_l4(service: &Service, sent: &Sent, (source, destination): (u16, u16), l4: &mut [u8]) {
    let len = l4.len();
    l4[..2].copy_from_slice(&source.to_be_bytes());
    l4[2..4].copy_from_slice(&destination.to_be_bytes());
    if !service.tcp {
        l4[4..6].copy_from_slice(&(len as u16).to_be_bytes());
        l4[6..8].fill(0);
        return;
    }
    let header = sent.l4_len(service);
    l4[4..8].copy_from_slice(&(sent.number as u32).to_be_bytes());
    l4[8..12].copy_from_slice(&(sent.chance(9) as u32).to_be_bytes());
    l4[12..14].copy_from_slice(&[(header as u8 / 4) << 4, sent.flags]);
    l4[14..16].copy_from_slice(&(sent.chance(10) as u16).to_be_bytes());
    l4[16..20].fill(0);
    if header > 20 {
        l4[20..32].copy_from_slice(&TIMESTAMPS);
    }
}

/// From the EtherType on.
fn write_ip(service: &Service, sent: &Sent, ends: (IpAddr, IpAddr), bytes: &mut [u8]) {
    let (kind, ip) = bytes.split_at_mut(2);
    let protocol = if service.tcp { 6 } else { 17 };
    let len = ip.len() as u16;
    match ends {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            kind.copy_from_slice(&[0x08, 0x00]);
            ip[..2].copy_from_slice(&[0x45, sent.tos()]);
            ip[2..4].copy_from_slice(&len.to_be_bytes());
            ip[4..6].copy_from_slice(&(sent.chance(11) as u16).to_be_bytes());
            ip[6..8].copy_from_slice(&[if sent.is_whole() { 0x40 } else { 0 }, 0]);
            ip[8..12].copy_from_slice(&[sent.time_to_live(), protocol, 0, 0]);
            ip[12..16].copy_from_slice(&source.octets());
            ip[16..20].copy_from_slice(&destination.octets());
            let sum = checksum(&[&ip[..20]]);
            ip[10..12].copy_from_slice(&sum.to_be_bytes());
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            kind.copy_from_slice(&[0x86, 0xdd]);
            let first = 6 << 28 | u32::from(sent.tos()) << 20 | sent.chance(12) as u32 & 0xf_ffff;
            ip[..4].copy_from_slice(&first.to_be_bytes());
            ip[4..6].copy_from_slice(&(len - 40).to_be_bytes());
            ip[6..8].copy_from_slice(&[protocol, sent.time_to_live()]);
            ip[8..24].copy_from_slice(&source.octets());
            ip[24..40].copy_from_slice(&destination.octets());
        }
        _ => unreachable!("a plan's service is of one family"),
    }
}

/// Fills in the checksum of an IP packet's TCP or UDP, where zeroes are.
pub(super) fn sum_l4(service: &Service, ip: &mut [u8]) {
    let at = service.ip_len();
    let place = at + if service.tcp { 16 } else { 6 };
    let sum = checksum(&l4_parts(service, ip, &pseudo(service, ip)));
    let sum = if sum == 0 && !service.tcp { 0xffff } else { sum };
    ip[place..place + 2].copy_from_slice(&sum.to_be_bytes());
}

/// The part of the pseudo-header that the IP header does not have as it is: protocol and length.
pub(super) fn pseudo(service: &Service, ip: &[u8]) -> [u8; 4] {
    let len = (ip.len() - service.ip_len()) as u16;
    let [high, low] = len.to_be_bytes();
    [0, if service.tcp { 6 } else { 17 }, high, low]
}

/// What the checksum of an IP packet's TCP or UDP covers.
pub(super) fn l4_parts<'a>(service: &Service, ip: &'a [u8], pseudo: &'a [u8; 4]) -> [&'a [u8]; 3] {
    let at = service.ip_len();
    let addresses = if at == 20 { &ip[12..20] } else { &ip[8..40] };
    [addresses, pseudo, &ip[at..]]
}
