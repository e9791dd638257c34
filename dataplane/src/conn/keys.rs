//! What a conn is found by: one key per direction in which its packets are looked up.

use super::entry::Conn;
use super::hash::{KeyHash, hash};
use crate::flow::{Direction, FlowKey};

/// A key and its hash in this table.
#[derive(Clone, Copy)]
pub(super) struct Hashed {
    pub(super) key: FlowKey,
    pub(super) hash: KeyHash,
}

/// The keys that a conn is, or is to be, found by.
#[derive(Clone, Copy)]
pub(super) struct Keys {
    pub(super) inbound: Hashed,
    pub(super) outbound: Option<Hashed>,
}

impl Keys {
    /// The keys of `conn`, hashed under a table's secret.
    #[inline]
    pub(super) fn of(conn: &Conn, secret: &[u64; 2]) -> Keys {
        let hashed = |key| Hashed { key, hash: hash(&key, secret) };
        Keys { inbound: hashed(conn.inbound_key()), outbound: conn.outbound_key().map(hashed) }
    }

    /// Inbound first.
    #[inline]
    pub(super) fn each(&self) -> impl Iterator<Item = (Direction, Hashed)> + use<> {
        let inbound = std::iter::once((Direction::Inbound, self.inbound));
        inbound.chain(self.outbound.map(|outbound| (Direction::Outbound, outbound)))
    }
}
