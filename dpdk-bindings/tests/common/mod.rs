//! The real EAL without hardware, and frames to send.

use std::process::Command;
use std::time::{Duration, Instant};

use dpdk_bindings::{Eal, Mbuf, Mempool, RxQueue, TxQueue};

/// net_af_xdp keeps 2048 in its fill queue.
pub const COUNT: u32 = 8191;
pub const DATA_ROOM: u16 = 2048 + 128;

/// EAL without huge pages, with these virtual devices.
pub fn eal(devices: &[&str]) -> Eal {
    let memory = ["--no-huge", "-m", "64", "--no-shconf", "--no-pci", "--no-telemetry"];
    let quiet = ["--log-level=lib.*:error", "--lcores=0"];
    let vdevs = devices.iter().flat_map(|device| ["--vdev", device]);
    let args: Vec<&str> = memory.into_iter().chain(quiet).chain(vdevs).collect();
    Eal::init(&args).expect("EAL starts without huge pages")
}

/// A pool of [`COUNT`] buffers.
pub fn pool(eal: &Eal) -> Mempool {
    Mempool::new(eal, "packets", COUNT, 32, DATA_ROOM, None).expect("64 MB hold that many buffers")
}

/// A broadcast frame of the experimental EtherType 0x88b5 (IEEE 802), told apart by `tag`.
pub fn frame(pool: &Mempool, tag: u8, len: usize) -> Mbuf {
    let mut mbuf = pool.alloc().expect("a buffer is free");
    assert!(mbuf.grow_back(len));
    let bytes = mbuf.bytes_mut();
    bytes.fill(tag);
    bytes[..6].fill(0xff);
    bytes[6..12].copy_from_slice(&[2, 0, 0, 0, 0, 1]);
    bytes[12..14].copy_from_slice(&[0x88, 0xb5]);
    mbuf
}

/// Polls until `count` frames of that type are there, or two seconds have passed. The kernel's
/// own (neighbour discovery) are skipped.
pub fn receive(queues: &mut [RxQueue], count: usize) -> Vec<Mbuf> {
    let mut got: Vec<Mbuf> = Vec::new();
    let end = Instant::now() + Duration::from_secs(2);
    while got.len() < count && Instant::now() < end {
        for queue in &mut *queues {
            queue.rx_burst(&mut got, 32);
        }
        got.retain(|mbuf| mbuf.bytes()[12..14] == [0x88, 0xb5]);
    }
    got
}

/// Sends them all within two seconds.
pub fn transmit(queue: &mut TxQueue, mut packets: Vec<Mbuf>) {
    let end = Instant::now() + Duration::from_secs(2);
    while !packets.is_empty() && Instant::now() < end {
        queue.tx_burst(&mut packets);
    }
    assert!(packets.is_empty(), "the queue takes them all");
}

/// A veth pair `va`–`vb` in a namespace of this process.
pub fn veth_pair() {
    // SAFETY: no memory is involved; only this thread, and those it starts later, are moved.
    assert_eq!(unsafe { libc::unshare(libc::CLONE_NEWNET) }, 0, "needs root");
    for command in ["link add va type veth peer name vb", "link set va up", "link set vb up"] {
        let done = Command::new("ip").args(command.split(' ')).status().expect("iproute2 is there");
        assert!(done.success(), "ip {command}");
    }
}
