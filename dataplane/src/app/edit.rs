//! Replaces a part of a packet's TCP payload by bytes of another length (`nf_nat_mangle_tcp_packet`).
//!
//! The kernel looks at the checksum of each packet of a conn with a helper before anything else, and
//! drops those where it is wrong (`tcp_snat_handler`, `tcp_dnat_handler`): a new checksum would make
//! broken bytes look whole. So does [`replace`].

use crate::address::{Address, Family};
use crate::io::Packet;
use crate::parse::Headers;
use crate::verdict::DropReason;
use crate::wire::{checksum, ipv4, ipv6, put16, tcp};
use std::ops::Range;

/// Why a packet was not edited; it is as it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// The TCP header lies about its length, or the payload has no such part.
    BadHeader,
    /// The TCP checksum is wrong.
    BadChecksum,
    /// Too long for its buffer or for the length field.
    NoRoom,
}

impl Refused {
    /// What such a packet is dropped as.
    pub fn reason(self) -> DropReason {
        match self {
            Refused::BadHeader => DropReason::BadL4Header,
            Refused::BadChecksum => DropReason::BadTcpChecksum,
            Refused::NoRoom => DropReason::NoTailroom,
        }
    }
}

/// Where the TCP payload lies in the frame, without Ethernet padding; `None` if the TCP header lies
/// about its length.
pub fn payload<A: Address>(frame: &[u8], headers: &Headers<A>) -> Option<Range<usize>> {
    let (l4, end) = (usize::from(headers.l4), ip_end(headers));
    let tcp = frame.get(l4..end)?;
    let header_len = if tcp.len() < tcp::MIN_LEN { 0 } else { tcp::header_len(tcp) };
    (tcp::MIN_LEN..=tcp.len()).contains(&header_len).then(|| l4 + header_len..end)
}

/// Whether the TCP checksum is right.
pub fn checksum_ok<A: Address>(frame: &[u8], headers: &Headers<A>) -> bool {
    checksum::fold(segment_sum(frame, headers)) == 0xffff
}

/// Puts `with` in the place of `span`, offsets into the payload. Ethernet padding goes; lengths and
/// checksums are made true, `headers.ip_len` is kept up: whether the packet still fits the MTU, the
/// caller sees there. Gives how many bytes longer it is.
///
/// # Errors
/// [`Refused`]; nothing changed then.
pub fn replace<P: Packet, A: Address>(
    packet: &mut P,
    headers: &mut Headers<A>,
    span: Range<usize>,
    with: &[u8],
) -> Result<i32, Refused> {
    let payload = payload(packet.bytes(), headers).ok_or(Refused::BadHeader)?;
    if span.start > span.end || span.end > payload.len() {
        return Err(Refused::BadHeader);
    }
    if !checksum_ok(packet.bytes(), headers) {
        return Err(Refused::BadChecksum);
    }
    let new_len = usize::from(headers.ip_len) - span.len() + with.len();
    let new_len = u16::try_from(new_len).map_err(|_| Refused::NoRoom)?;
    let (start, end) = (payload.start + span.start, payload.start + span.end);
    if !splice(packet, ip_end(headers), start..end, with) {
        return Err(Refused::NoRoom);
    }
    let diff = i32::from(new_len) - i32::from(headers.ip_len);
    headers.ip_len = new_len;
    write_lengths(&mut packet.bytes_mut()[headers.l3.into()..], headers);
    write_checksum(packet.bytes_mut(), headers);
    Ok(diff)
}

/// Offset behind the IP packet.
fn ip_end<A: Address>(headers: &Headers<A>) -> usize {
    usize::from(headers.l3) + usize::from(headers.ip_len)
}

/// Replaces bytes of the frame, which becomes what ends at `end` and is longer or shorter by that.
/// `false`, and nothing changed, if there is no room.
fn splice<P: Packet>(packet: &mut P, end: usize, place: Range<usize>, with: &[u8]) -> bool {
    let (old_len, new_end) = (packet.bytes().len(), end - place.len() + with.len());
    if new_end > old_len && !packet.grow_back(new_end - old_len) {
        return false;
    }
    let frame = packet.bytes_mut();
    frame.copy_within(place.end..end, place.start + with.len());
    frame[place.start..place.start + with.len()].copy_from_slice(with);
    packet.truncate(new_end);
    true
}

pub(crate) fn write_lengths<A: Address>(ip: &mut [u8], headers: &Headers<A>) {
    match A::FAMILY {
        Family::V4 => {
            let delta = checksum::delta16(ipv4::total_len(ip), headers.ip_len);
            put16(ip, ipv4::TOTAL_LEN, headers.ip_len);
            ipv4::adjust_checksum(ip, delta);
        }
        Family::V6 => put16(ip, ipv6::PAYLOAD_LEN, headers.ip_len - ipv6::HEADER_LEN as u16),
    }
}

fn write_checksum<A: Address>(frame: &mut [u8], headers: &Headers<A>) {
    let at = usize::from(headers.l4) + tcp::CHECKSUM;
    put16(frame, at, 0);
    let check = !checksum::fold(segment_sum(frame, headers));
    put16(frame, at, check);
}

/// Sum of the TCP segment and its pseudo header, with the addresses that the packet carries.
fn segment_sum<A: Address>(frame: &[u8], headers: &Headers<A>) -> u64 {
    let addresses = match A::FAMILY {
        Family::V4 => ipv4::SRC..ipv4::MIN_LEN,
        Family::V6 => ipv6::SRC..ipv6::HEADER_LEN,
    };
    let segment = &frame[headers.l4.into()..ip_end(headers)];
    let rest = u64::from(headers.key.proto) + segment.len() as u64;
    checksum::sum(&frame[headers.l3.into()..][addresses]) + rest + checksum::sum(segment)
}

#[cfg(test)]
mod tests;
