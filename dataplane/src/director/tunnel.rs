//! Into tunnels: a client's packet, or an error on its way to the real server (`ip_vs_tunnel_xmit`,
//! `ip_vs_tunnel_xmit_v6`, `ensure_mtu_is_adequate`).
//!
//! How packets are wrapped is the destination's at the moment, as in the kernel: an edit holds for
//! conns that exist.

use super::lane::Flow;
use super::onward::Way;
use super::path_mtu::PathMtus;
use super::send::{IpIds, send, send_pieces};
use super::{Director, FlowFamily, Outbox, Tables};
use crate::address::Family;
use crate::flow::Direction;
use crate::forward::icmp_error::IcmpError;
use crate::forward::tunnel::{self, Encap, Ends, Inner, Outer};
use crate::forward::{fits, gatewaying};
use crate::io::{Packet, Pool};
use crate::limits::MAX_FRAGMENTS;
use crate::nexthop::{NextHop, NextHopState};
use crate::parse::Headers;
use crate::time::Tick;
use crate::verdict::{DropReason, Verdict};
use crate::wire::{ipv4, ipv6};

/// A tunnel and the way that its packets take.
pub(super) struct Tunnel<'a> {
    pub encap: Encap,
    /// The first hop, beyond which its target is the far end.
    pub hop: &'a NextHop,
    /// The largest outer packet that passes the whole path.
    pub path_mtu: u16,
}

/// What outer packets and their fragments are made with.
struct Means<'a, L> {
    ids: &'a mut IpIds,
    pool: &'a mut L,
}

impl<'a> Tunnel<'a> {
    /// The tunnel of a conn that has one: wrapping as its destination says, or if that was removed,
    /// as it did when the conn began.
    #[inline]
    pub(super) fn of<A>(tables: &'a Tables, paths: &PathMtus, way: &Way<A>, now: Tick) -> Self {
        let edited = tables.services.encap(way.dest);
        let encap = edited.or_else(|| Encap::from_bits(way.local)).unwrap_or_default();
        let hop = tables.next_hops.get(way.next_hop);
        Tunnel { encap, hop, path_mtu: paths.mtu(way.next_hop, hop, now) }
    }

    /// The largest inner packet of this family that is not refused. Every sender of IPv6 may count on
    /// 1280 bytes, so where fewer pass, the outer packet is cut (RFC 2473 section 7.1; the kernel
    /// drops them all).
    #[inline]
    pub(super) fn mtu(&self, inner: Family) -> u16 {
        let mtu = self.encap.tunnel_mtu(self.path_mtu, Family::of(self.hop.target));
        mtu.max(if inner == Family::V4 { ipv4::MIN_MTU } else { ipv6::MIN_MTU })
    }

    /// Puts a packet into the tunnel and sends it. An outer IPv4 header has DF or an identification.
    #[inline]
    fn wrap<A: FlowFamily, P: Packet, L: Pool<Packet = P>>(
        &self,
        packet: &mut P,
        headers: &Headers<A>,
        df: bool,
        entropy: u16,
        means: Means<'_, L>,
        out: &mut Outbox<P>,
    ) -> Verdict {
        let Some(ends) = Ends::new(self.hop.local, self.hop.target) else {
            return Verdict::Drop(DropReason::NoRoute);
        };
        let (outer, id) = (Outer { encap: self.encap, ends }, (!df).then(|| means.ids.next()));
        if !tunnel::encapsulate(packet, &headers.into(), &outer, id, entropy) {
            return Verdict::Drop(DropReason::NoHeadroom);
        }
        let (l3, ip_len) = (headers.l3, headers.ip_len + self.encap.overhead(ends.family()));
        match fits(ip_len, self.path_mtu) {
            true => send(packet, l3, ip_len, self.hop, means.pool, out),
            false => self.cut(packet, l3, ip_len, means, out),
        }
    }

    /// Sends an outer packet in pieces.
    #[inline(never)]
    fn cut<P: Packet, L: Pool<Packet = P>>(
        &self,
        packet: &mut P,
        l3: u8,
        ip_len: u16,
        means: Means<'_, L>,
        out: &mut Outbox<P>,
    ) -> Verdict {
        let (Means { ids, pool }, hop) = (means, NextHop { mtu: self.path_mtu, ..*self.hop });
        if hop.target.is_ipv4() {
            return send(packet, l3, ip_len, &hop, pool, out);
        }
        if hop.state == NextHopState::NoRoute {
            return Verdict::Drop(DropReason::NoRoute);
        }
        let (id, limit) = (ids.next_wide(), out.fragments_left.min(MAX_FRAGMENTS));
        if !tunnel::fragment(packet, l3.into(), hop.mtu, id, pool, &mut out.followers, limit) {
            return Verdict::Drop(DropReason::FragNoBuffer);
        }
        send_pieces(packet, l3, &hop, out)
    }
}

impl<P: Packet, L: Pool<Packet = P>> Director<P, L> {
    /// Takes a client's packet, whose time to live is more than 1, to its real server. What may not
    /// be cut and is too large is refused; without `pmtu_disc` the outer packet of an IPv4 one is cut
    /// instead.
    #[inline]
    pub(super) fn enter_tunnel<A: FlowFamily>(
        &mut self,
        packet: &mut P,
        flow: &Flow<A>,
        way: &Way<A>,
        out: &mut Outbox<P>,
    ) -> Verdict {
        let (headers, pmtu_disc) = (&flow.headers, self.tables.services.settings.pmtu_disc);
        if self.tables.next_hops.get(way.next_hop).state == NextHopState::Local {
            gatewaying::forward(packet, headers);
            return Verdict::Deliver;
        }
        let tunnel = Tunnel::of(&self.tables, &self.path_mtus, way, self.now);
        let whole = headers.df && (pmtu_disc || A::FAMILY == Family::V6);
        let mtu = tunnel.mtu(A::FAMILY);
        if whole && !fits(headers.ip_len, mtu) {
            let error = IcmpError::FragmentationNeeded { mtu, direction: Direction::Inbound };
            return self.refuse_client(packet, flow, way, error, out);
        }
        let df = Inner::from(headers).outer_df(pmtu_disc);
        let means = Means { ids: &mut self.ip_ids, pool: &mut self.pool };
        tunnel.wrap(packet, headers, df, flow.hash.entropy(), means, out)
    }

    /// Takes an ICMP error to its real server. No error is sent about it: what is too large goes
    /// in pieces in spite of DF, but no router cuts IPv6 (`ip_vs_icmp_xmit`, `ip_vs_icmp_xmit_v6`).
    pub(super) fn error_enters_tunnel<A: FlowFamily>(
        &mut self,
        packet: &mut P,
        headers: &Headers<A>,
        way: &Way<A>,
        out: &mut Outbox<P>,
    ) -> Verdict {
        let pmtu_disc = self.tables.services.settings.pmtu_disc;
        let tunnel = Tunnel::of(&self.tables, &self.path_mtus, way, self.now);
        let whole = fits(headers.ip_len, tunnel.mtu(A::FAMILY));
        if !whole && A::FAMILY == Family::V6 {
            return Verdict::Drop(DropReason::FragNeeded);
        }
        let df = Inner::from(headers).outer_df(pmtu_disc) && whole;
        let means = Means { ids: &mut self.ip_ids, pool: &mut self.pool };
        tunnel.wrap(packet, headers, df, headers.key.sport, means, out)
    }
}
