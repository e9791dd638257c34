//! ICMP errors that the director makes, in the offending packet's own buffer (`icmp_send`,
//! `icmp6_send`, and `ip_vs_xmit.c` for which form of the packet is quoted).

use super::trimmed_ip;
use crate::flow::Direction;
use crate::io::Packet;
use crate::parse::Headers;
use crate::wire::checksum::UNCHANGED;
use crate::wire::ip::IpHeader;
use crate::wire::{icmp, put32};

mod v4;
mod v6;

/// Hop limit, or time to live, of packets the director makes.
const TTL: u8 = 64;

/// What went wrong with a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IcmpError {
    /// Its time to live ran out here.
    TimeExceeded,
    /// It has DF, or is IPv6's, and is larger than `mtu`, the largest that passes: of a tunnel, the
    /// inner size.
    /// The quote has the time to live taken from already if the packet went inwards (IPVS
    /// decrements before it looks at the MTU), and not if outwards (`ip_forward` does after).
    FragmentationNeeded {
        /// Next-hop MTU told to the sender.
        mtu: u16,
        /// Where the packet went.
        direction: Direction,
    },
    /// Its service has no destination for it.
    PortUnreachable,
    /// A router on a tunnel's way says so about the outer packet, in which it travelled.
    PassedOn {
        /// ICMP type.
        kind: u8,
        /// ICMP code.
        code: u8,
        /// The four bytes after the checksum.
        rest: u32,
    },
}

/// What errors are like in one family.
pub trait ErrorForm: IpHeader {
    /// Bytes of a whole error at most, its IP header included.
    const MAX_LEN: usize;

    /// Whether an error may be sent about the packet in `ip`.
    fn may_answer(ip: &[u8]) -> bool;

    /// Type, code and the four bytes after the checksum.
    fn message(error: IcmpError) -> (u8, u8, u32);

    /// Writes the IP header of an error of `message_len` bytes about the packet with `headers`. Only
    /// IPv4 has a use for the identification.
    fn write_header(ip: &mut [u8], headers: &Headers<Self>, src: Self, message_len: u16, id: u16);
}

/// Whether an error may be sent about the packet (RFC 1122 section 3.2.2, RFC 4443 section 2.4).
pub fn is_due<A: ErrorForm, P: Packet>(packet: &mut P, headers: &Headers<A>) -> bool {
    A::may_answer(trimmed_ip(packet, headers))
}

/// Turns the packet, as it came, into an error to its source, from `src` (host order; the VIP
/// towards clients) with the identification `id` (IPv4). The link header still is the offending
/// frame's; `headers.l3` stays right. `false`, and nothing changed but padding, if no error may be
/// sent about such a packet (RFC 1122 section 3.2.2, RFC 4443 section 2.4) or there is no headroom.
#[must_use]
pub fn make<A: ErrorForm, P: Packet>(
    packet: &mut P,
    headers: &Headers<A>,
    error: IcmpError,
    src: A,
    id: u16,
) -> bool {
    let (l3, overhead) = (usize::from(headers.l3), A::HEADER_LEN + icmp::HEADER_LEN);
    if !A::may_answer(trimmed_ip(packet, headers)) || !packet.grow_front(overhead) {
        return false;
    }
    let quoted = usize::from(headers.ip_len).min(A::MAX_LEN - overhead);
    packet.truncate(l3 + overhead + quoted);
    let frame = packet.bytes_mut();
    frame.copy_within(overhead..overhead + l3, 0);
    let (ip, message) = frame[l3..].split_at_mut(A::HEADER_LEN);
    let message_len = message.len() as u16;
    write_message::<A>(message, error, A::icmp_pseudo_header(src, headers.key.src, message_len));
    A::write_header(ip, headers, src, message_len, id);
    true
}

/// Type, code, rest and checksum of the message, whose quote is in place.
fn write_message<A: ErrorForm>(message: &mut [u8], error: IcmpError, pseudo_header: u64) {
    if let IcmpError::FragmentationNeeded { direction: Direction::Inbound, .. } = error {
        A::take_hop(&mut message[icmp::HEADER_LEN..], UNCHANGED);
    }
    let (kind, code, rest) = A::message(error);
    message[icmp::TYPE] = kind;
    message[icmp::CODE] = code;
    put32(message, icmp::REST, rest);
    icmp::write_checksum(message, pseudo_header);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::PortId;
    use crate::io::sim::SimPacket;
    use crate::parse::{Content, Parsed, parse};
    use crate::testing::{Frame, assert_frames_equal};

    const CLIENT: u32 = 0xac10_0001;
    const VIP: u32 = 0x0a00_0064;

    fn answered(frame: &[u8], error: IcmpError) -> Option<Vec<u8>> {
        let Parsed::V4(Content::Flow(headers)) = parse(frame) else { panic!("a flow") };
        let mut packet = SimPacket::new(frame, PortId(0));
        make(&mut packet, &headers, error, VIP, 99).then(|| packet.bytes().to_vec())
    }

    #[test]
    fn each_error_quotes_the_packet_as_the_kernel_does() {
        let too_big = |direction| IcmpError::FragmentationNeeded { mtu: 1480, direction };
        let cases = [
            (IcmpError::TimeExceeded, (11, 0, 0), 64),
            (IcmpError::PortUnreachable, (3, 3, 0), 64),
            (too_big(Direction::Inbound), (3, 4, 1480), 63),
            (too_big(Direction::Outbound), (3, 4, 1480), 64),
        ];
        for (error, (kind, code, rest), ttl) in cases {
            for len in [0, 3, 507, 508, 509, 1400] {
                let payload = vec![7; len];
                let came =
                    Frame::tcp(CLIENT, 4000, VIP, 80).tag(8).tos(0xb9).df().payload(&payload);
                let quote = came.clone().ttl(ttl).build_ip();
                let answer = Frame::icmp(VIP, CLIENT, kind, code, rest)
                    .payload(&quote[..quote.len().min(548)])
                    .tag(8)
                    .tos(0xd8)
                    .id(99);
                let got = answered(&came.padding(5).build(), error).expect("an error");
                assert_frames_equal(&got, &answer.build(), &format!("{error:?}, {len}"));
            }
        }
    }

    #[test]
    fn nothing_is_answered_to_groups_or_to_no_single_host() {
        let about = |src, dst| {
            answered(&Frame::udp(src, 1, dst, 2).build(), IcmpError::TimeExceeded).is_some()
        };
        assert!(about(CLIENT, VIP));
        for host in [0, 0x7f00_0001, 0xe000_0001, 0xf000_0001, u32::MAX] {
            assert!(!about(host, VIP), "from {host:#x}");
            assert!(!about(CLIENT, host), "to {host:#x}");
        }
    }

    #[test]
    fn nothing_is_answered_to_errors_and_later_fragments() {
        let reply = Frame::udp(VIP, 53, CLIENT, 4000).build();
        let error = Frame::icmp_error(CLIENT, VIP, 3, 3, &reply, 28);
        assert!(!u32::may_answer(&error.build_ip()));
        assert!(u32::may_answer(&Frame::icmp(CLIENT, VIP, 8, 0, 1).build_ip()));
        let piece = |at| Frame::udp(CLIENT, 4000, VIP, 53).fragment(at, true).build_ip();
        assert!(!u32::may_answer(&piece(8)));
        assert!(u32::may_answer(&piece(0)));
    }
}
