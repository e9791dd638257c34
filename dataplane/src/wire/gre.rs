//! GRE header, RFC 2784: without checksum four bytes, with it eight.

/// Length of a header without any optional field.
pub const MIN_LEN: usize = 4;
/// Offset of flags and version.
pub const FLAGS: usize = 0;
/// Offset of the payload's ethertype.
pub const PROTOCOL: usize = 2;
/// Offset of the checksum over header and payload, if [`flags::CHECKSUM`] says that there is one.
pub const CHECKSUM: usize = 4;

/// Bits of the flags; the lowest three are the version, 0.
pub mod flags {
    /// Checksum and two reserved bytes are there.
    pub const CHECKSUM: u16 = 0x8000;
    /// A routing field is there (RFC 1701): of unknown length here.
    pub const ROUTING: u16 = 0x4000;
    /// A key is there (RFC 2890).
    pub const KEY: u16 = 0x2000;
    /// A sequence number is there (RFC 2890).
    pub const SEQUENCE: u16 = 0x1000;
    /// The version.
    pub const VERSION: u16 = 0x0007;
}

/// Length of a header with these flags; `None` if it is not version 0 or has a routing field.
#[inline]
pub fn header_len(flags: u16) -> Option<usize> {
    let known = flags & (flags::VERSION | flags::ROUTING) == 0;
    let fields = flags & (flags::CHECKSUM | flags::KEY | flags::SEQUENCE);
    known.then_some(MIN_LEN + 4 * fields.count_ones() as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_optional_field_takes_four_bytes() {
        let lens = [0x0000, 0x8000, 0x2000, 0xb000, 0x0001, 0x4000].map(header_len);
        assert_eq!(lens, [Some(4), Some(8), Some(8), Some(16), None, None]);
    }
}
