//! ICMP errors about a conn's packets, rewritten as the conn's packets are (`ip_vs_nat_icmp`,
//! `ip_vs_nat_icmp_v6`, `ip_vs_core.c`).
//!
//! The address changes in the outer header and in the quoted one, the port in the quote. The header
//! checksums and the message's are computed anew, as the kernel does: the message's was seen to be
//! right ([`checksum_ok`]), and a quoted header is what a router made of it. The quoted TCP or UDP
//! checksum stays what it was: the quote is cut too short for anyone to check it.
//!
//! ICMPv6 differs from the kernel's twice, so that it is as good as ICMP: a real server's error
//! reaches the client, where the kernel loses it; and a message with a wrong checksum is dropped,
//! where the kernel gives it a right one.

use crate::flow::FlowKey;
use crate::io::Packet;
use crate::parse::{Headers, IcmpHeaders};
use crate::wire::checksum::UNCHANGED;
use crate::wire::ip::IpHeader;
use crate::wire::ipv4::{self, MIN_LEN};
use crate::wire::{be16, be32, icmp, put16, tcp};

/// Smallest MTU that IPv4 knows (RFC 791).
const LEAST_MTU: u16 = 68;

/// Whether the message's checksum is right. IPVS drops an error about a conn where it is not.
pub fn checksum_ok<A: IpHeader, P: Packet>(packet: &P, headers: &IcmpHeaders<A>) -> bool {
    let end = usize::from(headers.l3) + usize::from(headers.ip_len);
    let message = &packet.bytes()[headers.l4.into()..end];
    let pseudo_header = A::icmp_pseudo_header(headers.src, headers.dst, message.len() as u16);
    icmp::checksum_ok(message, pseudo_header)
}

/// Client's side to real server: the error is about a reply, so the outer destination and the quoted
/// source VIP:VPORT become `rip`:`rport`. The time to live must be more than 1.
pub fn inbound<A: IpHeader, P: Packet>(
    packet: &mut P,
    headers: &IcmpHeaders<A>,
    rip: A,
    rport: u16,
) {
    let ends = Ends { outer: A::DST, quoted: A::SRC, port: tcp::SPORT };
    rewrite(packet, headers, &ends, rip, rport);
}

/// Real server's side to client: the error is about a client's packet, so the quoted destination
/// RIP:RPORT becomes `vip`:`vport`, and the outer source the VIP whoever sent it: a router that the
/// client could not know of, too. The time to live must be more than 1.
pub fn outbound<A: IpHeader, P: Packet>(
    packet: &mut P,
    headers: &IcmpHeaders<A>,
    vip: A,
    vport: u16,
) {
    let ends = Ends { outer: A::SRC, quoted: A::DST, port: tcp::DPORT };
    rewrite(packet, headers, &ends, vip, vport);
}

/// Offsets of what changes.
struct Ends {
    outer: usize,
    quoted: usize,
    port: usize,
}

fn rewrite<A: IpHeader, P: Packet>(
    packet: &mut P,
    headers: &IcmpHeaders<A>,
    ends: &Ends,
    address: A,
    port: u16,
) {
    let quoted_l4 = headers.quoted_l4().expect("an error about a flow quotes it");
    let frame = packet.bytes_mut();
    address.put(&mut frame[headers.l3.into()..], ends.outer);
    address.put(&mut frame[usize::from(headers.l4) + icmp::HEADER_LEN..], ends.quoted);
    put16(frame, quoted_l4 + ends.port, port);
    finish(packet, headers);
}

