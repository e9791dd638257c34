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
