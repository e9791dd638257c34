//! One connection: 64 bytes, one cache line, everything that forwarding its packets needs.

use crate::flow::{Direction, FlowKey};
use crate::ids::{DestId, NextHopId};
use crate::proto;
use crate::service::ForwardingMethod;
use crate::time::Tick;
use bytemuck::{Pod, Zeroable};

/// The bits of a conn. The low 16 are those of the kernel's sync protocol
/// (`include/uapi/linux/ip_vs.h`, `IP_VS_CONN_F_*`); those above are the table's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Pod, Zeroable)]
#[repr(transparent)]
pub struct ConnFlags(u32);

bitflags::bitflags! {
    impl ConnFlags: u32 {
        /// Forwarding method, not a single bit: see [`ConnFlags::method`].
        const FWD_MASK = 0x0007;
        /// Past the service, to where the packets were going (the kernel's `IP_VS_CONN_F_BYPASS`).
        const BYPASS = 0x0004;
        /// The director does not see the replies.
        const NOOUTPUT = 0x0080;
        /// Counted as inactive: not established.
        const INACTIVE = 0x0100;
        /// The client's port is not known yet (FTP data).
        const NO_CPORT = 0x0800;
        /// A persistence template, not a connection.
        const TEMPLATE = 0x1000;
        /// Forgotten right after the packet that made it (one-packet scheduling).
        const ONE_PACKET = 0x2000;

        /// Published: set by the last write of an insertion, cleared by the first of a removal.
        const LIVE = 1 << 16;
        /// In a chain of the wheel, which may outlast the conn: see [`super::wheel`].
        const FILED = 1 << 17;
        /// Not a conn but the second line of one: addresses of 16 bytes.
        const SECOND_LINE = 1 << 18;
        /// Client and virtual address are IPv6, in the second line.
        const V6 = 1 << 19;
        /// The real server's address is IPv6, in the second line.
        const RIP_V6 = 1 << 20;
        /// Replies come back through the director and are looked up by a key of their own.
        const REPLIES = 1 << 21;
        /// A helper reads its packets (the kernel's `cp->app`).
        const HELPED = 1 << 22;
        /// Fullnat: the real server has sent data, or nothing is told to it.
        const ANSWERED = 1 << 23;
        /// Its client's packets are those of a later conn, as replies.
        const UNHEARD = 1 << 24;

        /// What tells a plain way: all zero for masq, and for no other method and no helper.
        const WAY = Self::FWD_MASK.0 | Self::HELPED.0;
        /// [`ForwardingMethod::Masq`] in [`ConnFlags::WAY`].
        const MASQ = ForwardingMethod::Masq as u32;
        /// [`ForwardingMethod::Gatewaying`] in [`ConnFlags::WAY`].
        const GATEWAYING = ForwardingMethod::Gatewaying as u32;
        /// [`ForwardingMethod::Ipip`] in [`ConnFlags::WAY`].
        const IPIP = ForwardingMethod::Ipip as u32;
        /// [`ForwardingMethod::Fullnat`] in [`ConnFlags::WAY`].
        const FULLNAT = ForwardingMethod::Fullnat as u32;
        /// What says whether a conn is found by its inbound key: [`ConnFlags::LIVE`] alone.
        const HEARD = Self::LIVE.0 | Self::UNHEARD.0;
        /// What a conn whose replies are looked up has.
        const ANSWERS = Self::LIVE.0 | Self::REPLIES.0;

        const _ = !0;
    }
}

impl ConnFlags {
    /// The kernel's number for a forwarding method.
    pub const fn of_method(method: ForwardingMethod) -> ConnFlags {
        ConnFlags(method as u32)
    }

    /// The forwarding method, or `None` for the kernel's two that no destination of ours has
    /// (local node and cache bypass).
    #[inline]
    pub fn method(self) -> Option<ForwardingMethod> {
        self.method_within(Self::FWD_MASK)
    }

