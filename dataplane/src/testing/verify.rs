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
    /// The IPv4 header's.
    pub ip: bool,
    /// TCP's, UDP's (absent counts as true) or ICMP's; `None` for fragments and other protocols.
    pub l4: Option<bool>,
}

/// Checks every checksum of an IPv4 frame in full; `None` if it is none or its lengths lie.
/// An inner packet of IP in IP is not looked at: strip the outer header and ask again.
pub fn verify(frame: &[u8]) -> Option<Checks> {
    let tag = if frame.get(12..14)? == [0x81, 0x00] { 4 } else { 0 };
    if frame.get(12 + tag..14 + tag)? != [0x08, 0x00] {
        return None;
    }
    let ip = &frame[14 + tag..];
    let header_len = usize::from(ip.first()? & 15) * 4;
    let total = usize::from(ip.get(2)?.to_owned()) * 256 + usize::from(*ip.get(3)?);
    if header_len < 20 {
        return None;
    }
    let (header, l4) = ip.get(..total)?.split_at_checked(header_len)?;
    let fragment = (u16::from(header[6]) << 8 | u16::from(header[7])) & 0x3fff != 0;
    let l4 = if fragment { None } else { verify_l4(header, l4) };
    Some(Checks { ip: naive_sum(header) == 0xffff, l4 })
}

fn verify_l4(header: &[u8], l4: &[u8]) -> Option<bool> {
    let sum = |covered: &[u8]| {
        let len = (covered.len() as u16).to_be_bytes();
        let pseudo = [&header[12..20], &[0, header[9]], &len, covered].concat();
        naive_sum(&pseudo) == 0xffff
    };
    match header[9] {
        1 => Some(naive_sum(l4) == 0xffff),
        6 => Some(sum(l4)),
        17 => {
            let len = usize::from(*l4.get(4)?) * 256 + usize::from(*l4.get(5)?);
            Some(l4.get(6..8)? == [0, 0] || sum(l4.get(..len)?))
        }
        _ => None,
    }
}
