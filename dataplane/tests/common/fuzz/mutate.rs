//! Mutations that reach deep: broken bytes, and lies in the fields that others are found by.

use dataplane::testing::Rng;
use dataplane::wire::{ethernet, ipv4, ipv6};
use std::hash::{DefaultHasher, Hash, Hasher};

/// Longest frame made.
const MAX_LEN: usize = 2000;
/// Values at the edges of comparisons.
const EDGES: [u8; 18] = [0, 1, 4, 6, 7, 8, 17, 19, 20, 43, 44, 50, 51, 58, 0x45, 0x60, 0x7f, 0xff];

/// A frame of the corpus with one to four mutations, its IP checksum mended more often than not:
/// else the parser would turn nearly all away at the gate.
pub fn mutated(rng: &mut Rng, frames: &[Vec<u8>]) -> Vec<u8> {
    let mut frame = frames[rng.below(frames.len())].clone();
    for _ in 0..=rng.below(4) {
        mutate(rng, &mut frame, frames);
    }
    frame.truncate(MAX_LEN);
    if !rng.one_in(4) {
        mend_ip_checksum(&mut frame);
    }
    frame
}

fn mutate(rng: &mut Rng, frame: &mut Vec<u8>, frames: &[Vec<u8>]) {
    if frame.is_empty() {
        return frame.extend(&frames[rng.below(frames.len())]);
    }
    // Headers are where the decisions are.
    let end = if rng.one_in(4) { frame.len() } else { frame.len().min(100) };
    let at = rng.below(end);
    match rng.below(10) {
        0 => frame[at] ^= 1 << rng.below(8),
        1 => frame[at] = rng.next() as u8,
        2 => frame[at] = EDGES[rng.below(EDGES.len())],
        3 => frame.truncate(at),
        4 => {
            let len = 1 << rng.below(10);
            frame.extend(rng.bytes(len));
        }
        5 => splice(rng, frame, frames),
        6 => lie_about_length(rng, frame),
        7 => set_tag(rng, frame),
        8 => add_extension_header(rng, frame),
        _ => drop(frame.drain(at..(at + rng.below(8)).min(frame.len()))),
    }
}

/// The front of this frame and the back of another.
fn splice(rng: &mut Rng, frame: &mut Vec<u8>, frames: &[Vec<u8>]) {
    let other = &frames[rng.below(frames.len())];
    frame.truncate(rng.below(frame.len() + 1));
    frame.extend(&other[rng.below(other.len() + 1)..]);
}

/// A wrong or right length where one is read: IHL, total length, TCP data offset, UDP length.
fn lie_about_length(rng: &mut Rng, frame: &mut [u8]) {
    let Some(link) = ethernet::link(frame) else { return };
    let ip = &mut frame[link.payload.into()..];
    if ip.len() < 62 {
        return;
    }
    if ip[0] >> 4 == 6 {
        return lie_about_length6(rng, ip);
    }
    let l4 = ipv4::header_len(ip).clamp(20, ip.len() - 20);
    let near = (ip.len() + rng.below(8)).wrapping_sub(4) as u16;
    let value = [near, near - 20, rng.below(64) as u16, rng.next() as u16][rng.below(4)];
    match rng.below(4) {
        0 => ip[0] = 0x40 | rng.below(16) as u8,
        1 => ip[2..4].copy_from_slice(&value.to_be_bytes()),
        2 => ip[l4 + 12] = rng.next() as u8,
        _ => ip[l4 + 4..l4 + 6].copy_from_slice(&value.to_be_bytes()),
    }
}

/// The same of IPv6: payload length, an extension header's, TCP data offset, UDP length.
fn lie_about_length6(rng: &mut Rng, ip: &mut [u8]) {
    let l4 = ipv6::chain(ip).map_or(40, |chain| chain.len).min(ip.len() - 20);
    let near = (ip.len() - 40 + rng.below(8)).wrapping_sub(4) as u16;
    let value = [near, near - 10, rng.below(64) as u16, rng.next() as u16][rng.below(4)];
    match rng.below(4) {
        0 => ip[4..6].copy_from_slice(&value.to_be_bytes()),
        1 => ip[41] = rng.below(8) as u8,
        2 => ip[l4 + 12] = rng.next() as u8,
        _ => ip[l4 + 4..l4 + 6].copy_from_slice(&value.to_be_bytes()),
    }
}

/// Puts an extension header behind the IPv6 header, or behind that of a quoted packet.
fn add_extension_header(rng: &mut Rng, frame: &mut Vec<u8>) {
    let Some(link) = ethernet::link(frame) else { return };
    let l3 = usize::from(link.payload);
    let quoted = if rng.one_in(3) { l3 + 48 } else { l3 };
    let Some([0x60, ..]) = frame.get(quoted..quoted + 40) else { return };
    let mut header = vec![0; 8 * (1 + rng.below(4))];
    header[0] = std::mem::replace(&mut frame[quoted + 6], [0, 43, 44, 51, 60][rng.below(5)]);
    header[1] = (header.len() / 8 - 1) as u8;
    if rng.one_in(2) {
        header[3] = rng.next() as u8;
    }
    let len = header.len() as u16;
    frame.splice(quoted + 40..quoted + 40, header);
    let payload_len = ipv6::payload_len(&frame[l3..]).wrapping_add(len);
    frame[l3 + 4..l3 + 6].copy_from_slice(&payload_len.to_be_bytes());
}

/// Puts a tag on, or takes one off.
fn set_tag(rng: &mut Rng, frame: &mut Vec<u8>) {
    match frame.get(12..14) {
        Some([0x81, 0x00]) if frame.len() >= 18 => drop(frame.drain(12..16)),
        Some(_) => drop(frame.splice(12..12, [0x81, 0x00, rng.next() as u8, rng.next() as u8])),
        None => {}
    }
}

/// Makes the IPv4 header checksum right, if there is a header.
pub fn mend_ip_checksum(frame: &mut [u8]) {
    let Some(link) = ethernet::link(frame) else { return };
    let ip = &mut frame[link.payload.into()..];
    let Some(first) = ip.first().filter(|first| *first >> 4 != 6) else { return };
    let len = usize::from(first & 15) * 4;
    if let Some(header) = ip.get_mut(..len.max(20)) {
        ipv4::write_checksum(header);
    }
}

/// A name for a frame.
pub fn fingerprint(frame: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    frame.hash(&mut hasher);
    hasher.finish()
}
