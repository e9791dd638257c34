//! Frames for tests, built field by field and summed by the naive oracle.

mod v6;

use super::verify::naive_checksum;
use crate::wire::tcp::flags;
use v6::V6;

/// The client side's MAC address in the oracle's topology.
pub const MAC_CLIENT: [u8; 6] = [2, 0, 0, 0, 0x0c, 1];
/// The director's MAC address towards clients in the oracle's topology.
pub const MAC_DIRECTOR: [u8; 6] = [2, 0, 0, 0, 0x0d, 1];

/// A frame in the making, of IPv4 or IPv6. Addresses and ports are host order; without further word
/// it is untagged, from client to director, TTL 64, ID 0, no DF, with right checksums.
#[derive(Debug, Clone)]
pub struct Frame {
    macs: ([u8; 6], [u8; 6]),
    tag: Option<u16>,
    tos: u8,
    id: u16,
    fragment: u16,
    ttl: u8,
    src: u32,
    dst: u32,
    v6: Option<V6>,
    ip_options: Vec<u8>,
    padding: usize,
    l4: L4,
    bad_ip_checksum: bool,
    bad_l4_checksum: bool,
}

#[derive(Debug, Clone)]
enum L4 {
    Tcp { ports: (u16, u16), flags: u8, seq: u32, ack: u32, options: Vec<u8>, payload: Vec<u8> },
    Udp { ports: (u16, u16), no_checksum: bool, payload: Vec<u8> },
    Icmp { kind: u8, code: u8, rest: u32, payload: Vec<u8> },
    Raw { proto: u8, payload: Vec<u8> },
}

impl Frame {
    /// A TCP SYN from `src:sport` to `dst:dport`, sequence number 1000.
    pub fn tcp(src: u32, sport: u16, dst: u32, dport: u16) -> Self {
        let (ports, options, payload) = ((sport, dport), Vec::new(), Vec::new());
        let l4 = L4::Tcp { ports, flags: flags::SYN, seq: 1000, ack: 0, options, payload };
        Frame::ip(src, dst, l4)
    }

    /// An empty UDP datagram from `src:sport` to `dst:dport`.
    pub fn udp(src: u32, sport: u16, dst: u32, dport: u16) -> Self {
        let l4 = L4::Udp { ports: (sport, dport), no_checksum: false, payload: Vec::new() };
        Frame::ip(src, dst, l4)
    }

    /// An ICMP message with the four bytes after the checksum in `rest`.
    pub fn icmp(src: u32, dst: u32, kind: u8, code: u8, rest: u32) -> Self {
        Frame::ip(src, dst, L4::Icmp { kind, code, rest, payload: Vec::new() })
    }

    /// An ICMP error about the packet in `frame`, quoting its first `quoted` bytes from the IP
    /// header on.
    pub fn icmp_error(src: u32, dst: u32, kind: u8, code: u8, frame: &[u8], quoted: usize) -> Self {
        let ip = &frame[crate::wire::ethernet::link(frame).expect("a frame").payload.into()..];
        Frame::icmp(src, dst, kind, code, 0).payload(&ip[..quoted.min(ip.len())])
    }

    /// Any other protocol with its bytes.
    pub fn raw(src: u32, dst: u32, proto: u8, payload: &[u8]) -> Self {
        Frame::ip(src, dst, L4::Raw { proto, payload: payload.to_vec() })
    }

    fn ip(src: u32, dst: u32, l4: L4) -> Self {
        Frame {
            macs: (MAC_DIRECTOR, MAC_CLIENT),
            tag: None,
            tos: 0,
            id: 0,
            fragment: 0,
            ttl: 64,
            src,
            dst,
            v6: None,
            ip_options: Vec::new(),
            padding: 0,
            l4,
            bad_ip_checksum: false,
            bad_l4_checksum: false,
        }
    }

    /// Destination and source MAC address.
    pub fn macs(self, dst: [u8; 6], src: [u8; 6]) -> Self {
        Frame { macs: (dst, src), ..self }
    }

    /// An 802.1Q tag with this control information: the VLAN id, unless priority bits are set.
    pub fn tag(self, tci: u16) -> Self {
        Frame { tag: Some(tci), ..self }
    }

