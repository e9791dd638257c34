//! The header of the PROXY protocol, which tells a server in front of a connection's first byte who
//! the client is (`doc/proxy-protocol.txt` of HAProxy, sections 2.1 and 2.2).

use crate::address::{Address, Family};
use arrayvec::ArrayVec;

/// Longest header: of version 1 (section 2.1).
pub const MAX_LEN: usize = 107;

/// A header's bytes.
pub type Header = ArrayVec<u8, MAX_LEN>;

/// What version 2 begins with.
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// Version 2, command PROXY.
const VERSION_2: u8 = 0x21;

/// The line of version 1 about a TCP connection from `client` to `vip`, addresses and ports in host
/// order. IPv6 addresses stand in full, without `::`.
pub fn v1<A: Address>(client: (A, u16), vip: (A, u16)) -> Header {
    let mut line = Header::new();
    line.extend(match A::FAMILY {
        Family::V4 => *b"PROXY TCP4 ",
        Family::V6 => *b"PROXY TCP6 ",
    });
    push_address(&mut line, client.0);
    line.push(b' ');
    push_address(&mut line, vip.0);
    for port in [client.1, vip.1] {
        line.push(b' ');
        push_decimal(&mut line, port);
    }
    line.extend(*b"\r\n");
    line
}

/// The header of version 2 about a TCP connection from `client` to `vip`.
pub fn v2<A: Address>(client: (A, u16), vip: (A, u16)) -> Header {
    let mut header = Header::new();
    let (family, addresses_len) = match A::FAMILY {
        Family::V4 => (0x11, 12_u16),
        Family::V6 => (0x21, 36),
    };
    header.extend(SIGNATURE);
    header.extend([VERSION_2, family]);
    header.extend(addresses_len.to_be_bytes());
    header.extend(client.0.bytes());
    header.extend(vip.0.bytes());
    header.extend(client.1.to_be_bytes());
    header.extend(vip.1.to_be_bytes());
    header
}

fn push_address<A: Address>(line: &mut Header, address: A) {
    for (at, &byte) in address.bytes().as_ref().iter().enumerate() {
        match A::FAMILY {
            Family::V4 if at > 0 => line.push(b'.'),
            Family::V6 if at > 0 && at % 2 == 0 => line.push(b':'),
            _ => {}
        }
        match A::FAMILY {
            Family::V4 => push_decimal(line, byte.into()),
            Family::V6 => line.extend([byte >> 4, byte & 15].map(hex)),
        }
    }
}

fn hex(digit: u8) -> u8 {
    if digit < 10 { b'0' + digit } else { b'a' + digit - 10 }
}

fn push_decimal(line: &mut Header, number: u16) {
    let mut rest = number;
    let mut digits: ArrayVec<u8, 5> = ArrayVec::new();
    loop {
        digits.push(b'0' + (rest % 10) as u8);
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    line.extend(digits.into_iter().rev());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_reads_as_the_specification_has_it() {
        let line = v1((0xffff_ffff_u32, 65_535), (0x0a00_0064, 80));
        assert_eq!(&line[..], b"PROXY TCP4 255.255.255.255 10.0.0.100 65535 80\r\n");
        let line = v1((1_u128 << 127, 10), (u128::MAX, 0));
        let text = std::str::from_utf8(&line).unwrap();
        let words: Vec<&str> = text.trim_end().split(' ').collect();
        assert_eq!(words[..2], ["PROXY", "TCP6"]);
        assert_eq!(words[2].parse(), Ok(std::net::Ipv6Addr::from_bits(1 << 127)));
        assert_eq!(words[3].parse(), Ok(std::net::Ipv6Addr::from_bits(u128::MAX)));
        assert_eq!(words[4..], ["10", "0"]);
        let longest = v1((u128::MAX, u16::MAX), (u128::MAX, u16::MAX));
        assert!(longest.len() <= MAX_LEN);
    }

    #[test]
    fn version_2_has_its_fields_in_their_places() {
        let header = v2((0x0102_0304_u32, 0x0506), (0x0708_090a, 0x0b0c));
        let fields: [u8; 16] = [0x21, 0x11, 0, 12, 1, 2, 3, 4, 7, 8, 9, 10, 5, 6, 11, 12];
        assert_eq!(header[..12], *b"\x0d\x0a\x0d\x0a\x00\x0d\x0a\x51\x55\x49\x54\x0a");
        assert_eq!(header[12..], fields);
        let header = v2((1_u128, 2), (3, 4));
        assert_eq!((header.len(), &header[12..16]), (52, &[0x21, 0x21, 0, 36][..]));
        assert_eq!((header[31], header[47], &header[48..]), (1, 3, &[0, 2, 0, 4][..]));
    }
}