    /// The same, and also `None` for a conn that a helper reads: so that who asks which way a packet
    /// goes learns in the same comparison that it does not go a plain one.
    #[inline]
    pub fn plain_method(self) -> Option<ForwardingMethod> {
        self.method_within(Self::FWD_MASK | Self::HELPED)
    }

    #[inline]
    fn method_within(self, mask: ConnFlags) -> Option<ForwardingMethod> {
        match self.0 & mask.0 {
            0 => Some(ForwardingMethod::Masq),
            2 => Some(ForwardingMethod::Ipip),
            3 => Some(ForwardingMethod::Gatewaying),
            5 => Some(ForwardingMethod::Fullnat),
            _ => None,
        }
    }

    /// Whether packets in a direction are looked up for a conn, which is of the family: [`ConnFlags::V6`]
    /// or none.
    #[inline(always)]
    pub(super) fn is_found(self, direction: Direction, family: ConnFlags) -> bool {
        let (asked, needed) = match direction {
            Direction::Inbound => (ConnFlags::HEARD, ConnFlags::LIVE),
            Direction::Outbound => (ConnFlags::ANSWERS, ConnFlags::ANSWERS),
        };
        self.0 & (asked.0 | ConnFlags::V6.0) == needed.0 | family.0
    }

    /// The bits that the table keeps for itself, whatever a caller asks for.
    pub(super) const OWN: ConnFlags = ConnFlags(!0xffff & !Self::HELPED.0);

    /// Whether replies of conns of this method are looked up by their own key.
    #[inline]
    pub(crate) fn has_replies(self) -> bool {
        matches!(self.method(), Some(ForwardingMethod::Masq | ForwardingMethod::Fullnat))
    }
}

/// A connection. Addresses and ports in host order, times in ticks.
///
/// The key fields (`proto`, `cip`, `cport`, `vip`, `vport`, `rip`, `rport`, the method in `flags`)
/// and the table's own (`link`, `side`, the flags from bit 16) are not to be changed through
/// [`super::ConnTable::get_mut`]: the index would no longer find the conn.
///
/// A conn of IPv6 or of mixed families takes a second entry, marked [`ConnFlags::SECOND_LINE`], for
/// its addresses of 16 bytes. The first keeps this layout; where such an address would stand it
/// names the second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
#[repr(C, align(64))]
pub struct Conn {
    /// Virtual address the client speaks to; 0 in an IPv6 conn.
    pub vip: u32,
    /// Client's address; of an IPv6 conn the entry of its second line.
    pub cip: u32,
    /// Real server's address; if that alone is IPv6, the entry of the second line.
    pub rip: u32,
    /// Virtual port.
    pub vport: u16,
    /// Client's port.
    pub cport: u16,
    /// Real server's port.
    pub rport: u16,
    /// Fullnat: local port towards the real server. A tunnel: the port of its outer header.
    pub lport: u16,
    /// Fullnat: local address towards the real server, an index above 0. A tunnel: its kind.
    pub lip_index: u16,
    /// IP protocol number.
    pub proto: u8,
    /// State of the protocol's machine, in the kernel's numbers.
    pub state: u8,
    /// Forwarding method and properties.
    pub flags: ConnFlags,
    /// Destination it belongs to.
    pub dest: DestId,
    /// When its last packet came: the one store per packet that its timer costs.
    pub last_seen: Tick,
    /// Ticks without a packet after which it is over.
    pub timeout: u32,
    /// Packets from the client, wrapping (sync and thresholds count by it).
    pub in_packets: u32,
    /// Next entry in its chain of the wheel, plus one; 0 ends the chain.
    pub(super) link: u32,
    /// When it was last told to the standby.
    pub sync_end: u32,
    /// Its record in the side table, plus one; 0 for none.
    pub(super) side: u32,
    /// What the inbound rewrite changes in the IPv4 header's one's-complement sum, as
    /// [`crate::forward::masq::deltas`] gives it.
    pub l3_delta: u16,
    /// The same for the TCP or UDP checksum.
    pub l4_delta: u16,
    /// Where its inbound packets go next.
    pub next_hop: NextHopId,
    /// State last told to the standby.
    pub synced_state: u8,
    pub(super) spare: u8,
}