    /// Type of service, or traffic class.
    pub fn tos(self, tos: u8) -> Self {
        Frame { tos, ..self }
    }

    /// IP identification.
    pub fn id(self, id: u16) -> Self {
        Frame { id, ..self }
    }

    /// Don't fragment.
    pub fn df(self) -> Self {
        Frame { fragment: self.fragment | 0x4000, ..self }
    }

    /// A fragment of an IPv4 datagram: offset in bytes, a multiple of 8, and whether more follow.
    pub fn fragment(self, offset: u16, more: bool) -> Self {
        let fragment = (self.fragment & 0x4000) | (u16::from(more) << 13) | (offset / 8);
        Frame { fragment, ..self }
    }

    /// Time to live, or hop limit.
    pub fn ttl(self, ttl: u8) -> Self {
        Frame { ttl, ..self }
    }

    /// IP options, a multiple of four bytes.
    pub fn ip_options(self, options: &[u8]) -> Self {
        Frame { ip_options: options.to_vec(), ..self }
    }

    /// Bytes of Ethernet padding after the packet.
    pub fn padding(self, padding: usize) -> Self {
        Frame { padding, ..self }
    }

    /// TCP flags; nothing for other protocols.
    pub fn flags(mut self, new: u8) -> Self {
        if let L4::Tcp { flags, .. } = &mut self.l4 {
            *flags = new;
        }
        self
    }

    /// TCP sequence number.
    pub fn seq(mut self, new: u32) -> Self {
        if let L4::Tcp { seq, .. } = &mut self.l4 {
            *seq = new;
        }
        self
    }

    /// TCP acknowledgement number.
    pub fn ack(mut self, new: u32) -> Self {
        if let L4::Tcp { ack, .. } = &mut self.l4 {
            *ack = new;
        }
        self
    }

    /// TCP options, a multiple of four bytes.
    pub fn tcp_options(mut self, new: &[u8]) -> Self {
        if let L4::Tcp { options, .. } = &mut self.l4 {
            *options = new.to_vec();
        }
        self
    }

    /// What follows the L4 header.
    pub fn payload(mut self, new: &[u8]) -> Self {
        let (L4::Tcp { payload, .. }
        | L4::Udp { payload, .. }
        | L4::Icmp { payload, .. }
        | L4::Raw { payload, .. }) = &mut self.l4;
        *payload = new.to_vec();
        self
    }

    /// UDP without a checksum.
    pub fn no_checksum(mut self) -> Self {
        if let L4::Udp { no_checksum, .. } = &mut self.l4 {
            *no_checksum = true;
        }
        self
    }

    /// UDP with a checksum: takes back [`Self::no_checksum`].
    pub fn with_checksum(mut self) -> Self {
        if let L4::Udp { no_checksum, .. } = &mut self.l4 {
            *no_checksum = false;
        }
        self
    }

    /// A wrong IP header checksum.
    pub fn bad_ip_checksum(self) -> Self {
        Frame { bad_ip_checksum: true, ..self }
    }

    /// A wrong TCP, UDP or ICMP checksum.
    pub fn bad_l4_checksum(self) -> Self {
        Frame { bad_l4_checksum: true, ..self }
    }

    /// The frame's bytes.
    pub fn build(&self) -> Vec<u8> {
        let mut frame = [self.macs.0, self.macs.1].concat();
        if let Some(tci) = self.tag {
            frame.extend([0x81, 0x00]);
            frame.extend(tci.to_be_bytes());
        }
        frame.extend(if self.v6.is_some() { [0x86, 0xdd] } else { [0x08, 0x00] });
        frame.extend(self.build_ip());
        frame.resize(frame.len() + self.padding, 0);
        frame
    }

