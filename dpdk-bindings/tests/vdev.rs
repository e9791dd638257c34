//! The real EAL without hardware. It starts once per process, so each test needs its own:
//! `cargo nextest run -p dpdk-bindings`. The veth tests need root; their network namespace has no
//! name and goes with the process.

mod common;

use common::{COUNT, DATA_ROOM, eal, frame, pool, receive, transmit, veth_pair};
use dpdk_bindings::{
    Eal, Error, HEADROOM, LcoreThread, Mbuf, Mempool, Port, PortConfig, RxQueue, TxQueue,
};

fn start(eal: &Eal, name: &str, queues: u16, pool: &Mempool) -> (Port, Vec<RxQueue>, Vec<TxQueue>) {
    let mut port = Port::by_name(eal, name).expect("the vdev was asked for");
    let config = PortConfig {
        rx_queues: queues,
        tx_queues: queues,
        promiscuous: true,
        ..Default::default()
    };
    let (rx, tx) = port.start(&config, pool).expect("it starts");
    (port, rx, tx)
}

#[test]
fn frames_through_a_ring_come_back_in_order_and_unchanged() {
    let eal = eal(&["net_ring0"]);
    let pool = pool(&eal);
    let (port, mut rx, mut tx) = start(&eal, "net_ring0", 1, &pool);
    let sent: Vec<Mbuf> = (0..50).map(|tag| frame(&pool, tag, 60 + usize::from(tag))).collect();
    let want: Vec<Vec<u8>> = sent.iter().map(|mbuf| mbuf.bytes().to_vec()).collect();
    transmit(&mut tx[0], sent);
    let got = receive(&mut rx, 50);
    assert_eq!(got.iter().map(|mbuf| mbuf.bytes().to_vec()).collect::<Vec<_>>(), want);
    let stats = port.stats().expect("a ring counts");
    assert_eq!((stats.rx_packets, stats.tx_packets), (50, 50));
}

#[test]
fn a_burst_takes_no_more_than_its_room() {
    let eal = eal(&["net_ring0"]);
    let pool = pool(&eal);
    let (_port, mut rx, mut tx) = start(&eal, "net_ring0", 1, &pool);
    transmit(&mut tx[0], (0..10).map(|tag| frame(&pool, tag, 60)).collect());
    let mut got = Vec::with_capacity(10);
    let place = got.as_ptr();
    assert_eq!([rx[0].rx_burst(&mut got, 4), rx[0].rx_burst(&mut got, 0), got.len()], [4, 0, 4]);
    assert_eq!([rx[0].rx_burst(&mut got, 6), rx[0].rx_burst(&mut got, 0), got.len()], [6, 0, 10]);
    assert_eq!(got.as_ptr(), place, "nothing was allocated");
    assert!(got.iter().enumerate().all(|(tag, mbuf)| usize::from(mbuf.bytes()[20]) == tag));
}

#[test]
fn a_full_queue_leaves_the_rest_in_order() {
    let eal = eal(&["net_ring0"]);
    let pool = pool(&eal);
    let (_port, mut rx, mut tx) = start(&eal, "net_ring0", 1, &pool);
    let mut packets: Vec<Mbuf> = Vec::new();
    for number in 0..1500_u16 {
        let mut mbuf = frame(&pool, 0, 60);
        mbuf.bytes_mut()[14..16].copy_from_slice(&number.to_be_bytes());
        packets.push(mbuf);
    }
    let number = |mbuf: &Mbuf| u16::from_be_bytes([mbuf.bytes()[14], mbuf.bytes()[15]]);
    let taken = tx[0].tx_burst(&mut packets);
    assert!(taken > 0 && taken < 1500, "a ring of 1024 takes some: {taken}");
    assert_eq!(packets.len(), 1500 - taken);
    assert!(packets.iter().map(number).eq(taken as u16..1500));
    let got = receive(&mut rx, taken);
    assert!(got.iter().map(number).eq(0..taken as u16));
}

