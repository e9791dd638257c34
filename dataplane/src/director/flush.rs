//! With `expire_nodest_conn` the conns of a removed destination end with it, not at their next packet
//! (`ip_vs_expire_nodest_conn_flush`, `ip_vs_conn.c`).

use super::Director;
use crate::ids::{DestId, Generation};
use crate::io::{Packet, Pool};
use crate::limits::TEMPLATE_BATCH;
use crate::template::{Cursor, Fate, Step, Template};

/// Entries looked at between two windows.
const BATCH: u32 = 1024;

/// How far the worker is with it.
#[derive(Default)]
pub(super) struct Flush {
    /// The generation whose removals it is for. What was removed while the setting was off is left to
    /// the next packet of each conn, until a removal while it is on ends all.
    done_for: Generation,
    /// The next entry to look at, while there is one.
    next: Option<u32>,
    /// Where this worker's share of the templates goes on, while there is more of it.
    templates: Option<Cursor>,
}

impl<P: Packet, L: Pool<Packet = P>> Director<P, L> {
    /// Looks at some conns, if a table has come that removed destinations.
    pub(super) fn flush_removed(&mut self) {
        let services = &self.tables.services;
        if self.flush.done_for != services.flush() {
            let share = Cursor::share(self.worker.index(), self.tables.slot_map.workers());
            self.flush =
                Flush { done_for: services.flush(), next: Some(0), templates: Some(share) };
        }
        let Some(mut next) = self.flush.next else { return self.flush_templates() };
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

    /// The same of templates. One whose children another worker has still to end is left to its
    /// timer: it leads nowhere any more.
    fn flush_templates(&mut self) {
        let Some(mut at) = self.flush.templates.take() else { return };
        let services = &self.tables.services;
        let fate = |template: &Template, _: &[u8]| match template.children == 0
            && !services.is_present(template.dest)
        {
            true => Fate::End,
            false => Fate::Keep,
        };
        let step = self.accounts.templates().visit(&mut at, TEMPLATE_BATCH, self.now, fate);
        self.flush.templates = (step != Step::Done).then_some(at);
    }
}
