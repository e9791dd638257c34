//! A real server that is the director itself: Linux takes its packets off the kernel twin and answers
//! through it (the kernel's local node: `__ip_vs_get_out_rt`, `ip_vs_xmit.c`).
//!
//! Its next hop is [`NextHopState::Local`]. A client's packet is rewritten as for any real server, but
//! nothing forwards it: it keeps its time to live, and no MTU stands in its way. What Linux sends from
//! one of its own addresses is looked up as the reply that it may be, for gatewaying and tunnels too,
//! as in the kernel (`ip_vs_out_hook` at `LOCAL_OUT`), and leaves on the way that Linux chose.

use super::lane::{Flow, Shape};
use super::onward::Way;
use super::{Director, FlowFamily, Outbox};
use crate::conn::ConnId;
use crate::flow::{Direction, FlowKey};
use crate::forward::icmp_error::IcmpError;
use crate::forward::icmp_related;
use crate::ids::InterfaceId;
use crate::io::{Packet, Pool};
use crate::limits::MAX_PORTS;
use crate::nexthop::{NextHop, NextHopState};
use crate::parse::{Content, FragmentHeaders, Headers, IcmpHeaders, Parsed, parse_any};
use crate::route::RouteTarget;
use crate::service::ForwardingMethod;
use crate::time::Tick;
use crate::verdict::{DropReason, PuntClass, Verdict};
use crate::wire::ethernet;
use crate::wire::ip::IpHeader;
use crate::wire::tcp::flags;

/// Whether a packet has arrived where it is to go, so that its time to live does not matter. One of 0
/// is never sent (RFC 1122 section 3.2.1.7).
pub(super) fn is_delivered<A>(hop: &NextHop, headers: &Headers<A>) -> bool {
    hop.state == NextHopState::Local && headers.ttl > 0
}

impl<P: Packet, L: Pool<Packet = P>> Director<P, L> {
    /// A client's packet whose time to live ends here: refused, unless here is where it is to go.
    #[cold]
    pub(super) fn expired<A: FlowFamily>(
        &mut self,
        packet: &mut P,
        flow: &Flow<A>,
        way: &Way<A>,
        out: &mut Outbox<P>,
    ) -> Verdict {
        if !is_delivered(self.tables.next_hops.get(way.next_hop), &flow.headers) {
            return self.refuse_client(packet, flow, way, IcmpError::TimeExceeded, out);
        }
        if flow.shape == Shape::Cut && way.method == Some(ForwardingMethod::Masq) {
            return Verdict::Drop(DropReason::BadL4Header);
        }
        let headers = Headers { ttl: u8::MAX, ..flow.headers };
        self.forward(packet, &Flow { headers, ..*flow }, way, out)
    }

    /// Gives Linux a client's packet that is rewritten for it, on the twin of the interface that it
    /// came in on. One to an address that is not Linux's own is dropped, as in the kernel: gatewaying
    /// needs the virtual address there (`crosses_local_route_boundary`, `ip_vs_xmit.c`).
    #[cold]
    pub(super) fn deliver(
        &self,
        mut packet: P,
        interface: Option<InterfaceId>,
        out: &mut Outbox<P>,
    ) {
        let at = ip_at(&packet);
        let is_own = match packet.bytes()[at] >> 4 {
            4 => self.is_own(u32::get(&packet.bytes()[at..], u32::DST)),
            _ => self.is_own(u128::get(&packet.bytes()[at..], u128::DST)),
        };
        if !is_own {
            return out.tally.drop_one(DropReason::NoRoute);
        }
        give_hop(&mut packet);
        self.punt(PuntClass::Rest, packet, interface, out);
    }

    fn is_own<A: FlowFamily>(&self, address: A) -> bool {
        self.tables.routes.lookup(address) == Some(RouteTarget::Local)
    }

