//! GRE header, RFC 2784.

/// Length of a header without checksum.
pub const MIN_LEN: usize = 4;
/// Length of a header with checksum.
pub const SUMMED_LEN: usize = 8;
/// Offset of flags and version.
pub const FLAGS: usize = 0;
/// Offset of the payload's ethertype.
pub const PROTOCOL: usize = 2;
/// Offset of the checksum over header and payload; two reserved bytes follow it.
pub const CHECKSUM: usize = 4;

/// The flag of a header with checksum. All others, and the version, are 0 here.
pub const FLAG_CHECKSUM: u16 = 0x8000;

/// Length of a header with these flags; `None` if there is one that tunnels of IPVS never have: a
/// key, a sequence number, routing or another version.
#[inline]
pub fn header_len(flags: u16) -> Option<usize> {
    match flags {
        0 => Some(MIN_LEN),
        FLAG_CHECKSUM => Some(SUMMED_LEN),
        _ => None,
    }
}
