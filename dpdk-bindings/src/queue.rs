//! A port's queues: each owned by one thread at a time, polled in bursts.

use std::sync::Arc;

use crate::mbuf::Mbuf;
use crate::port::Opened;

/// One receive queue of a started port. It can move to another thread, but two cannot poll it at
/// once. The port stops when it and its queues are all gone.
#[derive(Debug)]
pub struct RxQueue {
    port: u16,
    queue: u16,
    _open: Arc<Opened>,
}

/// One transmit queue of a started port, as [`RxQueue`].
#[derive(Debug)]
pub struct TxQueue {
    port: u16,
    queue: u16,
    _open: Arc<Opened>,
}

impl RxQueue {
    pub(crate) fn new(open: &Arc<Opened>, queue: u16) -> Self {
        RxQueue { port: open.id(), queue, _open: open.clone() }
    }

    /// Appends at most `room` frames that are there now, and says how many; never waits.
    /// Allocates only if `into` has no space for `room` more. Drivers with vector code take
    /// frames by fours or eights, and none when `room` is less.
    #[inline]
    pub fn rx_burst(&mut self, into: &mut Vec<Mbuf>, room: usize) -> usize {
        let room = room.min(usize::from(u16::MAX));
        into.reserve(room);
        let free = into.spare_capacity_mut().as_mut_ptr();
        // SAFETY: the port is started and the queue exists while `_open` is held; `&mut self` of
        // the one handle makes this the only poller. `free` has space for `room` pointers.
        let count =
            unsafe { dpdk_sys::rte_eth_rx_burst(self.port, self.queue, free.cast(), room as u16) };
        // SAFETY: the driver wrote `count` ≤ `room` pointers, each to a buffer that it hands
        // over; an `Mbuf` is such a pointer.
        unsafe { into.set_len(into.len() + usize::from(count)) };
        usize::from(count)
    }
}

impl TxQueue {
    pub(crate) fn new(open: &Arc<Opened>, queue: u16) -> Self {
        TxQueue { port: open.id(), queue, _open: open.clone() }
    }

    /// Sends from the front of `packets` what the queue takes and removes it; the rest stays, in
    /// order. Says how many were taken. Never waits.
    #[inline]
    pub fn tx_burst(&mut self, packets: &mut Vec<Mbuf>) -> usize {
        let count = packets.len();
        let first = packets.as_mut_ptr();
        let offered = count.min(usize::from(u16::MAX)) as u16;
        // SAFETY: as in `rx_burst`; `first` points to `offered` buffers that this vector owns.
        let taken =
            unsafe { dpdk_sys::rte_eth_tx_burst(self.port, self.queue, first.cast(), offered) };
        let taken = usize::from(taken);
        // SAFETY: the driver owns the first `taken` buffers now, so they must not be dropped
        // here. The others move to the front; both ranges are inside the vector.
        unsafe {
            std::ptr::copy(first.add(taken), first, count - taken);
            packets.set_len(count - taken);
        }
        taken
    }
}
