//! One worker: its share of the ports, its director, and the turn of its loop.
//!
//! [`Worker::turn`] is one window: gather what is there, process it, put it where it goes. The
//! thread around it (clock, pinning, idling) is control's; the simulation calls the same function.

mod dump;
mod messages;

use crate::counters::WorkerCounters;
use crate::director::{Director, Outbox, Setup};
use crate::handover::{HandOver, Handed};
use crate::ids::{PortId, WorkerId};
use crate::io::{Packet, Pool, Queue};
use crate::limits::{BURST, CATCH_UP_BATCH, EXPIRE_BATCH, IDLE_CATCH_UP_BATCH, MAX_PORTS, WINDOW};
use crate::mailbox::Mailbox;
use crate::time::Tick;
use crate::twin_ring::{FromTwin, PuntSender};
use crate::verdict::DropReason;
use dump::Dump;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// Less room than this is not asked for: drivers with vector code receive nothing then.
const LEAST_BURST: usize = 8;

/// Times a transmit queue is offered the same packets before they are dropped.
const TX_TRIES: usize = 4;

/// A worker's share of one port: it receives from it, transmits on it, or both.
pub struct PortShare<Q> {
    /// The port.
    pub port: PortId,
    /// Its queues of it.
    pub queue: Q,
}

/// How a worker reaches a port's wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TxRoute {
    /// No such port.
    None,
    /// It has a transmit queue itself: the place in its shares.
    Own(usize),
    /// Another worker has: finished packets are handed to it.
    Through(WorkerId),
}

/// What a worker is connected to at start.
pub struct Wiring<Q: Queue> {
    /// Its queues.
    pub shares: Vec<PortShare<Q>>,
    /// How it reaches each port, by port id.
    pub tx_routes: Vec<TxRoute>,
    /// Rings to and from the other workers.
    pub hand_over: HandOver<Q::Packet>,
    /// Rings to the kernel twins.
    pub punts: PuntSender<Q::Packet>,
    /// Ring from the kernel twins, for the ports whose transmit queue it has.
    pub from_twin: FromTwin<Q::Packet>,
    /// Control's messages and what goes back.
    pub mailbox: Arc<Mailbox>,
    /// How many workers there are.
    pub workers: usize,
    /// Packets a turn takes at most: [`WINDOW`], or fewer in tests (it changes nothing but speed).
    pub window: usize,
}

/// Whether the loop goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Another turn.
    Go,
    /// Control has said stop.
    Stop,
}

/// One pinned thread's state and all that it owns.
pub struct Worker<Q: Queue, L: Pool<Packet = Q::Packet>> {
    director: Director<Q::Packet, L>,
    wiring: Wiring<Q>,
    counters: Arc<WorkerCounters>,
    window: Vec<Q::Packet>,
    finished: Vec<Q::Packet>,
    /// What Linux sends: first what other workers handed over.
    linuxs: Vec<Q::Packet>,
    out: Outbox<Q::Packet>,
    /// The share that is asked first in the next turn.
    first_share: usize,
    /// A listing under way.
    dump: Option<Dump>,
}

impl<Q: Queue, L: Pool<Packet = Q::Packet>> Worker<Q, L> {
    /// A worker at rest.
    pub fn new(setup: Setup<L>, wiring: Wiring<Q>) -> Self {
        Worker {
            counters: setup.counters.clone(),
            director: Director::new(setup),
            window: Vec::with_capacity(WINDOW),
            finished: Vec::with_capacity(2 * WINDOW),
            linuxs: Vec::with_capacity(WINDOW + BURST),
            out: Outbox::new(wiring.workers),
            wiring,
            first_share: 0,
            dump: None,
        }
    }

    /// One window: gathers what is there and never waits, processes it, puts it where it goes.
    /// Returns how many packets it handled.
    pub fn turn(&mut self, now: Tick) -> usize {
        let handed_in = self.gather_handed();
        self.gather_received();
        let handed_linuxs = self.linuxs.len();
        self.gather_from_twin();
        let handled = self.window.len() + self.finished.len() + self.linuxs.len();
        let live = self.director.conns().len();
        self.director.process(&mut self.window, handed_in, now, &mut self.out);
        self.director.from_linux(&mut self.linuxs, handed_linuxs, now, &mut self.out);
        let more = self.director.conns().len().saturating_sub(live);
        self.director.expire(now, EXPIRE_BATCH + 2 * more);
        self.catch_up(if handled == 0 { IDLE_CATCH_UP_BATCH } else { CATCH_UP_BATCH });
        self.transmit_finished();
        self.flush();
        self.director.gather(&mut self.out.tally);
        handled
    }

    /// What is to be done between windows: control's messages, conns whose time has come, held
    /// packets, listings. All of it bounded.
    pub fn housekeep(&mut self, now: Tick) -> Next {
        let next = self.read_mail();
        self.director.housekeep(now, &mut self.out);
        self.continue_dump(now);
        self.flush();
        self.director.gather(&mut self.out.tally);
        next
    }

    /// Notes that the thread is alive, and whether its last turn found anything.
    pub fn beat(&self, idle: bool) {
        let turns = &self.counters.turns;
        turns.store(turns.load(Relaxed).wrapping_add(1), Relaxed);
        if idle {
            let idle_turns = &self.counters.idle_turns;
            idle_turns.store(idle_turns.load(Relaxed).wrapping_add(1), Relaxed);
        }
    }

