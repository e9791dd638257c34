//! The task that keeps the mirror, and what the rest of the program has of it.

use super::decode::{self, Notification};
use super::event::Event;
use super::interfaces::MirrorInterface;
use super::netlink::{self, Notifications};
use super::standing::Ask;
use super::state::{Changes, MirrorState};
use super::targets::NoNextHopLeft;
use crate::config::{StaticNeighbor, StaticRoute};
use dataplane::ids::NextHopId;
use dataplane::nexthop::NextHops;
use dataplane::route::Routes;
use futures_util::{FutureExt, StreamExt};
use rtnetlink::Handle;
use std::collections::HashSet;
use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, mpsc, watch};

/// At most one publication in this time: what a burst of events changes comes together.
const COALESCE: Duration = Duration::from_millis(10);

/// Publications that may wait for the receiver before the mirror waits for it.
const PUBLICATIONS: usize = 4;

/// What has changed; parts that have not are `None`.
#[derive(Debug, Clone, Default)]
pub struct Published {
    /// New routes.
    pub routes: Option<Arc<Routes>>,
    /// New next hops.
    pub next_hops: Option<Arc<NextHops>>,
}

/// Why there is no mirror.
#[derive(Debug)]
pub enum MirrorError {
    /// No netlink socket.
    Socket(std::io::Error),
    /// Linux did not tell its tables.
    Dump(rtnetlink::Error),
}

impl fmt::Display for MirrorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MirrorError::Socket(error) => write!(f, "cannot open a netlink socket: {error}"),
            MirrorError::Dump(error) => {
                write!(
                    f,
                    "cannot read the system's links, addresses, routes and neighbours: {error}"
                )
            }
        }
    }
}

impl std::error::Error for MirrorError {}

/// A share in the running mirror.
#[derive(Debug, Clone)]
pub struct MirrorHandle {
    shared: Arc<Shared>,
    /// `None` where there is no Linux: in tests.
    linux: Option<Handle>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<MirrorState>,
    /// Something awaits settlement.
    wake: Notify,
    /// How many wishes there were, and up to which of them all is published.
    wishes: watch::Sender<u64>,
    settled: watch::Sender<u64>,
}

impl Shared {
    fn new(state: MirrorState) -> Arc<Shared> {
        Arc::new(Shared {
            state: Mutex::new(state),
            wake: Notify::new(),
            wishes: watch::Sender::new(0),
            settled: watch::Sender::new(0),
        })
    }

    fn state(&self) -> MutexGuard<'_, MirrorState> {
        // A panic under the lock ends the mirror's task; rules may still be compiled.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wish<T>(&self, wish: impl FnOnce(&mut MirrorState) -> T) -> T {
        let result = wish(&mut self.state());
        self.wishes.send_modify(|count| *count += 1);
        self.wake.notify_one();
        result
    }
}

impl MirrorHandle {
    /// The ids that stand for these real servers, from now on and until released; Linux
    /// keeps their neighbours resolved. Does not wait.
    ///
    /// # Errors
    /// If there are no more ids.
    pub fn intern(&self, targets: &[IpAddr]) -> Result<Vec<NextHopId>, NoNextHopLeft> {
        self.shared.wish(|state| state.intern(targets, Instant::now()))
    }

    /// Gives up what [`MirrorHandle::intern`] gave, once no worker has conns to these real servers.
    pub fn release(&self, targets: &[IpAddr]) {
        self.shared.wish(|state| state.release(targets, Instant::now()));
    }

    /// A worker wants to send to this on-link target and cannot: gives it an id if it has none, and
    /// asks Linux to resolve it. Does not wait.
    ///
    /// # Errors
    /// If there are no more ids for on-link clients.
    pub fn request(&self, target: IpAddr) -> Result<NextHopId, NoNextHopLeft> {
        self.shared.wish(|state| state.request(target, Instant::now()))
    }

    /// Waits until a publication with all that was interned before this call has been given to the
    /// receiver. Whoever receives publications must not wait here.
    pub async fn published(&self) {
        let wishes = *self.shared.wishes.borrow();
        let mut settled = self.shared.settled.subscribe();
        // An error means that the mirror has ended: nothing more will come.
        let _ = settled.wait_for(|count| *count >= wishes).await;
    }

    /// Those of `addresses` that no link of Linux's has: nobody answers ARP or neighbour discovery
    /// for them. None if the director has no twin, or Linux does not say.
    pub async fn unanswered(&self, addresses: &[IpAddr]) -> Vec<IpAddr> {
        let has_twin = self.shared.state().interfaces.iter().any(|(_, it)| it.twin);
        let Some(linux) = self.linux.as_ref().filter(|_| has_twin && !addresses.is_empty()) else {
            return Vec::new();
        };
        let own: HashSet<IpAddr> = match netlink::addresses(linux).await {
            Ok(own) => own.into_iter().collect(),
            Err(_) => return Vec::new(),
        };
        addresses.iter().copied().filter(|address| !own.contains(address)).collect()
    }
}

/// Reads Linux's tables and keeps up with them from then on. The first publication, which has both
/// parts, waits in the receiver when this returns; the mirror ends when the receiver is dropped.
/// `interfaces` are in the order of their ids. Runs on the current tokio runtime, in the network
/// namespace of the calling thread.
///
/// # Errors
/// If Linux does not answer.
pub async fn start(
    interfaces: Vec<MirrorInterface>,
    routes: &[StaticRoute],
    neighbors: &[StaticNeighbor],
) -> Result<(MirrorHandle, mpsc::Receiver<Published>), MirrorError> {
    let notifications = netlink::subscribe().map_err(MirrorError::Socket)?;
    let netlink = netlink::connect().map_err(MirrorError::Socket)?;
    let dump = netlink::dump(&netlink).await.map_err(MirrorError::Dump)?;
    let mut state = MirrorState::new(interfaces, routes, neighbors);
    state.resync(&dump, Instant::now());
    let shared = Shared::new(state);
    let (publications, receiver) = mpsc::channel(PUBLICATIONS);
    let (asks, asked) = mpsc::unbounded_channel();
    tokio::spawn(put_questions(netlink.clone(), asked));
    let handle = MirrorHandle { shared: Arc::clone(&shared), linux: Some(netlink.clone()) };
    let mut task =
        Task { shared, notifications, netlink, publications, asks, last: Instant::now() };
    task.publish(true).await;
    tokio::spawn(task.run());
    Ok((handle, receiver))
}

