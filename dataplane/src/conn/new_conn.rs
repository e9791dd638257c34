//! What a conn is made from, and why there may be none.

use super::entry::{Conn, ConnFlags};
use super::family::{ConnFamily, LinesOf};
use super::keys::Keys;
use super::second::SecondLine;
use crate::address::{Address, Family};
use crate::flow::FlowKey;
use crate::ids::{DestId, NextHopId};
use crate::time::Tick;
use bytemuck::Zeroable;
use std::net::IpAddr;

/// What a conn is made from. The table sets the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewConn<A = u32> {
    /// As the client's packets carry it: source CIP, destination VIP.
    pub key: FlowKey<A>,
    /// Real server's address. Of another family than the key's only where replies are not looked
    /// up.
    pub rip: IpAddr,
    /// Real server's port.
    pub rport: u16,
    /// See [`Conn::lport`].
    pub lport: u16,
    /// See [`Conn::lip_index`].
    pub lip_index: u16,
    /// Forwarding method and properties; bits from 16 are ignored, but [`ConnFlags::HELPED`].
    pub flags: ConnFlags,
    /// State of the protocol's machine, in the kernel's numbers.
    pub state: u8,
    /// Destination it belongs to.
    pub dest: DestId,
    /// Ticks without a packet after which it is over.
    pub timeout: u32,
    /// Where its inbound packets go next.
    pub next_hop: NextHopId,
    /// See [`Conn::l3_delta`].
    pub l3_delta: u16,
    /// See [`Conn::l4_delta`].
    pub l4_delta: u16,
}

/// Why there is no new conn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InsertError {
    /// The table is full, and no half-open conn could give way.
    Full,
    /// Another conn, whose time is not over, has the inbound key, or either for its other direction.
    TupleTaken,
}

impl<A: ConnFamily> NewConn<A> {
    /// The first line it becomes, not yet published nor joined to the second.
    #[inline]
    pub(super) fn as_conn(&self, now: Tick) -> Conn {
        let (cip, vip) = match (u32::of(self.key.src.ip()), u32::of(self.key.dst.ip())) {
            (Some(cip), Some(vip)) => (cip, vip),
            _ => (0, 0),
        };
        Conn {
            cip,
            vip,
            rip: u32::of(self.rip).unwrap_or(0),
            cport: self.key.sport,
            vport: self.key.dport,
            rport: self.rport,
            lport: self.lport,
            lip_index: self.lip_index,
            proto: self.key.proto,
            state: self.state,
            flags: self.own_flags(),
            dest: self.dest,
            last_seen: now,
            timeout: self.timeout,
            next_hop: self.next_hop,
            l3_delta: self.l3_delta,
            l4_delta: self.l4_delta,
            ..Conn::zeroed()
        }
    }

    #[inline]
    fn own_flags(&self) -> ConnFlags {
        let mut flags = self.flags - ConnFlags::OWN;
        flags.set(ConnFlags::REPLIES, flags.has_replies());
        flags.set(ConnFlags::V6, A::FAMILY == Family::V6);
        flags.set(ConnFlags::RIP_V6, self.rip.is_ipv6());
        flags
    }

    /// The second line, if it needs one.
    #[inline]
    pub(super) fn second_line(&self) -> Option<SecondLine> {
        let wide = |address: IpAddr| u128::of(address).unwrap_or(0);
        let needed = A::FAMILY == Family::V6 || self.rip.is_ipv6();
        needed.then(|| {
            SecondLine::new(wide(self.key.src.ip()), wide(self.key.dst.ip()), wide(self.rip))
        })
    }

    /// What it is to be found by.
    #[inline]
    pub(super) fn keys(&self, lines: LinesOf<'_>) -> Keys<A> {
        let rip = A::of(self.rip).filter(|_| self.flags.has_replies());
        let FlowKey { src, sport, proto, .. } = self.key;
        let (dst, dport) = match self.lip_index {
            0 => (src, sport),
            index => (A::local(lines, index), self.lport),
        };
        let reply = |rip| FlowKey { src: rip, dst, sport: self.rport, dport, proto };
        Keys { inbound: self.key, outbound: rip.map(reply) }
    }
}
