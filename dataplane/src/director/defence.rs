//! Under a flood: new conns refused by lot, and entries that look like a flood's ended early
//! (`drop_packet` and `drop_entry`; `ip_vs_todrop` in `ip_vs_core.c`, `ip_vs_random_dropentry` in
//! `ip_vs_conn.c`). Whether they act, control decides once a second.

use super::{Director, RELAXED};
use crate::conn::{Conn, ConnId};
use crate::flow::protocol;
use crate::ids::WorkerId;
use crate::io::{Packet, Pool};
use crate::limits::{DEFENCE_BATCH, TEMPLATE_BATCH};
use crate::proto;
use crate::service::{DropPacket, Settings};
use crate::template::{ChildEnd, Cursor, Fate, TemplateStore};
use crate::time::{TICKS_PER_SECOND, Tick, ticks};
use std::ops::Range;

/// Entries looked at in a row: 16 cache lines, which the processor loads ahead.
const BLOCK: u32 = 16;

/// The part of the entries that is looked at in a second.
const SHARE: u32 = 32;

/// How long an entry that is no half-open one must have been idle to be dropped.
const IDLE: u32 = ticks(60);

/// A client that sent more packets than this is no flood.
const FEW: usize = 8;

/// What one worker remembers of it.
pub(super) struct Defence {
    dice: fastrand::Rng,
    /// New conns up to and with the next one that is refused.
    until_refusal: u32,
    /// Conns of so many packets up to and with the next one that is dropped.
    until_drop: [u32; FEW + 1],
    /// When the present second began.
    second: Tick,
    /// Blocks of entries to be looked at in what is left of it.
    blocks: u32,
    /// Templates likewise.
    templates: u32,
}

impl Defence {
    /// The same dice for the same worker: a run repeats itself.
    pub fn new(worker: WorkerId) -> Self {
        Defence {
            dice: fastrand::Rng::with_seed(worker.0.into()),
            until_refusal: 0,
            until_drop: [0; FEW + 1],
            second: Tick::default(),
            blocks: 0,
            templates: 0,
        }
    }

    /// Whether the lot falls on a packet that is to begin a conn: on every `rate`-th.
    pub fn refuses(&mut self, DropPacket { rate, .. }: DropPacket) -> bool {
        if rate == 0 {
            return false;
        }
        self.until_refusal = self.until_refusal.saturating_sub(1);
        if self.until_refusal > 0 {
            return false;
        }
        self.until_refusal = rate;
        true
    }

    /// Begins a second if it is time for one: entries to look at, and a lot that starts anew while
    /// memory is low.
    fn tick(&mut self, now: Tick, settings: &Settings, entries: u32, templates: u32) {
        if now.since(self.second) < TICKS_PER_SECOND {
            return;
        }
        self.second = now;
        (self.blocks, self.templates) = match settings.drop_entry {
            true => ((entries / BLOCK / SHARE).max(1), templates.div_ceil(SHARE)),
            false => (0, 0),
        };
        if settings.drop_packet.anew {
            self.until_refusal = settings.drop_packet.rate;
        }
    }

    /// The entries to be looked at next, at random.
    fn next_block(&mut self, entries: u32) -> Option<Range<u32>> {
        self.blocks = self.blocks.checked_sub(1)?;
        let start = self.dice.u32(0..entries.div_ceil(BLOCK)) * BLOCK;
        Some(start..start + BLOCK)
    }

    /// Ends templates that have no child and had no established one, some of them looked at.
    fn drop_templates(&mut self, store: &TemplateStore, now: Tick) {
        let budget = self.templates.min(TEMPLATE_BATCH);
        if budget == 0 {
            return;
        }
        self.templates -= budget;
        // What another worker has locked is passed over: it is all by chance.
        let _ = store.visit(
            &mut Cursor::random(store, self.dice.u64(..)),
            budget,
            now,
            |template, _| match template.children == 0 && !template.assured {
                true => Fate::End,
                false => Fate::Keep,
            },
        );
    }

    /// Whether a conn is to go: a half-open one at once, an idle one of few packets by lot.
    fn drops(&mut self, conn: &Conn, now: Tick) -> bool {
        if proto::is_half_open(conn.proto, conn.state) {
            return true;
        }
        (conn.proto == protocol::UDP || proto::is_established(conn.proto, conn.state))
            && now.since(conn.last_seen) >= IDLE
            && self.lot_falls_on(conn.in_packets)
    }

    /// Of conns of n packets every n-th; none of those without a packet, or with many.
    fn lot_falls_on(&mut self, packets: u32) -> bool {
        let Some(until) = self.until_drop.get_mut(packets as usize).filter(|_| packets > 0) else {
            return false;
        };
        *until = until.saturating_sub(1);
        let falls = *until == 0;
        if falls {
            *until = packets;
        }
        falls
    }
}

impl<P: Packet, L: Pool<Packet = P>> Director<P, L> {
    /// Drops entries, a bounded number of them looked at. To be called between windows.
    pub(super) fn defend(&mut self) {
        let (entries, store) = (self.conns.ids().end, self.accounts.templates());
        let templates = store.len() / self.tables.slot_map.workers();
        let settings = &self.tables.services.settings;
        self.defence.tick(self.now, settings, entries, templates as u32);
        self.defence.drop_templates(store, self.now);
        for _ in 0..DEFENCE_BATCH / BLOCK {
            let Some(block) = self.defence.next_block(entries) else { return };
            block.for_each(|entry| self.drop_if_a_floods(entry));
        }
    }

    fn drop_if_a_floods(&mut self, entry: u32) {
        let Some((id, conn)) = self.conns.live_in(entry..entry + 1).next() else { return };
        // One that controls others goes after them (`ip_vs_conn_expire`).
        if self.defence.drops(conn, self.now) && !self.is_held(id) {
            self.drop_entry(id);
        }
    }

    fn drop_entry(&mut self, id: ConnId) {
        let conn = self.conns.remove(id);
        let (accounts, services) = (&self.accounts, &self.tables.services);
        accounts.conn_ends(&conn, services, self.now, ChildEnd::Dropped);
        self.tables.load_changed(conn.dest);
        let dropped = &self.accounts.counters().dropped_entries;
        dropped.store(dropped.load(RELAXED) + 1, RELAXED);
    }
}
