//! The edge over DPDK: its buffers are packets, its pools pools, its queues queues.

use dpdk_bindings::{Mbuf, Mempool, RxQueue, TxQueue};

use super::{Packet, Pool, Queue};
use crate::ids::PortId;

impl Packet for Mbuf {
    #[inline]
    fn bytes(&self) -> &[u8] {
        Mbuf::bytes(self)
    }

    #[inline]
    fn bytes_mut(&mut self) -> &mut [u8] {
        Mbuf::bytes_mut(self)
    }

    #[inline]
    fn grow_front(&mut self, count: usize) -> bool {
        Mbuf::grow_front(self, count)
    }

    #[inline]
    fn shrink_front(&mut self, count: usize) {
        Mbuf::shrink_front(self, count);
    }

    #[inline]
    fn truncate(&mut self, len: usize) {
        Mbuf::truncate(self, len);
    }

    #[inline]
    fn grow_back(&mut self, count: usize) -> bool {
        Mbuf::grow_back(self, count)
    }

    #[inline]
    fn port(&self) -> PortId {
        PortId(Mbuf::port(self))
    }

    #[inline]
    fn set_port(&mut self, port: PortId) {
        Mbuf::set_port(self, port.0);
    }

    #[inline]
    fn prefetch(&self) {
        Mbuf::prefetch(self);
    }
}

impl Pool for Mempool {
    type Packet = Mbuf;

    #[inline]
    fn alloc(&mut self) -> Option<Mbuf> {
        Mempool::alloc(self)
    }
}

/// A worker's share of one DPDK port.
#[derive(Debug)]
pub struct PortQueue {
    port: PortId,
    rx: Option<RxQueue>,
    tx: Option<TxQueue>,
    refused: u64,
}

impl PortQueue {
    /// The share of `port` (in the order of the configuration, whatever DPDK's own number for it)
    /// that these queues are. Without `rx` nothing arrives here; without `tx` nothing leaves.
    pub fn new(port: PortId, rx: Option<RxQueue>, tx: Option<TxQueue>) -> Self {
        PortQueue { port, rx, tx, refused: 0 }
    }

    /// Drops what is not one contiguous frame from `into[first..]`; returns how many stay.
    #[cold]
    fn refuse_multi_segment(&mut self, into: &mut Vec<Mbuf>, first: usize) -> usize {
        let arrived = into.len();
        let mut place = 0;
        into.retain(|packet| {
            place += 1;
            place <= first || !packet.is_multi_segment()
        });
        self.refused += (arrived - into.len()) as u64;
        into.len() - first
    }
}

impl Queue for PortQueue {
    type Packet = Mbuf;

    #[inline]
    fn rx_burst(&mut self, into: &mut Vec<Mbuf>, room: usize) -> usize {
        let Some(rx) = &mut self.rx else { return 0 };
        let first = into.len();
        let count = rx.rx_burst(into, room);
        let mut whole = true;
        for packet in &mut into[first..] {
            Mbuf::set_port(packet, self.port.0);
            whole &= !packet.is_multi_segment();
        }
        if whole { count } else { self.refuse_multi_segment(into, first) }
    }

    #[inline]
    fn tx_burst(&mut self, packets: &mut Vec<Mbuf>) {
        if let Some(tx) = &mut self.tx {
            tx.tx_burst(packets);
        }
    }

    fn refused(&mut self) -> u64 {
        std::mem::take(&mut self.refused)
    }
}
