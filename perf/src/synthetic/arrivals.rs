//! New connections without end: the SYN of a client that has never been there before.

use super::{Ends, Source, Writer};
use dataplane::wire::tcp::flags;

/// Bits of a client's number: addresses of 10.128.0.0/12, and the upper half of the ports.
const BITS: u32 = 35;
const PORT_BITS: u32 = 15;

/// The address and port of client number `number`, all different below 2³⁵: the number times an odd
/// one, modulo that.
#[inline]
pub fn client(number: u64) -> (u32, u16) {
    let mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) & ((1 << BITS) - 1);
    let port = 0x8000 | (mixed >> (BITS - PORT_BITS)) as u16;
    (0x0a80_0000 | (mixed as u32 & 0x000f_ffff), port)
}

/// One SYN a client to `vip:vport`, in the order of their numbers.
#[derive(Debug)]
pub struct Arrivals {
    writer: Writer,
    vip: (u32, u16),
    next: u64,
}

impl Arrivals {
    /// Clients of this service.
    pub fn new(vip: (u32, u16)) -> Arrivals {
        Arrivals { writer: Writer::new(flags::SYN), vip, next: 0 }
    }

    /// The same from client number `next` on.
    pub fn from(self, next: u64) -> Arrivals {
        Arrivals { next, ..self }
    }
}

impl Source for Arrivals {
    #[inline]
    fn fill(&mut self, frame: &mut [u8]) {
        let (src, sport) = client(self.next);
        self.next += 1;
        let (dst, dport) = self.vip;
        self.writer.write(&Ends { src, dst, sport, dport }, frame);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn no_client_comes_twice_and_none_is_of_another_network() {
        let clients: HashSet<(u32, u16)> = (0..1 << 20).map(client).collect();
        assert_eq!(clients.len(), 1 << 20);
        assert!(clients.iter().all(|(address, port)| address >> 20 == 0x0a8 && *port >= 0x8000));
    }

    #[test]
    fn the_numbers_that_would_repeat_are_far_away() {
        assert_ne!(client(0), client(1 << 34));
        assert_eq!(client(7), client(7 + (1 << BITS)));
    }
}
