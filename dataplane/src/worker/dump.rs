//! A listing under way: conns, then this worker's share of the templates, a few between two windows.

use super::Worker;
use crate::io::{Pool, Queue};
use crate::limits::TEMPLATE_BATCH;
use crate::mailbox::{DumpItem, DumpQueue, EngineData};
use crate::template::{Cursor, Fate, Step};
use crate::time::Tick;
use std::sync::Arc;

/// Entries a listing looks at between two windows.
const BATCH: usize = 1024;

/// Items of the queue that one template takes: itself and its engine's data.
const PER_TEMPLATE: usize = 2;

/// Where a listing goes, and how far it is.
pub(super) struct Dump {
    queue: Arc<DumpQueue>,
    next: u32,
    templates: Cursor,
}

impl<Q: Queue, L: Pool<Packet = Q::Packet>> Worker<Q, L> {
    /// Begins a listing. One that is under way is cut short: control asks for one at a time.
    pub(super) fn begin_dump(&mut self, queue: Arc<DumpQueue>) -> Arc<DumpQueue> {
        let templates = Cursor::share(self.director.id().index(), self.wiring.workers);
        self.dump = Some(Dump { queue: queue.clone(), next: 0, templates });
        queue
    }

    pub(super) fn continue_dump(&mut self, now: Tick) {
        let Some(mut dump) = self.dump.take() else { return };
        let conns = self.director.conns();
        if dump.next < conns.ids().end {
            let end = conns.ids().end.min(dump.next + dump.queue.room().min(BATCH) as u32);
            for (_, conn) in conns.live_in(dump.next..end) {
                dump.queue.push(DumpItem::Conn(conns.listed(conn)));
            }
            dump.next = end;
        } else if self.list_templates(&mut dump, now) {
            dump.queue.push(DumpItem::Done);
            return;
        }
        self.dump = Some(dump);
    }

    /// Lists some of the templates; says whether those were the last and there is room to say so.
    fn list_templates(&self, dump: &mut Dump, now: Tick) -> bool {
        let Dump { queue, templates, .. } = dump;
        let budget = TEMPLATE_BATCH.min((queue.room() / PER_TEMPLATE) as u32);
        if budget == 0 {
            return false;
        }
        let step = self.director.templates().visit(templates, budget, now, |template, data| {
            queue.push(DumpItem::Template(*template));
            if template.engine.is_some() {
                queue.push(DumpItem::EngineData(EngineData::new(data)));
            }
            Fate::Keep
        });
        step == Step::Done && queue.room() > 0
    }
}
