//! ICMP errors about the packets of our own tunnels: the client gets them about its own packet
//! (`ip_vs_in_icmp`), and the path's MTU is kept.
//!
//! The kernel knows them of IPv4 in IPv4 alone. Here they are followed for every mix of families.

use super::tunnel::Tunnel;
use super::{Director, FlowFamily, Outbox};
use crate::conn::ConnId;
use crate::flow::{Direction, FlowKey};
use crate::forward::icmp_error::IcmpError;
use crate::forward::icmp_related;
use crate::forward::tunnel::error::{passed_on, path_mtu, unwrap};
use crate::forward::tunnel::{Ends, Kind, Quoted};
use crate::ids::WorkerId;
use crate::io::{Packet, Pool};
use crate::parse::{IcmpHeaders, Tunnelled, TunnelledFlow};
use crate::service::ForwardingMethod;
use crate::verdict::{DropReason, PuntClass, Verdict};

impl<P: Packet, L: Pool<Packet = P>> Director<P, L> {
    /// Stage 2: the error belongs to the owner of the tunnelled flow, if that comes from a client,
    /// as all in our tunnels do. Another worker, if that is it.
    #[cold]
    pub(super) fn claim_tunnelled<O: FlowFamily>(
        &self,
        icmp: &IcmpHeaders<O>,
        inner: &Tunnelled,
        handed_in: bool,
    ) -> Option<WorkerId> {
        let owner = match &inner.flow {
            TunnelledFlow::V4(key) => self.owner_of_client(key),
            TunnelledFlow::V6(key) => self.owner_of_client(key),
        };
        match owner {
            Some(owner) => (!handed_in && owner != self.worker).then_some(owner),
            None => self.claim_related(icmp, handed_in),
        }
    }

    fn owner_of_client<A: FlowFamily>(&self, key: &FlowKey<A>) -> Option<WorkerId> {
        self.tables.services.is_from_client(key).then(|| self.tables.owner(key))
    }

    /// Stages 4 to 7 of an error of family `O`.
    #[cold]
    pub(super) fn tunnel_related<O: FlowFamily>(
        &mut self,
        packet: &mut P,
        icmp: &IcmpHeaders<O>,
        inner: &Tunnelled,
        out: &mut Outbox<P>,
    ) -> Verdict {
        let told = match inner.flow {
            TunnelledFlow::V4(key) => self.tell_client(packet, icmp, inner, key, out),
            TunnelledFlow::V6(key) => self.tell_client(packet, icmp, inner, key, out),
        };
        match told {
            Some(verdict) => verdict,
            // No tunnel's packet, but one that looks like it.
            None if icmp.flow().is_some() => self.related(packet, icmp, out),
            None => Verdict::Punt(PuntClass::Icmp),
        }
    }

    /// `None` if the packet was none of our tunnels'.
    fn tell_client<O: FlowFamily, A: FlowFamily>(
        &mut self,
        packet: &mut P,
        icmp: &IcmpHeaders<O>,
        inner: &Tunnelled,
        key: FlowKey<A>,
        out: &mut Outbox<P>,
    ) -> Option<Verdict> {
        let (id, direction) = self.conn_of_flow(&key)?;
        if direction != Direction::Inbound || !self.is_our_tunnel::<O, A>(icmp, &inner.tunnel, id) {
            return None;
        }
        if !icmp_related::checksum_ok(packet, icmp) {
            return Some(Verdict::Drop(DropReason::BadIcmpChecksum));
        }
        let rest = icmp_related::rest(packet, icmp);
        let (error, too_big) = match path_mtu(icmp, rest) {
            Some(mtu) => (self.learn_path_mtu::<A>(id, mtu), true),
            None => (passed_on(icmp, rest, A::FAMILY), false),
        };
        let headers = unwrap(packet, icmp, inner, key);
        // A path too narrow is no news to a client whose packets are cut.
        let Some(error) = error.filter(|_| headers.df || !too_big) else {
            return Some(Verdict::Drop(DropReason::TunnelError));
        };
        // IPVS counts both the quoted packet and the error for packets from the destination.
        let dest = self.conns.get(id).dest;
        let counted_for = self.counters_of(dest).map(|counters| {
            counters.outbound(u64::from(headers.ip_len));
            dest
        });
        Some(self.refuse(packet, &headers, error, counted_for, out))
    }

    /// Whether the quoted packet was made here for this conn, and the error has come back to where
    /// that left from.
    fn is_our_tunnel<O: FlowFamily, A: FlowFamily>(
        &self,
        icmp: &IcmpHeaders<O>,
        quoted: &Quoted,
        id: ConnId,
    ) -> bool {
        let way = self.way_of::<A>(id);
        let Tunnel { encap, hop, .. } = Tunnel::of(&self.tables, &self.path_mtus, &way, self.now);
        way.method == Some(ForwardingMethod::Ipip)
            && icmp.dst.ip() == hop.local
            && Some(quoted.ends) == Ends::new(hop.local, hop.target)
            && quoted.kind == Kind::of(encap)
    }

    /// Keeps the MTU of the path to the conn's real server; what it means to its client.
    fn learn_path_mtu<A: FlowFamily>(&mut self, id: ConnId, mtu: u16) -> Option<IcmpError> {
        let way = self.way_of::<A>(id);
        let hop = self.tables.next_hops.get(way.next_hop);
        self.path_mtus.learn(way.next_hop, hop, mtu, self.now);
        let tunnel = Tunnel::of(&self.tables, &self.path_mtus, &way, self.now);
        let (mtu, direction) = (tunnel.mtu(A::FAMILY), Direction::Outbound);
        let (kind, code, rest) = A::message(IcmpError::FragmentationNeeded { mtu, direction });
        Some(IcmpError::PassedOn { kind, code, rest })
    }
}
