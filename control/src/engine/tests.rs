use super::fake::{self, CONNS, FakeWorker};
use super::*;
use crate::api::Backend;
use crate::api::protocol::ConnFilter;
use crate::config::MacAddr;
use crate::mirror::{self, MirrorInterface, MirrorState};
use crate::rules::RealServer;
use crate::rules::example::v4;
use dataplane::forward::tunnel::Encap;
use dataplane::ids::PortId;
use dataplane::sched::SchedulerKind;
use dataplane::service::{ForwardingMethod, ServiceKey};
use serde_json::{Value, json};
use std::net::IpAddr;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::sleep;

const WEB: ServiceKey = ServiceKey::Address { proto: 6, vip: v4(0x0a00_0064), vport: 80 };
const RIP: IpAddr = v4(0xc0a8_6402);
const OTHER: IpAddr = v4(0xc0a8_6403);

struct NoReadings;

impl Readings for NoReadings {
    fn ports(&self) -> Vec<PortReading> {
        Vec::new()
    }

    fn twins(&self) -> Value {
        json!({})
    }

    fn port_set_up(&self) -> Value {
        Value::Null
    }

    fn set_up(&self) -> Value {
        json!({})
    }
}

/// An engine with workers and a mirror of no Linux.
struct Rig {
    engine: Arc<Engine>,
    workers: Vec<Arc<FakeWorker>>,
    others: Vec<Arc<OthersLoad>>,
}

impl Rig {
    fn new(count: usize) -> Rig {
        let lan = MirrorInterface {
            name: "lan".into(),
            port: PortId(0),
            vlan: 0,
            twin: false,
            mac: MacAddr([2, 0, 0, 0, 0xd, 0]),
            mtu: 1500,
            addresses: vec!["192.168.100.1/24".parse().expect("an address")],
        };
        let (workers, publisher) = fake::workers(count);
        let (mirror, publications) = mirror::without_linux(MirrorState::new(vec![lan], &[], &[]));
        let others: Vec<Arc<OthersLoad>> = (0..count).map(|_| Arc::default()).collect();
        let engine = Engine::new(Start {
            paths: Paths::start(mirror, publications, publisher.clone()),
            publisher,
            others: others.clone(),
            expect: Arc::new(Expectations::new([1, 2], count)),
            table_size: 4096,
            readings: Box::new(NoReadings),
        });
        Rig { engine: Arc::new(engine), workers, others }
    }

    async fn change(&self, changes: Vec<RuleChange>) -> Result<u64, ApiError> {
        self.engine.change(changes, false).await
    }

    /// A change that its test does not wait for.
    fn begin(&self, changes: Vec<RuleChange>) -> JoinHandle<Result<u64, ApiError>> {
        let engine = self.engine.clone();
        tokio::spawn(async move { engine.change(changes, false).await })
    }

    /// Ids in use.
    async fn dests(&self) -> Vec<DestId> {
        self.engine.locked.lock().await.state.dests().collect()
    }
}

fn web(servers: &[IpAddr]) -> Vec<RuleChange> {
    let service = RuleChange::AddService { service: WEB, options: SchedulerKind::Rr.into() };
    std::iter::once(service).chain(servers.iter().map(|&rip| add(rip))).collect()
}

fn add(rip: IpAddr) -> RuleChange {
    let server = RealServer {
        rip,
        rport: 80,
        method: ForwardingMethod::Masq,
        tunnel: Encap::Ipip,
        weight: 1,
        u_threshold: 0,
        l_threshold: 0,
    };
    RuleChange::AddServer { service: WEB, server }
}

fn delete(rip: IpAddr) -> Vec<RuleChange> {
    vec![RuleChange::DeleteServer { service: WEB, rip, rport: 80 }]
}

