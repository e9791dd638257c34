//! What a conn is made from, and why there may be none.

use super::entry::{Conn, ConnFlags};
use crate::flow::FlowKey;
use crate::ids::{DestId, NextHopId};
use crate::time::Tick;
use bytemuck::Zeroable;

/// What a conn is made from. The table sets the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewConn {
    /// As the client's packets carry it: source CIP, destination VIP.
    pub key: FlowKey,
    /// Real server's address, host order.
    pub rip: u32,
    /// Real server's port.
    pub rport: u16,
    /// Forwarding method and properties; bits from 16 are ignored.
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
    /// Another conn, whose time is not over, has the inbound or the outbound key.
    TupleTaken,
}

impl NewConn {
    /// The entry it becomes, not yet published.
    pub(super) fn as_conn(&self, now: Tick) -> Conn {
        Conn {
            cip: self.key.src,
            vip: self.key.dst,
            rip: self.rip,
            cport: self.key.sport,
            vport: self.key.dport,
            rport: self.rport,
            proto: self.key.proto,
            state: self.state,
            flags: self.flags - ConnFlags::OWN,
            dest: self.dest,
            last_seen: now,
            timeout: self.timeout,
            next_hop: self.next_hop,
            l3_delta: self.l3_delta,
            l4_delta: self.l4_delta,
            ..Conn::zeroed()
        }
    }
}