    fn gather_handed(&mut self) -> usize {
        let (window, finished, linuxs) = (&mut self.window, &mut self.finished, &mut self.linuxs);
        // Half a window at most: a neighbour that hands over more than this worker can process
        // must not keep it from its own queues.
        let room = self.wiring.window.div_ceil(2);
        let taken = self.wiring.hand_over.receive(room, |handed| match handed {
            Handed::Flow(packet) => {
                packet.prefetch_head();
                window.push(packet);
            }
            Handed::Finished(packet) => finished.push(packet),
            Handed::Linuxs(packet) => linuxs.push(packet),
        });
        self.out.tally.handed_in += taken as u64;
        window.len()
    }

    /// Fills the window from the queues, each in its turn to be first.
    fn gather_received(&mut self) {
        let before = self.window.len();
        let shares = self.wiring.shares.len();
        for step in 0..shares {
            let share = &mut self.wiring.shares[(self.first_share + step) % shares];
            while self.wiring.window - self.window.len() >= LEAST_BURST.min(self.wiring.window) {
                let room = BURST.min(self.wiring.window - self.window.len());
                if share.queue.rx_burst(&mut self.window, room) < room {
                    break;
                }
            }
            let refused = share.queue.refused();
            self.out.tally.received += refused;
            self.out.tally.dropped[DropReason::MultiSegment.index()] += refused;
        }
        self.first_share = (self.first_share + 1) % shares.max(1);
        self.out.tally.received += (self.window.len() - before) as u64;
    }

    fn gather_from_twin(&mut self) {
        let taken = self.wiring.from_twin.pop_into(&mut self.linuxs, BURST);
        self.out.tally.from_twin += taken as u64;
    }

    fn transmit_finished(&mut self) {
        for packet in self.finished.drain(..) {
            let port = packet.port();
            if port.index() < MAX_PORTS {
                self.out.transmit(port, packet);
            } else {
                self.out.tally.drop_one(DropReason::NoRoute);
            }
        }
    }

    /// Puts everything in the outbox where it goes; what does not fit is a drop.
    fn flush(&mut self) {
        self.flush_ports();
        self.flush_workers();
        self.flush_punts();
    }

    fn flush_ports(&mut self) {
        for port in 0..self.out.ports.len() {
            if self.out.ports[port].is_empty() {
                continue;
            }
            match self.wiring.tx_routes.get(port).copied().unwrap_or(TxRoute::None) {
                TxRoute::Own(share) => self.transmit(port, share),
                TxRoute::Through(worker) => {
                    let packets = self.out.ports[port].drain(..).map(|mut packet| {
                        packet.set_port(PortId(port as u16));
                        Handed::Finished(packet)
                    });
                    self.out.workers[worker.index()].extend(packets);
                }
                TxRoute::None => {
                    let lost = self.out.ports[port].drain(..).count() as u64;
                    self.out.tally.dropped[DropReason::NoRoute.index()] += lost;
                }
            }
        }
    }

    fn transmit(&mut self, port: usize, share: usize) {
        let packets = &mut self.out.ports[port];
        let before = packets.len();
        for _ in 0..TX_TRIES {
            self.wiring.shares[share].queue.tx_burst(packets);
            if packets.is_empty() {
                break;
            }
        }
        self.out.tally.sent += (before - packets.len()) as u64;
        let lost = packets.drain(..).count() as u64;
        self.out.tally.dropped[DropReason::TxFull.index()] += lost;
    }

    fn flush_workers(&mut self) {
        for (worker, packets) in self.out.workers.iter_mut().enumerate() {
            if packets.is_empty() {
                continue;
            }
            let sent = self.wiring.hand_over.send(WorkerId(worker as u16), packets);
            self.out.tally.handed_out += sent as u64;
            let lost = packets.drain(..).count() as u64;
            self.out.tally.dropped[DropReason::HandOverFull.index()] += lost;
        }
    }

    fn flush_punts(&mut self) {
        for (class, interface, packet) in self.out.punts.drain(..) {
            match self.wiring.punts.punt(class, interface, packet) {
                Ok(()) => self.out.tally.punted[class.index()] += 1,
                Err(_) => self.out.tally.drop_one(DropReason::PuntFull),
            }
        }
    }

    /// The director, for tests that look inside.
    pub fn director(&self) -> &Director<Q::Packet, L> {
        &self.director
    }

    /// The director, for tests that set it up otherwise.
    pub fn director_mut(&mut self) -> &mut Director<Q::Packet, L> {
        &mut self.director
    }

    /// Its shares of the ports, for tests that play the wire.
    pub fn shares_mut(&mut self) -> &mut [PortShare<Q>] {
        &mut self.wiring.shares
    }

    /// Its share of one port.
    pub fn share_mut(&mut self, port: PortId) -> Option<&mut PortShare<Q>> {
        self.wiring.shares.iter_mut().find(|share| share.port == port)
    }

    /// Takes the worker apart at the end: its queues are closed by control, its table may be
    /// adopted. What was held or under way to it is dropped, and counted.
    pub fn into_parts(mut self) -> (Director<Q::Packet, L>, Wiring<Q>) {
        let tally = &mut self.out.tally;
        let handed = self.wiring.hand_over.receive(usize::MAX, drop);
        let from_twin = self.wiring.from_twin.pop_into(&mut self.finished, usize::MAX);
        tally.handed_in += handed as u64;
        tally.from_twin += from_twin as u64;
        tally.dropped[DropReason::Stopping.index()] += (handed + from_twin) as u64;
        self.director.drop_held(tally);
        self.director.gather(&mut self.out.tally);
        (self.director, self.wiring)
    }
}
