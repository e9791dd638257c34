//! What may be done with templates while their shard is locked.

use super::key::TemplateKey;
use super::record::{NewTemplate, Record, Template};
use super::shard::Shard;
use super::store::Part;
use super::timer::{RETRY, Timer};
use super::users::Usage;
use super::{Fate, TemplateId};
use crate::ids::DestId;
use crate::time::Tick;
use std::ops::Range;
use std::sync::MutexGuard;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicU32, AtomicUsize};

/// Records looked at for one that may give way when a shard is full.
const PROBES: usize = 32;

/// Numbers that all shards share.
pub(super) struct Totals {
    /// Templates in the store.
    pub live: AtomicUsize,
    /// Templates of each destination, by [`DestId`].
    pub of_dest: Box<[AtomicU32]>,
}

impl Totals {
    fn of(&self, dest: DestId) -> Option<&AtomicU32> {
        self.of_dest.get(dest.index())
    }

    fn add(&self, dest: DestId) {
        self.live.fetch_add(1, Relaxed);
        self.of(dest).map(|count| count.fetch_add(1, Relaxed));
    }

    fn remove(&self, dest: DestId) {
        self.live.fetch_sub(1, Relaxed);
        self.of(dest).map(|count| count.fetch_sub(1, Relaxed));
    }
}

/// A locked shard, and what stands around it.
pub(super) struct Locked<'a> {
    pub shard: MutexGuard<'a, Shard>,
    pub part: &'a Part,
    pub totals: &'a Totals,
    /// Number of the shard, and how many bits of an id's index it takes.
    pub number: u32,
    pub bits: u32,
}

impl Locked<'_> {
    fn usage(&self, slot: u32) -> Usage {
        self.part.users[slot as usize].load()
    }

    /// Who uses a record at `now`, and its timer by then; `None` if it is over.
    fn alive(&self, slot: u32, now: Tick) -> Option<(Usage, Timer)> {
        let usage = self.usage(slot);
        let until = self.part.users[slot as usize].held_until(usage, now);
        let timer = self.shard.records.get(slot).timer.retried(until);
        (!timer.is_over(now)).then_some((usage, timer))
    }

    fn view(&self, slot: u32, (usage, timer): (Usage, Timer), now: Tick) -> Template {
        let index = slot << self.bits | self.number;
        self.shard.records.get(slot).view(index, usage, timer, now)
    }

    /// Gives the template of a key another child, unless it is over or not `valid`: then it is
    /// gone or left to die, and there is none.
    pub fn join(
        &mut self,
        key: &TemplateKey<'_>,
        hash: u32,
        now: Tick,
        valid: impl FnOnce(&Template) -> bool,
    ) -> Option<Template> {
        let slot = self.shard.find(key, hash)?;
        let Some(alive) = self.alive(slot, now) else {
            self.remove(slot);
            return None;
        };
        if !valid(&self.view(slot, alive, now)) {
            self.shard.unindex(slot);
            self.shard.records.get_mut(slot).invalidate();
            return None;
        }
        Some(self.attach(slot, alive.1, now))
    }

    fn attach(&mut self, slot: u32, timer: Timer, now: Tick) -> Template {
        let timer = timer.restarted(now);
        self.shard.records.get_mut(slot).timer = timer;
        self.part.users[slot as usize].attach();
        self.view(slot, (self.usage(slot), timer), now)
    }

    /// Makes a template with a first child, or gives another one to the template that the key has.
    /// `None` if the shard is full.
    pub fn create(
        &mut self,
        key: &TemplateKey<'_>,
        hash: u32,
        new: &NewTemplate,
        now: Tick,
    ) -> Option<Template> {
        if let Some(there) = self.join(key, hash, now, |_| true) {
            return Some(there);
        }
        if !self.shard.has_room(key) {
            self.make_room(key, now);
        }
        let record = Record::new(key, new, now);
        let slot = self.shard.insert(key, hash, record)?;
        self.part.users[slot as usize].begin(now);
        self.totals.add(new.dest);
        Some(self.view(slot, (self.usage(slot), record.timer), now))
    }

    /// Removes a template that is over, or that has no child and never had an established one, if
    /// there is such a one among those probed whose place serves the key.
    fn make_room(&mut self, key: &TemplateKey<'_>, now: Tick) {
        for _ in 0..PROBES.min(self.shard.records.used()) {
            self.shard.probe = (self.shard.probe + 1) % self.shard.records.used() as u32;
            let slot = self.shard.probe;
            let usage = self.usage(slot);
            let unused = usage.children() == 0 && !usage.is_assured();
            let serves = key.data().is_empty() || self.shard.records.get(slot).data != 0;
            if usage.is_live() && serves && (unused || self.alive(slot, now).is_none()) {
                return self.remove(slot);
            }
        }
    }

    fn remove(&mut self, slot: u32) {
        self.part.users[slot as usize].end();
        self.totals.remove(self.shard.records.get(slot).dest);
        self.shard.remove(slot);
    }

    /// Removes a template whose last child was dropped if none was ever established.
    pub fn drop_unassured(&mut self, id: TemplateId) {
        let usage = self.usage(id.index >> self.bits);
        let is_same = usage.is_live() && usage.generation() == id.generation;
        if is_same && usage.children() == 0 && !usage.is_assured() {
            self.remove(id.index >> self.bits);
        }
    }

    /// Removes those of a range of slots that are over.
    pub fn expire(&mut self, slots: Range<u32>, now: Tick) {
        for slot in slots {
            if !self.usage(slot).is_live() {
                continue;
            }
            match self.alive(slot, now) {
                None => self.remove(slot),
                Some((usage, _)) if usage.children() > 0 => self.hold(slot, now),
                Some(_) => {}
            }
        }
    }

    /// Keeps the moments that are known of a template with children within the clock's range: its
    /// retries are applied but for the last minute, in which children may have ended that are not
    /// reported yet.
    fn hold(&mut self, slot: u32, now: Tick) {
        let certain = Tick(now.0.wrapping_sub(RETRY));
        let record = self.shard.records.get_mut(slot);
        record.timer = record.timer.retried(certain);
        self.part.users[slot as usize].held_at(certain);
    }

    /// Shows those of a range of slots that are not over, with their key's data, and does with each
    /// what is said.
    pub fn visit(
        &mut self,
        slots: Range<u32>,
        now: Tick,
        visitor: &mut impl FnMut(&Template, &[u8]) -> Fate,
    ) {
        for slot in slots {
            if !self.usage(slot).is_live() {
                continue;
            }
            let Some(alive) = self.alive(slot, now) else {
                self.remove(slot);
                continue;
            };
            let data = self.shard.data(self.shard.records.get(slot));
            match visitor(&self.view(slot, alive, now), data) {
                Fate::Keep => {}
                Fate::End if alive.0.children() == 0 => self.remove(slot),
                Fate::End => self.shard.records.get_mut(slot).timer = Timer::put_off(now),
            }
        }
    }
}
