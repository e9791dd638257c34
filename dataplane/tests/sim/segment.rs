//! Packets as the simulated hosts mean them, and the naive rewriting of them: built anew from their
//! fields, never patched.

use dataplane::flow::{FlowKey, protocol};
use dataplane::testing::Frame;

/// A TCP segment or UDP datagram. The serial number is in its payload and, cut to 16 bits, its IP
/// identification: so it is known again wherever it comes out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    pub key: FlowKey,
    pub flags: u8,
    pub ttl: u8,
    pub df: bool,
    /// Bytes of payload, at least 4.
    pub len: u16,
    pub serial: u32,
}

impl Segment {
    pub fn ip_len(&self) -> u16 {
        self.len + if self.key.proto == protocol::TCP { 40 } else { 28 }
    }

    /// Whether something about it keeps it from simply passing.
    pub fn is_odd(&self) -> bool {
        self.ttl < 2 || self.len > 1300
    }

    pub fn frame(&self) -> Frame {
        let FlowKey { src, dst, sport, dport, proto } = self.key;
        let frame = match proto {
            protocol::TCP => Frame::tcp(src, sport, dst, dport).flags(self.flags),
            _ => Frame::udp(src, sport, dst, dport),
        };
        let mut payload = self.serial.to_be_bytes().to_vec();
        payload.resize(self.len.into(), self.serial as u8);
        let frame = frame.payload(&payload).ttl(self.ttl).id(self.serial as u16);
        if self.df { frame.df() } else { frame }
    }
}

/// Addresses of a frame on the wire: destination and source MAC.
pub type Macs = ([u8; 6], [u8; 6]);

/// What is to leave: an IP packet by its fields, cut into pieces if it must be.
pub struct Leaving {
    pub frame: Frame,
    /// Source, destination, protocol, TTL, identification of the packet in `frame`.
    pub ip: (u32, u32, u8, u8, u16),
}

impl Leaving {
    pub fn plain(segment: &Segment) -> Leaving {
        let FlowKey { src, dst, proto, .. } = segment.key;
        let ip = (src, dst, proto, segment.ttl, segment.serial as u16);
        Leaving { frame: segment.frame(), ip }
    }

    /// `segment` in an outer header.
    pub fn tunnelled(segment: &Segment, local: u32, rip: u32) -> Leaving {
        let frame = Frame::raw(local, rip, protocol::IPIP, &segment.frame().build_ip());
        let frame = frame.ttl(segment.ttl);
        let frame = if segment.df { frame.df() } else { frame };
        Leaving { frame, ip: (local, rip, protocol::IPIP, segment.ttl, 0) }
    }

    /// The frames on the wire, normalised.
    pub fn frames(self, mtu: u16, macs: Macs) -> Vec<Vec<u8>> {
        let (src, dst, proto, ttl, id) = self.ip;
        let payload = self.frame.build_ip()[20..].to_vec();
        if payload.len() + 20 <= mtu.into() {
            return vec![normal(&self.frame.macs(macs.0, macs.1).build())];
        }
        let most = usize::from(mtu) - 20;
        let mut frames = Vec::new();
        let mut at = 0;
        while at < payload.len() {
            let left = payload.len() - at;
            let len = if left > most { most & !7 } else { left };
            let piece = Frame::raw(src, dst, proto, &payload[at..at + len]).ttl(ttl).id(id);
            let piece = piece.fragment(at as u16, left > most).macs(macs.0, macs.1);
            frames.push(normal(&piece.build()));
            at += len;
        }
        frames
    }
}

/// A frame with the identification blanked in what the director makes: outer headers and errors.
pub fn normal(frame: &[u8]) -> Vec<u8> {
    let mut frame = frame.to_vec();
    if matches!(frame[23], protocol::IPIP | protocol::ICMP) {
        frame[18..20].fill(0);
        frame[24..26].fill(0);
    }
    frame
}

/// The serial number in a frame that carries a segment's beginning.
pub fn serial(frame: &[u8]) -> Option<u32> {
    let ip = &frame[14..];
    let later = (u16::from(ip[6]) << 8 | u16::from(ip[7])) & 0x1fff != 0;
    let inner = if ip[9] == protocol::IPIP { &ip[20..] } else { ip };
    let header = match inner[9] {
        _ if later => return None,
        protocol::TCP => 40,
        protocol::UDP => 28,
        _ => return None,
    };
    Some(u32::from_be_bytes(inner.get(header..header + 4)?.try_into().ok()?))
}
