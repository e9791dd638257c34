//! Tunnelling: the client's packet whole, behind an outer header to the real server
//! (`ip_vs_tunnel_xmit`, `ip_vs_tunnel_xmit_v6`; encapsulations `ipvs_gre_encap`,
//! `ipvs_gue_encap`). Either family travels in either.
//!
//! The outer header takes TTL (after the decrement) and TOS of the inner one. Its flow label is 0,
//! as the kernel's.

mod encap;
pub mod error;
mod fragment;
mod gre;
mod gue;
mod inner;
mod outer;
mod quoted;

pub use encap::{Encap, GueChecksum};
pub use fragment::fragment;
pub use gue::source_port;
pub use inner::{Inner, Unfinished};
pub use outer::{Ends, Outer};
pub use quoted::{Kind, Quoted, unwrap_quoted};

use crate::address::Family;
use crate::flow::protocol;
use crate::io::Packet;
use crate::wire::ipv4::{self, Template};
use crate::wire::{ethernet, put16};

/// Takes one from the inner time to live, which must be more than 1, and puts the outer header in
/// front; Ethernet padding goes.
///
/// Over IPv4, with an `id` the outer packet has it and may be fragmented on its way; without one it
/// has DF and identification 0 (see [`Inner::outer_df`]). `entropy` should differ from flow to flow
/// and be one for a flow: GUE's source port is made of it, and so routers spread flows. `false`,
/// and nothing changed, if there is no headroom or the length does not fit 16 bits.
#[inline]
#[must_use]
pub fn encapsulate<P: Packet>(
    packet: &mut P,
    inner: &Inner,
    outer: &Outer,
    id: Option<u16>,
    entropy: u16,
) -> bool {
    match (outer.encap, outer.ends, inner.family) {
        (Encap::Ipip, Ends::V4 { local, remote }, Family::V4) => {
            four_in_four(packet, inner, local, remote, id)
        }
        _ => wrap(packet, inner, outer, id, entropy),
    }
}

/// [`encapsulate`] for the plainest tunnel, IPv4 in IPv4: all lengths are constants.
#[inline]
#[must_use]
pub(super) fn four_in_four<P: Packet>(
    packet: &mut P,
    inner: &Inner,
    local: u32,
    remote: u32,
    id: Option<u16>,
) -> bool {
    let Some(total_len) = inner.ip_len.checked_add(ipv4::MIN_LEN as u16) else { return false };
    if !make_room(packet, inner, ipv4::MIN_LEN) {
        return false;
    }
    let l3 = usize::from(inner.l3);
    let frame = packet.bytes_mut();
    ipv4::decrement_ttl(&mut frame[l3 + ipv4::MIN_LEN..]);
    let header = Template {
        tos: inner.outer_tos(),
        total_len,
        id: id.unwrap_or(0),
        fragment: if id.is_none() { ipv4::DF } else { 0 },
        ttl: inner.ttl - 1,
        proto: protocol::IPIP,
        src: local,
        dst: remote,
    };
    header.write(&mut frame[l3..]);
    true
}

/// [`encapsulate`] for everything.
fn wrap<P: Packet>(
    packet: &mut P,
    inner: &Inner,
    outer: &Outer,
    id: Option<u16>,
    entropy: u16,
) -> bool {
    let Outer { encap, ends } = outer;
    let header_len = ends.header_len();
    let shim_len = encap.shim_len() + inner.option_len(*encap);
    let Some(len) = ends.length_field(shim_len + usize::from(inner.ip_len)) else { return false };
    if !make_room(packet, inner, header_len + shim_len) {
        return false;
    }
    let l3 = usize::from(inner.l3);
    let frame = packet.bytes_mut();
    put16(frame, l3 - 2, ends.ethertype());
    let (header, payload) = frame[l3..].split_at_mut(header_len);
    inner.decrement(&mut payload[shim_len..]);
    let proto = match *encap {
        Encap::Ipip => inner.protocol(),
        Encap::Gre { checksum } => gre::write(payload, inner, checksum),
        Encap::Gue { port, checksum } => gue::write(payload, inner, ends, port, checksum, entropy),
    };
    ends.write(header, inner, len, proto, id);
    true
}

/// Makes `room` in front of the IP packet: the link header moves to the new front, its old place
/// becomes part of the room. Cuts padding off. `false`, and nothing changed, without headroom.
#[inline(always)]
fn make_room<P: Packet>(packet: &mut P, inner: &Inner, room: usize) -> bool {
    if !packet.grow_front(room) {
        return false;
    }
    let l3 = usize::from(inner.l3);
    let end = room + l3 + usize::from(inner.ip_len);
    if packet.bytes().len() > end {
        packet.truncate(end);
    }
    let frame = packet.bytes_mut();
    if l3 == ethernet::HEADER_LEN {
        // A constant length is moved without a call.
        frame.copy_within(room..room + ethernet::HEADER_LEN, 0);
    } else {
        frame.copy_within(room..room + l3, 0);
    }
    true
}

#[cfg(test)]
mod tests;
