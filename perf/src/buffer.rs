//! Packets without DPDK: a queue over which the same frames come round and round.

use dataplane::ids::PortId;
use dataplane::io::{Packet, Pool, Queue};
use dataplane::limits::WINDOW;

const HEADROOM: usize = 128;
const ROOM: usize = 512;

/// One frame in one buffer, one pointer as a DPDK buffer is.
#[derive(Debug)]
pub struct Buffer(Box<Room>);

#[derive(Debug)]
#[repr(align(64))]
struct Room {
    start: usize,
    len: usize,
    port: PortId,
    bytes: [u8; ROOM],
}

impl Buffer {
    fn new() -> Buffer {
        Buffer(Box::new(Room { start: HEADROOM, len: 0, port: PortId(0), bytes: [0; ROOM] }))
    }

    #[inline]
    fn fill(&mut self, frame: &[u8]) {
        (self.0.start, self.0.len) = (HEADROOM, frame.len());
        self.bytes_mut().copy_from_slice(frame);
    }
}

impl Packet for Buffer {
    #[inline]
    fn bytes(&self) -> &[u8] {
        &self.0.bytes[self.0.start..][..self.0.len]
    }

    #[inline]
    fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.0.bytes[self.0.start..][..self.0.len]
    }

    #[inline]
    fn grow_front(&mut self, count: usize) -> bool {
        let fits = count <= self.0.start;
        if fits {
            self.0.start -= count;
            self.0.len += count;
        }
        fits
    }

    #[inline]
    fn shrink_front(&mut self, count: usize) {
        self.0.start += count;
        self.0.len -= count;
    }

    #[inline]
    fn truncate(&mut self, len: usize) {
        self.0.len = len;
    }

    #[inline]
    fn grow_back(&mut self, count: usize) -> bool {
        let fits = self.0.start + self.0.len + count <= ROOM;
        if fits {
            self.0.len += count;
        }
        fits
    }

    #[inline]
    fn port(&self) -> PortId {
        self.0.port
    }

    #[inline]
    fn set_port(&mut self, port: PortId) {
        self.0.port = port;
    }
}

/// A queue that receives copies of the same frames for ever, and takes all that is sent, as
/// DPDK's `net_pcap` does with `infinite_rx`.
#[derive(Debug)]
pub struct Circle {
    frames: Vec<Vec<u8>>,
    next: usize,
    idle: Vec<Buffer>,
}

impl Circle {
    /// A queue of these frames, at least one.
    pub fn new(frames: &[Vec<u8>]) -> Circle {
        let idle = (0..2 * WINDOW).map(|_| Buffer::new()).collect();
        Circle { frames: frames.to_vec(), next: 0, idle }
    }

    /// Goes on with other frames.
    pub fn play(&mut self, frames: &[Vec<u8>]) {
        self.frames = frames.to_vec();
        self.next = 0;
    }

    /// Packets received and not sent yet.
    pub fn under_way(&self) -> usize {
        2 * WINDOW - self.idle.len()
    }
}

impl Queue for Circle {
    type Packet = Buffer;

    #[inline]
    fn rx_burst(&mut self, into: &mut Vec<Buffer>, room: usize) -> usize {
        let count = room.min(self.idle.len());
        for _ in 0..count {
            let Some(mut buffer) = self.idle.pop() else { break };
            buffer.fill(&self.frames[self.next]);
            self.next = if self.next + 1 == self.frames.len() { 0 } else { self.next + 1 };
            into.push(buffer);
        }
        count
    }

    #[inline]
    fn tx_burst(&mut self, packets: &mut Vec<Buffer>) {
        self.idle.append(packets);
    }
}

/// No buffers for packets made here.
#[derive(Debug)]
pub struct NoPool;

impl Pool for NoPool {
    type Packet = Buffer;

    fn alloc(&mut self) -> Option<Buffer> {
        None
    }
}
