//! Open connections: a packet of each of a list of clients, round and round.

use super::{Ends, Source, Writer};
use dataplane::testing::Rng;
use dataplane::wire::tcp::flags;

/// A packet from each client to `vip:vport`, in the list's order, again and again.
#[derive(Debug)]
pub struct Walk {
    writer: Writer,
    vip: (u32, u16),
    clients: Vec<(u32, u16)>,
    at: usize,
}

impl Walk {
    /// The SYNs of these clients, at least one, in their order.
    pub fn new(clients: Vec<(u32, u16)>, vip: (u32, u16)) -> Walk {
        Walk { writer: Writer::new(flags::SYN), vip, clients, at: 0 }
    }

    /// From here on their ACKs, in another order than that of opening, which is the entries' order
    /// in memory.
    pub fn established(&mut self, seed: u64) {
        self.writer = Writer::new(flags::ACK);
        let mut random = Rng::new(seed);
        for last in (1..self.clients.len()).rev() {
            self.clients.swap(last, random.below(last + 1));
        }
        self.at = 0;
    }
}

impl Source for Walk {
    #[inline]
    fn fill(&mut self, frame: &mut [u8]) {
        let (src, sport) = self.clients[self.at];
        self.at = if self.at + 1 == self.clients.len() { 0 } else { self.at + 1 };
        let (dst, dport) = self.vip;
        self.writer.write(&Ends { src, dst, sport, dport }, frame);
    }
}
