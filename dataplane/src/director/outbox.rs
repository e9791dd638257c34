//! Where a window's packets go: gathered by place, so that each place is served once, in bulk.

use crate::counters::Tally;
use crate::handover::Handed;
use crate::ids::{InterfaceId, PortId, WorkerId};
use crate::limits::{BURST, MAX_FRAGMENTS, MAX_HELD, MAX_HELD_FRAGMENTS, MAX_PORTS, WINDOW};
use crate::verdict::{DropReason, PuntClass};
use std::net::{IpAddr, Ipv4Addr};

/// Room for what one turn can bring: finished packets of other workers and of the twins, a window,
/// the fragments beyond it, and all held packets and fragments released.
const ROOM: usize = 3 * WINDOW + BURST + MAX_HELD + MAX_HELD_FRAGMENTS;

/// A window's packets by where they go, and the tally of what became of them.
pub struct Outbox<P> {
    /// To be transmitted, by port.
    pub ports: Vec<Vec<P>>,
    /// To be handed over, by worker.
    pub workers: Vec<Vec<Handed<P>>>,
    /// For kernel twins.
    pub punts: Vec<(PuntClass, InterfaceId, P)>,
    /// Fragments that share the fate of the packet just processed.
    pub followers: Vec<P>,
    /// Fragments that may still be made in this window, at most [`WINDOW`].
    pub fragments_left: usize,
    /// Target of the next hop that a packet to be held waits for.
    pub waits_for: IpAddr,
    /// Why the last packet that was answered with an ICMP error could not go on.
    pub refused: Option<DropReason>,
    /// What the window did.
    pub tally: Tally,
}

impl<P> Outbox<P> {
    /// Empty, with room for a window in every place.
    pub fn new(workers: usize) -> Self {
        Outbox {
            ports: (0..MAX_PORTS).map(|_| Vec::with_capacity(ROOM)).collect(),
            workers: (0..workers).map(|_| Vec::with_capacity(ROOM)).collect(),
            punts: Vec::with_capacity(ROOM),
            followers: Vec::with_capacity(MAX_FRAGMENTS),
            fragments_left: WINDOW,
            waits_for: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            refused: None,
            tally: Tally::default(),
        }
    }

    /// To be transmitted on `port`.
    #[inline]
    pub fn transmit(&mut self, port: PortId, packet: P) {
        self.ports[port.index()].push(packet);
    }

    /// The same for a run of packets.
    #[inline]
    pub fn transmit_all(&mut self, port: PortId, packets: impl Iterator<Item = P>) {
        self.ports[port.index()].extend(packets);
    }

    /// Another worker's flow.
    #[inline]
    pub fn hand_over(&mut self, worker: WorkerId, packet: P) {
        self.workers[worker.index()].push(Handed::Flow(packet));
    }

    /// Linux's answer on another worker's flow.
    #[inline]
    pub fn hand_over_linuxs(&mut self, worker: WorkerId, packet: P) {
        self.workers[worker.index()].push(Handed::Linuxs(packet));
    }

    /// For the kernel twin of `interface`.
    #[inline]
    pub fn punt(&mut self, class: PuntClass, interface: InterfaceId, packet: P) {
        self.punts.push((class, interface, packet));
    }

    /// Packets in all places.
    pub fn len(&self) -> usize {
        self.ports.iter().map(Vec::len).sum::<usize>()
            + self.workers.iter().map(Vec::len).sum::<usize>()
            + self.punts.len()
    }

    /// Whether nothing is to be served.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
