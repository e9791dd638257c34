//! Sequence numbers after a payload was edited to another length (`struct ip_vs_seq`, `ip_vs_app.c`;
//! `nf_conntrack_seqadj.c`).
//!
//! One end's bytes after an edit have other numbers for that end than for the other one. So its own
//! sequence numbers are shifted on their way, and what the other end acknowledges is shifted back:
//! the acknowledgement number and the edges of selective acknowledgements (RFC 2018), which
//! `ip_vs_app.c` forgets and connection tracking does not. The latest edit and the shift before it
//! are remembered; of bytes before an edit before that, the shift is lost, as in the kernel.
//!
//! An acknowledgement in the middle of an edited segment stands for a byte that was not sent; it is
//! shifted as if the edit lay before it.

use crate::conn::SIDE_BYTES;
use crate::wire::checksum::{self, Delta, UNCHANGED};
use crate::wire::{be16, be32, put16, put32, tcp};
use bytemuck::{Pod, Zeroable};

/// Option kinds (RFC 9293 section 3.1, RFC 2018).
const END_OF_OPTIONS: u8 = 0;
const NO_OPERATION: u8 = 1;
const SACK: u8 = 5;

/// How one end's sequence numbers differ for the other end: the kernel's `ip_vs_seq`, as it also
/// stands in a sync message, host order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Pod, Zeroable)]
#[repr(C)]
pub struct Shift {
    /// Sequence number, as its sender counts, of the segment edited last.
    pub init_seq: u32,
    /// Bytes that segments after it are further on.
    pub delta: i32,
    /// The same of that segment and those before it.
    pub previous_delta: i32,
}

/// What a conn with a helper needs, in the bytes of a side record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Pod, Zeroable)]
#[repr(C)]
pub struct Record {
    /// The conn's template, 0 for none; its form is the user's.
    pub link: u64,
    /// Shift of the client's numbers.
    pub inbound: Shift,
    /// Shift of the real server's numbers.
    pub outbound: Shift,
    /// FTP: the family of the control conn, or of the control conn of a data conn; 0 for none.
    pub family: u32,
    /// What the helper remembers.
    pub memory: u8,
    /// Zero.
    pub reserved: [u8; 19],
}

const _: () = assert!(size_of::<Record>() == SIDE_BYTES, "a record fills a side record");

impl Record {
    /// The record in the bytes of a side record.
    pub fn from_bytes(bytes: [u8; SIDE_BYTES]) -> Record {
        bytemuck::cast(bytes)
    }

    /// The same with another link.
    #[must_use]
    pub fn linked_to(self, link: u64) -> Record {
        Record { link, ..self }
    }

    /// The bytes of a side record.
    pub fn to_bytes(self) -> [u8; SIDE_BYTES] {
        bytemuck::cast(self)
    }
}

impl Shift {
    /// Whether it changes nothing.
    #[inline]
    pub fn is_none(&self) -> bool {
        self.delta == 0 && self.previous_delta == 0
    }

    /// Notes that the segment whose sender numbered it `seq` became `diff` bytes longer. Of a segment
    /// that is not after the one noted last, a retransmission, nothing is noted.
    pub fn resized(&mut self, seq: u32, diff: i32) {
        if diff != 0 && (self.is_none() || after(seq, self.init_seq)) {
            self.previous_delta = self.delta;
            self.delta = self.delta.wrapping_add(diff);
            self.init_seq = seq;
        }
    }

    /// A number of the sender as the other end is to see it.
    #[inline]
    pub fn forth(&self, seq: u32) -> u32 {
        let delta = if after(seq, self.init_seq) { self.delta } else { self.previous_delta };
        seq.wrapping_add_signed(delta)
    }

    /// A number that the other end acknowledges, as the sender knows it. That the edited segment was
    /// not acknowledged is seen before the edit's shift, as connection tracking does: seen after it,
    /// as in `ip_vs_app.c`, a shortened segment's first bytes would be acknowledged too soon.
    #[inline]
    pub fn back(&self, ack: u32) -> u32 {
        let before = ack.wrapping_add_signed(self.previous_delta.wrapping_neg());
        if after(before, self.init_seq) {
            return ack.wrapping_add_signed(self.delta.wrapping_neg());
        }
        before
    }
}

/// Whether `a` comes after `b` in the circle of sequence numbers (RFC 9293 section 3.4).
#[inline]
fn after(a: u32, b: u32) -> bool {
    (b.wrapping_sub(a) as i32) < 0
}

/// Shifts the numbers of a segment: the sequence number by the sender's shift `own`, what it
/// acknowledges back by the other end's shift `peer`. The checksum is as true as before. `tcp` begins
/// with the TCP header; one that is cut short or lies about its length is shifted as far as it is
/// there.
pub fn adjust(tcp: &mut [u8], own: &Shift, peer: &Shift) {
    if tcp.len() < tcp::MIN_LEN || (own.is_none() && peer.is_none()) {
        return;
    }
    let seq = own.forth(be32(tcp, tcp::SEQ));
    let mut delta = replace(tcp, tcp::SEQ, seq);
    if !peer.is_none() && tcp[tcp::FLAGS] & tcp::flags::ACK != 0 {
        let ack = peer.back(be32(tcp, tcp::ACK));
        delta = checksum::combine(delta, replace(tcp, tcp::ACK, ack));
        delta = checksum::combine(delta, adjust_sack(tcp, peer));
    }
    let check = checksum::adjust(be16(tcp, tcp::CHECKSUM), delta);
    put16(tcp, tcp::CHECKSUM, check);
}

/// Shifts the edges of all selective acknowledgements back.
fn adjust_sack(tcp: &mut [u8], peer: &Shift) -> Delta {
    let end = tcp::header_len(tcp).min(tcp.len());
    let (mut at, mut delta) = (tcp::MIN_LEN, UNCHANGED);
    while at < end && tcp[at] != END_OF_OPTIONS {
        if tcp[at] == NO_OPERATION {
            at += 1;
            continue;
        }
        let len = if at + 1 < end { usize::from(tcp[at + 1]) } else { 0 };
        if len < 2 || at + len > end {
            break;
        }
        if tcp[at] == SACK {
            for edge in (at + 2..at + len).step_by(4).take((len - 2) / 8 * 2) {
                let number = peer.back(be32(tcp, edge));
                delta = checksum::combine(delta, replace(tcp, edge, number));
            }
        }
        at += len;
    }
    delta
}

/// Writes a number and gives the change of the checksum. At an odd offset the number's bytes are the
/// other halves of the summed words, which swaps those of its sum (RFC 1071 section 2).
#[inline]
fn replace(tcp: &mut [u8], at: usize, number: u32) -> Delta {
    let delta = checksum::delta32(be32(tcp, at), number);
    put32(tcp, at, number);
    if at % 2 == 0 { delta } else { delta.swap_bytes() }
}

#[cfg(test)]
mod tests;