#[tokio::test(start_paused = true)]
async fn a_change_returns_when_every_worker_has_it() {
    let rig = Rig::new(2);
    rig.workers[1].sleep();
    let change = rig.begin(web(&[RIP, OTHER]));
    sleep(Duration::from_secs(1)).await;
    assert!(!change.is_finished());
    assert_eq!(rig.workers[0].generations(), [1], "with next hops known before: the worker looks");

    rig.workers[1].wake();
    assert_eq!(change.await.expect("no panic"), Ok(1));
    assert_eq!(rig.workers[1].table().services()[0].dests.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_change_that_a_worker_does_not_answer_arrives_later() {
    let rig = Rig::new(2);
    rig.workers[1].sleep();
    let error = rig.change(web(&[RIP])).await.expect_err("worker 1 sleeps");
    assert_eq!(error.message, "worker 1 did not apply the change within 5 s; see `sluice status`");

    rig.workers[1].wake();
    sleep(Duration::from_millis(1)).await;
    assert_eq!(rig.workers[1].generations(), [1]);
    assert_eq!(rig.change(delete(RIP)).await, Ok(2));
}

#[tokio::test(start_paused = true)]
async fn a_change_waits_for_the_one_before_it() {
    let rig = Rig::new(2);
    rig.workers[1].sleep();
    let first = rig.begin(web(&[RIP]));
    sleep(Duration::from_millis(100)).await;
    let second = rig.begin(delete(RIP));
    sleep(Duration::from_secs(1)).await;
    assert_eq!(rig.workers[0].generations(), [1]);

    rig.workers[1].wake();
    assert_eq!(first.await.expect("no panic"), Ok(1));
    assert_eq!(second.await.expect("no panic"), Ok(2));
    assert_eq!(rig.workers[1].generations(), [1, 2]);
}

#[tokio::test(start_paused = true)]
async fn a_change_whose_caller_gives_up_is_made_all_the_same() {
    let rig = Rig::new(1);
    rig.workers[0].sleep();
    let change = rig.begin(web(&[RIP]));
    sleep(Duration::from_secs(1)).await;
    change.abort();
    rig.workers[0].wake();
    assert_eq!(rig.change(delete(RIP)).await, Ok(2), "the first is in force");
}

#[tokio::test(start_paused = true)]
async fn a_refused_change_leaves_everything_as_it_was() {
    let rig = Rig::new(1);
    rig.change(web(&[RIP])).await.expect("applied");
    let before = rig.dests().await;
    assert!(rig.change(vec![add(OTHER), add(RIP)]).await.is_err(), "it is there already");
    assert_eq!(rig.dests().await, before);
    assert_eq!(rig.workers[0].generations(), [1]);
}

#[tokio::test(start_paused = true)]
async fn an_id_is_free_only_when_no_worker_can_begin_a_conn_on_it() {
    let rig = Rig::new(2);
    rig.change(web(&[RIP])).await.expect("applied");
    let dest = rig.dests().await[0];
    rig.workers[1].sleep();
    rig.change(delete(RIP)).await.expect_err("worker 1 sleeps");

    rig.engine.tick().await;
    assert_eq!(rig.dests().await, [dest], "worker 1 runs the table that has it");
    rig.workers[1].counters.dest(dest).conn_begins();
    rig.workers[1].wake();
    sleep(Duration::from_millis(1)).await;
    rig.engine.tick().await;
    assert_eq!(rig.dests().await, [dest], "it has a conn");

    rig.workers[1].counters.dest(dest).conn_ends(false);
    rig.engine.tick().await;
    assert!(rig.dests().await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_next_hop_is_held_while_conns_go_through_it() {
    let rig = Rig::new(1);
    rig.change(web(&[RIP])).await.expect("applied");
    let (dest, worker) = (rig.dests().await[0], &rig.workers[0]);
    worker.counters.dest(dest).conn_begins();
    rig.change(delete(RIP)).await.expect("applied");
    let held = || async { rig.engine.locked.lock().await.paths.held().contains_key(&RIP) };
    assert!(held().await);

    worker.counters.dest(dest).conn_ends(false);
    rig.engine.tick().await;
    assert!(!held().await);
}

#[tokio::test(start_paused = true)]
async fn totals_are_aggregated_while_a_change_waits() {
    let rig = Rig::new(2);
    rig.change(web(&[RIP])).await.expect("applied");
    let dest = rig.dests().await[0];
    rig.workers[1].sleep();
    let change = rig.begin(vec![add(OTHER)]);
    sleep(Duration::from_secs(1)).await;
    let new = rig.workers[0].table().services()[0].dests.iter().map(|dest| dest.id).max();
    let new = new.expect("worker 0 has the second server");
    assert_ne!(new, dest);

    rig.workers[0].counters.dest(dest).conn_begins();
    rig.workers[0].counters.dest(new).conn_begins();
    rig.engine.aggregate();
    assert!(!change.is_finished());
    assert_eq!(rig.others[1].get(dest), (0, 1));
    assert_eq!(rig.others[1].get(new), (0, 1));
    assert_eq!(rig.others[0].get(dest), (0, 0), "its own are not another's");
}

#[tokio::test(start_paused = true)]
async fn conns_of_all_workers_are_listed_up_to_the_limit() {
    let rig = Rig::new(2);
    for (limit, expected) in [(None, 2 * usize::from(CONNS)), (Some(4), 4)] {
        let (rows, mut listed) = mpsc::channel(16);
        let filter = ConnFilter { limit, ..ConnFilter::default() };
        let listing = rig.engine.conns(filter, rows);
        let (result, count) = tokio::join!(listing, async {
            let mut count = 0;
            while let Some(batch) = listed.recv().await {
                count += batch.len();
            }
            count
        });
        result.expect("all answer");
        assert_eq!(count, expected);
    }
}
