//! The last step: fit the MTU, find the MAC addresses or wait for them; and the answers to packets
//! that cannot go on.

use super::held::Release;
use super::{Director, FlowFamily, Outbox};
use crate::forward::icmp_error::{self, IcmpError};
use crate::forward::{self, fragment, link};
use crate::ids::DestId;
use crate::io::{Packet, Pool};
use crate::limits::MAX_FRAGMENTS;
use crate::nexthop::{NextHop, NextHopState, NextHops, ResolveRequest};
use crate::parse::Headers;
use crate::verdict::{DropReason, Verdict};
use crate::wire::ethernet;
use std::net::IpAddr;

/// Identifications for IPv4 headers made here: ICMP errors, outer headers, fragments. Counting is
/// what RFC 6864 asks of a sender that does not set DF: no repetition within a datagram's lifetime
/// at moderate rates.
#[derive(Debug)]
pub(super) struct IpIds(u32);

impl IpIds {
    /// Beginning behind `first`.
    pub(super) fn new(first: u16) -> IpIds {
        IpIds(u32::from(first) << 16 | u32::from(first))
    }

    /// The next one.
    #[inline]
    pub(super) fn next(&mut self) -> u16 {
        self.next_wide() as u16
    }

    /// The next one for fragments of IPv6, where it has 32 bits.
    #[inline]
    pub(super) fn next_wide(&mut self) -> u32 {
        self.0 = self.0.wrapping_add(1);
        self.0
    }
}

/// Sends a rewritten packet, whose IP header begins at `l3`, towards `hop`. Fragments beyond the
/// first, in buffers from `pool`, follow it in `out` and share its verdict.
#[inline(always)]
pub(super) fn send<P: Packet, L: Pool<Packet = P>>(
    packet: &mut P,
    l3: u8,
    ip_len: u16,
    hop: &NextHop,
    pool: &mut L,
    out: &mut Outbox<P>,
) -> Verdict {
    if hop.state == NextHopState::Resolved && forward::fits(ip_len, hop.mtu) {
        return address(packet, l3, hop);
    }
    send_otherwise(packet, l3, ip_len, hop, pool, out)
}

/// [`send`] where there is no way yet, or one too narrow.
#[inline(never)]
fn send_otherwise<P: Packet, L: Pool<Packet = P>>(
    packet: &mut P,
    l3: u8,
    ip_len: u16,
    hop: &NextHop,
    pool: &mut L,
    out: &mut Outbox<P>,
) -> Verdict {
    match hop.state {
        NextHopState::NoRoute => return Verdict::Drop(DropReason::NoRoute),
        NextHopState::Local => return Verdict::Deliver,
        NextHopState::Unresolved | NextHopState::Resolved => {}
    }
    if !forward::fits(ip_len, hop.mtu) {
        // Nobody on the way cuts IPv6, and no error is sent about an error, which this is.
        if packet.bytes()[usize::from(l3)] >> 4 == 6 {
            return Verdict::Drop(DropReason::FragNeeded);
        }
        let (parts, limit) = (&mut out.followers, out.fragments_left.min(MAX_FRAGMENTS));
        if !fragment::fragment(packet, l3.into(), hop.mtu, pool, parts, limit) {
            return Verdict::Drop(DropReason::FragNoBuffer);
        }
    }
    send_pieces(packet, l3, hop, out)
}

/// Sends a packet that fits, and those that were cut off it and wait among the followers.
pub(super) fn send_pieces<P: Packet>(
    packet: &mut P,
    l3: u8,
    hop: &NextHop,
    out: &mut Outbox<P>,
) -> Verdict {
    let parts = &mut out.followers;
    out.fragments_left -= parts.len();
    out.tally.made += parts.len() as u64;
    for part in parts {
        address(part, l3, hop);
    }
    out.waits_for = hop.target;
    address(packet, l3, hop)
}

impl<P: Packet, L: Pool<Packet = P>> Director<P, L> {
    /// Counts the drop and turns the packet, in its own buffer, into the ICMP error that its
    /// sender gets from the address it had called (`icmp_send`: the VIP is local to the director).
    /// The error counts as a packet from `counted_for`.
    pub(super) fn refuse<A: FlowFamily>(
        &mut self,
        packet: &mut P,
        headers: &Headers<A>,
        error: IcmpError,
        counted_for: Option<DestId>,
        out: &mut Outbox<P>,
    ) -> Verdict {
        let reason = reason(error);
        let verdict = self.answer(packet, headers, error, headers.key.dst, reason, out);
        let answered = !matches!(verdict, Verdict::Drop(_));
        if let Some(dest) = counted_for.filter(|_| answered) {
            let ip_len = packet.bytes().len() - usize::from(headers.l3);
            self.accounts.counters().dest(dest).outbound(ip_len as u64);
        }
        verdict
    }

