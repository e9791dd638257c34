//! What a conn is found by: one key per direction in which its packets are looked up.

use super::entry::{Conn, ConnFlags};
use super::family::{ConnFamily, LinesOf};
use super::hash::KeyHash;
use crate::flow::{Direction, FlowKey};

/// The keys that a conn is, or is to be, found by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Keys<A> {
    pub(super) inbound: FlowKey<A>,
    pub(super) outbound: Option<FlowKey<A>>,
}

impl<A: ConnFamily> Keys<A> {
    /// The keys of a conn of the family.
    #[inline]
    pub(super) fn of(conn: &Conn, lines: LinesOf<'_>) -> Keys<A> {
        let (cip, vip) = A::client_and_vip(lines, conn);
        let Conn { proto, cport, vport, rport, .. } = *conn;
        let (dst, dport) = match conn.lip_index {
            0 => (cip, cport),
            index => (A::local(lines, index), conn.lport),
        };
        let replies = conn.flags.contains(ConnFlags::REPLIES);
        Keys {
            inbound: FlowKey { src: cip, dst: vip, sport: cport, dport: vport, proto },
            outbound: replies.then(|| FlowKey {
                src: A::rip(lines, conn),
                dst,
                sport: rport,
                dport,
                proto,
            }),
        }
    }

    /// Inbound first.
    #[inline]
    pub(super) fn each(&self) -> impl Iterator<Item = (Direction, FlowKey<A>)> + use<A> {
        let inbound = std::iter::once((Direction::Inbound, self.inbound));
        inbound.chain(self.outbound.map(|outbound| (Direction::Outbound, outbound)))
    }

    #[inline]
    pub(super) fn hashes(&self, secret: &[u64; 2]) -> Hashes {
        Hashes {
            inbound: A::hash_key(&self.inbound, secret),
            outbound: self.outbound.map(|outbound| A::hash_key(&outbound, secret)),
        }
    }
}

/// The hashes of a conn's keys: all that its places in the index depend on.
#[derive(Clone, Copy)]
pub(super) struct Hashes {
    pub(super) inbound: KeyHash,
    pub(super) outbound: Option<KeyHash>,
}

impl Hashes {
    /// Inbound first.
    #[inline]
    pub(super) fn each(&self) -> impl Iterator<Item = (Direction, KeyHash)> + use<> {
        let inbound = std::iter::once((Direction::Inbound, self.inbound));
        inbound.chain(self.outbound.map(|outbound| (Direction::Outbound, outbound)))
    }
}