    /// Sends what Linux does, each frame through its own port; what it answers for a real server goes
    /// through its conn first. The first `handed_in` came from other workers and are of this one's
    /// conns.
    pub fn from_linux(
        &mut self,
        frames: &mut Vec<P>,
        handed_in: usize,
        now: Tick,
        out: &mut Outbox<P>,
    ) {
        if frames.is_empty() {
            return;
        }
        self.now = now;
        // Without any service IPVS is not in the way: see `leave_to_linux`.
        let serves = !self.tables.services.services().is_empty();
        let any_local = serves && self.tables.next_hops.any_local();
        for (place, mut packet) in frames.drain(..).enumerate() {
            let verdict = match any_local {
                true => self.linux_sends(&mut packet, place < handed_in, out),
                false => Verdict::Transmit(packet.port()),
            };
            match verdict {
                Verdict::Transmit(port) if port.index() < MAX_PORTS => out.transmit(port, packet),
                Verdict::HandOver(owner) => out.hand_over_linuxs(owner, packet),
                Verdict::Drop(reason) => out.tally.drop_one(reason),
                _ => out.tally.drop_one(DropReason::NoRoute),
            }
        }
        self.conns.end_window();
    }

    fn linux_sends(&mut self, packet: &mut P, handed_in: bool, out: &mut Outbox<P>) -> Verdict {
        let verdict = match parse_any(packet.bytes()) {
            Parsed::V4(content) => self.linux_says(packet, content, handed_in, out),
            Parsed::V6(content) => self.linux_says(packet, content, handed_in, out),
            Parsed::Other(..) | Parsed::Drop(_) => None,
        };
        verdict.unwrap_or(Verdict::Transmit(packet.port()))
    }

    /// `None` for what is of no conn here, and leaves as it is.
    fn linux_says<A: FlowFamily>(
        &mut self,
        packet: &mut P,
        content: Content<A>,
        handed_in: bool,
        out: &mut Outbox<P>,
    ) -> Option<Verdict> {
        let flow = match content {
            Content::Flow(headers) => Flow::new(headers, Shape::Whole, &self.conns),
            Content::Riding(headers) => Flow::new(headers, Shape::Riding, &self.conns),
            Content::Fragment(fragment) => self.linux_fragment(&fragment)?,
            Content::Icmp(icmp) => return self.linux_refuses(packet, &icmp, handed_in),
            Content::CutFlow(_) => return None,
        };
        let headers = &flow.headers;
        if headers.ttl == 0 || !self.is_own(headers.key.src) {
            return None;
        }
        let owner = self.tables.owner(&headers.key);
        if !handed_in && owner != self.worker {
            return Some(Verdict::HandOver(owner));
        }
        let opens = headers.event & (flags::SYN | flags::ACK) == flags::SYN;
        let id = self.conn_served_here(&headers.key, opens)?;
        Some(self.linux_replies(packet, &flow, id, out))
    }

    /// A fragment of what may be a reply, with the ports of its datagram.
    fn linux_fragment<A: FlowFamily>(&mut self, fragment: &FragmentHeaders<A>) -> Option<Flow<A>> {
        if !fragment.may_be_of_flow() {
            return None;
        }
        let (key, shape) = self.linux_fragments.complete(fragment)?;
        let headers = Headers { key, ..fragment.headers };
        Some(Flow::new(headers, shape, &self.conns))
    }

    /// The conn of a reply that Linux sends: of masq to the real server's address, else to the virtual
    /// one; or one that was announced to begin so, if the packet `opens` a connection. What a busy
    /// shard does not tell is left as it is: Linux's other connections must not wait for it, and TCP
    /// asks again.
    fn conn_served_here<A: FlowFamily>(&mut self, key: &FlowKey<A>, opens: bool) -> Option<ConnId> {
        let id = match self.conn_of_reply(key) {
            None if opens => self.expected_conn(key)?.ok()?.0,
            known => known?,
        };
        let hop = self.tables.next_hops.get(self.conns.get(id).next_hop);
        (hop.state == NextHopState::Local).then_some(id)
    }