/// Takes one from the time to live of a rewritten error and computes its checksums: of both IP headers
/// and of the message.
pub(super) fn finish<A: IpHeader, P: Packet>(packet: &mut P, headers: &IcmpHeaders<A>) {
    trim(packet, headers);
    let header_len = usize::from(headers.l4 - headers.l3);
    let quoted_l4 = headers.quoted_l4().expect("an error about a flow quotes it");
    let quoted_len = quoted_l4 - usize::from(headers.l4) - icmp::HEADER_LEN;
    let ip = &mut packet.bytes_mut()[headers.l3.into()..];
    let (outer, message) = ip.split_at_mut(header_len);
    A::take_hop(outer, UNCHANGED);
    A::write_checksum(outer);
    A::write_checksum(&mut message[icmp::HEADER_LEN..][..quoted_len]);
    let (src, dst) = (A::get(outer, A::SRC), A::get(outer, A::DST));
    let pseudo_header = A::icmp_pseudo_header(src, dst, message.len() as u16);
    icmp::write_checksum(message, pseudo_header);
}

fn trim<A, P: Packet>(packet: &mut P, headers: &IcmpHeaders<A>) {
    let end = usize::from(headers.l3) + usize::from(headers.ip_len);
    packet.truncate(end);
}

/// The message as a packet for the leaves that do not look into it; without ports.
pub fn as_packet<A: IpHeader, P: Packet>(packet: &P, headers: &IcmpHeaders<A>) -> Headers<A> {
    let (ip, src, dst) = (&packet.bytes()[headers.l3.into()..], headers.src, headers.dst);
    Headers {
        key: FlowKey { src, dst, proto: A::ICMP, ..FlowKey::default() },
        vlan: headers.vlan,
        ip_len: headers.ip_len,
        l3: headers.l3,
        l4: headers.l4,
        event: 0,
        ttl: headers.ttl,
        tos: A::tos(ip),
        df: A::df(ip),
    }
}

/// The four bytes after the message's checksum.
pub fn rest<A, P: Packet>(packet: &P, headers: &IcmpHeaders<A>) -> u32 {
    be32(&packet.bytes()[headers.l4.into()..], icmp::REST)
}

/// Of an error about a tunnel's outer packet: that packet's source and destination, host order. IPVS
/// knows such errors in IPv4 alone (`ip_vs_in_icmp`).
pub fn tunnel_ends<P: Packet>(packet: &P, headers: &IcmpHeaders) -> (u32, u32) {
    let outer = &packet.bytes()[usize::from(headers.l4) + icmp::HEADER_LEN..];
    (ipv4::src(outer), ipv4::dst(outer))
}

/// What fragmentation-needed about a tunnel's outer packet means for the inner one: the path's MTU
/// less the outer header, not below what IPv4 guarantees, not above `tunnel_mtu`, which passes here.
pub fn inner_mtu<P: Packet>(packet: &P, headers: &IcmpHeaders, tunnel_mtu: u16) -> u16 {
    let path_mtu = be16(&packet.bytes()[headers.l4.into()..], icmp::MTU);
    path_mtu.saturating_sub(MIN_LEN as u16).min(tunnel_mtu).max(LEAST_MTU)
}

/// Leaves of an error about a tunnel's outer packet the inner packet, as far as it is quoted, behind
/// the frame's link header: as if it had come in that way. Gives its headers, the length being that
/// of what is there.
pub fn unwrap<P: Packet>(packet: &mut P, headers: &IcmpHeaders) -> Headers {
    trim(packet, headers);
    let l3 = usize::from(headers.l3);
    let outer = usize::from(headers.l4) + icmp::HEADER_LEN;
    let inner = outer + ipv4::header_len(&packet.bytes()[outer..]);
    packet.bytes_mut().copy_within(..l3, inner - l3);
    packet.shrink_front(inner - l3);
    let ip = &packet.bytes()[l3..];
    let header_len = ipv4::header_len(ip);
    // A quoted length that cannot be is not believed: the ports at least were seen to be there.
    let ip_len = usize::from(ipv4::total_len(ip)).max(header_len + 4).min(ip.len());
    Headers {
        key: headers.quoted().expect("an error about a tunnelled flow quotes it"),
        vlan: headers.vlan,
        ip_len: ip_len as u16,
        l3: headers.l3,
        l4: headers.l3 + header_len as u8,
        event: 0,
        ttl: ip[ipv4::TTL],
        tos: ip[ipv4::TOS],
        df: ipv4::fragment(ip) & ipv4::DF != 0,
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests6;
