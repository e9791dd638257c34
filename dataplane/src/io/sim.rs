//! A port over memory, for tests and the simulation.

use super::{Packet, Pool, Queue};
use crate::ids::PortId;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes in front of a fresh packet's frame, as DPDK's default.
pub const HEADROOM: usize = 128;
/// Bytes from a fresh packet's start of frame to the end of its buffer.
pub const ROOM: usize = 2176;

/// A frame in a buffer of its own.
#[derive(Debug)]
pub struct SimPacket {
    buffer: Box<[u8; HEADROOM + ROOM]>,
    start: usize,
    len: usize,
    port: PortId,
    live: Option<Arc<AtomicUsize>>,
}

impl SimPacket {
    /// A packet that arrived on `port`.
    ///
    /// # Panics
    /// If the frame is longer than [`ROOM`].
    pub fn new(frame: &[u8], port: PortId) -> Self {
        let mut packet = SimPacket::empty(port, None);
        packet.set(frame);
        packet
    }

    /// The same, counted in `live` until it is dropped.
    pub fn counted(frame: &[u8], port: PortId, live: &Arc<AtomicUsize>) -> Self {
        let mut packet = SimPacket::empty(port, Some(Arc::clone(live)));
        packet.set(frame);
        packet
    }

    fn empty(port: PortId, live: Option<Arc<AtomicUsize>>) -> Self {
        if let Some(live) = &live {
            live.fetch_add(1, Ordering::Relaxed);
        }
        // Not zero, so that a byte nobody wrote shows.
        SimPacket { buffer: Box::new([0xa5; HEADROOM + ROOM]), start: HEADROOM, len: 0, port, live }
    }

    fn set(&mut self, frame: &[u8]) {
        assert!(self.grow_back(frame.len()), "a frame fits a simulated buffer");
        self.bytes_mut().copy_from_slice(frame);
    }
}

impl Drop for SimPacket {
    fn drop(&mut self) {
        if let Some(live) = &self.live {
            live.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Packet for SimPacket {
    fn bytes(&self) -> &[u8] {
        &self.buffer[self.start..self.start + self.len]
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.buffer[self.start..self.start + self.len]
    }

    fn grow_front(&mut self, count: usize) -> bool {
        let fits = count <= self.start;
        if fits {
            self.start -= count;
            self.len += count;
        }
        fits
    }

    fn shrink_front(&mut self, count: usize) {
        assert!(count <= self.len, "no more is removed than there is");
        self.start += count;
        self.len -= count;
    }

    fn truncate(&mut self, len: usize) {
        assert!(len <= self.len, "truncating does not grow");
        self.len = len;
    }

    fn grow_back(&mut self, count: usize) -> bool {
        let fits = self.start + self.len + count <= self.buffer.len();
        if fits {
            self.len += count;
        }
        fits
    }

    fn port(&self) -> PortId {
        self.port
    }

    fn set_port(&mut self, port: PortId) {
        self.port = port;
    }
}

/// A bounded pool: gives while fewer than its capacity are alive.
#[derive(Debug, Clone)]
pub struct SimPool {
    live: Arc<AtomicUsize>,
    capacity: usize,
}

impl SimPool {
    /// A pool of `capacity` packets.
    pub fn new(capacity: usize) -> Self {
        SimPool { live: Arc::default(), capacity }
    }

    /// A packet of this pool that arrived on `port`; takes no notice of the capacity.
    pub fn packet(&self, frame: &[u8], port: PortId) -> SimPacket {
        SimPacket::counted(frame, port, &self.live)
    }

    /// Packets alive.
    pub fn live(&self) -> usize {
        self.live.load(Ordering::Relaxed)
    }

    /// The count of packets alive, to be shared with packets of other making.
    pub fn counter(&self) -> &Arc<AtomicUsize> {
        &self.live
    }
}

impl Pool for SimPool {
    type Packet = SimPacket;

    fn alloc(&mut self) -> Option<SimPacket> {
        (self.live() < self.capacity)
            .then(|| SimPacket::empty(PortId(0), Some(Arc::clone(&self.live))))
    }
}

/// A queue pair of a port: tests feed one end and collect from the other.
#[derive(Debug)]
pub struct SimQueue {
    /// Frames that wait to be received, in order.
    pub rx: VecDeque<SimPacket>,
    /// Frames sent, in order.
    pub tx: Vec<SimPacket>,
    /// Frames that `tx` takes before it is full.
    pub tx_room: usize,
}

impl SimQueue {
    /// Empty, with unlimited room to send.
    pub fn new() -> Self {
        SimQueue { rx: VecDeque::new(), tx: Vec::new(), tx_room: usize::MAX }
    }

    /// All frames sent since the last time, as bytes; their packets are freed.
    pub fn take_sent(&mut self) -> Vec<Vec<u8>> {
        self.tx.drain(..).map(|packet| packet.bytes().to_vec()).collect()
    }
}

impl Default for SimQueue {
    fn default() -> Self {
        SimQueue::new()
    }
}

impl Queue for SimQueue {
    type Packet = SimPacket;

    fn rx_burst(&mut self, into: &mut Vec<SimPacket>, room: usize) -> usize {
        let count = room.min(self.rx.len());
        into.extend(self.rx.drain(..count));
        count
    }

    fn tx_burst(&mut self, packets: &mut Vec<SimPacket>) {
        let count = self.tx_room.saturating_sub(self.tx.len()).min(packets.len());
        self.tx.extend(packets.drain(..count));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growing_stops_at_the_buffers_ends_and_changes_nothing_then() {
        let mut packet = SimPacket::new(&[1, 2, 3], PortId(7));
        assert!(!packet.grow_front(HEADROOM + 1));
        assert!(packet.grow_front(HEADROOM));
        assert!(!packet.grow_front(1));
        assert!(!packet.grow_back(ROOM - 2));
        assert!(packet.grow_back(ROOM - 3));
        assert_eq!(packet.bytes().len(), HEADROOM + ROOM);
        packet.shrink_front(HEADROOM);
        packet.truncate(3);
        assert_eq!((packet.bytes(), packet.port()), ([1, 2, 3].as_slice(), PortId(7)));
    }

    #[test]
    fn a_pool_gives_no_more_than_its_capacity_and_counts_every_packet_once() {
        let mut pool = SimPool::new(2);
        let (a, b) = (pool.alloc().unwrap(), pool.alloc().unwrap());
        assert!(pool.alloc().is_none());
        drop(a);
        assert_eq!(pool.live(), 1);
        assert!(pool.alloc().is_some());
        drop(b);
        assert_eq!(pool.live(), 0);
    }

    #[test]
    fn a_full_queue_leaves_the_rest_with_its_caller_in_order() {
        let mut queue = SimQueue::new();
        queue.rx.extend((0..5).map(|n| SimPacket::new(&[n], PortId(0))));
        let mut burst = Vec::new();
        assert_eq!(queue.rx_burst(&mut burst, 4), 4);
        queue.tx_room = 3;
        queue.tx_burst(&mut burst);
        assert_eq!(burst.iter().map(|p| p.bytes()[0]).collect::<Vec<_>>(), [3]);
        assert_eq!(queue.take_sent(), [[0], [1], [2]]);
        assert_eq!(queue.rx.len(), 1);
    }
}
