//! Snapshots to every worker, and what they replaced back to be dropped here.

mod outbox;
#[cfg(test)]
mod tests;

use dataplane::conn::Listed;
use dataplane::counters::{DestTotals, WorkerCounters};
use dataplane::ids::{DestId, Generation};
use dataplane::mailbox::{DumpItem, DumpQueue, Mailbox, Message};
use dataplane::template::{Template, TemplateStore};
use outbox::Outbox;
use std::sync::Arc;
use std::sync::atomic::Ordering::Acquire;
use std::time::Duration;
use tokio::time::Instant;

/// How long a worker may take to answer before the operator hears of it. Its turn takes
/// microseconds; a stopped thread or a lost core is what takes longer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Between two looks at the workers.
const LOOK: Duration = Duration::from_micros(200);

/// Conns under way from one worker in a listing.
const DUMP_ROOM: usize = 4096;

/// Control's side of all workers.
#[derive(Clone)]
pub struct Publisher {
    workers: Arc<[Outbox]>,
    counters: Arc<[Arc<WorkerCounters>]>,
    templates: Arc<TemplateStore>,
}

/// A worker does not answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stalled {
    /// Its number.
    pub worker: usize,
    /// What it was to do.
    pub what: &'static str,
}

impl std::fmt::Display for Stalled {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (worker, what, limit) = (self.worker, self.what, PATIENCE.as_secs());
        write!(out, "worker {worker} did not {what} within {limit} s; see `sluice status`")
    }
}

impl Publisher {
    /// For workers with these mailboxes and counters, in order, and the templates of all.
    pub fn new(
        mailboxes: Vec<Arc<Mailbox>>,
        counters: Vec<Arc<WorkerCounters>>,
        templates: Arc<TemplateStore>,
    ) -> Self {
        let workers = mailboxes.into_iter().map(Outbox::new).collect();
        Publisher { workers, counters: counters.into(), templates }
    }

    /// The workers' counters, in order.
    pub fn counters(&self) -> &[Arc<WorkerCounters>] {
        &self.counters
    }

    /// What all workers counted for a destination.
    pub fn counted(&self, id: DestId) -> DestTotals {
        let mut totals = DestTotals::default();
        self.counters.iter().for_each(|worker| totals += worker.dest(id).read());
        totals.persistent = self.templates.persistent_conns(id).into();
        totals
    }

    /// Conns of all workers that name a local address.
    pub fn conns_of_local(&self, index: u16) -> u64 {
        self.counters.iter().map(|worker| u64::from(worker.conns_of_local(index))).sum()
    }

    /// Sends a table to every worker. One whose mailbox is full gets it, or a later one of its kind,
    /// when it has room again: see [`Publisher::collect`]. Does not wait.
    pub fn send(&self, message: &Message) {
        self.workers.iter().for_each(|worker| worker.send(message.clone()));
    }

    /// Waits until every worker's mailbox has all that was sent.
    ///
    /// # Errors
    /// [`Stalled`]; the worker gets it as soon as it runs again.
    pub async fn posted(&self) -> Result<(), Stalled> {
        let posted = |worker: usize| self.workers[worker].flush();
        self.every_worker("take a message", posted).await
    }

    /// Waits until every worker runs `generation` or a later one, and drops what it replaced.
    ///
    /// # Errors
    /// [`Stalled`]; the worker takes the snapshot as soon as it runs again.
    pub async fn applied(&self, generation: Generation) -> Result<(), Stalled> {
        let applied = |worker: usize| {
            self.workers[worker].flush();
            self.runs(worker) >= generation.0
        };
        self.every_worker("apply the change", applied).await
    }

    /// Whether every worker runs `generation` or a later one. What it counted while it ran an
    /// older one can be read from then on.
    pub fn has_applied(&self, generation: Generation) -> bool {
        self.oldest() >= generation.0
    }

    /// Waits until `done` holds for every worker, together for at most [`PATIENCE`].
    async fn every_worker(
        &self,
        what: &'static str,
        done: impl Fn(usize) -> bool,
    ) -> Result<(), Stalled> {
        let begun = Instant::now();
        for worker in 0..self.workers() {
            while !done(worker) {
                if begun.elapsed() > PATIENCE {
                    return Err(Stalled { worker, what });
                }
                self.collect();
                tokio::time::sleep(LOOK).await;
            }
        }
        self.collect();
        Ok(())
    }

    /// Drops the tables that workers gave back, and posts what found no room before.
    pub fn collect(&self) {
        self.workers.iter().for_each(Outbox::collect);
    }

    /// Begins a listing of one worker's conns.
    ///
    /// # Errors
    /// [`Stalled`].
    pub fn dump(&self, worker: usize) -> Result<Dump, Stalled> {
        let queue = Arc::new(DumpQueue::new(DUMP_ROOM));
        match self.workers[worker].post(Message::Dump(queue.clone())) {
            Ok(()) => Ok(Dump { worker, queue }),
            Err(_) => Err(Stalled { worker, what: "begin a listing" }),
        }
    }

    /// How many workers there are.
    pub fn workers(&self) -> usize {
        self.workers.len()
    }

    /// The oldest generation that a worker runs.
    pub fn oldest(&self) -> u64 {
        (0..self.workers()).map(|worker| self.runs(worker)).min().unwrap_or(0)
    }

    fn runs(&self, worker: usize) -> u64 {
        self.counters[worker].generation.load(Acquire)
    }
}

/// What a listing shows.
#[derive(Debug, Clone)]
pub enum Entry {
    /// A conn.
    Conn(Listed),
    /// A persistence template, and what its engine found.
    Template(Template, Vec<u8>),
}

/// A listing under way. The worker goes no further than its queue has room, so a slow reader costs
/// no memory.
#[derive(Debug)]
pub struct Dump {
    worker: usize,
    queue: Arc<DumpQueue>,
}

impl Dump {
    /// The next entry, or `None` at the end.
    ///
    /// # Errors
    /// [`Stalled`].
    pub async fn next(&self) -> Result<Option<Entry>, Stalled> {
        match self.item().await? {
            DumpItem::Conn(conn) => Ok(Some(Entry::Conn(conn))),
            DumpItem::Template(template) if template.engine.is_none() => {
                Ok(Some(Entry::Template(template, Vec::new())))
            }
            DumpItem::Template(template) => match self.item().await? {
                DumpItem::EngineData(data) => {
                    Ok(Some(Entry::Template(template, data.as_bytes().to_vec())))
                }
                _ => Ok(None),
            },
            DumpItem::EngineData(_) | DumpItem::Done => Ok(None),
        }
    }

    async fn item(&self) -> Result<DumpItem, Stalled> {
        let begun = Instant::now();
        loop {
            match self.queue.pop() {
                Some(item) => return Ok(item),
                None if begun.elapsed() > PATIENCE => {
                    return Err(Stalled { worker: self.worker, what: "list its connections" });
                }
                None => tokio::time::sleep(LOOK).await,
            }
        }
    }
}