#[test]
fn an_exhausted_pool_gives_nothing_until_a_buffer_comes_back() {
    let eal = eal(&[]);
    let pool = pool(&eal);
    let mut all: Vec<Mbuf> = std::iter::from_fn(|| pool.alloc()).collect();
    assert_eq!((all.len() as u32, pool.available(), pool.in_use()), (COUNT, 0, COUNT));
    assert!(pool.alloc().is_none());
    all.pop();
    assert!(pool.alloc().is_some());
    drop(all);
    assert_eq!((pool.available(), pool.in_use()), (COUNT, 0));
}

#[test]
fn buffers_freed_by_other_threads_come_home() {
    let eal = eal(&[]);
    let pool = pool(&eal);
    std::thread::scope(|scope| {
        for registered in [true, true, false, false] {
            let (eal, pool) = (&eal, &pool);
            scope.spawn(move || {
                let lcore =
                    registered.then(|| LcoreThread::register(eal).expect("lcores are free"));
                assert_eq!(LcoreThread::number().is_some(), lcore.is_some());
                for _ in 0..200 {
                    let some: Vec<Mbuf> = (0..100).map_while(|_| pool.alloc()).collect();
                    assert_eq!(some.len(), 100);
                }
            });
        }
    });
    assert_eq!(pool.available(), COUNT);
}

#[test]
fn nothing_leaks_between_alloc_transmit_receive_and_close() {
    let eal = eal(&["net_ring0", "net_null0"]);
    let pool = pool(&eal);
    let (ring, mut rx, mut tx) = start(&eal, "net_ring0", 1, &pool);
    let (null, null_rx, mut null_tx) = start(&eal, "net_null0", 1, &pool);
    for round in 0..100 {
        transmit(&mut tx[0], (0..32).map(|_| frame(&pool, round, 60)).collect());
        assert_eq!(pool.in_use(), 32);
        transmit(&mut null_tx[0], receive(&mut rx, 32));
        assert_eq!(pool.in_use(), 0);
    }
    drop((ring, rx, tx, null, null_rx, null_tx));
    assert_eq!(pool.available(), COUNT);
}

#[test]
fn a_frame_grows_to_the_ends_of_its_buffer_and_no_further() {
    let eal = eal(&[]);
    let pool = pool(&eal);
    let mut mbuf = frame(&pool, 7, 100);
    let back = usize::from(DATA_ROOM) - HEADROOM - 100;
    assert_eq!((mbuf.headroom(), mbuf.tailroom()), (HEADROOM, back));
    assert!(!mbuf.grow_front(HEADROOM + 1) && !mbuf.grow_back(back + 1));
    assert!(!mbuf.grow_front(usize::MAX) && !mbuf.grow_back(65_536 + 1));
    assert_eq!(mbuf.len(), 100);
    assert!(mbuf.grow_front(HEADROOM) && mbuf.grow_back(back));
    assert_eq!((mbuf.len(), mbuf.headroom(), mbuf.tailroom()), (usize::from(DATA_ROOM), 0, 0));
    assert!(!mbuf.grow_front(1) && !mbuf.grow_back(1));
    assert_eq!(mbuf.bytes()[HEADROOM + 50], 7, "the frame stayed in its place");
    mbuf.shrink_front(HEADROOM + 20);
    mbuf.truncate(80);
    assert_eq!(mbuf.bytes(), [7; 80]);
    mbuf.truncate(0);
    assert!(mbuf.bytes().is_empty() && !mbuf.is_multi_segment());
}

#[test]
#[should_panic(expected = "more bytes to remove")]
fn removing_more_than_a_frame_has_is_refused() {
    let eal = eal(&[]);
    frame(&pool(&eal), 0, 60).shrink_front(61);
}

