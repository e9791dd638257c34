//! Mutations that reach deep: broken bytes, and lies in the fields that others are found by.

use dataplane::testing::Rng;
use dataplane::wire::{ethernet, ipv4};
use std::hash::{DefaultHasher, Hash, Hasher};

/// Longest frame made.
const MAX_LEN: usize = 2000;
/// Values at the edges of comparisons.
const EDGES: [u8; 12] = [0, 1, 4, 6, 7, 8, 17, 19, 20, 0x45, 0x7f, 0xff];

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
    let end = if rng.one_in(4) { frame.len() } else { frame.len().min(80) };
    let at = rng.below(end);
    match rng.below(9) {
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
    if ip.len() < 40 {
        return;
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
    let Some(first) = ip.first() else { return };
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