    /// The bytes from the IP header on.
    pub fn build_ip(&self) -> Vec<u8> {
        if let Some(v6) = &self.v6 {
            return self.build_ip6(v6);
        }
        let l4 = self.build_l4();
        let header_len = 20 + self.ip_options.len();
        assert!(header_len <= 60 && header_len % 4 == 0, "options of whole words");
        let mut ip = vec![0x40 | (header_len / 4) as u8, self.tos];
        ip.extend(((header_len + l4.len()) as u16).to_be_bytes());
        ip.extend(self.id.to_be_bytes());
        ip.extend(self.fragment.to_be_bytes());
        ip.extend([self.ttl, self.protocol(), 0, 0]);
        ip.extend(self.src.to_be_bytes());
        ip.extend(self.dst.to_be_bytes());
        ip.extend(&self.ip_options);
        let check = naive_checksum(&ip) ^ if self.bad_ip_checksum { 0x1234 } else { 0 };
        ip[10..12].copy_from_slice(&check.to_be_bytes());
        ip.extend(l4);
        ip
    }

    fn protocol(&self) -> u8 {
        match self.l4 {
            L4::Tcp { .. } => 6,
            L4::Udp { .. } => 17,
            L4::Icmp { .. } if self.v6.is_some() => 58,
            L4::Icmp { .. } => 1,
            L4::Raw { proto, .. } => proto,
        }
    }

    fn build_l4(&self) -> Vec<u8> {
        let (mut bytes, at) = match &self.l4 {
            L4::Tcp { ports, flags, seq, ack, options, payload } => {
                let offset = ((20 + options.len()) / 4) as u8;
                assert!(options.len() <= 40 && options.len() % 4 == 0, "options of whole words");
                let mut bytes = [ports.0.to_be_bytes(), ports.1.to_be_bytes()].concat();
                bytes.extend(seq.to_be_bytes());
                bytes.extend(ack.to_be_bytes());
                bytes.extend([offset << 4, *flags, 0xff, 0xff, 0, 0, 0, 0]);
                bytes.extend(options);
                bytes.extend(payload);
                (bytes, 16)
            }
            L4::Udp { ports, payload, .. } => {
                let mut bytes = [ports.0.to_be_bytes(), ports.1.to_be_bytes()].concat();
                bytes.extend((8 + payload.len() as u16).to_be_bytes());
                bytes.extend([0, 0]);
                bytes.extend(payload);
                (bytes, 6)
            }
            L4::Icmp { kind, code, rest, payload } => {
                let mut bytes = vec![*kind, *code, 0, 0];
                bytes.extend(rest.to_be_bytes());
                bytes.extend(payload);
                (bytes, 2)
            }
            L4::Raw { payload, .. } => return payload.clone(),
        };
        let check = self.l4_checksum(&bytes);
        bytes[at..at + 2].copy_from_slice(&check.to_be_bytes());
        bytes
    }

    fn l4_checksum(&self, bytes: &[u8]) -> u16 {
        let bad = if self.bad_l4_checksum { 0x1234 } else { 0 };
        let covered = [&self.pseudo_header(bytes.len())[..], bytes].concat();
        let check = naive_checksum(&covered);
        match self.l4 {
            L4::Udp { no_checksum: true, .. } => 0,
            L4::Udp { .. } if check == 0 => 0xffff ^ bad,
            _ => check ^ bad,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Checks, assert_frames_equal, from_hex, verify};

    #[test]
    fn the_builder_makes_the_bytes_that_the_oracle_recorded() {
        let frame = Frame::udp(0xac10_0001, 4000, 0x0a00_0064, 53).id(7).payload(b"abcdef").build();
        let golden = from_hex(
            "020000000d01020000000c01080045000022000700004011c44fac1000010a000064\
             0fa00035000e0f5b616263646566",
        );
        assert_frames_equal(&frame, &golden, "nat_udp, first frame");
    }

    #[test]
    fn the_verifier_tells_right_from_wrong() {
        let frame = Frame::tcp(1, 2, 3, 4).payload(b"odd").tag(10);
        let right = Checks { ip: true, l4: Some(true) };
        assert_eq!(verify(&frame.build()), Some(right));
        let bad_l4 = frame.clone().bad_l4_checksum().build();
        assert_eq!(verify(&bad_l4), Some(Checks { l4: Some(false), ..right }));
        assert_eq!(verify(&frame.bad_ip_checksum().build()), Some(Checks { ip: false, ..right }));
        let udp = Frame::udp(1, 2, 3, 4).no_checksum().build();
        assert_eq!(verify(&udp), Some(right));
    }
}