const _: () = assert!(size_of::<Conn>() == 64, "a conn is one cache line");

impl Conn {
    /// The key that packets from the client of an IPv4 conn carry.
    #[inline]
    pub fn inbound_key(&self) -> FlowKey {
        FlowKey {
            src: self.cip,
            dst: self.vip,
            sport: self.cport,
            dport: self.vport,
            proto: self.proto,
        }
    }

    /// The key that the real server's replies on an IPv4 masq conn carry; nothing else's are looked
    /// up, but fullnat's by another key.
    #[inline]
    pub fn outbound_key(&self) -> Option<FlowKey> {
        let masq = self.flags.contains(ConnFlags::REPLIES) && self.lip_index == 0;
        masq.then_some(FlowKey {
            src: self.rip,
            dst: self.cip,
            sport: self.rport,
            dport: self.cport,
            proto: self.proto,
        })
    }

    /// Whether its time is over: no packet for `timeout` ticks. `now` is not before `last_seen`.
    #[inline]
    pub fn is_expired(&self, now: Tick) -> bool {
        now.since(self.last_seen) >= self.timeout
    }

    /// A conn whose client has not answered yet, as every one of a flood of SYNs or INITs.
    #[inline]
    pub fn is_half_open(&self) -> bool {
        proto::is_half_open(self.proto, self.state)
    }

    /// Whether it has a record in the side table.
    #[inline]
    pub fn has_side(&self) -> bool {
        self.side != 0
    }

    /// The entry of its second line, if it has one.
    #[inline]
    pub(super) fn second_entry(&self) -> Option<u32> {
        match self.flags & (ConnFlags::V6 | ConnFlags::RIP_V6) {
            ConnFlags::RIP_V6 => Some(self.rip),
            flags if flags.is_empty() => None,
            _ => Some(self.cip),
        }
    }

    /// How many entries it takes: 1 or 2.
    #[inline]
    pub(super) fn entries_taken(&self) -> usize {
        1 + usize::from(self.second_entry().is_some())
    }

    /// Names the second line of a conn that has one.
    #[inline]
    pub(super) fn set_second_entry(&mut self, entry: u32) {
        match self.flags.contains(ConnFlags::V6) {
            true => self.cip = entry,
            false => self.rip = entry,
        }
    }

    /// Of a free entry: which comes after it, plus one; 0 for none. Not [`Conn::link`], since the
    /// wheel may still know it.
    #[inline]
    pub(super) fn next_free(&self) -> u32 {
        self.sync_end
    }

    /// Names the free entry behind this free one.
    #[inline]
    pub(super) fn set_next_free(&mut self, next: u32) {
        self.sync_end = next;
    }

    /// Whether client and virtual address are IPv6.
    #[inline]
    pub fn is_v6(&self) -> bool {
        self.flags.contains(ConnFlags::V6)
    }

    /// Whether the entry holds a conn.
    #[inline]
    pub(super) fn is_live(&self) -> bool {
        self.flags.contains(ConnFlags::LIVE)
    }

    /// Whether `key` is this conn's, in the given direction. `local` gives the local address of an index,
    /// for fullnat.
    #[inline(always)]
    pub(super) fn matches(
        &self,
        key: &FlowKey,
        direction: Direction,
        local: impl Fn(u16) -> u32,
    ) -> bool {
        let reply = (self.rip, self.rport);
        let (src, dst) = match direction {
            Direction::Inbound => ((self.cip, self.cport), (self.vip, self.vport)),
            Direction::Outbound if self.lip_index == 0 => (reply, (self.cip, self.cport)),
            Direction::Outbound => (reply, (local(self.lip_index), self.lport)),
        };
        // In pairs, which are compared as one word where they lie side by side.
        pair32(dst.0, src.0) == pair32(key.dst, key.src)
            && pair16(dst.1, src.1) == pair16(key.dport, key.sport)
            && self.proto == key.proto
            && self.flags.is_found(direction, ConnFlags::empty())
    }
}

