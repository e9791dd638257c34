//! The store: what workers call.

use super::TemplateId;
use super::key::TemplateKey;
use super::locked::{Locked, Totals};
use super::record::{NewTemplate, Template};
use super::shard::Shard;
use super::users::Users;
use crate::ids::DestId;
use crate::time::Tick;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Mutex, TryLockError};

/// Shards at most: with more workers than that, two rarely want the same one at the same moment.
const MAX_SHARDS: usize = 64;

/// Slots that make a shard worth its while.
const MIN_SHARD: usize = 256;

/// Times a worker asks for a lock: some microseconds, and locks are held for less than one.
const TRIES: usize = 256;

/// Shape of a store.
#[derive(Debug, Clone, Copy)]
pub struct StoreConfig {
    /// Templates at once; about 120 bytes of memory each once used. Their spread over shards is
    /// random, so the last few per cent may be refused.
    pub capacity: usize,
    /// Templates with engine data at once; 256 bytes more each.
    pub engine_capacity: usize,
    /// Destination ids, [`crate::limits::MAX_DESTS`] and 0.
    pub dests: usize,
    /// Secret of the hash: random.
    pub secret: [u64; 2],
}

/// Outcome of looking for a template.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Join {
    /// There is one; the caller's conn is its child.
    Joined(Template),
    /// There is none, or an invalid one that is left to die: schedule, then create one.
    Missing,
    /// The lock was not to be had. Drop the packet: the client sends it again, while another
    /// destination would break persistence for as long as the conn lives.
    Busy,
}

/// Why a template was not made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// As [`Join::Busy`].
    Busy,
    /// No room, and nothing among those probed that may give way.
    Full,
}

/// How a child ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChildEnd {
    /// Its time was over, or its packet was its only one.
    Expired,
    /// It was thrown out before. Its template goes with it if it was the last child and none was
    /// ever established (`ip_vs_conn_expire`).
    Dropped,
}

/// One shard and the users of its records, apart so that locks do not share lines.
#[repr(align(128))]
pub(super) struct Part {
    shard: Mutex<Shard>,
    pub users: Box<[Users]>,
}

impl Part {
    fn new(records: usize, data: usize) -> Part {
        let users = (0..records).map(|_| Users::default()).collect();
        Part { shard: Mutex::new(Shard::new(records, data)), users }
    }
}

/// The templates of all services. Shared by reference; nothing waits, nothing allocates.
pub struct TemplateStore {
    parts: Box<[Part]>,
    /// Logarithm of the number of parts.
    bits: u32,
    totals: Totals,
    secret: [u64; 2],
}

impl TemplateStore {
    /// An empty store. All its memory is reserved here.
    pub fn new(config: &StoreConfig) -> TemplateStore {
        let shards = (config.capacity / MIN_SHARD).clamp(1, MAX_SHARDS).next_power_of_two();
        let records = spread(config.capacity, shards);
        let data = spread(config.engine_capacity, shards).min(records);
        TemplateStore {
            parts: (0..shards).map(|_| Part::new(records, data)).collect(),
            bits: shards.ilog2(),
            totals: Totals {
                live: AtomicUsize::new(0),
                of_dest: (0..config.dests).map(|_| Default::default()).collect(),
            },
            secret: config.secret,
        }
    }

    /// Templates in the store, with those that are over and not swept yet.
    pub fn len(&self) -> usize {
        self.totals.live.load(Relaxed)
    }

    /// Whether there is none: one load, and no lock is asked for.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Templates of a destination, present or removed (`persistconns`). While there are any, its id
    /// must stay reserved: added again, it finds its clients.
    pub fn persistent_conns(&self, dest: DestId) -> u32 {
        self.totals.of_dest.get(dest.index()).map_or(0, |count| count.load(Relaxed))
    }

    pub(super) fn shards(&self) -> usize {
        self.parts.len()
    }

    pub(super) fn lock(&self, number: u32) -> Option<Locked<'_>> {
        let part = &self.parts[number as usize];
        for _ in 0..TRIES {
            let shard = match part.shard.try_lock() {
                Ok(shard) => shard,
                // A caller's closure panicked; the shard is whole whenever one is called.
                Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
                Err(TryLockError::WouldBlock) => {
                    std::hint::spin_loop();
                    continue;
                }
            };
            return Some(Locked { shard, part, totals: &self.totals, number, bits: self.bits });
        }
        None
    }

    /// The shard of a hash, and the half that chooses the bucket.
    fn split(&self, hash: u64) -> (u32, u32) {
        (hash as u32 & (self.parts.len() as u32 - 1), (hash >> 32) as u32)
    }

    /// Looks for the template of a new conn and makes the conn its child, which restarts the
    /// template's timer. `valid` says whether its destination may be used; if not, the template
    /// keeps its children and its timer, and no new conn finds it any more.
    pub fn join(
        &self,
        key: &TemplateKey<'_>,
        now: Tick,
        valid: impl FnOnce(&Template) -> bool,
    ) -> Join {
        if self.is_empty() {
            return Join::Missing;
        }
        let (shard, hash) = self.split(key.hash(&self.secret));
        let Some(mut locked) = self.lock(shard) else { return Join::Busy };
        locked.join(key, hash, now, valid).map_or(Join::Missing, Join::Joined)
    }

    /// Makes a template, the caller's conn its first child. If another worker was faster, the conn
    /// becomes a child of that worker's template, which may name another destination.
    ///
    /// # Errors
    /// See [`Refusal`]; nothing has changed then.
    pub fn create(
        &self,
        key: &TemplateKey<'_>,
        new: &NewTemplate,
        now: Tick,
    ) -> Result<Template, Refusal> {
        let (shard, hash) = self.split(key.hash(&self.secret));
        let mut locked = self.lock(shard).ok_or(Refusal::Busy)?;
        locked.create(key, hash, new, now).ok_or(Refusal::Full)
    }

    /// A child is established in TCP or SCTP, or answered in UDP (`ip_vs_control_assure_ct`). Takes
    /// no lock; does nothing for a template that ended.
    pub fn assure(&self, id: TemplateId) {
        if let Some(users) = self.users(id) {
            users.assure(id.generation);
        }
    }

    /// A child ended, or was not made after all. `ended` is the moment its time was over if that is
    /// before now, so that a late report cannot prolong the template. Takes no lock but for a
    /// template that is to go at once, and leaves that to its timer if the lock is not to be had.
    pub fn detach(&self, id: TemplateId, ended: Tick, how: ChildEnd) {
        let Some(left) = self.users(id).and_then(|users| users.detach(id.generation, ended)) else {
            return;
        };
        let unused = left.children() == 0 && !left.is_assured();
        if unused && how == ChildEnd::Dropped {
            if let Some(mut locked) = self.lock(id.index & (self.parts.len() as u32 - 1)) {
                locked.drop_unassured(id);
            }
        }
    }

    fn users(&self, id: TemplateId) -> Option<&Users> {
        let part = &self.parts[id.index as usize & (self.parts.len() - 1)];
        part.users.get((id.index >> self.bits) as usize)
    }
}

impl Default for TemplateStore {
    /// A store without room, for directors without persistent services.
    fn default() -> Self {
        let secret = [0; 2];
        TemplateStore::new(&StoreConfig { capacity: 0, engine_capacity: 0, dests: 0, secret })
    }
}

/// Room of one of `shards` shards for things that are spread at random: the mean, and four standard
/// deviations.
fn spread(all: usize, shards: usize) -> usize {
    let mean = all.div_ceil(shards);
    if shards == 1 { mean } else { mean + 4 * mean.isqrt() }
}
