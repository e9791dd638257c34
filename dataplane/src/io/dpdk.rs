//! The edge over DPDK: its buffers are packets, its pools pools, its queues queues.

use dpdk_bindings::{Mbuf, Mempool, RxQueue, TxQueue};

use super::{Packet, Pool, Queue};
use crate::ids::PortId;

impl Packet for Mbuf {
    #[inline]
    fn bytes(&self) -> &[u8] {
        Mbuf::bytes(self)
    }

    #[inline]
    fn bytes_mut(&mut self) -> &mut [u8] {
        Mbuf::bytes_mut(self)
    }

    #[inline]
    fn grow_front(&mut self, count: usize) -> bool {
        Mbuf::grow_front(self, count)
    }

    #[inline]
    fn shrink_front(&mut self, count: usize) {
        Mbuf::shrink_front(self, count);
    }

    #[inline]
    fn truncate(&mut self, len: usize) {
        Mbuf::truncate(self, len);
    }

    #[inline]
    fn grow_back(&mut self, count: usize) -> bool {
        Mbuf::grow_back(self, count)
    }

    #[inline]
    fn port(&self) -> PortId {
        PortId(Mbuf::port(self))
    }

    #[inline]
    fn set_port(&mut self, port: PortId) {
        Mbuf::set_port(self, port.0);
    }

    #[inline]
    fn prefetch(&self) {
        Mbuf::prefetch(self);
    }

    #[inline]
    fn prefetch_head(&self) {
        Mbuf::prefetch_head(self);
    }
}

impl Pool for Mempool {
    type Packet = Mbuf;

    #[inline]
    fn alloc(&mut self) -> Option<Mbuf> {
        Mempool::alloc(self)
    }
}

/// A worker's share of one DPDK port.
#[derive(Debug)]
pub struct PortQueue {
    port: PortId,
    rx: Option<RxQueue>,
    tx: Option<TxQueue>,
    refused: u64,
}

impl PortQueue {
    /// The share of `port` (in the order of the configuration, whatever DPDK's own number for it)
    /// that these queues are. Without `rx` nothing arrives here; without `tx` nothing leaves.
    pub fn new(port: PortId, rx: Option<RxQueue>, tx: Option<TxQueue>) -> Self {
        PortQueue { port, rx, tx, refused: 0 }
    }

    /// Drops what is not one contiguous frame from `into[first..]`; returns how many stay.
    #[cold]
    fn refuse_multi_segment(&mut self, into: &mut Vec<Mbuf>, first: usize) -> usize {
        let arrived = into.len();
        let mut place = 0;
        into.retain(|packet| {
            place += 1;
            place <= first || !packet.is_multi_segment()
        });
        self.refused += (arrived - into.len()) as u64;
        into.len() - first
    }
}

impl Queue for PortQueue {
    type Packet = Mbuf;

    #[inline]
    fn rx_burst(&mut self, into: &mut Vec<Mbuf>, room: usize) -> usize {
        let Some(rx) = &mut self.rx else { return 0 };
        let first = into.len();
        let count = rx.rx_burst(into, room);
        let mut whole = true;
        for packet in &mut into[first..] {
            whole &= !packet.is_multi_segment();
            // One store less where the configuration counts ports as DPDK does.
            if Mbuf::port(packet) != self.port.0 {
                Mbuf::set_port(packet, self.port.0);
            }
        }
        if whole { count } else { self.refuse_multi_segment(into, first) }
    }

    #[inline]
    fn tx_burst(&mut self, packets: &mut Vec<Mbuf>) {
        if let Some(tx) = &mut self.tx {
            tx.tx_burst(packets);
        }
    }

    fn refused(&mut self) -> u64 {
        std::mem::take(&mut self.refused)
    }
}

#[cfg(test)]
mod tests {
    use dpdk_bindings::{Eal, Port, PortConfig};

    use super::*;

    /// The only test here that starts EAL, which a process can do once.
    #[test]
    fn frames_of_several_buffers_are_refused_and_counted_and_the_others_keep_their_order() {
        let path = std::env::temp_dir().join(format!("sluice-{}.pcap", std::process::id()));
        let frames = [vec![1; 60], vec![2; 3000], vec![3; 61], vec![4; 4000], vec![5; 62]];
        std::fs::write(&path, pcap(&frames)).expect("the temporary directory is writable");
        let mut queue = pcap_queue(&path.display().to_string());
        std::fs::remove_file(&path).expect("it was there");

        let mut window = Vec::new();
        assert_eq!(queue.0.rx_burst(&mut window, 2), 1, "the second has two segments");
        assert_eq!(queue.0.rx_burst(&mut window, 64), 2);
        let got: Vec<&[u8]> = window.iter().map(Packet::bytes).collect();
        assert_eq!(got, [&frames[0], &frames[2], &frames[4]]);
        assert!(window.iter().all(|packet| Packet::port(packet) == PortId(7)));
        assert_eq!((queue.0.refused(), queue.0.refused()), (2, 0));

        let mut made = queue.1.alloc().expect("the pool is not empty");
        assert!(Packet::grow_back(&mut made, 60) && Packet::grow_front(&mut made, 20));
        assert_eq!(Packet::bytes(&made).len(), 80);
        window.push(made);
        queue.0.tx_burst(&mut window);
        assert!(window.is_empty(), "sent");
    }

    fn pcap_queue(path: &str) -> (PortQueue, Mempool) {
        let device = format!("--vdev=net_pcap0,rx_pcap={path}");
        let no_hardware = ["--no-huge", "-m", "64", "--no-shconf", "--no-pci", "--no-telemetry"];
        let args: Vec<&str> = no_hardware.into_iter().chain(["--lcores=0", &device]).collect();
        let eal = Eal::init(&args).expect("EAL starts without huge pages");
        let pool = Mempool::new(&eal, "packets", 2047, 0, 2048 + 128, None).expect("there is room");
        let mut port = Port::by_name(&eal, "net_pcap0").expect("it was asked for");
        let config = PortConfig { rx_queues: 1, tx_queues: 1, ..PortConfig::default() };
        let (mut rx, mut tx) = port.start(&config, &pool).expect("it starts");
        (PortQueue::new(PortId(7), rx.pop(), tx.pop()), pool)
    }

    /// A capture file (libpcap's format 2.4, little-endian, microseconds, Ethernet).
    fn pcap(frames: &[Vec<u8>]) -> Vec<u8> {
        let words = |words: &[u32]| words.iter().flat_map(|word| word.to_le_bytes()).collect();
        let mut file: Vec<u8> = words(&[0xa1b2_c3d4, 0x0004_0002, 0, 0, 65_535, 1]);
        for frame in frames {
            let len = frame.len() as u32;
            file.extend::<Vec<u8>>(words(&[0, 0, len, len]));
            file.extend(frame);
        }
        file
    }
}