/// A mirror of no Linux: wishes are settled and published as they come.
#[cfg(test)]
pub(crate) fn without_linux(state: MirrorState) -> (MirrorHandle, mpsc::Receiver<Published>) {
    let shared = Shared::new(state);
    let (publications, receiver) = mpsc::channel(PUBLICATIONS);
    let handle = MirrorHandle { shared: Arc::clone(&shared), linux: None };
    tokio::spawn(async move {
        loop {
            shared.wake.notified().await;
            tokio::time::sleep(COALESCE).await;
            let wishes = *shared.wishes.borrow();
            let next_hops = shared.state().settle(Instant::now()).next_hops.map(Arc::new);
            // Without a receiver nobody waits for it.
            let _ = publications.send(Published { routes: None, next_hops }).await;
            shared.settled.send_replace(wishes);
        }
    });
    (handle, receiver)
}

struct Task {
    shared: Arc<Shared>,
    notifications: Notifications,
    netlink: Handle,
    publications: mpsc::Sender<Published>,
    asks: mpsc::UnboundedSender<Ask>,
    last: Instant,
}

impl Task {
    async fn run(mut self) {
        loop {
            let deadline = self.shared.state().deadline().map(tokio::time::Instant::from_std);
            let grace = async {
                match deadline {
                    Some(deadline) => tokio::time::sleep_until(deadline).await,
                    None => std::future::pending().await,
                }
            };
            let first = tokio::select! {
                message = self.notifications.next() => match message {
                    Some(message) => Some(decode::notification(&message)),
                    None => return log::error!("netlink is gone: routes and neighbours stand still"),
                },
                () = self.shared.wake.notified() => None,
                () = grace => None,
                () = self.publications.closed() => return,
            };
            tokio::time::sleep_until((self.last + COALESCE).into()).await;
            let mut overrun = first.is_some_and(|first| self.take(first));
            overrun |= self.drain();
            if overrun {
                self.resync().await;
            }
            self.publish(false).await;
        }
    }

    /// Takes in one notification; whether some are lost.
    fn take(&self, notification: Notification) -> bool {
        match notification {
            Notification::Event(event) => self.apply(&event),
            Notification::Overrun => return true,
            Notification::Other => {}
        }
        false
    }

    fn apply(&self, event: &Event) {
        log::trace!("{event:?}");
        self.shared.state().apply(event, Instant::now());
    }

    /// Takes in what is there; whether notifications are lost.
    fn drain(&mut self) -> bool {
        let mut overrun = false;
        while let Some(Some(message)) = self.notifications.next().now_or_never() {
            overrun |= self.take(decode::notification(&message));
        }
        overrun
    }

    /// Reads everything anew. Notifications that came meanwhile wait, and are replayed afterwards:
    /// they are in order and name whole states, so the end is the same whichever came first.
    async fn resync(&mut self) {
        match netlink::dump(&self.netlink).await {
            Ok(dump) => self.shared.state().resync(&dump, Instant::now()),
            Err(error) => log::warn!("cannot read the system's routes and neighbours: {error}"),
        }
    }

    async fn publish(&mut self, always: bool) {
        let wishes = *self.shared.wishes.borrow();
        let mut changes = self.shared.state().settle(Instant::now());
        if changes.resync {
            self.resync().await;
            let after = self.shared.state().settle(Instant::now());
            changes = merge(changes, after);
        }
        self.last = Instant::now();
        for ask in changes.asks {
            // The other end lives as long as the runtime.
            let _ = self.asks.send(ask);
        }
        let published = Published {
            routes: changes.routes.map(Arc::new).or(always.then(Arc::default)),
            next_hops: changes.next_hops.map(Arc::new).or(always.then(Arc::default)),
        };
        if published.routes.is_some() || published.next_hops.is_some() {
            // Without a receiver the loop ends at its next turn.
            let _ = self.publications.send(published).await;
        }
        self.shared.settled.send_replace(wishes);
    }
}

/// Two settlements as one.
fn merge(first: Changes, second: Changes) -> Changes {
    let mut asks = first.asks;
    asks.extend(second.asks);
    Changes {
        routes: second.routes.or(first.routes),
        next_hops: second.next_hops.or(first.next_hops),
        asks,
        resync: false,
    }
}

/// Puts questions in order, one after the other. A refusal is normal while a link is down.
async fn put_questions(mut netlink: Handle, mut asks: mpsc::UnboundedReceiver<Ask>) {
    let mut managed_refused = false;
    while let Some(ask) = asks.recv().await {
        let Err(error) = netlink::ask(&mut netlink, &ask).await else { continue };
        log::debug!("Linux does not resolve {} on link {}: {error}", ask.address, ask.ifindex);
        if !ask.managed {
            continue;
        }
        // Kernels before 5.16 know no managed neighbours.
        let once = Ask { managed: false, ..ask };
        if netlink::ask(&mut netlink, &once).await.is_ok() && !managed_refused {
            managed_refused = true;
            log::warn!(
                "Linux keeps no neighbours resolved ({error}); they are asked for when stale"
            );
        }
    }
}