    fn conn_of_reply<A: FlowFamily>(&mut self, key: &FlowKey<A>) -> Option<ConnId> {
        use ForwardingMethod::{Gatewaying, Ipip, Masq};
        if let Some((id, Direction::Outbound)) = self.conn_of_flow(key) {
            return (self.conns.get(id).flags.method() == Some(Masq)).then_some(id);
        }
        match self.conn_of_flow(&key.reversed())? {
            (id, Direction::Inbound) => {
                let method = self.conns.get(id).flags.method();
                matches!(method, Some(Gatewaying | Ipip)).then_some(id)
            }
            (_, Direction::Outbound) => None,
        }
    }

    /// Tracks and counts a reply; of masq it gets the virtual address.
    fn linux_replies<A: FlowFamily>(
        &mut self,
        packet: &mut P,
        flow: &Flow<A>,
        id: ConnId,
        out: &mut Outbox<P>,
    ) -> Verdict {
        let (dest, flags) = (self.conns.get(id).dest, self.conns.get(id).flags);
        let later = flow.shape == Shape::Later;
        match later {
            true => self.count_later(dest, Direction::Outbound, &flow.headers),
            false if flags.method() != Some(ForwardingMethod::Masq) => self.note_reply(flow, id),
            false => {}
        }
        if flags.method() != Some(ForwardingMethod::Masq) {
            return Verdict::Transmit(packet.port());
        }
        let hop = as_addressed(packet, flow.headers.vlan);
        let verdict = if later {
            self.reply_later(packet, flow, (id, &hop), out)
        } else if flags.plain_method().is_some() {
            self.reply(packet, flow, (id, &hop), out)
        } else {
            self.reply_helped(packet, flow, (id, &hop), out)
        };
        give_hop(packet);
        verdict
    }

    /// An ICMP error of Linux's about a client's packet: nobody listens, for one.
    fn linux_refuses<A: FlowFamily>(
        &mut self,
        packet: &mut P,
        icmp: &IcmpHeaders<A>,
        handed_in: bool,
    ) -> Option<Verdict> {
        let key = icmp.flow().filter(|_| icmp.ttl > 0 && self.is_own(icmp.src))?;
        let owner = self.tables.owner(&key);
        if !handed_in && owner != self.worker {
            return Some(Verdict::HandOver(owner));
        }
        let id = self.conn_of_reply(&key)?;
        let conn = self.conns.get(id);
        if self.tables.next_hops.get(conn.next_hop).state != NextHopState::Local {
            return None;
        }
        if let Some(counters) = self.counters_of(conn.dest) {
            counters.outbound(u64::from(icmp.ip_len));
        }
        if conn.flags.method() == Some(ForwardingMethod::Masq) {
            let ((_, vip), vport) = (self.conns.client_and_vip::<A>(conn), conn.vport);
            icmp_related::outbound(packet, icmp, vip, vport);
            give_hop(packet);
        }
        Some(Verdict::Transmit(packet.port()))
    }
}

/// Offset of the IP header.
fn ip_at<P: Packet>(packet: &P) -> usize {
    ethernet::link(packet.bytes()).map_or(0, |link| usize::from(link.payload))
}

/// The next hop that Linux has addressed a frame to; whatever its length, it fits.
fn as_addressed<P: Packet>(packet: &P, vlan: u16) -> NextHop {
    let mac = |at: usize| packet.bytes()[at..].first_chunk().copied().unwrap_or_default();
    let (dst_mac, src_mac, port) = (mac(0), mac(6), packet.port());
    let (state, mtu) = (NextHopState::Resolved, u16::MAX);
    NextHop { port, vlan, mtu, dst_mac, src_mac, state, ..NextHop::NONE }
}

/// Gives an IP packet back the hop that its rewriting took.
fn give_hop<P: Packet>(packet: &mut P) {
    let at = ip_at(packet);
    let ip = &mut packet.bytes_mut()[at..];
    match ip[0] >> 4 {
        4 => u32::give_hop(ip),
        _ => u128::give_hop(ip),
    }
}
