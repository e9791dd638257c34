//! The rewrite of plain packets: untagged, without options or extension headers, TCP or UDP with a
//! checksum. Every offset is a constant, and both directions are the same stores.
//!
//! [`super::masq`] and [`super::gatewaying`] say the same of all packets; tests hold them together.

use crate::flow::{FlowKey, protocol};
use crate::wire::checksum::{self, Delta};
use crate::wire::{be16, ethernet, ipv4, ipv6, put16, put32, put128, tcp, udp};

const L3: usize = ethernet::HEADER_LEN;

/// What masq changes: the ends that the packet leaves with, and by how much its sums change, as
/// [`super::masq::deltas`] gives it.
pub struct Change<A> {
    /// The flow as the next hop is to see it.
    pub ends: FlowKey<A>,
    /// The IP header's change.
    pub l3_delta: Delta,
    /// That of TCP or UDP.
    pub l4_delta: Delta,
}

/// A family's plain packets.
pub trait PlainForm: Sized {
    /// Where L4 begins in the frame.
    const L4: usize;

    /// Takes a hop from the packet; its time to live or hop limit must be more than 1. `None`, and nothing
    /// done, if the frame is too short for a plain one.
    fn pass(frame: &mut [u8]) -> Option<()>;

    /// Changes the ends and takes a hop. `None`, and nothing done, if the packet is not plain.
    fn masq(frame: &mut [u8], change: &Change<Self>) -> Option<()>;
}

impl PlainForm for u32 {
    const L4: usize = L3 + ipv4::MIN_LEN;

    #[inline(always)]
    fn pass(frame: &mut [u8]) -> Option<()> {
        let frame = frame.first_chunk_mut::<{ Self::L4 }>()?;
        take_hop(frame, checksum::UNCHANGED);
        Some(())
    }

    #[inline(always)]
    fn masq(frame: &mut [u8], change: &Change<u32>) -> Option<()> {
        const L4: usize = <u32 as PlainForm>::L4;
        let frame = frame.first_chunk_mut::<{ L4 + tcp::MIN_LEN }>()?;
        let at = checksum_at(&frame[L4..], change.ends.proto)?;
        take_hop(frame, change.l3_delta);
        put32(frame, L3 + ipv4::SRC, change.ends.src);
        put32(frame, L3 + ipv4::DST, change.ends.dst);
        finish(&mut frame[L4..], at, change);
        Some(())
    }
}

impl PlainForm for u128 {
    const L4: usize = L3 + ipv6::HEADER_LEN;

    #[inline(always)]
    fn pass(frame: &mut [u8]) -> Option<()> {
        let frame = frame.first_chunk_mut::<{ Self::L4 }>()?;
        frame[L3 + ipv6::HOP_LIMIT] -= 1;
        Some(())
    }

    #[inline(always)]
    fn masq(frame: &mut [u8], change: &Change<u128>) -> Option<()> {
        const L4: usize = <u128 as PlainForm>::L4;
        let frame = frame.first_chunk_mut::<{ L4 + tcp::MIN_LEN }>()?;
        let at = checksum_at(&frame[L4..], change.ends.proto)?;
        frame[L3 + ipv6::HOP_LIMIT] -= 1;
        put128(frame, L3 + ipv6::SRC, change.ends.src);
        put128(frame, L3 + ipv6::DST, change.ends.dst);
        finish(&mut frame[L4..], at, change);
        Some(())
    }
}

/// Takes one from the time to live, and changes the header's checksum by that and by `delta`.
#[inline(always)]
fn take_hop(frame: &mut [u8], delta: Delta) {
    let ip = &mut frame[L3..];
    let ttl_delta = ipv4::take_ttl(ip);
    ipv4::adjust_checksum(ip, checksum::combine(delta, ttl_delta));
}

/// Where the checksum is in the L4 header; `None` for a protocol that is not plain, and for UDP
/// without a checksum, which is to be given one.
#[inline(always)]
fn checksum_at(l4: &[u8], proto: u8) -> Option<usize> {
    match proto {
        protocol::TCP => Some(tcp::CHECKSUM),
        protocol::UDP => (be16(l4, udp::CHECKSUM) != 0).then_some(udp::CHECKSUM),
        _ => None,
    }
}

/// Ports and checksum.
#[inline(always)]
fn finish<A>(l4: &mut [u8], checksum_at: usize, change: &Change<A>) {
    put16(l4, tcp::SPORT, change.ends.sport);
    put16(l4, tcp::DPORT, change.ends.dport);
    let check = checksum::adjust(be16(l4, checksum_at), change.l4_delta);
    let zero = check == 0 && checksum_at == udp::CHECKSUM;
    put16(l4, checksum_at, if zero { udp::ZERO_CHECKSUM } else { check });
}
