//! Whole lives of connections, from SYN to FIN, a fixed number of them under way at any time.

use super::arrivals::client;
use super::{Ends, Source, Writer};
use dataplane::wire::tcp::flags;

/// SYN, SYN and ACK, ACK, a request, an answer, the client's FIN, the server's FIN.
pub const PACKETS: usize = 7;

/// Whether the client sends the packet, and its flags.
const SCRIPT: [(bool, u8); PACKETS] = [
    (true, flags::SYN),
    (false, flags::SYN | flags::ACK),
    (true, flags::ACK),
    (true, flags::ACK),
    (false, flags::ACK),
    (true, flags::FIN | flags::ACK),
    (false, flags::FIN | flags::ACK),
];

/// Lives that overlap: in turns, the first packet of one, the second of one that began some time
/// before, and so on.
#[derive(Debug)]
pub struct Lives {
    writers: [Writer; PACKETS],
    vip: (u32, u16),
    /// Real servers in the order in which the scheduler chooses them.
    servers: Vec<u32>,
    /// Lives between one packet of a life and its next.
    apart: u64,
    /// Lives that have begun.
    begun: u64,
    packet: usize,
    /// Only first packets.
    only_begin: bool,
}

impl Lives {
    /// Lives of a service whose scheduler is rr over `servers`, which it chooses in this order;
    /// about `live` of them between SYN and last FIN.
    pub fn new(vip: (u32, u16), servers: Vec<u32>, live: u64) -> Lives {
        let writers = SCRIPT.map(|(_, flags)| Writer::new(flags));
        let apart = live / (PACKETS as u64 - 1);
        Lives { writers, vip, servers, apart, begun: 0, packet: 0, only_begin: false }
    }

    /// From here on nothing but SYNs.
    pub fn only_begin(&mut self) {
        self.only_begin = true;
    }

    /// Packets until the first life has ended: until then fewer are under way.
    pub fn ramp(&self) -> usize {
        self.apart as usize * PACKETS * (PACKETS - 1) / 2
    }

    /// Lives whose last packet has been sent.
    pub fn ended(&self) -> u64 {
        self.begun.saturating_sub(self.apart * (PACKETS as u64 - 1))
    }

    fn ends(&self, life: u64, from_client: bool) -> Ends {
        let (address, port) = client(life);
        let (vip, vport) = self.vip;
        if from_client {
            return Ends { src: address, dst: vip, sport: port, dport: vport };
        }
        let server = self.servers[(life % self.servers.len() as u64) as usize];
        Ends { src: server, dst: address, sport: vport, dport: port }
    }
}

impl Source for Lives {
    #[inline]
    fn fill(&mut self, frame: &mut [u8]) {
        // Packets of lives before the first are left out.
        while self.begun < self.apart * self.packet as u64 {
            self.packet = 0;
            self.begun += 1;
        }
        let packet = self.packet;
        let ends = self.ends(self.begun - self.apart * packet as u64, SCRIPT[packet].0);
        self.writers[packet].write(&ends, frame);
        self.packet += 1;
        if self.packet == PACKETS || self.only_begin {
            self.packet = 0;
            self.begun += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::FRAME_LEN;
    use super::*;
    use std::collections::HashMap;

    const VIP: u32 = 0x0a00_0064;

    /// Client's end, whether it sent the frame, flags.
    fn read(frame: &[u8; FRAME_LEN]) -> ((u32, u16), bool, u8) {
        let word = |at: usize| u32::from_be_bytes(frame[at..at + 4].try_into().expect("four"));
        let (src, dst, ports) = (word(26), word(30), word(34));
        let from_client = dst == VIP;
        let end = if from_client { (src, (ports >> 16) as u16) } else { (dst, ports as u16) };
        (end, from_client, frame[47])
    }

    #[test]
    fn every_life_goes_by_the_script_and_only_so_many_are_under_way() {
        let mut lives = Lives::new((VIP, 80), vec![1, 2, 3], 60);
        let (mut seen, mut under_way, mut most) = (HashMap::new(), 0i32, 0);
        for _ in 0..20_000 {
            let mut frame = [0; FRAME_LEN];
            lives.fill(&mut frame);
            let (client, from_client, flags) = read(&frame);
            let step = seen.entry(client).or_insert(0);
            assert_eq!((from_client, flags), SCRIPT[*step]);
            *step += 1;
            under_way += i32::from(*step == 1) - i32::from(*step == PACKETS);
            most = most.max(under_way);
        }
        assert!((55..=66).contains(&most), "{most} under way");
        let ended = seen.values().filter(|&&step| step == PACKETS).count();
        assert!(lives.ended().abs_diff(ended as u64) <= 1, "{} of {ended}", lives.ended());
    }

    #[test]
    fn all_are_under_way_after_the_ramp() {
        let mut lives = Lives::new((VIP, 80), vec![1], 600);
        for _ in 0..lives.ramp() {
            assert!(lives.ended() <= 1);
            lives.fill(&mut [0; FRAME_LEN]);
        }
        assert!(lives.ended() <= 1 && lives.begun >= 599);
    }
}
