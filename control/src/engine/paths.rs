//! Routes and next hops on their way from Linux to the workers, past the rules: a change of a
//! neighbour compiles no service.

use super::publish::Publisher;
use crate::mirror::{MirrorHandle, NoNextHopLeft, Published};
use dataplane::ids::NextHopId;
use dataplane::mailbox::Message;
use dataplane::nexthop::ResolveRequest;
use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// Between two looks at what workers want resolved.
const WISHES: Duration = Duration::from_millis(2);

/// The engine's end: ids of next hops, and the assurance that workers have been told of them.
pub struct Paths {
    mirror: MirrorHandle,
    pump: mpsc::Sender<oneshot::Sender<()>>,
    /// Real servers whose next hops are held, with their ids.
    held: HashMap<IpAddr, NextHopId>,
}

impl Paths {
    /// Starts the task that posts publications to the workers.
    pub fn start(
        mirror: MirrorHandle,
        publications: mpsc::Receiver<Published>,
        publisher: Publisher,
    ) -> Paths {
        let (pump, requests) = mpsc::channel(1);
        tokio::spawn(post_all(publications, requests, publisher));
        Paths { mirror, pump, held: HashMap::new() }
    }

    /// Gets ids for these real servers; their next hops have been sent to every worker by then.
    ///
    /// # Errors
    /// If there are no more ids.
    pub async fn hold(&mut self, targets: &BTreeSet<IpAddr>) -> Result<(), NoNextHopLeft> {
        let new: Vec<IpAddr> =
            targets.iter().copied().filter(|target| !self.held.contains_key(target)).collect();
        if !new.is_empty() {
            let ids = self.mirror.intern(&new)?;
            self.held.extend(new.into_iter().zip(ids));
        }
        // Even if none is new: a change that was given up while it waited here may have got them.
        self.mirror.published().await;
        let (done, sent) = oneshot::channel();
        // Errors mean that the runtime is going down: nobody forwards any more.
        if self.pump.send(done).await.is_ok() {
            let _ = sent.await;
        }
        Ok(())
    }

    /// Those of `addresses` that nobody answers ARP for.
    pub async fn unanswered(&self, addresses: &[IpAddr]) -> Vec<IpAddr> {
        self.mirror.unanswered(addresses).await
    }

    /// The ids of the real servers that are held.
    pub fn held(&self) -> &HashMap<IpAddr, NextHopId> {
        &self.held
    }

    /// Gives up the next hops of real servers that are not `needed` any more: no table that a
    /// worker runs names them, and no conn.
    pub fn release_all_but(&mut self, needed: &BTreeSet<IpAddr>) {
        let gone: Vec<IpAddr> =
            self.held.keys().copied().filter(|target| !needed.contains(target)).collect();
        if !gone.is_empty() {
            self.mirror.release(&gone);
            self.held.retain(|target, _| needed.contains(target));
        }
    }
}

/// Posts publications as they come, and on request all that have come.
async fn post_all(
    mut publications: mpsc::Receiver<Published>,
    mut requests: mpsc::Receiver<oneshot::Sender<()>>,
    publisher: Publisher,
) {
    loop {
        tokio::select! {
            biased;
            publication = publications.recv() => match publication {
                Some(publication) => post(&publisher, publication),
                None => return,
            },
            request = requests.recv() => match request {
                Some(done) => {
                    while let Ok(publication) = publications.try_recv() {
                        post(&publisher, publication);
                    }
                    let _ = done.send(());
                }
                None => return,
            },
        }
    }
}

fn post(publisher: &Publisher, publication: Published) {
    // Next hops first: a route may point to one that is new.
    if let Some(next_hops) = publication.next_hops {
        publisher.send(&Message::NextHops(next_hops));
    }
    if let Some(routes) = publication.routes {
        publisher.send(&Message::Routes(routes));
    }
    publisher.collect();
}

/// Passes on what workers want resolved, as long as the mirror lives.
pub async fn resolve(
    wishes: Arc<crossbeam::queue::ArrayQueue<ResolveRequest>>,
    mirror: MirrorHandle,
) {
    let mut interval = tokio::time::interval(WISHES);
    let mut full = false;
    loop {
        interval.tick().await;
        while let Some(wish) = wishes.pop() {
            let refused = mirror.request(wish.target).is_err();
            if refused && !full {
                log::warn!("no next-hop ids are left for further clients on the link");
            }
            full = refused;
        }
    }
}
