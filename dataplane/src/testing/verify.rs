//! The naive oracle of checksums: word by word, everything read anew from the bytes.

/// One's complement sum of big-endian words, an odd last byte padded with zero.
pub fn naive_sum(bytes: &[u8]) -> u16 {
    let mut sum = 0u32;
    for pair in bytes.chunks(2) {
        sum += u32::from(pair[0]) * 256 + u32::from(*pair.get(1).unwrap_or(&0));
        if sum > 0xffff {
            sum -= 0xffff;
        }
    }
    sum as u16
}

/// The checksum of bytes whose checksum field is zero.
pub fn naive_checksum(bytes: &[u8]) -> u16 {
    !naive_sum(bytes)
}

/// What is true about a frame's checksums.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checks {
    /// The IPv4 header's; IPv6 has none, which counts as true.
    pub ip: bool,
    /// TCP's, UDP's (absent counts as true) or ICMP's; `None` for fragments and other protocols.
    pub l4: Option<bool>,
}

/// Checks every checksum of an IP frame in full; `None` if it is none or its lengths lie. An inner
/// packet of IP in IP is not looked at: strip the outer header and ask again.
pub fn verify(frame: &[u8]) -> Option<Checks> {
    let tag = if frame.get(12..14)? == [0x81, 0x00] { 4 } else { 0 };
    let ip = frame.get(14 + tag..)?;
    match frame[12 + tag..14 + tag] {
        [0x08, 0x00] => verify_v4(ip),
        [0x86, 0xdd] => verify_v6(ip),
        _ => None,
    }
}

fn verify_v4(ip: &[u8]) -> Option<Checks> {
    let header_len = usize::from(ip.first()? & 15) * 4;
    let total = number(ip.get(2..4)?);
    if header_len < 20 {
        return None;
    }
    let (header, l4) = ip.get(..total)?.split_at_checked(header_len)?;
    let fragment = number(&header[6..8]) & 0x3fff != 0;
    let l4 = if fragment { None } else { verify_l4(&header[12..20], header[9], l4) };
    Some(Checks { ip: naive_sum(header) == 0xffff, l4 })
}

fn verify_v6(ip: &[u8]) -> Option<Checks> {
    let (mut at, mut proto) = (40, *ip.get(6)?);
    let ip = ip.get(..40 + number(&ip[4..6]))?;
    loop {
        // Hop by hop, routing and destination options; AH; fragment.
        let len = match proto {
            0 | 43 | 60 => (usize::from(*ip.get(at + 1)?) + 1) * 8,
            51 => (usize::from(*ip.get(at + 1)?) + 2) * 4,
            44 if number(ip.get(at + 2..at + 4)?) & 0xfff9 != 0 => {
                return Some(Checks { ip: true, l4: None });
            }
            44 => 8,
            _ => return Some(Checks { ip: true, l4: verify_l4(&ip[8..40], proto, ip.get(at..)?) }),
        };
        (proto, at) = (ip[at], at + len);
    }
}

/// Two bytes, the first the higher.
fn number(bytes: &[u8]) -> usize {
    usize::from(bytes[0]) * 256 + usize::from(bytes[1])
}

/// Whether the checksum of an L4 part between `addresses` is right.
fn verify_l4(addresses: &[u8], proto: u8, l4: &[u8]) -> Option<bool> {
    let sum = |covered: &[u8]| {
        let len = (covered.len() as u16).to_be_bytes();
        let pseudo = [addresses, &[0, proto], &len, covered].concat();
        naive_sum(&pseudo) == 0xffff
    };
    match proto {
        1 => Some(naive_sum(l4) == 0xffff),
        6 | 58 => Some(sum(l4)),
        // Of a datagram that lies about its length there is no truth.
        17 => {
            let datagram = l4.get(..number(l4.get(4..6)?)).filter(|all| all.len() >= 8)?;
            Some(datagram[6..8] == [0, 0] || sum(datagram))
        }
        _ => None,
    }
}
