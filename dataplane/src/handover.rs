//! Hand-over between workers: one single-producer ring an ordered pair, moved in bulk.
//!
//! Three kinds of packet cross: those of another worker's flow, Linux's answers on one, and finished
//! ones for a port whose transmit queue another worker has.

use crate::ids::WorkerId;
use crate::io::Packet;
use rtrb::{Consumer, Producer, RingBuffer, chunks::ChunkError};

/// A packet on its way to another worker.
#[derive(Debug)]
pub enum Handed<P> {
    /// To be processed by the owner of its flow.
    Flow(P),
    /// Sent by Linux for a real server that is the director itself, on a conn that the other has.
    Linuxs(P),
    /// Rewritten and addressed: to be transmitted on its [`Packet::port`].
    Finished(P),
}

impl<P> Handed<P> {
    /// The packet itself.
    pub fn into_packet(self) -> P {
        match self {
            Handed::Flow(packet) | Handed::Linuxs(packet) | Handed::Finished(packet) => packet,
        }
    }
}

/// One worker's ends of the rings to and from all others.
#[derive(Debug)]
pub struct HandOver<P> {
    to: Vec<Option<Producer<Handed<P>>>>,
    from: Vec<Consumer<Handed<P>>>,
    /// Where the next turn starts reading, so that no worker is served last for ever.
    first: usize,
}

impl<P: Packet> HandOver<P> {
    /// The ends of `workers` workers, each ring with `room` places.
    pub fn mesh(workers: usize, room: usize) -> Vec<HandOver<P>> {
        let mut ends: Vec<HandOver<P>> =
            (0..workers).map(|_| HandOver { to: Vec::new(), from: Vec::new(), first: 0 }).collect();
        for producer in 0..workers {
            for consumer in 0..workers {
                if producer == consumer {
                    ends[producer].to.push(None);
                    continue;
                }
                let (sender, receiver) = RingBuffer::new(room);
                ends[producer].to.push(Some(sender));
                ends[consumer].from.push(receiver);
            }
        }
        ends
    }

    /// Moves what fits of `packets` to `worker` in one go; what does not fit stays.
    pub fn send(&mut self, worker: WorkerId, packets: &mut Vec<Handed<P>>) -> usize {
        let Some(ring) = self.to.get_mut(worker.index()).and_then(Option::as_mut) else {
            return 0;
        };
        let count = packets.len().min(ring.slots());
        let chunk = match ring.write_chunk_uninit(count) {
            Ok(chunk) => chunk,
            Err(ChunkError::TooFewSlots(_)) => unreachable!("slots never shrink for the producer"),
        };
        chunk.fill_from_iter(packets.drain(..count))
    }

    /// Takes up to `room` packets from all rings, giving each to `take`.
    pub fn receive(&mut self, room: usize, mut take: impl FnMut(Handed<P>)) -> usize {
        let rings = self.from.len();
        let mut taken = 0;
        for step in 0..rings {
            let ring = &mut self.from[(self.first + step) % rings];
            let count = ring.slots().min(room - taken);
            if count == 0 {
                continue;
            }
            if let Ok(chunk) = ring.read_chunk(count) {
                chunk.into_iter().for_each(&mut take);
                taken += count;
            }
        }
        self.first = if rings == 0 { 0 } else { (self.first + 1) % rings };
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::PortId;
    use crate::io::sim::SimPacket;
    use crate::testing::Frame;

    fn packet(id: u16) -> SimPacket {
        SimPacket::new(&Frame::udp(1, 1, 2, 2).id(id).build(), PortId(0))
    }

    #[test]
    fn packets_cross_in_order_and_a_full_ring_leaves_the_rest() {
        let mut ends = HandOver::mesh(2, 4);
        let mut packets: Vec<_> = (0..6u16).map(|n| Handed::Flow(packet(n))).collect();

        assert_eq!(ends[0].send(WorkerId(1), &mut packets), 4);
        assert_eq!(packets.len(), 2);

        let mut ids = Vec::new();
        let taken = ends[1].receive(100, |handed| {
            let packet = handed.into_packet();
            ids.push(u16::from_be_bytes([packet.bytes()[18], packet.bytes()[19]]));
        });
        assert_eq!((taken, ids), (4, vec![0, 1, 2, 3]));
    }

    #[test]
    fn nothing_goes_to_oneself_or_to_a_worker_that_is_not() {
        let mut ends = HandOver::mesh(2, 4);
        let mut packets = vec![Handed::Flow(packet(0))];

        assert_eq!(ends[0].send(WorkerId(0), &mut packets), 0);
        assert_eq!(ends[0].send(WorkerId(9), &mut packets), 0);
        assert_eq!(packets.len(), 1);
    }
}
