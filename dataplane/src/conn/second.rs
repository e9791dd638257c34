//! The second line of a conn whose addresses do not fit the first: an entry of its own, anywhere in
//! the table, that the first one names.

use super::entry::{Conn, ConnFlags};
use bytemuck::{Pod, Zeroable};

/// Addresses of 16 bytes, as integers in host order cut into four words, the highest first: the
/// entry is aligned for words, and its flags and link lie where a conn has them, since the wheel may
/// still know the entry as the conn that it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
#[repr(C, align(64))]
pub(super) struct SecondLine {
    rip: [u32; 4],
    /// Entry of the conn it belongs to, plus one; 0 for none.
    pub(super) owner: u32,
    spare: u32,
    pub(super) flags: ConnFlags,
    cip: [u32; 4],
    link: u32,
    vip: [u32; 4],
}

const _: () = assert!(size_of::<SecondLine>() == 64, "a second line is one cache line");
const _: () = assert!(
    std::mem::offset_of!(SecondLine, flags) == std::mem::offset_of!(Conn, flags)
        && std::mem::offset_of!(SecondLine, link) == std::mem::offset_of!(Conn, link)
);

impl SecondLine {
    /// The line of these addresses, 0 for what stands in the first line.
    #[inline]
    pub(super) fn new(cip: u128, vip: u128, rip: u128) -> SecondLine {
        SecondLine {
            cip: words(cip),
            vip: words(vip),
            rip: words(rip),
            flags: ConnFlags::SECOND_LINE,
            ..SecondLine::zeroed()
        }
    }

    /// The same line, joined to the conn in an entry.
    #[inline]
    pub(super) fn of(self, entry: u32) -> SecondLine {
        SecondLine { owner: entry + 1, ..self }
    }

    #[inline]
    pub(super) fn cip(&self) -> u128 {
        joined(self.cip)
    }

    #[inline]
    pub(super) fn vip(&self) -> u128 {
        joined(self.vip)
    }

    #[inline]
    pub(super) fn rip(&self) -> u128 {
        joined(self.rip)
    }
}

#[inline]
fn words(address: u128) -> [u32; 4] {
    [(address >> 96) as u32, (address >> 64) as u32, (address >> 32) as u32, address as u32]
}

#[inline]
fn joined(words: [u32; 4]) -> u128 {
    let [a, b, c, d] = words.map(u128::from);
    a << 96 | b << 64 | c << 32 | d
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_come_out_as_they_went_in() {
        let line = SecondLine::new(1 << 127 | 5, u128::MAX - 1, 0x1234 << 60);
        assert_eq!(
            (line.cip(), line.vip(), line.rip()),
            (1 << 127 | 5, u128::MAX - 1, 0x1234 << 60)
        );
    }
}