#[test]
fn a_frame_longer_than_a_buffer_shows_as_several_segments() {
    let path = std::env::temp_dir().join(format!("dpdk-bindings-{}.pcap", std::process::id()));
    std::fs::write(&path, pcap_of(&[5; 3000])).expect("the temporary directory is writable");
    let eal = eal(&[&format!("net_pcap0,rx_pcap={}", path.display())]);
    let pool = pool(&eal);
    let (_port, mut rx, _tx) = start(&eal, "net_pcap0", 1, &pool);
    let mut got = Vec::new();
    rx[0].rx_burst(&mut got, 32);
    std::fs::remove_file(&path).expect("it was there");
    assert_eq!(got.len(), 1);
    let first = usize::from(DATA_ROOM) - HEADROOM;
    assert!(got[0].is_multi_segment());
    assert_eq!(got[0].bytes(), vec![5; first]);
    assert!(!got[0].grow_back(1), "the rest of the frame is in the way");
    got.clear();
    assert_eq!(pool.in_use(), 0, "all segments went home");
}

/// A capture file of one Ethernet frame (libpcap's format, version 2.4, microseconds).
fn pcap_of(frame: &[u8]) -> Vec<u8> {
    let len = frame.len() as u32;
    let words = [0xa1b2_c3d4, 0x0004_0002, 0, 0, 65_535, 1, 0, 0, len, len];
    let header = words.iter().flat_map(|word: &u32| word.to_le_bytes());
    header.chain(frame.iter().copied()).collect()
}

#[test]
fn a_second_start_of_dpdk_is_refused() {
    let _eal = eal(&[]);
    assert!(matches!(Eal::init(&["--no-huge"]), Err(Error::EalTwice)));
}

#[test]
fn bad_arguments_are_an_error_that_names_them() {
    let error = Eal::init(&["--no-huge", "--lcores=all"]).expect_err("lcores are numbers");
    assert!(matches!(error, Error::Eal { .. }));
    assert!(error.to_string().contains("--lcores=all"), "{error}");
}

#[test]
fn an_unknown_port_is_an_error_that_names_those_there_are() {
    let eal = eal(&["net_ring0", "net_null0"]);
    let error = Port::by_name(&eal, "0000:3b:00.0").expect_err("there is no PCI device");
    let text = error.to_string();
    assert!(text.contains("\"0000:3b:00.0\""), "{text}");
    assert!(text.contains("net_ring0, net_null0"), "{text}");
}

#[test]
fn a_port_is_opened_once_and_started_once() {
    let eal = eal(&["net_ring0"]);
    let pool = pool(&eal);
    let (mut port, _rx, _tx) = start(&eal, "net_ring0", 1, &pool);
    assert!(matches!(Port::by_name(&eal, "net_ring0"), Err(Error::PortBusy(_))));
    let config = PortConfig { rx_queues: 1, tx_queues: 1, ..Default::default() };
    assert!(matches!(port.start(&config, &pool), Err(Error::PortBusy(_))));
}

#[test]
fn what_a_device_cannot_do_is_said_and_can_be_tried_otherwise() {
    let eal = eal(&["net_ring0"]);
    let pool = pool(&eal);
    let mut port = Port::by_name(&eal, "net_ring0").expect("it was asked for");
    let good = PortConfig { rx_queues: 1, tx_queues: 1, ..Default::default() };
    let many = PortConfig { rx_queues: 1000, ..good.clone() };
    assert!(matches!(port.start(&many, &pool), Err(Error::Queues { asked: 1000, .. })));
    let none = PortConfig { tx_queues: 0, ..good.clone() };
    assert!(matches!(port.start(&none, &pool), Err(Error::Queues { asked: 0, .. })));
    let small = Mempool::new(&eal, "small", 63, 0, 512, None).expect("it is small");
    assert!(matches!(port.start(&good, &small), Err(Error::SmallBuffers { mtu: 1500, .. })));
    let few = Mempool::new(&eal, "few", 63, 0, DATA_ROOM, None).expect("it is small");
    assert!(matches!(port.start(&good, &few), Err(Error::SmallPool { count: 63, .. })));
    assert_eq!(port.start(&good, &pool).map(|(rx, tx)| (rx.len(), tx.len())).ok(), Some((1, 1)));
}

