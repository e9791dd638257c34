//! `sluiced` from start to stop: what is started in which order, and ended in the reverse.

mod device;
mod eal;
mod pools;
mod ports;
mod readings;
mod threads;

use crate::affinity::{self, Cores};
use crate::api::{Access, Server};
use crate::config::{self, Begin, Config};
use crate::engine::paths::{self, Paths};
use crate::engine::publish::Publisher;
use crate::engine::{Engine, Start};
use crate::mirror::{self, MirrorInterface};
use readings::DaemonReadings;
use std::convert::Infallible;
use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;
use threads::Threads;
use tokio::signal::unix::{SignalKind, signal};

/// How often workers are told of each other's conns (totals are at most 1 ms old).
const AGGREGATE: Duration = Duration::from_millis(1);

/// How often Linux's limits on ICMP errors are read.
const ICMP_LIMITS: Duration = Duration::from_secs(1);

/// How often rates are reckoned (`ip_vs_est.c`).
const TICK: Duration = Duration::from_secs(2);

/// How often it is looked at whether floods are to be defended against (`defense_work_handler`).
const DEFEND: Duration = Duration::from_secs(1);

/// Runs until SIGTERM or SIGINT.
///
/// # Errors
/// One sentence on what could not be had; what was started is stopped again.
pub fn run(config: &Config) -> Result<(), String> {
    let cores = Cores::of(&config.workers, &config::available_cores());
    // Before any thread starts, DPDK's included: each stays where the one that started it is.
    affinity::stay_on(&cores.control);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("control")
        .enable_all()
        .build()
        .map_err(told("start the control threads"))?;
    let server = runtime.block_on(listen(config))?;
    let ports = ports::start(config, &cores).map_err(|error| error.to_string())?;
    ports.steering.iter().for_each(|line| log::info!("{line}"));
    let interfaces = MirrorInterface::from_config(config, &ports.macs);
    let (threads, control) = threads::start(config, ports, &cores)?;
    let served = runtime.block_on(serve(config, server, interfaces, control, &threads));
    threads.stop();
    served
}

/// Takes the socket first: a second daemon on it must not touch the ports.
async fn listen(config: &Config) -> Result<Server, String> {
    let access = match &config.daemon.group {
        Some(group) => Access::for_group(group)?,
        None => Access::root_only(),
    };
    let socket = &config.daemon.socket;
    if let Some(folder) = socket.parent() {
        std::fs::create_dir_all(folder).map_err(told(&format!("make {}", folder.display())))?;
    }
    Server::bind(socket, access).await
}

/// What the control plane needs of the workers.
struct Control {
    publisher: Publisher,
    others: Vec<Arc<dataplane::counters::OthersLoad>>,
    expect: Arc<dataplane::expect::Expectations>,
    wishes: Arc<crossbeam::queue::ArrayQueue<dataplane::nexthop::ResolveRequest>>,
    readings: DaemonReadings,
}

async fn serve(
    config: &Config,
    server: Server,
    interfaces: Vec<MirrorInterface>,
    control: Control,
    threads: &Threads,
) -> Result<(), String> {
    mirror::apply(config).await.map_err(|error| error.to_string())?;
    let (handle, publications) = mirror::start(interfaces, &config.routes, &config.neighbors)
        .await
        .map_err(|error| error.to_string())?;
    tokio::spawn(paths::resolve(control.wishes, handle.clone()));
    let paths = Paths::start(handle, publications, control.publisher.clone());
    let capacity = config.connections_per_worker() * config.workers.count;
    let engine = Arc::new(Engine::new(Start {
        publisher: control.publisher,
        others: control.others,
        expect: control.expect,
        paths,
        table_size: capacity as u64,
        readings: Box::new(control.readings),
    }));
    engine.configure(config).await.map_err(|error| error.to_string())?;
    tokio::spawn(aggregate(engine.clone()));
    tokio::spawn(tick(engine.clone()));
    tokio::spawn(defend(engine.clone()));
    tokio::spawn(follow_icmp_limits(engine.clone()));
    let stop = stop_signal().map_err(told("listen for signals"))?;
    let begin = begin_signal(config.workers.begin).map_err(told("listen for signals"))?;
    let forward = async {
        begin.await;
        threads.begin();
        log::info!("forwarding with {} workers", config.workers.count);
        std::future::pending::<Infallible>().await
    };
    log::info!("serving {}", config.daemon.socket.display());
    tokio::select! {
        () = server.serve(engine, stop) => Ok(()),
        dead = threads.watch() => Err(dead),
        never = forward => match never {},
    }
}

async fn aggregate(engine: Arc<Engine>) {
    let mut interval = tokio::time::interval(AGGREGATE);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        interval.tick().await;
        engine.aggregate();
    }
}

async fn tick(engine: Arc<Engine>) {
    let mut interval = tokio::time::interval(TICK);
    loop {
        interval.tick().await;
        engine.tick().await;
    }
}

async fn defend(engine: Arc<Engine>) {
    let mut interval = tokio::time::interval(DEFEND);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        interval.tick().await;
        if let Err(error) = engine.defend().await {
            log::warn!("cannot tell the workers how to defend: {error}");
        }
    }
}

/// Keeps the workers' limits on ICMP errors as Linux's are. A worker that does not answer hears of
/// them later, and its stall is logged elsewhere.
async fn follow_icmp_limits(engine: Arc<Engine>) {
    let mut interval = tokio::time::interval(ICMP_LIMITS);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        interval.tick().await;
        let Ok(limits) = tokio::task::spawn_blocking(mirror::icmp_limits).await else { continue };
        if let Err(error) = engine.limit_icmp(limits).await {
            log::warn!("cannot limit ICMP errors as Linux does: {error}");
        }
    }
}

fn stop_signal() -> std::io::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => log::info!("SIGTERM: stopping"),
            _ = interrupt.recv() => log::info!("SIGINT: stopping"),
        }
    })
}

/// Resolves when the workers are to take their first packet.
fn begin_signal(begin: Begin) -> std::io::Result<impl Future<Output = ()>> {
    let mut signal = match begin {
        Begin::Ready => None,
        Begin::Signal => Some(signal(SignalKind::user_defined1())?),
    };
    Ok(async move {
        if let Some(signal) = &mut signal {
            signal.recv().await;
        }
    })
}

fn told<E: Display>(what: &str) -> impl FnOnce(E) -> String {
    let what = what.to_owned();
    move |error| format!("cannot {what}: {error}")
}
