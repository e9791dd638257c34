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
use crate::wire::{be32, icmp, put16, tcp};

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

pub(super) fn trim<A, P: Packet>(packet: &mut P, headers: &IcmpHeaders<A>) {
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

#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests6;
