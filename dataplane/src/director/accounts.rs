//! Who carries how many conns: counts by destination and template, kept when a conn begins, turns and
//! ends.

use super::attached;
use crate::conn::{Conn, ConnFlags, ConnTable, Ended};
use crate::counters::{OthersLoad, WorkerCounters};
use crate::expect::{Expectations, FamilyId, Settled};
use crate::ids::DestId;
use crate::proto;
use crate::sched::Loads;
use crate::service::{Dest, DestShared, ForwardingMethod, ServiceTable};
use crate::template::{ChildEnd, TemplateStore};
use crate::time::Tick;
use std::sync::Arc;

/// The accounts of one worker.
pub struct Accounts {
    counters: Arc<WorkerCounters>,
    others: Arc<OthersLoad>,
    templates: Arc<TemplateStore>,
    expect: Arc<Expectations>,
}

impl Accounts {
    /// Accounts over the worker's counters.
    pub fn new(
        counters: Arc<WorkerCounters>,
        others: Arc<OthersLoad>,
        templates: Arc<TemplateStore>,
        expect: Arc<Expectations>,
    ) -> Self {
        Accounts { counters, others, templates, expect }
    }

    /// The announced data connections of all workers.
    pub fn expect(&self) -> &Expectations {
        &self.expect
    }

    /// The templates of all workers.
    pub fn templates(&self) -> &TemplateStore {
        &self.templates
    }

    /// Counts the conns an adopted table brings along.
    pub fn adopt(&self, conns: &ConnTable) {
        for (_, conn) in conns.live_in(conns.ids()) {
            self.counters.dest(conn.dest).conn_adopted(is_active(conn));
            self.local_begins(conn.flags, conn.lip_index);
        }
    }

    /// The worker's counters.
    pub fn counters(&self) -> &WorkerCounters {
        &self.counters
    }

    /// A conn was created on `dest`, which has been asked (`Dest::take_conn`).
    pub fn conn_begins(&self, dest: DestId) {
        self.counters.dest(dest).conn_begins();
    }

    /// A conn has its local address, if it is of fullnat.
    pub fn local_begins(&self, flags: ConnFlags, index: u16) {
        if flags.method() == Some(ForwardingMethod::Fullnat) {
            self.counters.local_begins(index);
        }
    }

    /// A conn changed between active and inactive.
    pub fn conn_turns(&self, dest: DestId, is_active: bool) {
        self.counters.dest(dest).conn_turns(is_active);
    }

    /// A conn ended, in the way that its template is told of; `table` knows its destination, present
    /// or removed.
    pub fn conn_ends(&self, conn: &Ended, table: &ServiceTable, now: Tick, how: ChildEnd) {
        if let Some(template) = conn.side.as_ref().and_then(attached::template_of) {
            let over = conn.is_expired(now);
            let ended = if over { conn.last_seen.after(conn.timeout) } else { now };
            self.templates.detach(template, ended, how);
        }
        let family = conn.side.as_ref().map_or_else(FamilyId::default, attached::family_of);
        self.expect.families().leave(family);
        self.counters.dest(conn.dest).conn_ends(is_active(conn));
        if conn.flags.method() == Some(ForwardingMethod::Fullnat) {
            self.counters.local_ends(conn.lip_index);
        }
        self.place_is_free(conn.dest, table);
    }

    /// A data connection was announced, which is a conn of `dest` from then on but was not scheduled.
    pub fn announced(&self, dest: &Dest) {
        self.counters.dest(dest.id).conn_adopted(false);
        dest.conn_added();
    }

    /// Of what this worker announced something is a conn of a worker, or is over.
    pub fn settled(&self, settled: Settled, table: &ServiceTable) {
        self.counters.dest(settled.dest).conn_ends(false);
        if let Some(family) = settled.left {
            self.expect.families().leave(family);
            self.place_is_free(settled.dest, table);
        }
    }

    /// An announced connection has begun; its destination counts it already, this worker does not.
    pub fn conn_arrives(&self, dest: DestId) {
        self.counters.dest(dest).conn_adopted(false);
    }

    /// A conn less, for all workers.
    pub fn place_is_free(&self, id: DestId, table: &ServiceTable) {
        match table.dest(id) {
            Some(dest) => dest.conn_removed(),
            None => {
                table.shared(id).map(DestShared::conn_removed);
            }
        }
    }

    /// A conn gave way to a new one: its time was over, or it was half-open and the table full.
    pub fn conn_gave_way(&self, conn: &Ended, table: &ServiceTable, now: Tick) {
        let mut how = ChildEnd::Expired;
        if !conn.is_expired(now) {
            how = ChildEnd::Dropped;
            let evicted = &self.counters.evicted;
            evicted.store(evicted.load(super::RELAXED) + 1, super::RELAXED);
        }
        self.conn_ends(conn, table, now, how);
    }
}

fn is_active(conn: &Conn) -> bool {
    proto::is_active(conn.proto, conn.state)
}

impl Loads for Accounts {
    fn active(&self, dest: DestId) -> u32 {
        self.counters.dest(dest).active() + self.others.get(dest).0
    }

    fn inactive(&self, dest: DestId) -> u32 {
        self.counters.dest(dest).inactive() + self.others.get(dest).1
    }

    fn version(&self) -> u64 {
        self.others.version()
    }
}
