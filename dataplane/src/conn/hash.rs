//! The keyed hash of the index.
//!
//! Two rounds of a 64×64→128 bit multiplication folded by the next (the construction of wyhash).
//! CRC would be cheaper, but is linear: keys that collide do so under every seed, so a client could
//! compute them at home.

use crate::flow::FlowKey;

/// Hash of a key in one table: bucket and tag come from different halves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct KeyHash(u64);

impl KeyHash {
    /// 16 bits that are one for a flow and differ from flow to flow.
    #[inline]
    pub fn entropy(self) -> u16 {
        (self.0 >> 16) as u16
    }

    /// The low half, which chooses the first bucket.
    #[inline]
    pub(super) fn place(self) -> u32 {
        self.0 as u32
    }

    /// The high half, which the index stores; its highest bit is set, since 0 marks an empty slot there.
    #[inline]
    pub(super) fn tag(self) -> u32 {
        (self.0 >> 32) as u32
    }

    #[inline]
    fn new(mixed: u64) -> KeyHash {
        KeyHash(mixed | 1 << 63)
    }
}

/// Hashes a key under a secret of 128 bits.
#[inline]
pub(super) fn hash(key: &FlowKey, secret: &[u64; 2]) -> KeyHash {
    let addresses = u64::from(key.src) << 32 | u64::from(key.dst);
    let ports = ports_and_proto(key);
    let (low, high) = multiply(addresses ^ secret[0], ports ^ secret[1]);
    let (low, high) = multiply(low ^ secret[0], high ^ secret[1]);
    KeyHash::new(low ^ high)
}

/// The same for an IPv6 key, whose addresses are folded in first.
#[inline]
pub(super) fn hash_wide(key: &FlowKey<u128>, secret: &[u64; 2]) -> KeyHash {
    let fold = |address: u128, state: u64| {
        let (low, high) =
            multiply((address >> 64) as u64 ^ secret[0] ^ state, address as u64 ^ secret[1]);
        low ^ high
    };
    let addresses = fold(key.dst, fold(key.src, 0).rotate_left(32));
    let ports = ports_and_proto(key);
    let (low, high) = multiply(addresses ^ secret[0], ports ^ secret[1]);
    let (low, high) = multiply(low ^ secret[0], high ^ secret[1]);
    KeyHash::new(low ^ high)
}

#[inline]
fn ports_and_proto<A>(key: &FlowKey<A>) -> u64 {
    let ports = u32::from(key.sport) << 16 | u32::from(key.dport);
    u64::from(ports) << 8 | u64::from(key.proto)
}

#[inline]
fn multiply(a: u64, b: u64) -> (u64, u64) {
    let product = u128::from(a) * u128::from(b);
    (product as u64, (product >> 64) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::protocol;
    use std::collections::HashMap;

    const SECRET: [u64; 2] = [0x9e37_79b9_7f4a_7c15, 0xd1b5_4a32_d192_ed03];
    const CELLS: usize = 1024;

    fn key(src: u32, sport: u16, dport: u16) -> FlowKey {
        FlowKey { src, dst: 0xc000_0201, sport, dport, proto: protocol::TCP }
    }

    /// Pearson's chi-squared of the keys over cells chosen by `cell`; its mean is `CELLS - 1`, its
    /// standard deviation the root of twice that (45).
    fn chi_squared(keys: &[FlowKey], cell: impl Fn(KeyHash) -> usize) -> f64 {
        let mut counts = vec![0u32; CELLS];
        keys.iter().for_each(|key| counts[cell(hash(key, &SECRET))] += 1);
        let mean = keys.len() as f64 / CELLS as f64;
        counts.iter().map(|&count| (f64::from(count) - mean).powi(2) / mean).sum()
    }

    fn families() -> Vec<(&'static str, Vec<FlowKey>)> {
        vec![
            ("one client port to every VIP port", (1..=60_000).map(|p| key(1, 1024, p)).collect()),
            ("every client port to one service", (1..=60_000).map(|p| key(1, p, 80)).collect()),
            ("consecutive clients", (0..60_000).map(|c| key(0x0a00_0000 + c, 5000, 80)).collect()),
            (
                "clients that differ in high bits",
                (0..60_000).map(|c: u32| key(c << 16, 5000, 80)).collect(),
            ),
            (
                "address and port change together",
                (0..60_000).map(|c: u32| key(c, c as u16, 80)).collect(),
            ),
        ]
    }

    #[test]
    #[cfg_attr(miri, ignore)]
    fn both_halves_are_uniform_for_keys_an_adversary_would_choose() {
        for (name, keys) in families() {
            // A tag's highest bit is always set.
            for (place_shift, tag_shift) in [(0, 0), (22, 21)] {
                let place =
                    chi_squared(&keys, |hash| (hash.place() >> place_shift) as usize % CELLS);
                let tag = chi_squared(&keys, |hash| (hash.tag() >> tag_shift) as usize % CELLS);
                for statistic in [place, tag] {
                    assert!((800.0..1250.0).contains(&statistic), "{name}: {statistic}");
                }
            }
        }
    }

    #[test]
    #[cfg_attr(miri, ignore)]
    fn keys_that_collide_under_one_secret_do_not_under_another() {
        let mut by_place: HashMap<u32, Vec<FlowKey>> = HashMap::new();
        for source in 0..200_000 {
            let key = key(source, 7, 7);
            by_place.entry(hash(&key, &SECRET).place() % 4096).or_default().push(key);
        }
        let colliding = &by_place[&0];
        let other = [SECRET[1], SECRET[0] ^ 1];
        let mut seen: Vec<u32> =
            colliding.iter().map(|key| hash(key, &other).place() % 4096).collect();
        seen.sort_unstable();
        seen.dedup();
        assert!(colliding.len() > 30 && seen.len() * 100 > colliding.len() * 95);
    }

    #[test]
    fn every_bit_of_the_key_flips_about_half_of_the_hash() {
        let base = key(0x0a01_0203, 40000, 443);
        let flips =
            |other: FlowKey| (hash(&base, &SECRET).0 ^ hash(&other, &SECRET).0).count_ones();
        for bit in 0..32 {
            assert!((16..=48).contains(&flips(FlowKey { src: base.src ^ 1 << bit, ..base })));
            assert!((16..=48).contains(&flips(FlowKey { dst: base.dst ^ 1 << bit, ..base })));
        }
        for bit in 0..16 {
            assert!((16..=48).contains(&flips(FlowKey { sport: base.sport ^ 1 << bit, ..base })));
            assert!((16..=48).contains(&flips(FlowKey { dport: base.dport ^ 1 << bit, ..base })));
        }
    }
}
