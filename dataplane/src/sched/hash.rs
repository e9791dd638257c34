//! The kernel's multiplicative hash (`hash_32`, `include/linux/hash.h`).

/// The upper `bits` of a product with the golden ratio: neighbours fall far apart.
#[inline]
pub fn hash_32(value: u32, bits: u32) -> usize {
    (value.wrapping_mul(0x61c8_8647) >> (32 - bits)) as usize
}
