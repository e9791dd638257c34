//! SipHash-1-3 of four bytes, cut to 32 bits: the kernel's `hsiphash_1u32` on 64-bit machines
//! (`lib/siphash.c`).

/// Hash of `value` with both words of the key the same.
pub fn hsiphash(value: u32, key: u64) -> u32 {
    let mut state = [
        key ^ 0x736f_6d65_7073_6575,
        key ^ 0x646f_7261_6e64_6f6d,
        key ^ 0x6c79_6765_6e65_7261,
        key ^ 0x7465_6462_7974_6573,
    ];
    let block = 4 << 56 | u64::from(value);
    state[3] ^= block;
    round(&mut state);
    state[0] ^= block;
    state[2] ^= 0xff;
    (0..3).for_each(|_| round(&mut state));
    state.iter().fold(0, |all, word| all ^ word) as u32
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
    use std::hash::{DefaultHasher, Hasher};

    /// The standard library's hash is SipHash-1-3 with an empty key.
    #[test]
    fn the_hash_is_siphash_1_3() {
        for value in [0, 1, 0x0a00_0064, u32::MAX] {
            let mut hasher = DefaultHasher::new();
            hasher.write(&value.to_le_bytes());
            assert_eq!(hsiphash(value, 0), hasher.finish() as u32);
        }
    }
}
