//! An error about a tunnel's packet, made into one about the client's own (`ip_vs_in_icmp`; RFC 2473
//! section 8, RFC 4213 section 3.4).

use crate::address::{Address, Family};
use crate::flow::FlowKey;
use crate::forward::icmp_error::IcmpError;
use crate::io::Packet;
use crate::parse::{Headers, IcmpHeaders, Tunnelled};
use crate::wire::ip::IpHeader;
use crate::wire::{icmp, icmpv6};

/// L4 bytes of the inner packet that are there.
const PORTS_LEN: usize = 4;

/// The MTU of the path, if that is what the error tells: `rest` are the four bytes after its
/// checksum.
pub fn path_mtu<O: Address>(error: &IcmpHeaders<O>, rest: u32) -> Option<u16> {
    match (O::FAMILY, error.kind, error.code) {
        (Family::V4, icmp::kind::UNREACHABLE, icmp::code::FRAGMENTATION_NEEDED) => {
            Some(rest as u16)
        }
        (Family::V6, icmpv6::kind::PACKET_TOO_BIG, _) => {
            Some(u16::try_from(rest).unwrap_or(u16::MAX))
        }
        _ => None,
    }
}

/// What the error, which is not about the size, is to a client of family `to`. Of its own family
/// it gets the same, but no pointer into a header that it did not write; of the other, what means
/// as much. `None`: there is no such error.
pub fn passed_on<O: Address>(error: &IcmpHeaders<O>, rest: u32, to: Family) -> Option<IcmpError> {
    let IcmpHeaders { kind, code, .. } = *error;
    let (kind, code, rest) = match (O::FAMILY, to) {
        (Family::V4, Family::V4) => (kind, code, rest),
        (Family::V4, Family::V6) => v6_for_v4(kind, code)?,
        (Family::V6, Family::V4) => v4_for_v6(kind, code),
        (Family::V6, Family::V6) => match kind {
            icmpv6::kind::UNREACHABLE | icmpv6::kind::TIME_EXCEEDED => (kind, code, rest),
            _ => (icmpv6::kind::UNREACHABLE, icmpv6::code::ADDRESS_UNREACHABLE, 0),
        },
    };
    Some(IcmpError::PassedOn { kind, code, rest })
}

/// ICMPv6's type, code and rest for ICMP's (RFC 7915 section 4.2).
fn v6_for_v4(kind: u8, code: u8) -> Option<(u8, u8, u32)> {
    use icmp::code::{HOST_PROHIBITED, NET_PROHIBITED, PORT_UNREACHABLE, PROHIBITED};
    Some(match (kind, code) {
        (icmp::kind::TIME_EXCEEDED, code) => (icmpv6::kind::TIME_EXCEEDED, code, 0),
        (icmp::kind::UNREACHABLE, code) => {
            let code = match code {
                PORT_UNREACHABLE => icmpv6::code::PORT_UNREACHABLE,
                NET_PROHIBITED | HOST_PROHIBITED | PROHIBITED => icmpv6::code::PROHIBITED,
                _ => icmpv6::code::ADDRESS_UNREACHABLE,
            };
            (icmpv6::kind::UNREACHABLE, code, 0)
        }
        _ => return None,
    })
}

/// The other way (RFC 7915 section 5.2).
fn v4_for_v6(kind: u8, code: u8) -> (u8, u8, u32) {
    match (kind, code) {
        (icmpv6::kind::TIME_EXCEEDED, code) => (icmp::kind::TIME_EXCEEDED, code, 0),
        (icmpv6::kind::UNREACHABLE, icmpv6::code::PORT_UNREACHABLE) => {
            (icmp::kind::UNREACHABLE, icmp::code::PORT_UNREACHABLE, 0)
        }
        (icmpv6::kind::UNREACHABLE, icmpv6::code::PROHIBITED) => {
            (icmp::kind::UNREACHABLE, icmp::code::HOST_PROHIBITED, 0)
        }
        _ => (icmp::kind::UNREACHABLE, icmp::code::HOST_UNREACHABLE, 0),
    }
}

/// Leaves of the error the inner packet, as far as it is quoted, behind the frame's link header: as
/// if it had come in that way. Gives its headers, the length being that of what is there. `key` is
/// the flow of `inner`.
pub fn unwrap<O, A: IpHeader, P: Packet>(
    packet: &mut P,
    error: &IcmpHeaders<O>,
    inner: &Tunnelled,
    key: FlowKey<A>,
) -> Headers<A> {
    let l3 = usize::from(error.l3);
    packet.truncate(l3 + usize::from(error.ip_len));
    let at = usize::from(inner.at);
    packet.bytes_mut().copy_within(..l3, at - l3);
    packet.shrink_front(at - l3);
    let ip = &packet.bytes()[l3..];
    let header_len = usize::from(inner.header_len);
    // A quoted length that cannot be is not believed: the ports at least were seen to be there.
    let ip_len = A::total_len(ip).max(header_len + PORTS_LEN).min(ip.len());
    Headers {
        key,
        vlan: error.vlan,
        ip_len: ip_len as u16,
        l3: error.l3,
        l4: u8::try_from(l3 + header_len).unwrap_or(u8::MAX),
        event: 0,
        ttl: A::ttl(ip),
        tos: A::tos(ip),
        df: A::df(ip),
    }
}
