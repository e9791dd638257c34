//! Hashes of datagrams: rounds of a 64×64→128 bit multiplication folded to 64 bits.

use super::Datagram;
use crate::limits::OWNER_SLOTS;

/// The first 128 bits of π's fraction: nothing that anybody chose.
const FIXED: [u64; 2] = [0x243f_6a88_85a3_08d3, 0x1319_8a2e_0370_7344];

/// The slot of [`crate::owner::SlotMap`] whose worker is the datagram's home, below
/// [`OWNER_SLOTS`]: of addresses and identification, which every fragment carries. All workers must
/// agree, so it has no secret. Who aims fragments at one worker gains what aiming whole packets
/// gives: that worker's time.
pub fn home_slot(datagram: &Datagram) -> u16 {
    let hash = fold(pair(datagram, FIXED) ^ u64::from(datagram.id), FIXED[0]);
    (hash % OWNER_SLOTS as u64) as u16
}

/// A hash of the addresses alone, under a secret.
pub(super) fn pair(datagram: &Datagram, secret: [u64; 2]) -> u64 {
    [datagram.src, datagram.dst].iter().fold(secret[0], |hash, address| {
        fold(hash ^ (address >> 64) as u64 ^ secret[1], *address as u64 ^ secret[0])
    })
}

/// 16 bits of the identification and the hash of the addresses; never 0.
pub(super) fn tag(datagram: &Datagram, pair: u64, secret: [u64; 2]) -> u16 {
    (fold(pair ^ u64::from(datagram.id), secret[1]) as u16).max(1)
}

fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    product as u64 ^ (product >> 64) as u64
}
