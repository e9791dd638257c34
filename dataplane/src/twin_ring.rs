//! The rings between a worker and the thread of the kernel twins: punted frames one way, by class,
//! and what Linux sends the other way. Each ring has one producer and one consumer, and takes its
//! memory when it is made.

use crate::ids::InterfaceId;
use crate::limits::{FROM_TWIN_RING, PUNT_RING};
use crate::verdict::PuntClass;
use rtrb::{Consumer, Producer, PushError, RingBuffer};

/// A frame for Linux, as it was on the wire, and the interface it came in on.
#[derive(Debug)]
pub struct Punted<P> {
    /// Whose kernel twin is to receive it.
    pub interface: InterfaceId,
    /// The frame, with its VLAN tag if it came with one.
    pub packet: P,
}

/// A worker's end of its punt rings.
#[derive(Debug)]
pub struct PuntSender<P> {
    by_class: [Producer<Punted<P>>; PuntClass::COUNT],
}

/// The twin thread's end of one worker's punt rings.
#[derive(Debug)]
pub struct PuntReceiver<P> {
    by_class: [Consumer<Punted<P>>; PuntClass::COUNT],
}

/// Makes one worker's punt rings, one a class with the room of [`PUNT_RING`].
pub fn punt_rings<P>() -> (PuntSender<P>, PuntReceiver<P>) {
    let [neighbor, control, icmp, rest] = PUNT_RING.map(RingBuffer::new);
    (
        PuntSender { by_class: [neighbor.0, control.0, icmp.0, rest.0] },
        PuntReceiver { by_class: [neighbor.1, control.1, icmp.1, rest.1] },
    )
}

impl<P> PuntSender<P> {
    /// Hands a frame to the kernel twin of `interface`.
    ///
    /// # Errors
    /// The frame itself, if the ring of its class is full: the caller drops it as
    /// [`crate::verdict::DropReason::PuntFull`].
    #[inline]
    pub fn punt(&mut self, class: PuntClass, interface: InterfaceId, packet: P) -> Result<(), P> {
        self.by_class[class.index()]
            .push(Punted { interface, packet })
            .map_err(|PushError::Full(refused)| refused.packet)
    }
}

impl<P> PuntReceiver<P> {
    /// The oldest frame of a class, if there is one.
    #[inline]
    pub fn pop(&mut self, class: PuntClass) -> Option<Punted<P>> {
        self.by_class[class.index()].pop().ok()
    }
}

/// The twin thread's end of the ring to one worker.
#[derive(Debug)]
pub struct ToWorker<P>(Producer<P>);

/// A worker's end of the ring from the twin thread.
#[derive(Debug)]
pub struct FromTwin<P>(Consumer<P>);

/// Makes the ring from the twin thread to one worker, with room for [`FROM_TWIN_RING`] frames.
pub fn from_twin_ring<P>() -> (ToWorker<P>, FromTwin<P>) {
    let (producer, consumer) = RingBuffer::new(FROM_TWIN_RING);
    (ToWorker(producer), FromTwin(consumer))
}

impl<P> ToWorker<P> {
    /// Hands the worker a frame that is ready for the wire, its port and VLAN tag set.
    ///
    /// # Errors
    /// The frame itself, if the ring is full.
    #[inline]
    pub fn send(&mut self, packet: P) -> Result<(), P> {
        self.0.push(packet).map_err(|PushError::Full(refused)| refused)
    }
}

impl<P> FromTwin<P> {
    /// Appends at most `room` frames to `into`, oldest first, and says how many. Each is to be
    /// transmitted as it is, through its own port.
    #[inline]
    pub fn pop_into(&mut self, into: &mut Vec<P>, room: usize) -> usize {
        let before = into.len();
        into.extend(std::iter::from_fn(|| self.0.pop().ok()).take(room));
        into.len() - before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IF: InterfaceId = InterfaceId(3);

    #[test]
    fn each_class_has_the_room_of_its_limit_and_gives_back_what_does_not_fit() {
        let (mut sender, _receiver) = punt_rings::<usize>();
        for &class in PuntClass::ALL {
            for n in 0..PUNT_RING[class.index()] {
                assert_eq!(sender.punt(class, IF, n), Ok(()), "{}", class.name());
            }
            assert_eq!(sender.punt(class, IF, 9999), Err(9999), "{}", class.name());
        }
    }

    #[test]
    fn a_class_keeps_its_order_and_is_not_mixed_with_another() {
        let (mut sender, mut receiver) = punt_rings::<&str>();
        sender.punt(PuntClass::Rest, InterfaceId(1), "rest").unwrap();
        sender.punt(PuntClass::Icmp, InterfaceId(2), "ping").unwrap();
        sender.punt(PuntClass::Icmp, InterfaceId(2), "pong").unwrap();
        let mut pop = |class| receiver.pop(class).map(|p| (p.interface.0, p.packet));
        assert_eq!(pop(PuntClass::Neighbor), None);
        assert_eq!(pop(PuntClass::Icmp), Some((2, "ping")));
        assert_eq!(pop(PuntClass::Icmp), Some((2, "pong")));
        assert_eq!(pop(PuntClass::Icmp), None);
        assert_eq!(pop(PuntClass::Rest), Some((1, "rest")));
    }

    #[test]
    fn a_worker_takes_what_linux_sent_in_order_and_no_more_than_its_room() {
        let (mut to_worker, mut from_twin) = from_twin_ring();
        for n in 0..FROM_TWIN_RING {
            assert_eq!(to_worker.send(n), Ok(()));
        }
        assert_eq!(to_worker.send(7), Err(7));
        let mut taken = vec![];
        assert_eq!(from_twin.pop_into(&mut taken, 2), 2);
        assert_eq!(from_twin.pop_into(&mut taken, 0), 0);
        assert_eq!(from_twin.pop_into(&mut taken, usize::MAX), FROM_TWIN_RING - 2);
        assert_eq!(from_twin.pop_into(&mut taken, 1), 0);
        assert!(taken.iter().copied().eq(0..FROM_TWIN_RING));
    }
}
