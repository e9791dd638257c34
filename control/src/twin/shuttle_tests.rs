use super::super::schedule::{Limits, RateLimit};
use super::super::testing::{Frame, Frames};
use super::*;
use dataplane::ids::{PortId, WorkerId};
use dataplane::limits::FROM_TWIN_RING;
use dataplane::twin_ring::{FromTwin, PuntSender, from_twin_ring, punt_rings};
use dataplane::verdict::PuntClass;
use std::cell::RefCell;
use std::collections::VecDeque;

/// A TAP without a kernel: what it is to send, what it got, and the errors to give.
#[derive(Default)]
struct FakeTap {
    sends: RefCell<VecDeque<io::Result<Vec<u8>>>>,
    got: RefCell<Vec<Vec<u8>>>,
    refuse: RefCell<Option<ErrorKind>>,
}

impl Tap for &FakeTap {
    fn recv(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let frame =
            self.sends.borrow_mut().pop_front().unwrap_or(Err(ErrorKind::WouldBlock.into()))?;
        let length = frame.len().min(buffer.len());
        buffer[..length].copy_from_slice(&frame[..length]);
        Ok(length)
    }
    fn send(&self, frame: &[u8]) -> io::Result<usize> {
        match *self.refuse.borrow() {
            Some(kind) => Err(kind.into()),
            None => {
                self.got.borrow_mut().push(frame.to_vec());
                Ok(frame.len())
            }
        }
    }
}

fn spec(interface: u16, vlan: u16, tx_worker: u16) -> TwinSpec {
    TwinSpec {
        interface: InterfaceId(interface),
        port: PortId(interface + 10),
        vlan,
        name: format!("twin{interface}"),
        mac: [2, 0, 0, 0, 0, interface as u8],
        mtu: 1500,
        tx_worker: WorkerId(tx_worker),
    }
}

struct Bench<'t> {
    shuttle: Shuttle<Frames, &'t FakeTap>,
    punt: PuntSender<Frame>,
    out: Vec<FromTwin<Frame>>,
}

fn bench<'t>(twins: Vec<(TwinSpec, &'t FakeTap)>, pool: Frames, limits: Limits) -> Bench<'t> {
    let (punt, receiver) = punt_rings();
    let (to_workers, out) = (0..2).map(|_| from_twin_ring()).unzip();
    let schedule = Schedule::new(vec![receiver], limits);
    let shuttle = Shuttle::new(twins, pool, schedule, to_workers).unwrap();
    Bench { shuttle, punt, out }
}

impl Bench<'_> {
    fn out(&mut self, worker: usize) -> Vec<(u16, Vec<u8>)> {
        let mut packets = vec![];
        self.out[worker].pop_into(&mut packets, usize::MAX);
        packets.iter().map(|p| (p.port().0, p.bytes().to_vec())).collect()
    }

    fn counts_from_kernel(&self) -> [u64; FromKernel::COUNT] {
        std::array::from_fn(|i| self.shuttle.counters.from_kernel(FromKernel::ALL[i]))
    }

    fn counts_to_kernel(&self, class: PuntClass) -> [u64; ToKernel::COUNT] {
        std::array::from_fn(|i| self.shuttle.counters.to_kernel(class, ToKernel::ALL[i]))
    }
}

fn frame(length: usize) -> Vec<u8> {
    (0..length).map(|i| i as u8).collect()
}

fn tagged(untagged: &[u8], vlan: u8) -> Vec<u8> {
    [&untagged[..12], &[0x81, 0, 0, vlan], &untagged[12..]].concat()
}

#[test]
fn a_punted_frame_reaches_the_tap_of_its_own_interface_untagged() {
    let (plain, vlan) = (FakeTap::default(), FakeTap::default());
    let mut bench = bench(
        vec![(spec(4, 0, 0), &plain), (spec(1, 9, 0), &vlan)],
        Frames::plenty(),
        Limits::default(),
    );
    for (interface, bytes) in [(1, tagged(&frame(60), 9)), (4, frame(64)), (1, frame(70))] {
        bench.punt.punt(PuntClass::Icmp, InterfaceId(interface), Frame::new(&bytes)).unwrap();
    }
    assert_eq!(bench.shuttle.write_punted(Duration::ZERO), 3);
    assert_eq!(*plain.got.borrow(), [frame(64)]);
    assert_eq!(*vlan.got.borrow(), [frame(60), frame(70)]);
    assert_eq!(bench.counts_to_kernel(PuntClass::Icmp), [3, 0, 0, 0, 0]);
}

#[test]
fn every_punted_frame_is_counted_by_what_became_of_it() {
    let tap = FakeTap::default();
    let mut limits = Limits::default();
    limits.by_class[PuntClass::Rest.index()] = RateLimit { per_second: 1, burst: 4 };
    let mut bench = bench(vec![(spec(1, 0, 0), &tap)], Frames::plenty(), limits);
    let mut punt = |refuse: Option<ErrorKind>, interface| {
        *tap.refuse.borrow_mut() = refuse;
        bench.punt.punt(PuntClass::Rest, InterfaceId(interface), Frame::new(&frame(60))).unwrap();
        bench.shuttle.write_punted(Duration::ZERO);
    };
    punt(None, 1);
    punt(Some(ErrorKind::WouldBlock), 1);
    punt(Some(ErrorKind::Other), 1);
    punt(None, 7);
    punt(None, 1);
    assert_eq!(bench.counts_to_kernel(PuntClass::Rest), [1, 1, 1, 1, 1]);
    assert_eq!(bench.counts_to_kernel(PuntClass::Icmp), [0; ToKernel::COUNT]);
    assert_eq!(tap.got.borrow().len(), 1);
}

