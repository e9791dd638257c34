//! NAT of both ends: the real server sees a local end of the director in place of the client's, so
//! that its answers come back whatever its routes (DPVS `dp_vs_out_xmit_fnat`, `dp_vs_xmit_fnat`;
//! the kernel has no such method).
//!
//! Checksums are adjusted as by [`super::masq`], a missing one of UDP computed likewise.

use super::masq::{finish_udp, parts};
use super::{icmp_related, masq_fragment};
use crate::flow::protocol;
use crate::io::Packet;
use crate::parse::{Headers, IcmpHeaders};
use crate::wire::checksum::{self, Delta};
use crate::wire::ip::IpHeader;
use crate::wire::{be16, icmp, put16, sctp, tcp};

/// Address and port of one end, host order.
pub type End<A> = (A, u16);

/// Source and destination that a packet is to have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ends<A> {
    /// Source.
    pub src: End<A>,
    /// Destination.
    pub dst: End<A>,
}

impl<A> Ends<A> {
    /// Those of packets the other way.
    #[must_use]
    pub fn reversed(self) -> Ends<A> {
        Ends { src: self.dst, dst: self.src }
    }
}

/// The changes of a conn's checksums inwards, from `came` to `leaves`: the IP header's (addresses) and
/// TCP's or UDP's (addresses and ports). Outwards they are negated.
pub fn deltas<A: IpHeader>(came: &Ends<A>, leaves: &Ends<A>) -> (Delta, Delta) {
    let addresses =
        checksum::combine(A::delta(came.src.0, leaves.src.0), A::delta(came.dst.0, leaves.dst.0));
    let ports = checksum::combine(
        checksum::delta16(came.src.1, leaves.src.1),
        checksum::delta16(came.dst.1, leaves.dst.1),
    );
    (addresses, checksum::combine(addresses, ports))
}

/// Gives a packet of either direction both its new `ends`, with the [`deltas`] of this direction. The
/// time to live must be more than 1.
pub fn rewrite<A: IpHeader, P: Packet>(
    packet: &mut P,
    headers: &Headers<A>,
    ends: &Ends<A>,
    (l3_delta, l4_delta): (Delta, Delta),
) {
    let (ip, l4) = parts(packet, headers);
    ends.src.0.put(ip, A::SRC);
    ends.dst.0.put(ip, A::DST);
    A::take_hop(ip, l3_delta);
    let ports = (be16(l4, tcp::SPORT), be16(l4, tcp::DPORT));
    put16(l4, tcp::SPORT, ends.src.1);
    put16(l4, tcp::DPORT, ends.dst.1);
    match headers.key.proto {
        protocol::TCP => {
            let check = checksum::adjust(be16(l4, tcp::CHECKSUM), l4_delta);
            put16(l4, tcp::CHECKSUM, check);
        }
        protocol::UDP => finish_udp::<A>(ip, l4, l4_delta),
        // As with masq, one that was wrong goes out right unless the ports stay.
        _ if ports != (ends.src.1, ends.dst.1) => sctp::write_checksum(l4),
        _ => {}
    }
}

/// [`rewrite`] of a datagram's first fragment, which has its ports and its checksum. `false`, and
/// nothing changed but padding, if they are not there or the checksum cannot follow: SCTP's, which is
/// of the whole.
#[must_use]
pub fn rewrite_first<A: IpHeader, P: Packet>(
    packet: &mut P,
    headers: &Headers<A>,
    ends: &Ends<A>,
    (l3_delta, l4_delta): (Delta, Delta),
) -> bool {
    let (_, l4) = parts(packet, headers);
    let (ports, proto) = ((ends.src.1, ends.dst.1), headers.key.proto);
    let done = match proto {
        protocol::TCP | protocol::UDP => {
            masq_fragment::change_port(l4, proto, (tcp::SPORT, ports.0), l4_delta)
        }
        _ => l4.len() >= 4 && ports == (be16(l4, tcp::SPORT), be16(l4, tcp::DPORT)),
    };
    if done {
        put16(l4, tcp::DPORT, ports.1);
        rewrite_later(packet, headers, ends, l3_delta);
    }
    done
}

/// [`rewrite`] of a later fragment, in which L4 is payload.
pub fn rewrite_later<A: IpHeader, P: Packet>(
    packet: &mut P,
    headers: &Headers<A>,
    ends: &Ends<A>,
    l3_delta: Delta,
) {
    let (ip, _) = parts(packet, headers);
    ends.src.0.put(ip, A::SRC);
    ends.dst.0.put(ip, A::DST);
    A::take_hop(ip, l3_delta);
}

/// An ICMP error about a packet of the conn: it is to be about one that has the `quoted` ends, and to go
/// back between them. All checksums but the quoted L4's are computed anew, as by
/// [`icmp_related`]. The time to live must be more than 1.
pub fn rewrite_error<A: IpHeader, P: Packet>(
    packet: &mut P,
    headers: &IcmpHeaders<A>,
    quoted: &Ends<A>,
) {
    let quoted_l4 = headers.quoted_l4().expect("an error about a flow quotes it");
    let (l4, quote) = (usize::from(headers.l4), usize::from(headers.l4) + icmp::HEADER_LEN);
    let frame = packet.bytes_mut();
    quoted.src.0.put(&mut frame[quote..], A::SRC);
    quoted.dst.0.put(&mut frame[quote..], A::DST);
    put16(frame, quoted_l4 + tcp::SPORT, quoted.src.1);
    put16(frame, quoted_l4 + tcp::DPORT, quoted.dst.1);
    quoted.dst.0.put(&mut frame[headers.l3.into()..l4], A::SRC);
    quoted.src.0.put(&mut frame[headers.l3.into()..l4], A::DST);
    icmp_related::finish(packet, headers);
}

#[cfg(test)]
mod tests;
