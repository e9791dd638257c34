//! With `expire_nodest_conn` the conns of a removed destination end with it, not at their next packet
//! (`ip_vs_expire_nodest_conn_flush`, `ip_vs_conn.c`).

use super::Director;
use crate::ids::{DestId, Generation};
use crate::io::{Packet, Pool};

/// Entries looked at between two windows.
const BATCH: u32 = 1024;

/// How far the worker is with it.
#[derive(Default)]
pub(super) struct Flush {
    /// The table whose removals were looked for last.
    done_for: Generation,
    /// The next entry to look at, while there is one.
    next: Option<u32>,
}

impl<P: Packet, L: Pool<Packet = P>> Director<P, L> {
    /// Looks at some conns, if a table has come that removed destinations.
    pub(super) fn flush_removed(&mut self) {
        let services = &self.tables.services;
        if self.flush.done_for != services.generation {
            let wanted = services.settings.expire_nodest_conn && services.has_removed();
            self.flush = Flush { done_for: services.generation, next: wanted.then_some(0) };
        }
        let Some(mut next) = self.flush.next else { return };
        let end = next.saturating_add(BATCH);
        let found = |director: &Self, from| {
            director.conns.live_in(from..end).next().map(|(id, conn)| (id, conn.dest))
        };
        while let Some((id, dest)) = found(self, next) {
            next = id.0 + 1;
            if dest != DestId::NONE && !self.tables.services.is_present(dest) {
                self.end(id);
            }
        }
        self.flush.next = Some(end).filter(|end| self.conns.ids().contains(end));
    }
}