#[inline(always)]
fn pair32(low: u32, high: u32) -> u64 {
    u64::from(high) << 32 | u64::from(low)
}

#[inline(always)]
fn pair16(low: u16, high: u16) -> u32 {
    u32::from(high) << 16 | u32::from(low)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::protocol;

    fn replies(method: ForwardingMethod) -> ConnFlags {
        let replies = ConnFlags::of_method(method).has_replies();
        if replies { ConnFlags::REPLIES } else { ConnFlags::empty() }
    }

    fn matches(conn: &Conn, key: &FlowKey, direction: Direction) -> bool {
        conn.matches(key, direction, |_| panic!("not fullnat"))
    }

    fn conn(method: ForwardingMethod) -> Conn {
        Conn {
            cip: 0x0a00_0001,
            vip: 0xc000_0201,
            rip: 0xc633_6401,
            cport: 40000,
            vport: 80,
            rport: 8080,
            proto: protocol::TCP,
            flags: ConnFlags::of_method(method) | ConnFlags::LIVE | replies(method),
            timeout: 16,
            last_seen: Tick(u32::MAX),
            ..Conn::zeroed()
        }
    }

    #[test]
    fn a_masq_conn_matches_both_its_keys_each_in_its_direction_only() {
        let conn = conn(ForwardingMethod::Masq);
        let (inbound, outbound) = (conn.inbound_key(), conn.outbound_key().unwrap());
        assert!(matches(&conn, &inbound, Direction::Inbound));
        assert!(matches(&conn, &outbound, Direction::Outbound));
        assert!(!matches(&conn, &inbound, Direction::Outbound));
        assert!(!matches(&conn, &outbound, Direction::Inbound));
    }

    #[test]
    fn one_changed_field_of_a_key_is_another_conn() {
        let conn = conn(ForwardingMethod::Masq);
        let key = conn.inbound_key();
        for other in [
            FlowKey { src: key.src ^ 1, ..key },
            FlowKey { dst: key.dst ^ 1 << 31, ..key },
            FlowKey { sport: key.sport ^ 0x8000, ..key },
            FlowKey { dport: key.dport ^ 1, ..key },
            FlowKey { proto: protocol::UDP, ..key },
        ] {
            assert!(!matches(&conn, &other, Direction::Inbound), "{other:?}");
        }
    }

    #[test]
    fn replies_of_gatewaying_and_tunnels_are_not_looked_up() {
        for method in [ForwardingMethod::Gatewaying, ForwardingMethod::Ipip] {
            let conn = conn(method);
            let reply = FlowKey {
                src: conn.rip,
                dst: conn.cip,
                sport: conn.rport,
                dport: conn.cport,
                proto: conn.proto,
            };
            assert_eq!(conn.outbound_key(), None);
            assert!(!matches(&conn, &reply, Direction::Outbound));
            assert_eq!(conn.flags.method(), Some(method));
        }
    }

    #[test]
    fn an_unpublished_entry_matches_nothing() {
        let mut conn = conn(ForwardingMethod::Masq);
        conn.flags.remove(ConnFlags::LIVE);
        assert!(!matches(&conn, &conn.inbound_key(), Direction::Inbound));
    }

    #[test]
    fn expiry_is_exact_across_the_wrap_of_time() {
        let conn = conn(ForwardingMethod::Masq);
        assert!(!conn.is_expired(Tick(14)));
        assert!(conn.is_expired(Tick(15)));
    }
}