    /// Drops the packet for `reason` and sends its sender an error from `own`, as far as one may be
    /// sent, made in the packet's buffer.
    pub(super) fn answer<A: FlowFamily>(
        &mut self,
        packet: &mut P,
        headers: &Headers<A>,
        error: IcmpError,
        own: A,
        reason: DropReason,
        out: &mut Outbox<P>,
    ) -> Verdict {
        let Some(hop) = self.hop_to(headers.key.src) else { return Verdict::Drop(reason) };
        if !icmp_error::is_due(packet, headers) || !self.may_send_error(headers.key.src, error) {
            return Verdict::Drop(reason);
        }
        let ip_id = self.ip_ids.next();
        if !icmp_error::make(packet, headers, error, own, ip_id) {
            return Verdict::Drop(reason);
        }
        out.tally.drop_one(reason);
        out.tally.made += 1;
        out.refused = Some(reason);
        let ip_len = (packet.bytes().len() - usize::from(headers.l3)) as u16;
        send(packet, headers.l3, ip_len, &hop, &mut self.pool, out)
    }

    /// Whether Linux's limits leave room for an error to `target`.
    fn may_send_error<A: FlowFamily>(&mut self, target: A, error: IcmpError) -> bool {
        let Some(limits) = &self.tables.services.settings.icmp_limits else { return true };
        let (kind, code, _) = A::message(error);
        let prefix_len = self.tables.routes.prefix_len(target).unwrap_or(0);
        let to = (target, prefix_len);
        let allowed = self.icmp_limiter.allows(limits, to, (kind, code), self.now);
        if !allowed {
            self.accounts.counters().icmp_limited();
        }
        allowed
    }

    /// Lets a finished packet wait for the next hop that the outbox names and asks control to
    /// resolve it.
    pub(super) fn hold(&mut self, packet: P, out: &mut Outbox<P>) {
        let target = out.waits_for;
        // A wish that a full queue loses is repeated by the next packet.
        let _ = self.wishes.push(ResolveRequest { target });
        if self.held.hold(target, packet, self.now).is_err() {
            out.tally.drop_one(DropReason::NextHopUnresolved);
        }
    }

    /// Sends the held packets whose next hop is known by now; drops those that waited too long.
    pub(super) fn release_held(&mut self, out: &mut Outbox<P>) {
        if self.held.is_empty() {
            return;
        }
        let hops = &self.tables.next_hops;
        let judge = |target, late: bool| match resolved(hops, target) {
            None if !late => Release::Keep,
            _ => Release::Go,
        };
        self.held.review(self.now, judge, |target, mut packet| match resolved(hops, target) {
            Some(hop) => {
                let l3 = ethernet::link(packet.bytes()).map_or(0, |link| link.payload);
                match address(&mut packet, l3, hop) {
                    Verdict::Transmit(port) => out.transmit(port, packet),
                    _ => out.tally.drop_one(DropReason::NoHeadroom),
                }
            }
            None => out.tally.drop_one(DropReason::NextHopTimeout),
        });
    }
}

/// What a packet that is answered so is dropped for.
pub(super) fn reason(error: IcmpError) -> DropReason {
    match error {
        IcmpError::TimeExceeded => DropReason::TtlExceeded,
        IcmpError::FragmentationNeeded { .. } => DropReason::FragNeeded,
        IcmpError::PortUnreachable => DropReason::NoDestination,
        IcmpError::PassedOn { .. } => DropReason::TunnelError,
    }
}

fn resolved(hops: &NextHops, target: IpAddr) -> Option<&NextHop> {
    let hop = hops.get(hops.find_ip(target)?);
    (hop.state == NextHopState::Resolved).then_some(hop)
}

/// Writes the Ethernet header for a resolved next hop.
#[inline(always)]
fn address<P: Packet>(packet: &mut P, l3: u8, hop: &NextHop) -> Verdict {
    if hop.state != NextHopState::Resolved {
        return Verdict::Hold;
    }
    if !link::address(packet, l3, hop.vlan, &hop.dst_mac, &hop.src_mac) {
        return Verdict::Drop(DropReason::NoHeadroom);
    }
    Verdict::Transmit(hop.port)
}
