//! SCTP common header, chunks and checksum, RFC 9260.
//!
//! Functions take the packet's slice: from the common header to the end of the IP packet. The walk
//! over the chunks takes any bytes; what touches the checksum wants the common header to be there.

use super::be16;

/// Length of the common header.
pub const HEADER_LEN: usize = 12;
/// Offset of the source port.
pub const SPORT: usize = 0;
/// Offset of the destination port.
pub const DPORT: usize = 2;
/// Offset of the checksum.
pub const CHECKSUM: usize = 8;
/// Length of a chunk's header: type, flags, and two bytes of length.
pub const CHUNK_HEADER_LEN: usize = 4;

/// Chunk types.
pub mod kind {
    /// User data.
    pub const DATA: u8 = 0;
    /// Begins an association.
    pub const INIT: u8 = 1;
    /// Answers INIT, with a cookie.
    pub const INIT_ACK: u8 = 2;
    /// Selective acknowledgement of DATA.
    pub const SACK: u8 = 3;
    /// Asks whether the peer is there.
    pub const HEARTBEAT: u8 = 4;
    /// Answers HEARTBEAT.
    pub const HEARTBEAT_ACK: u8 = 5;
    /// Ends an association at once.
    pub const ABORT: u8 = 6;
    /// Ends an association in order.
    pub const SHUTDOWN: u8 = 7;
    /// Answers SHUTDOWN.
    pub const SHUTDOWN_ACK: u8 = 8;
    /// Reports an error.
    pub const ERROR: u8 = 9;
    /// Returns the cookie.
    pub const COOKIE_ECHO: u8 = 10;
    /// Answers COOKIE ECHO.
    pub const COOKIE_ACK: u8 = 11;
    /// Reports congestion (RFC 9260 appendix A).
    pub const ECNE: u8 = 12;
    /// Tells that the congestion window is reduced (RFC 9260 appendix A).
    pub const CWR: u8 = 13;
    /// Answers SHUTDOWN ACK.
    pub const SHUTDOWN_COMPLETE: u8 = 14;
}

/// A chunk, as its header tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chunk {
    /// Type: one of [`kind`], or any other.
    pub kind: u8,
    /// Bytes of the chunk with its header and without its padding, as it says itself: the packet
    /// may end before.
    pub len: u16,
}

/// The chunks of a packet, in order, each whose header is there. One that says to be shorter than
/// its header is the last: nobody knows where the next begins.
#[derive(Debug, Clone)]
pub struct Chunks<'a> {
    rest: &'a [u8],
}

/// The chunks of a packet; none if it ends before the first.
#[inline]
pub fn chunks(packet: &[u8]) -> Chunks<'_> {
    Chunks { rest: packet.get(HEADER_LEN..).unwrap_or_default() }
}

impl Iterator for Chunks<'_> {
    type Item = Chunk;

    #[inline]
    fn next(&mut self) -> Option<Chunk> {
        let head = self.rest.first_chunk::<CHUNK_HEADER_LEN>()?;
        let chunk = Chunk { kind: head[0], len: be16(head, 2) };
        let len = usize::from(chunk.len);
        self.rest = match len < CHUNK_HEADER_LEN {
            true => &[],
            false => self.rest.get(len.next_multiple_of(4)..).unwrap_or_default(),
        };
        Some(chunk)
    }
}

/// CRC32c over the packet, its checksum field taken as zero (RFC 9260 section 6.8).
#[inline]
pub fn checksum(packet: &[u8]) -> u32 {
    let (head, body) = packet.split_at(HEADER_LEN);
    let crc = crc32c::crc32c(&head[..CHECKSUM]);
    let crc = crc32c::crc32c_append(crc, &[0; HEADER_LEN - CHECKSUM]);
    crc32c::crc32c_append(crc, body)
}

/// Fills in the checksum. It alone of all fields goes least significant byte first (RFC 9260
/// appendix A).
#[inline]
pub fn write_checksum(packet: &mut [u8]) {
    let check = checksum(packet);
    packet[CHECKSUM..HEADER_LEN].copy_from_slice(&check.to_le_bytes());
}

/// Whether the checksum is right.
pub fn checksum_ok(packet: &[u8]) -> bool {
    packet[CHECKSUM..HEADER_LEN] == checksum(packet).to_le_bytes()
}

#[cfg(test)]
mod tests;
