//! Workers for tests of the engine: tasks that read their mail as workers do, unless they are asleep.

use super::publish::Publisher;
use bytemuck::Zeroable;
use dataplane::conn::{Addresses, Conn, Listed};
use dataplane::counters::WorkerCounters;
use dataplane::mailbox::{DumpItem, DumpQueue, Mailbox, Message, Retired};
use dataplane::nexthop::NextHops;
use dataplane::service::ServiceTable;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::{Relaxed, Release};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Conns that each fake worker lists, by source port from 0.
pub(super) const CONNS: u16 = 3;

/// One of them, as its test sees it.
#[derive(Debug, Default)]
pub(super) struct FakeWorker {
    pub mailbox: Arc<Mailbox>,
    pub counters: Arc<WorkerCounters>,
    pub asleep: AtomicBool,
    /// All service tables it was told of, in order.
    pub tables: Mutex<Vec<Arc<ServiceTable>>>,
}

/// So many workers, awake, and control's side of them.
pub(super) fn workers(count: usize) -> (Vec<Arc<FakeWorker>>, Publisher) {
    let workers: Vec<Arc<FakeWorker>> = (0..count).map(|_| Arc::default()).collect();
    for worker in &workers {
        tokio::spawn(worker.clone().run());
    }
    let mailboxes = workers.iter().map(|worker| worker.mailbox.clone()).collect();
    let counters = workers.iter().map(|worker| worker.counters.clone()).collect();
    (workers, Publisher::new(mailboxes, counters, Arc::default()))
}

impl FakeWorker {
    pub fn sleep(&self) {
        self.asleep.store(true, Relaxed);
    }

    pub fn wake(&self) {
        self.asleep.store(false, Relaxed);
    }

    /// The last table it was told of.
    pub fn table(&self) -> Arc<ServiceTable> {
        self.tables.lock().unwrap().last().expect("a table").clone()
    }

    /// Generations of the tables it was told of.
    pub fn generations(&self) -> Vec<u64> {
        self.tables.lock().unwrap().iter().map(|table| table.generation.0).collect()
    }

    async fn run(self: Arc<Self>) {
        let mut next_hops = Arc::new(NextHops::default());
        loop {
            tokio::time::sleep(Duration::from_micros(100)).await;
            while !self.asleep.load(Relaxed) {
                match self.mailbox.take() {
                    Some(message) => self.obey(message, &mut next_hops),
                    None => break,
                }
            }
        }
    }

    fn obey(&self, message: Message, next_hops: &mut Arc<NextHops>) {
        let retired = match message {
            Message::Services(table) => {
                assert_reachable(&table, next_hops);
                self.tables.lock().unwrap().push(table.clone());
                self.counters.generation.store(table.generation.0, Release);
                Retired::Services(table)
            }
            Message::NextHops(new) => Retired::NextHops(std::mem::replace(next_hops, new)),
            Message::Routes(routes) => Retired::Routes(routes),
            Message::Dump(queue) => {
                list(&queue);
                Retired::Dump(queue)
            }
            other => panic!("{other:?} is not for these workers"),
        };
        self.mailbox.retire(retired);
    }
}

/// A worker must never meet a service whose next hops it has not been told of.
fn assert_reachable(table: &ServiceTable, next_hops: &NextHops) {
    for dest in table.services().iter().flat_map(|service| &service.dests) {
        assert_eq!(next_hops.get(dest.next_hop).target, dest.rip, "the next hop comes first");
    }
}

fn list(queue: &DumpQueue) {
    for cport in 0..CONNS {
        let mut conn = Conn::zeroed();
        (conn.cport, conn.timeout) = (cport, u32::MAX);
        let nowhere = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        let addresses = Addresses { client: nowhere, vip: nowhere, real: nowhere };
        queue.push(DumpItem::Conn(Listed { conn, addresses, local: None }));
    }
    queue.push(DumpItem::Done);
}
