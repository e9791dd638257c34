//! Plain packets, which nearly all are: untagged, IPv4 without options or IPv6 without extension
//! headers, whole, TCP or UDP, all true.
//!
//! All that counts of one is at a constant place among the frame's first bytes, its head. So nothing of it
//! is handed from stage to stage: each reads what it needs where it is, and a rewrite is a few
//! stores. [`crate::parse`] and [`crate::forward`] say the same of all packets, in twice the
//! instructions; tests and the fuzzer hold them together.

mod v4;
mod v6;

pub use v4::pass_in_ipip;

use crate::address::Address;
use crate::flow::{FlowKey, protocol};
use crate::parse::Headers;
use crate::wire::checksum::{self, Delta};
use crate::wire::{be16, put16, tcp, udp};

/// A family's plain packets.
pub trait PlainForm: Address {
    /// The bytes up to the end of a TCP header: the first cache line of a frame, for IPv6 a bit more.
    type Head;

    /// A frame's head. `None`: it is too short to be plain, as UDP with less than 12 bytes of data is
    /// where no network has padded it.
    fn head(frame: &[u8]) -> Option<&Self::Head>;

    /// The same, to be rewritten.
    fn head_mut(frame: &mut [u8]) -> Option<&mut Self::Head>;

    /// Whether a frame of `len` bytes with this head is plain.
    fn is_plain(head: &Self::Head, len: usize) -> bool;

    /// The flow of a plain packet.
    fn key(head: &Self::Head) -> FlowKey<Self>;

    /// Its length from the IP header on, bytes.
    fn ip_len(head: &Self::Head) -> u16;

    /// Its time to live or hop limit.
    fn hops_left(head: &Self::Head) -> u8;

    /// Its TCP flags, if it is TCP.
    fn tcp_flags(head: &Self::Head) -> u8;

    /// All that [`crate::parse`] says of it.
    fn headers(head: &Self::Head) -> Headers<Self>;

    /// Takes a hop from its time to live, which must be more than 1.
    fn pass(head: &mut Self::Head);

    /// Whether it has an L4 checksum. UDP that has none is to be given one when its ends change.
    fn is_summed(head: &Self::Head, proto: u8) -> bool;

    /// Takes a hop, and changes the sums of the IP header and of `proto` by as much as its ends are going
    /// to.
    fn pass_adjusted(head: &mut Self::Head, proto: u8, l3_delta: Delta, l4_delta: Delta);

    /// Writes its source.
    fn set_source(head: &mut Self::Head, address: Self, port: u16);

    /// Writes its destination.
    fn set_destination(head: &mut Self::Head, address: Self, port: u16);
}

/// The headers of a plain packet; `None` for all others, whatever they are.
#[inline(always)]
pub fn headers<A: PlainForm>(frame: &[u8]) -> Option<Headers<A>> {
    let head = A::head(frame)?;
    A::is_plain(head, frame.len()).then(|| A::headers(head))
}

/// Whether an IP packet of `len` bytes has room for the L4 header behind the IP header.
#[inline(always)]
fn holds_l4(proto: u8, len: usize, ip_header_len: usize) -> bool {
    proto == protocol::TCP && len >= ip_header_len + tcp::MIN_LEN
        || proto == protocol::UDP && len >= ip_header_len + udp::HEADER_LEN
}

/// Source and destination port from the first word of L4.
#[inline(always)]
fn ports(word: u32) -> (u16, u16) {
    ((word >> 16) as u16, word as u16)
}

/// Whether there is a checksum in an L4 header.
#[inline(always)]
fn is_summed(l4: &[u8], proto: u8) -> bool {
    proto == protocol::TCP || be16(l4, udp::CHECKSUM) != 0
}

/// Changes it.
#[inline(always)]
fn adjust_l4(l4: &mut [u8], proto: u8, delta: Delta) {
    if proto == protocol::TCP {
        put16(l4, tcp::CHECKSUM, checksum::adjust(be16(l4, tcp::CHECKSUM), delta));
    } else {
        let check = checksum::adjust(be16(l4, udp::CHECKSUM), delta);
        put16(l4, udp::CHECKSUM, if check == 0 { udp::ZERO_CHECKSUM } else { check });
    }
}
