//! What frames of IPv6 have otherwise.

use super::{Frame, L4};

/// Next-header value of the fragment header.
const FRAGMENT: u8 = 44;

/// In place of IPv4's addresses, options and fragment field.
#[derive(Debug, Clone, Default)]
pub(super) struct V6 {
    pub(super) src: u128,
    pub(super) dst: u128,
    flow_label: u32,
    /// Extension headers: the type, and all bytes but the first.
    ext: Vec<(u8, Vec<u8>)>,
}

impl Frame {
    /// A TCP SYN over IPv6 from `src:sport` to `dst:dport`, sequence number 1000.
    pub fn tcp6(src: u128, sport: u16, dst: u128, dport: u16) -> Self {
        Frame::tcp(0, sport, 0, dport).over_ipv6(src, dst)
    }

    /// An empty UDP datagram over IPv6 from `src:sport` to `dst:dport`.
    pub fn udp6(src: u128, sport: u16, dst: u128, dport: u16) -> Self {
        Frame::udp(0, sport, 0, dport).over_ipv6(src, dst)
    }

    /// An ICMPv6 message with the four bytes after the checksum in `rest`.
    pub fn icmp6(src: u128, dst: u128, kind: u8, code: u8, rest: u32) -> Self {
        Frame::icmp(0, 0, kind, code, rest).over_ipv6(src, dst)
    }

    /// Any other protocol over IPv6 with its bytes.
    pub fn raw6(src: u128, dst: u128, proto: u8, payload: &[u8]) -> Self {
        Frame::raw(0, 0, proto, payload).over_ipv6(src, dst)
    }

    fn over_ipv6(self, src: u128, dst: u128) -> Self {
        Frame { v6: Some(V6 { src, dst, ..V6::default() }), ..self }
    }

    /// Flow label of an IPv6 frame, 20 bits.
    pub fn flow_label(mut self, flow_label: u32) -> Self {
        self.v6_mut().flow_label = flow_label;
        self
    }

    /// One more extension header of an IPv6 frame, behind those there are: its type, and its bytes
    /// from the second on; the first names what follows.
    pub fn ext(mut self, kind: u8, bytes: &[u8]) -> Self {
        self.v6_mut().ext.push((kind, bytes.to_vec()));
        self
    }

    /// An extension header of options or segments, `len` bytes long, a multiple of 8.
    pub fn ext_of_len(self, kind: u8, len: usize) -> Self {
        // PadN over all of it, as far as it reaches.
        let mut bytes = vec![0; len - 1];
        bytes[..3].copy_from_slice(&[(len / 8 - 1) as u8, 1, (len - 4).min(255) as u8]);
        self.ext(kind, &bytes)
    }

    /// A fragment of an IPv6 datagram: offset in bytes, a multiple of 8, and whether more follow.
    pub fn fragment6(self, id: u32, offset: u16, more: bool) -> Self {
        let field = (offset | u16::from(more)).to_be_bytes();
        self.ext(FRAGMENT, &[&[0][..], &field, &id.to_be_bytes()].concat())
    }

    fn v6_mut(&mut self) -> &mut V6 {
        self.v6.as_mut().expect("a frame over IPv6")
    }

    /// The bytes from the IPv6 header on.
    pub(super) fn build_ip6(&self, v6: &V6) -> Vec<u8> {
        let l4 = self.build_l4();
        let mut types: Vec<u8> = v6.ext.iter().map(|(kind, _)| *kind).collect();
        types.push(self.protocol());
        let ext_len: usize = v6.ext.iter().map(|(_, bytes)| bytes.len() + 1).sum();
        let first = 6 << 28 | u32::from(self.tos) << 20 | v6.flow_label;
        let mut ip = first.to_be_bytes().to_vec();
        ip.extend(((ext_len + l4.len()) as u16).to_be_bytes());
        ip.extend([types[0], self.ttl]);
        ip.extend(v6.src.to_be_bytes());
        ip.extend(v6.dst.to_be_bytes());
        for ((_, bytes), next) in v6.ext.iter().zip(&types[1..]) {
            ip.push(*next);
            ip.extend(bytes);
        }
        ip.extend(l4);
        ip
    }

    /// What a checksum covers besides the L4 part of `len` bytes.
    pub(super) fn pseudo_header(&self, len: usize) -> Vec<u8> {
        match (&self.v6, &self.l4) {
            (Some(v6), _) => {
                let ends = [v6.src.to_be_bytes(), v6.dst.to_be_bytes()].concat();
                let len = (len as u32).to_be_bytes();
                [&ends[..], &len, &[0, 0, 0, self.protocol()]].concat()
            }
            (None, L4::Icmp { .. }) => Vec::new(),
            (None, _) => {
                let ends = [self.src.to_be_bytes(), self.dst.to_be_bytes()].concat();
                [&ends[..], &[0, self.protocol()], &(len as u16).to_be_bytes()].concat()
            }
        }
    }
}
