//! SipHash-1-3 (Aumasson and Bernstein 2012): a keyed hash of bytes that others choose. Whoever does
//! not know the key finds no two inputs that collide more often than by chance.

/// Hash of `bytes` under a key of 128 bits; the same on every machine.
pub fn siphash(bytes: &[u8], key: &[u64; 2]) -> u64 {
    let mut state = [
        key[0] ^ 0x736f_6d65_7073_6575,
        key[1] ^ 0x646f_7261_6e64_6f6d,
        key[0] ^ 0x6c79_6765_6e65_7261,
        key[1] ^ 0x7465_6462_7974_6573,
    ];
    let mut words = bytes.chunks_exact(8);
    for word in &mut words {
        absorb(&mut state, u64::from_le_bytes(word.try_into().expect("chunks of eight")));
    }
    let mut last = [0; 8];
    last[..words.remainder().len()].copy_from_slice(words.remainder());
    last[7] = bytes.len() as u8;
    absorb(&mut state, u64::from_le_bytes(last));
    state[2] ^= 0xff;
    (0..3).for_each(|_| round(&mut state));
    state.iter().fold(0, |all, word| all ^ word)
}

/// Hash of four bytes with both words of the key the same, cut to 32 bits: the kernel's
/// `hsiphash_1u32` on 64-bit machines (`lib/siphash.c`).
pub fn hsiphash(value: u32, key: u64) -> u32 {
    siphash(&value.to_le_bytes(), &[key, key]) as u32
}

#[inline]
fn absorb(state: &mut [u64; 4], word: u64) {
    state[3] ^= word;
    round(state);
    state[0] ^= word;
}

#[inline]
fn round([a, b, c, d]: &mut [u64; 4]) {
    *a = a.wrapping_add(*b);
    *b = b.rotate_left(13) ^ *a;
    *a = a.rotate_left(32);
    *c = c.wrapping_add(*d);
    *d = d.rotate_left(16) ^ *c;
    *a = a.wrapping_add(*d);
    *d = d.rotate_left(21) ^ *a;
    *c = c.wrapping_add(*b);
    *b = b.rotate_left(17) ^ *c;
    *c = c.rotate_left(32);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Rng;
    use std::hash::{DefaultHasher, Hasher};

    /// The standard library's hash is SipHash-1-3 with an empty key. That the key counts is shown by
    /// mh's golden tables.
    #[test]
    fn the_hash_is_siphash_1_3_for_every_length() {
        let mut rng = Rng::new(1);
        for len in 0..300 {
            let bytes = rng.bytes(len);
            let mut hasher = DefaultHasher::new();
            hasher.write(&bytes);
            assert_eq!(siphash(&bytes, &[0, 0]), hasher.finish(), "length {len}");
        }
        for value in [0, 1, 0x0a00_0064, u32::MAX] {
            let mut hasher = DefaultHasher::new();
            hasher.write(&value.to_le_bytes());
            assert_eq!(hsiphash(value, 0), hasher.finish() as u32);
        }
    }

    #[test]
    fn either_half_of_the_key_changes_the_hash() {
        let hash = |key| siphash(b"sluice", &key);
        let hashes = [hash([0, 0]), hash([1, 0]), hash([0, 1]), hash([1, 1])];
        assert!((1..4).all(|at| !hashes[..at].contains(&hashes[at])));
    }
}