#[test]
fn what_linux_sends_goes_to_its_transmitting_worker_with_port_and_tag() {
    let (plain, vlan) = (FakeTap::default(), FakeTap::default());
    plain.sends.borrow_mut().push_back(Ok(frame(60)));
    vlan.sends.borrow_mut().push_back(Ok(frame(1514)));
    let mut bench = bench(
        vec![(spec(0, 0, 1), &plain), (spec(1, 9, 0), &vlan)],
        Frames::plenty(),
        Limits::default(),
    );
    assert_eq!((bench.shuttle.read_tap(0), bench.shuttle.read_tap(1)), (1, 1));
    assert_eq!(bench.out(1), [(10, frame(60))]);
    assert_eq!(bench.out(0), [(11, tagged(&frame(1514), 9))]);
    assert_eq!(bench.counts_from_kernel(), [2, 0, 0, 0, 0]);
}

#[test]
fn every_frame_from_linux_is_counted_by_what_became_of_it() {
    let send = |tap: &FakeTap, lengths: &[usize]| {
        tap.sends.borrow_mut().extend(lengths.iter().map(|&length| Ok(frame(length))));
    };
    let tap = FakeTap::default();
    send(&tap, &[1514, 1515, 9000]);
    let mut plain = bench(vec![(spec(0, 0, 0), &tap)], Frames::plenty(), Limits::default());
    assert_eq!(plain.shuttle.read_tap(0), 3);
    assert_eq!(plain.counts_from_kernel(), [1, 0, 2, 0, 0], "larger than the MTU");

    send(&tap, &[100, 101]);
    let small = Frames { room: 100, ..Frames::plenty() };
    let mut small = bench(vec![(spec(0, 0, 0), &tap)], small, Limits::default());
    small.shuttle.read_tap(0);
    assert_eq!(small.counts_from_kernel(), [1, 0, 1, 0, 0], "larger than the buffer");

    send(&tap, &[60, 60, 60]);
    let few = Frames { left: 2, ..Frames::plenty() };
    let mut few = bench(vec![(spec(0, 0, 0), &tap)], few, Limits::default());
    few.shuttle.read_tap(0);
    assert_eq!(few.counts_from_kernel(), [2, 1, 0, 0, 0], "the pool is empty");

    send(&tap, &[60]);
    let tight = Frames { headroom: 3, ..Frames::plenty() };
    let mut tight = bench(vec![(spec(0, 9, 0), &tap)], tight, Limits::default());
    tight.shuttle.read_tap(0);
    assert_eq!(tight.counts_from_kernel(), [0, 0, 0, 1, 0], "no room for the tag");

    send(&tap, &vec![60; FROM_TWIN_RING + 3]);
    let mut full = bench(vec![(spec(0, 0, 0), &tap)], Frames::plenty(), Limits::default());
    while full.shuttle.read_tap(0) > 0 {}
    assert_eq!(full.counts_from_kernel(), [FROM_TWIN_RING as u64, 0, 0, 0, 3], "nobody takes them");
}

#[test]
fn a_turn_is_bounded_both_ways() {
    let tap = FakeTap::default();
    tap.sends.borrow_mut().extend((0..500).map(|_| Ok(frame(60))));
    let mut bench = bench(vec![(spec(0, 0, 0), &tap)], Frames::plenty(), Limits::default());
    assert_eq!(bench.shuttle.read_tap(0), READS);
    for _ in 0..500 {
        bench.punt.punt(PuntClass::Rest, InterfaceId(0), Frame::new(&frame(60))).unwrap();
    }
    assert_eq!(bench.shuttle.write_punted(Duration::ZERO), WRITES);
}

#[test]
fn a_deleted_tap_is_counted_once_and_its_frames_have_no_twin() {
    let tap = FakeTap::default();
    let gone = || Err(io::Error::from_raw_os_error(77));
    tap.sends.borrow_mut().extend([Ok(frame(60)), gone(), Ok(frame(60))]);
    let mut bench = bench(vec![(spec(0, 0, 0), &tap)], Frames::plenty(), Limits::default());
    assert_eq!(bench.shuttle.read_tap(0), 1);
    assert_eq!(bench.shuttle.read_tap(0), 0);
    assert_eq!(bench.shuttle.counters.taps_lost(), 1);
    assert_eq!(bench.shuttle.taps().count(), 0);
    bench.punt.punt(PuntClass::Neighbor, InterfaceId(0), Frame::new(&frame(60))).unwrap();
    bench.shuttle.write_punted(Duration::ZERO);
    assert_eq!(bench.counts_to_kernel(PuntClass::Neighbor), [0, 0, 0, 0, 1]);
}

#[test]
fn specs_that_contradict_each_other_are_refused_by_name() {
    let tap = FakeTap::default();
    let new = |specs: [TwinSpec; 2]| {
        let (_, receiver) = punt_rings::<Frame>();
        let twins = specs.into_iter().map(|spec| (spec, &tap)).collect();
        let schedule = Schedule::new(vec![receiver], Limits::default());
        Shuttle::new(twins, Frames::plenty(), schedule, vec![from_twin_ring().0]).err()
    };
    assert!(new([spec(0, 0, 0), spec(1, 0, 0)]).is_none());
    let same = TwinSpec { name: "other".into(), ..spec(0, 5, 0) };
    assert!(
        matches!(new([spec(0, 0, 0), same]), Some(TwinError::Duplicate(name)) if name == "other")
    );
    assert!(matches!(
        new([spec(0, 0, 0), spec(1, 0, 1)]),
        Some(TwinError::NoWorker(name, WorkerId(1))) if name == "twin1"
    ));
}
