//! Synthetic receive: real buffers from a device, frames written by the benchmark.
//!
//! What a capture cannot show, a source can: more flows than fit in buffers, tuples that never come
//! again, whole lives of connections. The floor receives from the same queue, so that what the
//! writing costs is in both.

mod arrivals;
mod frame;
mod lives;
mod walk;

pub use arrivals::{Arrivals, client};
pub use frame::{Ends, FRAME_LEN, Writer};
pub use lives::{Lives, PACKETS as PACKETS_OF_A_LIFE};
pub use walk::Walk;

use dataplane::io::{Packet, Queue};
use dataplane::limits::BURST;

/// Says what the next frame is.
pub trait Source {
    /// Writes it, [`FRAME_LEN`] bytes.
    fn fill(&mut self, frame: &mut [u8]);
}

/// A queue whose frames are written anew as they are received.
#[derive(Debug)]
pub struct Synthetic<Q, S> {
    inner: Q,
    /// What it receives.
    pub source: S,
    /// Nothing is received meanwhile.
    pub is_closed: bool,
}

impl<Q, S> Synthetic<Q, S> {
    /// Frames of `source` in the buffers of `inner`, which are at least as long.
    pub fn new(inner: Q, source: S) -> Synthetic<Q, S> {
        Synthetic { inner, source, is_closed: false }
    }
}

impl<Q: Queue, S: Source> Queue for Synthetic<Q, S> {
    type Packet = Q::Packet;

    #[inline]
    fn rx_burst(&mut self, into: &mut Vec<Q::Packet>, room: usize) -> usize {
        if self.is_closed {
            return 0;
        }
        let before = into.len();
        let count = self.inner.rx_burst(into, room);
        for packet in &mut into[before..] {
            self.source.fill(packet.bytes_mut());
        }
        count
    }

    #[inline]
    fn tx_burst(&mut self, packets: &mut Vec<Q::Packet>) {
        self.inner.tx_burst(packets);
    }
}

/// The floor: receives a burst, swaps the MAC addresses of each frame and sends it, as testpmd's
/// `macswap` does, until so many packets have gone. Returns how many.
pub fn swap_macs<Q: Queue>(queue: &mut Q, packets: usize) -> usize {
    let mut window: Vec<Q::Packet> = Vec::with_capacity(BURST);
    let mut done = 0;
    while done < packets {
        done += queue.rx_burst(&mut window, BURST);
        for packet in &mut window {
            let (dst, src) = packet.bytes_mut()[..12].split_at_mut(6);
            dst.swap_with_slice(src);
        }
        queue.tx_burst(&mut window);
    }
    done
}
