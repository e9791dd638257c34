//! ICMPv6 errors.

use super::{ErrorForm, IcmpError, TTL};
use crate::flow::protocol;
use crate::limits::ICMPV6_ERROR_MAX;
use crate::parse::Headers;
use crate::wire::icmpv6::{self, code, kind};
use crate::wire::ipv6::{self, Template};

/// The first 8 bits of group addresses (RFC 4291 section 2.7).
const MULTICAST: u8 = 0xff;

impl ErrorForm for u128 {
    const MAX_LEN: usize = ICMPV6_ERROR_MAX;

    /// Not about an ICMPv6 error, a later fragment, or a packet to a group or from no single host.
    /// A chain of extension headers that cannot be followed is no reason against it
    /// (`is_ineligible`, `net/ipv6/icmp.c`).
    fn may_answer(ip: &[u8]) -> bool {
        let (later_fragment, about_error) = match ipv6::chain(ip) {
            Ok(chain) => {
                let kind = ip.get(chain.len);
                let later = chain.fragment.is_some_and(|fragment| fragment.offset != 0);
                let is_error = kind.is_none_or(|kind| icmpv6::is_error(*kind));
                (later, chain.proto == protocol::ICMPV6 && is_error)
            }
            Err(_) => (false, false),
        };
        let one_host = |address: u128| address != 0 && (address >> 120) as u8 != MULTICAST;
        !later_fragment && !about_error && one_host(ipv6::src(ip)) && one_host(ipv6::dst(ip))
    }

    fn message(error: IcmpError) -> (u8, u8, u32) {
        match error {
            IcmpError::TimeExceeded => (kind::TIME_EXCEEDED, 0, 0),
            IcmpError::PortUnreachable => (kind::UNREACHABLE, code::PORT_UNREACHABLE, 0),
            IcmpError::FragmentationNeeded { mtu, .. } => (kind::PACKET_TOO_BIG, 0, mtu.into()),
            IcmpError::PassedOn { kind, code, rest } => (kind, code, rest),
        }
    }

    /// Traffic class 0, and no flow label, where the kernel's is a secret hash.
    fn write_header(ip: &mut [u8], headers: &Headers<u128>, src: u128, message_len: u16, _: u16) {
        let header = Template {
            traffic_class: 0,
            flow_label: 0,
            payload_len: message_len,
            next_header: protocol::ICMPV6,
            hop_limit: TTL,
            src,
            dst: headers.key.src,
        };
        header.write(ip);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::Direction;
    use crate::forward::icmp_error::make;
    use crate::ids::PortId;
    use crate::io::Packet;
    use crate::io::sim::SimPacket;
    use crate::parse::{Content, Parsed, parse};
    use crate::testing::{Frame, assert_frames_equal};

    const CLIENT: u128 = 0x2001_0db8_00cc << 80 | 1;
    const VIP: u128 = 0x2001_0db8_000c << 80 | 0x100;

    fn answered(frame: &[u8], error: IcmpError) -> Option<Vec<u8>> {
        let Parsed::V6(Content::Flow(headers)) = parse(frame) else { panic!("a flow") };
        let mut packet = SimPacket::new(frame, PortId(0));
        make(&mut packet, &headers, error, VIP, 99).then(|| packet.bytes().to_vec())
    }

    #[test]
    fn each_error_quotes_what_fits_the_least_mtu() {
        let too_big = |direction| IcmpError::FragmentationNeeded { mtu: 1400, direction };
        let passed_on = IcmpError::PassedOn { kind: 1, code: 3, rest: 5 };
        let cases = [
            (IcmpError::TimeExceeded, (3, 0, 0), 64),
            (IcmpError::PortUnreachable, (1, 4, 0), 64),
            (too_big(Direction::Inbound), (2, 0, 1400), 63),
            (too_big(Direction::Outbound), (2, 0, 1400), 64),
            (passed_on, (1, 3, 5), 64),
        ];
        for (error, (kind, code, rest), hop_limit) in cases {
            for len in [0, 3, 1147, 1148, 1149, 1400] {
                let came = Frame::tcp6(CLIENT, 4000, VIP, 80).ext_of_len(60, 24).tag(8);
                let came = came.tos(0xb9).flow_label(0x1_2345).payload(&vec![7; len]);
                let quote = came.clone().ttl(hop_limit).build_ip();
                let answer = Frame::icmp6(VIP, CLIENT, kind, code, rest)
                    .payload(&quote[..quote.len().min(1232)])
                    .tag(8);
                let got = answered(&came.padding(5).build(), error).expect("an error");
                assert_frames_equal(&got, &answer.build(), &format!("{error:?}, {len}"));
            }
        }
    }

    #[test]
    fn nothing_is_answered_to_groups_or_to_no_single_host() {
        let about = |src, dst| {
            answered(&Frame::udp6(src, 1, dst, 2).build(), IcmpError::TimeExceeded).is_some()
        };
        assert!(about(CLIENT, VIP));
        for host in [0, 0xff02 << 112 | 1, u128::MAX] {
            assert!(!about(host, VIP), "from {host:#x}");
            assert!(!about(CLIENT, host), "to {host:#x}");
        }
    }

    #[test]
    fn nothing_is_answered_to_errors_and_later_fragments() {
        let may_answer = |frame: Frame| u128::may_answer(&frame.build_ip());
        let icmp = |kind| Frame::icmp6(CLIENT, VIP, kind, 0, 1);
        assert!(may_answer(icmp(128)) && may_answer(icmp(128).ext_of_len(60, 16)));
        for kind in [1, 4, 127] {
            assert!(!may_answer(icmp(kind)) && !may_answer(icmp(kind).ext_of_len(60, 16)));
        }
        assert!(!may_answer(Frame::raw6(CLIENT, VIP, 58, &[])), "of no type");
        let piece = |at| Frame::udp6(CLIENT, 4000, VIP, 53).fragment6(1, at, true);
        assert!(may_answer(piece(0)) && !may_answer(piece(8)));
        assert!(may_answer(Frame::udp6(CLIENT, 4000, VIP, 53).ext_of_len(60, 400)));
    }
}
