//! Snapshots to every worker, and what they replaced back to be dropped here.

use dataplane::conn::Conn;
use dataplane::counters::{DestTotals, WorkerCounters};
use dataplane::ids::{DestId, Generation};
use dataplane::mailbox::{DumpItem, DumpQueue, Mailbox, Message};
use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed};
use std::time::{Duration, Instant};

/// How long a worker may take to answer before the operator hears of it. Its turn takes
/// microseconds; a stopped thread or a lost core is what takes longer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Between two looks at the workers.
const LOOK: Duration = Duration::from_micros(200);

/// Conns under way from one worker in a listing.
const DUMP_ROOM: usize = 4096;

/// Control's side of all workers.
#[derive(Debug, Clone)]
pub struct Publisher {
    mailboxes: Vec<Arc<Mailbox>>,
    counters: Vec<Arc<WorkerCounters>>,
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
    /// For workers with these mailboxes and counters, in order.
    pub fn new(mailboxes: Vec<Arc<Mailbox>>, counters: Vec<Arc<WorkerCounters>>) -> Self {
        Publisher { mailboxes, counters }
    }

    /// The workers' counters, in order.
    pub fn counters(&self) -> &[Arc<WorkerCounters>] {
        &self.counters
    }

    /// What all workers counted for a destination.
    pub fn counted(&self, id: DestId) -> DestTotals {
        let mut totals = DestTotals::default();
        self.counters.iter().for_each(|worker| totals += worker.dest(id).read());
        totals
    }

    /// Posts a message to every worker, waiting for room where one has not kept up.
    ///
    /// # Errors
    /// [`Stalled`], with the message posted to the workers before that one.
    pub async fn post(&self, message: Message) -> Result<(), Stalled> {
        for (worker, mailbox) in self.mailboxes.iter().enumerate() {
            let begun = Instant::now();
            let mut pending = message.clone();
            while let Err(refused) = mailbox.post(pending) {
                if begun.elapsed() > PATIENCE {
                    return Err(Stalled { worker, what: "take a message" });
                }
                self.collect();
                tokio::time::sleep(LOOK).await;
                pending = refused;
            }
        }
        Ok(())
    }

    /// Waits until every worker runs `generation` or a later one, and drops what it replaced.
    ///
    /// # Errors
    /// [`Stalled`]; the worker takes the snapshot as soon as it runs again.
    pub async fn applied(&self, generation: Generation) -> Result<(), Stalled> {
        let begun = Instant::now();
        for (worker, counters) in self.counters.iter().enumerate() {
            while counters.generation.load(Acquire) < generation.0 {
                if begun.elapsed() > PATIENCE {
                    return Err(Stalled { worker, what: "apply the change" });
                }
                tokio::time::sleep(LOOK).await;
            }
        }
        self.collect();
        Ok(())
    }

    /// Drops the tables that workers gave back.
    pub fn collect(&self) {
        for mailbox in &self.mailboxes {
            while mailbox.collect().is_some() {}
        }
    }

    /// Begins a listing of one worker's conns.
    ///
    /// # Errors
    /// [`Stalled`].
    pub fn dump(&self, worker: usize) -> Result<Dump, Stalled> {
        let queue = Arc::new(DumpQueue::new(DUMP_ROOM));
        match self.mailboxes[worker].post(Message::Dump(queue.clone())) {
            Ok(()) => Ok(Dump { worker, queue }),
            Err(_) => Err(Stalled { worker, what: "begin a listing" }),
        }
    }

    /// How many workers there are.
    pub fn workers(&self) -> usize {
        self.mailboxes.len()
    }

    /// The oldest generation that a worker runs.
    pub fn oldest(&self) -> u64 {
        self.counters.iter().map(|worker| worker.generation.load(Relaxed)).min().unwrap_or(0)
    }
}

/// A listing under way. The worker goes no further than its queue has room, so a slow reader costs
/// no memory.
#[derive(Debug)]
pub struct Dump {
    worker: usize,
    queue: Arc<DumpQueue>,
}

impl Dump {
    /// The next conn, or `None` at the end.
    ///
    /// # Errors
    /// [`Stalled`].
    pub async fn next(&self) -> Result<Option<Conn>, Stalled> {
        let begun = Instant::now();
        loop {
            match self.queue.pop() {
                Some(DumpItem::Conn(conn)) => return Ok(Some(conn)),
                Some(DumpItem::Done) => return Ok(None),
                None if begun.elapsed() > PATIENCE => {
                    return Err(Stalled { worker: self.worker, what: "list its connections" });
                }
                None => tokio::time::sleep(LOOK).await,
            }
        }
    }
}
