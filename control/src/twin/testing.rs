//! A packet and a pool on the heap, for the tests of the twins.

use dataplane::ids::PortId;
use dataplane::io::{Packet, Pool};

const HEADROOM: usize = 128;

/// One frame in a buffer of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    buffer: Vec<u8>,
    start: usize,
    room: usize,
    port: PortId,
}

impl Frame {
    pub fn new(bytes: &[u8]) -> Self {
        Self::with(bytes, HEADROOM, 2048)
    }

    pub fn without_headroom(bytes: &[u8]) -> Self {
        Self::with(bytes, 0, 2048)
    }

    fn with(bytes: &[u8], headroom: usize, room: usize) -> Self {
        let mut buffer = vec![0; headroom];
        buffer.extend_from_slice(bytes);
        Frame { buffer, start: headroom, room: headroom + room, port: PortId(0) }
    }
}

impl Packet for Frame {
    fn bytes(&self) -> &[u8] {
        &self.buffer[self.start..]
    }
    fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.buffer[self.start..]
    }
    fn grow_front(&mut self, count: usize) -> bool {
        let fits = count <= self.start;
        if fits {
            self.start -= count;
        }
        fits
    }
    fn shrink_front(&mut self, count: usize) {
        assert!(count <= self.bytes().len());
        self.start += count;
    }
    fn truncate(&mut self, len: usize) {
        assert!(len <= self.bytes().len());
        self.buffer.truncate(self.start + len);
    }
    fn grow_back(&mut self, count: usize) -> bool {
        let fits = self.buffer.len() + count <= self.room;
        if fits {
            self.buffer.resize(self.buffer.len() + count, 0xee);
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

/// Gives `left` empty frames with `headroom` bytes in front and `room` bytes for the frame.
#[derive(Debug, Clone)]
pub struct Frames {
    pub left: usize,
    pub headroom: usize,
    pub room: usize,
}

impl Frames {
    pub fn plenty() -> Self {
        Frames { left: usize::MAX, headroom: HEADROOM, room: 2048 }
    }
}

impl Pool for Frames {
    type Packet = Frame;

    fn alloc(&mut self) -> Option<Frame> {
        self.left = self.left.checked_sub(1)?;
        Some(Frame::with(&[], self.headroom, self.room))
    }
}
