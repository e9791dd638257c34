//! What the tests of tunnels share.

mod error;
mod golden;
mod properties;
mod quoted;
mod receiver;

use super::{Encap, Ends, GueChecksum, Inner};
use crate::address::Family;

/// Every encapsulation, with this port of GUE.
pub(super) fn every_encap(port: u16) -> [Encap; 6] {
    [
        Encap::Ipip,
        Encap::Gre { checksum: false },
        Encap::Gre { checksum: true },
        Encap::Gue { port, checksum: GueChecksum::Absent },
        Encap::Gue { port, checksum: GueChecksum::Full },
        Encap::Gue { port, checksum: GueChecksum::Remote },
    ]
}

/// The oracle's director and its real server `number`, of either family.
fn ends(family: Family, number: u8) -> Ends {
    match family {
        Family::V4 => Ends::V4 { local: 0xc0a8_0101, remote: 0xc0a8_0100 | u32::from(10 + number) },
        Family::V6 => Ends::V6 {
            local: 0x2001_0db8_0005 << 80 | 1,
            remote: 0x2001_0db8_0005 << 80 | (0x10 + u128::from(number)),
        },
    }
}

fn word(bytes: &[u8], at: usize) -> u16 {
    u16::from(bytes[at]) << 8 | u16::from(bytes[at + 1])
}

/// What a frame with an IP packet holds, read byte by byte.
fn inner_of(frame: &[u8]) -> Inner {
    let l3 = if frame[12..14] == [0x81, 0x00] { 18 } else { 14 };
    let ip = &frame[l3..];
    let of = |family, ip_len, tos, ttl, df| Inner {
        family,
        l3: l3 as u8,
        ip_len,
        tos,
        ttl,
        df,
        unfinished: None,
    };
    match ip[0] >> 4 {
        4 => of(Family::V4, word(ip, 2), ip[1], ip[8], ip[6] & 0x40 != 0),
        _ => of(Family::V6, 40 + word(ip, 4), ip[0] << 4 | ip[1] >> 4, ip[7], true),
    }
}
