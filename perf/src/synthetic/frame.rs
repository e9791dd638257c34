//! Frames of TCP over IPv4, written from a template, with right checksums.

use dataplane::testing::{Frame, MAC_CLIENT, MAC_DIRECTOR};

/// The shortest Ethernet frame, without its check sequence.
pub const FRAME_LEN: usize = 60;

/// Where the fields are that differ from frame to frame.
const IP_CHECK: usize = 24;
const SRC: usize = 26;
const DST: usize = 30;
const PORTS: usize = 34;
const FLAGS: usize = 47;
const TCP_CHECK: usize = 50;

/// Both ends of a frame, in host order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ends {
    /// Source address.
    pub src: u32,
    /// Destination address.
    pub dst: u32,
    /// Source port.
    pub sport: u16,
    /// Destination port.
    pub dport: u16,
}

/// Writes frames with the same TCP flags.
#[derive(Debug, Clone)]
pub struct Writer {
    template: [u8; FRAME_LEN],
    /// Sums of the words that no frame differs in.
    ip_sum: u32,
    tcp_sum: u32,
}

impl Writer {
    /// Frames with these flags and six bytes of payload.
    pub fn new(flags: u8) -> Writer {
        let frame = Frame::tcp(0, 0, 0, 0).macs(MAC_DIRECTOR, MAC_CLIENT).flags(flags);
        let mut template: [u8; FRAME_LEN] = frame
            .payload(&[0; 6])
            .build()
            .try_into()
            .expect("headers and six bytes are the shortest frame");
        debug_assert_eq!(template[FLAGS], flags);
        let check = |at: usize| u32::from(!u16::from_be_bytes([template[at], template[at + 1]]));
        let (ip_sum, tcp_sum) = (check(IP_CHECK), check(TCP_CHECK));
        template[IP_CHECK..IP_CHECK + 2].fill(0);
        Writer { template, ip_sum, tcp_sum }
    }

    /// Writes the frame between these ends.
    ///
    /// # Panics
    /// If there is less room than [`FRAME_LEN`].
    #[inline]
    pub fn write(&self, ends: &Ends, frame: &mut [u8]) {
        let frame: &mut [u8; FRAME_LEN] =
            (&mut frame[..FRAME_LEN]).try_into().expect("cut to that length");
        *frame = self.template;
        frame[SRC..SRC + 4].copy_from_slice(&ends.src.to_be_bytes());
        frame[DST..DST + 4].copy_from_slice(&ends.dst.to_be_bytes());
        let ports = u32::from(ends.sport) << 16 | u32::from(ends.dport);
        frame[PORTS..PORTS + 4].copy_from_slice(&ports.to_be_bytes());
        let addresses = halves(ends.src) + halves(ends.dst);
        let ip = complement(self.ip_sum + addresses);
        let tcp = complement(self.tcp_sum + addresses + halves(ports));
        frame[IP_CHECK..IP_CHECK + 2].copy_from_slice(&ip.to_be_bytes());
        frame[TCP_CHECK..TCP_CHECK + 2].copy_from_slice(&tcp.to_be_bytes());
    }
}

#[inline]
fn halves(word: u32) -> u32 {
    (word >> 16) + (word & 0xffff)
}

#[inline]
fn complement(sum: u32) -> u16 {
    let folded = (sum >> 16) + (sum & 0xffff);
    !(((folded >> 16) + folded) as u16)
}

#[cfg(test)]
mod tests {
    use super::*;
    use dataplane::testing::Rng;
    use dataplane::wire::tcp::flags;

    #[test]
    fn frames_are_those_that_the_tests_builder_makes() {
        let mut random = Rng::new(5);
        for flag in [flags::SYN, flags::ACK, flags::FIN | flags::ACK] {
            let writer = Writer::new(flag);
            for _ in 0..1000 {
                let (src, dst) = (random.next() as u32, random.next() as u32);
                let (sport, dport) = (random.next() as u16, random.next() as u16);
                let mut frame = [0xee; 64];
                writer.write(&Ends { src, dst, sport, dport }, &mut frame);
                let built = Frame::tcp(src, sport, dst, dport).flags(flag).payload(&[0; 6]);
                assert_eq!(frame[..FRAME_LEN], built.build());
            }
        }
    }
}
