//! The edge: what the data path asks of packets, ports and pools. NIC queues, memory and fault
//! injection are adapters; nothing else knows which one it runs on.

use crate::ids::PortId;

#[cfg(feature = "dpdk")]
pub mod dpdk;
pub mod sim;

/// One frame in one buffer, owned. Dropping it gives the buffer back.
pub trait Packet: Sized + Send {
    /// The frame, from its Ethernet header on.
    fn bytes(&self) -> &[u8];
    /// The same, to be rewritten in place.
    fn bytes_mut(&mut self) -> &mut [u8];
    /// Grows the frame by `count` bytes in front, whose content is undefined. `false`, and nothing
    /// changed, if the headroom does not suffice.
    #[must_use]
    fn grow_front(&mut self, count: usize) -> bool;
    /// Removes `count` bytes in front; `count` ≤ length.
    fn shrink_front(&mut self, count: usize);
    /// Cuts the frame to `len` bytes; `len` ≤ length.
    fn truncate(&mut self, len: usize);
    /// Grows the frame by `count` bytes at the end, whose content is undefined. `false`, and
    /// nothing changed, if the tailroom does not suffice.
    #[must_use]
    fn grow_back(&mut self, count: usize) -> bool;
    /// The port it arrived on, or is to leave through if it was made here.
    fn port(&self) -> PortId;
    /// Sets [`Packet::port`].
    fn set_port(&mut self, port: PortId);
    /// Starts loading the first cache line of the frame.
    fn prefetch(&self) {}
    /// Starts loading what its buffer says of the frame, which another core had last.
    fn prefetch_head(&self) {}
}

/// Where packets that the data path makes itself come from.
pub trait Pool {
    /// What it gives.
    type Packet: Packet;
    /// An empty frame, or `None` when the pool is exhausted.
    fn alloc(&mut self) -> Option<Self::Packet>;
}

/// A worker's share of one port: a receive queue, a transmit queue, either or both.
pub trait Queue {
    /// What goes through it.
    type Packet: Packet;
    /// Appends at most `room` frames that are there now; never waits.
    fn rx_burst(&mut self, into: &mut Vec<Self::Packet>, room: usize) -> usize;
    /// Sends from the front of `packets` what the queue takes, removing it; the rest stays.
    fn tx_burst(&mut self, packets: &mut Vec<Self::Packet>);
    /// Frames dropped on receiving since this was last asked, because they lay in several buffers:
    /// nothing here reads past the first. They are in no count of [`Queue::rx_burst`].
    fn refused(&mut self) -> u64 {
        0
    }
}