#[test]
fn a_pool_of_the_same_name_is_refused() {
    let eal = eal(&[]);
    let _first = pool(&eal);
    let second = Mempool::new(&eal, "packets", 63, 0, DATA_ROOM, None);
    assert!(matches!(second, Err(Error::Pool { count: 63, .. })));
}

#[test]
fn dpdk_outlives_a_buffer_that_is_still_out() {
    let eal = eal(&[]);
    let pool = pool(&eal);
    let mut mbuf = frame(&pool, 9, 60);
    drop((pool, eal));
    mbuf.bytes_mut()[59] = 8;
    assert_eq!(mbuf.bytes()[58..], [9, 8]);
}

#[test]
fn starting_dpdk_leaves_the_threads_affinity_alone() {
    let before = affinity();
    let _eal = eal(&[]);
    assert_eq!(affinity(), before);
}

fn affinity() -> String {
    let status = std::fs::read_to_string("/proc/thread-self/status").expect("Linux has it");
    status.lines().find(|line| line.starts_with("Cpus_allowed:")).expect("it is there").to_owned()
}

#[test]
fn frames_cross_a_veth_between_packet_sockets_of_two_queues() {
    veth_pair();
    let eal = eal(&["net_af_packet0,iface=va,qpairs=2", "net_af_packet1,iface=vb,qpairs=2"]);
    let pool = pool(&eal);
    let (a, _rx_a, mut tx_a) = start(&eal, "net_af_packet0", 2, &pool);
    let (_b, mut rx_b, _tx_b) = start(&eal, "net_af_packet1", 2, &pool);
    assert_eq!(a.info().expect("it tells").driver, "net_af_packet");
    let sent: Vec<Mbuf> = (0..20).map(|tag| frame(&pool, tag, 60 + usize::from(tag))).collect();
    let want: Vec<Vec<u8>> = sent.iter().map(|mbuf| mbuf.bytes().to_vec()).collect();
    transmit(&mut tx_a[1], sent);
    let mut got: Vec<Vec<u8>> = receive(&mut rx_b, 20).iter().map(|m| m.bytes().to_vec()).collect();
    got.sort_by_key(Vec::len);
    assert_eq!(got, want);
}

#[test]
fn an_mtu_is_refused_by_name_only_if_the_device_has_less() {
    veth_pair();
    let eal = eal(&["net_af_packet0,iface=va"]);
    let pool = pool(&eal);
    let mut port = Port::by_name(&eal, "net_af_packet0").expect("it was asked for");
    let config =
        PortConfig { rx_queues: 1, tx_queues: 1, mtu: Some(9000), ..PortConfig::default() };
    let refused = port.start(&config, &pool);
    assert!(matches!(refused, Err(Error::Mtu { asked: 9000, .. })), "{refused:?}");
    let config = PortConfig { mtu: Some(1400), ..config };
    assert!(port.start(&config, &pool).is_ok());
}

#[test]
fn frames_cross_a_veth_both_ways_between_xdp_and_packet_sockets() {
    veth_pair();
    let eal = eal(&["net_af_xdp0,iface=va", "net_af_packet0,iface=vb"]);
    let pool = pool(&eal);
    let (xdp, mut rx_a, mut tx_a) = start(&eal, "net_af_xdp0", 1, &pool);
    let (packet, mut rx_b, mut tx_b) = start(&eal, "net_af_packet0", 1, &pool);
    assert_eq!(xdp.mac().expect("it tells").len(), 6);
    assert_ne!(xdp.mac().ok(), packet.mac().ok());
    for round in 0..20 {
        let there = frame(&pool, round, 60 + usize::from(round));
        let want = there.bytes().to_vec();
        transmit(&mut tx_a[0], vec![there]);
        let got = receive(&mut rx_b, 1);
        assert_eq!(got[0].bytes(), want, "from XDP, round {round}");
        transmit(&mut tx_b[0], got);
        let back = receive(&mut rx_a, 1);
        assert_eq!(back[0].bytes(), want, "to XDP, round {round}");
    }
}
