//! TCP header, RFC 9293.

/// Length of a header without options.
pub const MIN_LEN: usize = 20;
/// Offset of the source port.
pub const SPORT: usize = 0;
/// Offset of the destination port.
pub const DPORT: usize = 2;
/// Offset of the sequence number.
pub const SEQ: usize = 4;
/// Offset of the acknowledgement number.
pub const ACK: usize = 8;
/// Offset of the data offset (upper four bits).
pub const DATA_OFFSET: usize = 12;
/// Offset of the flags.
pub const FLAGS: usize = 13;
/// Offset of the checksum.
pub const CHECKSUM: usize = 16;

/// Bits of the flags byte.
pub mod flags {
    /// No more data from the sender.
    pub const FIN: u8 = 0x01;
    /// Synchronise sequence numbers.
    pub const SYN: u8 = 0x02;
    /// Reset.
    pub const RST: u8 = 0x04;
    /// Push.
    pub const PSH: u8 = 0x08;
    /// The acknowledgement number is valid.
    pub const ACK: u8 = 0x10;
    /// The urgent pointer is valid.
    pub const URG: u8 = 0x20;
}

/// Length of the header in bytes, options included; below 20 if the header lies.
#[inline(always)]
pub fn header_len(tcp: &[u8]) -> usize {
    usize::from(tcp[DATA_OFFSET] >> 4) * 4
}
