//! ICMP errors of IPv4.

use super::{ErrorForm, IcmpError, TTL};
use crate::flow::protocol;
use crate::limits::ICMP_ERROR_MAX;
use crate::parse::Headers;
use crate::wire::icmp::{self, code, kind};
use crate::wire::ipv4::{self, Template};

/// Precedence "internetwork control" (RFC 1812 section 4.3.2.5).
const PRECEDENCE: u8 = 0xc0;
/// The bits that an error takes over from the packet's TOS (`RT_TOS`).
const TOS_MASK: u8 = 0x1e;

impl ErrorForm for u32 {
    const MAX_LEN: usize = ICMP_ERROR_MAX;

    /// Not about an ICMP error, a later fragment, or a packet to a group or from no single host.
    fn may_answer(ip: &[u8]) -> bool {
        let later_fragment = ipv4::fragment(ip) & ipv4::OFFSET_MASK != 0;
        let about_error = ip[ipv4::PROTOCOL] == protocol::ICMP
            && ip.get(ipv4::header_len(ip)).is_none_or(|kind| icmp::is_error(*kind));
        let one_host = |address: u32| {
            let first = (address >> 24) as u8;
            first != 0 && first != 127 && first < 224
        };
        !later_fragment && !about_error && one_host(ipv4::src(ip)) && one_host(ipv4::dst(ip))
    }

    fn message(error: IcmpError) -> (u8, u8, u32) {
        match error {
            IcmpError::TimeExceeded => (kind::TIME_EXCEEDED, 0, 0),
            IcmpError::PortUnreachable => (kind::UNREACHABLE, code::PORT_UNREACHABLE, 0),
            IcmpError::FragmentationNeeded { mtu, .. } => {
                (kind::UNREACHABLE, code::FRAGMENTATION_NEEDED, mtu.into())
            }
            IcmpError::PassedOn { kind, code, rest } => (kind, code, rest),
        }
    }

    fn write_header(ip: &mut [u8], headers: &Headers, src: u32, message_len: u16, id: u16) {
        let header = Template {
            tos: PRECEDENCE | headers.tos & TOS_MASK,
            total_len: ipv4::MIN_LEN as u16 + message_len,
            id,
            fragment: 0,
            ttl: TTL,
            proto: protocol::ICMP,
            src,
            dst: headers.key.src,
        };
        header.write(ip);
    }
}
