//! A naive real server: takes outer headers off, byte by byte, and checks all there is to check.

use super::word;
use crate::testing::naive_sum;

/// What arrived in a tunnel.
#[derive(Debug, PartialEq, Eq)]
pub struct Arrived {
    /// Source and destination in the outer header, network order.
    pub addresses: Vec<u8>,
    /// Outer TTL and TOS.
    pub ttl: u8,
    pub tos: u8,
    /// Flags, fragment offset and identification of an outer IPv4 header.
    pub fragment: Option<(u16, u16)>,
    /// UDP's ports, of GUE.
    pub ports: Option<(u16, u16)>,
    /// Whether GRE or UDP had a checksum; a wrong one is a failed test.
    pub summed: bool,
    /// Whether there was something to finish.
    pub was_unfinished: bool,
    /// The inner packet.
    pub ip: Vec<u8>,
}

/// Takes the outer headers off `packet`, given from its IP header on.
pub fn receive(packet: &[u8]) -> Arrived {
    let (header_len, proto) = match packet[0] {
        0x45 => {
            assert_eq!(naive_sum(&packet[..20]), 0xffff, "outer IPv4 header");
            assert_eq!(usize::from(word(packet, 2)), packet.len(), "outer length");
            (20, packet[9])
        }
        first => {
            assert_eq!((first >> 4, usize::from(word(packet, 4))), (6, packet.len() - 40));
            assert_eq!((packet[1] & 0x0f, word(packet, 2)), (0, 0), "flow label");
            (40, packet[6])
        }
    };
    let v4 = header_len == 20;
    let mut arrived = Arrived {
        addresses: packet[if v4 { 12..20 } else { 8..40 }].to_vec(),
        ttl: packet[if v4 { 8 } else { 7 }],
        tos: if v4 { packet[1] } else { packet[0] << 4 | packet[1] >> 4 },
        fragment: v4.then(|| (word(packet, 6), word(packet, 4))),
        ports: None,
        summed: false,
        was_unfinished: false,
        ip: Vec::new(),
    };
    let payload = &packet[header_len..];
    match proto {
        4 | 41 => arrived.ip = of_version(payload, proto),
        47 => take_gre(payload, &mut arrived),
        17 => take_gue(payload, &mut arrived),
        other => panic!("no tunnel: protocol {other}"),
    }
    arrived
}

fn of_version(ip: &[u8], proto: u8) -> Vec<u8> {
    assert_eq!((proto, ip[0] >> 4 == 4), if proto == 4 { (4, true) } else { (41, false) });
    ip.to_vec()
}

fn take_gre(gre: &[u8], arrived: &mut Arrived) {
    let len = match word(gre, 0) {
        0 => 4,
        0x8000 => {
            assert_eq!((naive_sum(gre), word(gre, 6)), (0xffff, 0), "GRE checksum");
            arrived.summed = true;
            8
        }
        flags => panic!("GRE flags {flags:#x}"),
    };
    arrived.ip = of_version(&gre[len..], if word(gre, 2) == 0x0800 { 4 } else { 41 });
}

fn take_gue(udp: &[u8], arrived: &mut Arrived) {
    assert_eq!(usize::from(word(udp, 4)), udp.len());
    arrived.ports = Some((word(udp, 0), word(udp, 2)));
    arrived.summed = word(udp, 6) != 0;
    if arrived.summed {
        let len = (udp.len() as u16).to_be_bytes();
        let covered = [&arrived.addresses, &[0, 17][..], &len, udp].concat();
        assert_eq!(naive_sum(&covered), 0xffff, "UDP checksum");
    }
    let gue = &udp[8..];
    let (words, flags) = (usize::from(gue[0]), word(gue, 2));
    arrived.ip = of_version(&gue[4 + 4 * words..], gue[1]);
    match (words, flags) {
        (0, 0) => {}
        (2, 1) => {
            assert_eq!(gue[4..8], [0x80, 0, 0, 0], "private flags");
            arrived.was_unfinished = true;
            finish(&mut arrived.ip, word(gue, 8).into(), word(gue, 10).into());
        }
        other => panic!("GUE length and flags {other:?}"),
    }
}

/// Finishes a checksum whose field has the sum of the pseudo header.
pub fn finish(ip: &mut [u8], start: usize, field: usize) {
    let check = !naive_sum(&ip[start..]);
    ip[field..field + 2].copy_from_slice(&check.to_be_bytes());
}
