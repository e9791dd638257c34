use super::*;
use dataplane::ids::InterfaceId;
use dataplane::limits::PUNT_RING;
use dataplane::twin_ring::{PuntSender, punt_rings};
use std::collections::VecDeque;

type Mark = (usize, PuntClass, u32);

const IF: InterfaceId = InterfaceId(0);
const OPEN: Limits =
    Limits { by_class: [RateLimit { per_second: 1, burst: 1 << 20 }; PuntClass::COUNT] };

fn rings(workers: usize, limits: Limits) -> (Vec<PuntSender<Mark>>, Schedule<Mark>) {
    let (senders, receivers) = (0..workers).map(|_| punt_rings()).unzip();
    (senders, Schedule::new(receivers, limits))
}

fn only(class: PuntClass, limit: RateLimit) -> Limits {
    let mut limits = OPEN;
    limits.by_class[class.index()] = limit;
    limits
}

fn drained(schedule: &mut Schedule<Mark>, now: Duration, budget: usize) -> Vec<(Turn, Mark)> {
    let mut given = vec![];
    let count = schedule.drain(now, budget, |class, turn, punted| {
        assert_eq!(class, punted.packet.1);
        given.push((turn, punted.packet));
    });
    assert_eq!(count, given.len());
    given
}

/// xorshift64*: the tests' only randomness.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % sides
    }
}

#[test]
fn a_higher_class_waits_for_one_run_of_a_lower_one_at_most() {
    let (mut senders, mut schedule) = rings(2, OPEN);
    for n in 0..400 {
        senders[0].punt(PuntClass::Rest, IF, (0, PuntClass::Rest, n)).unwrap();
    }
    // While the third frame of the flood is written, a neighbour asks.
    let mut order = vec![];
    schedule.drain(Duration::ZERO, 401, |class, _, _| {
        order.push(class);
        if order.len() == 3 {
            senders[1].punt(PuntClass::Neighbor, IF, (1, PuntClass::Neighbor, 0)).unwrap();
        }
    });
    let waited = order.iter().position(|&class| class == PuntClass::Neighbor);
    assert_eq!(waited, Some(RUN));
    assert_eq!(order.len(), 401);
}

#[test]
fn all_that_waits_leaves_by_class_and_in_order_of_each_worker() {
    for seed in 1..=50 {
        let mut dice = Dice(seed);
        let workers = 1 + dice.roll(5);
        let (mut senders, mut schedule) = rings(workers, OPEN);
        let mut sent = 0;
        for n in 0..dice.roll(2000) as u32 {
            let (worker, class) = (dice.roll(workers), PuntClass::ALL[dice.roll(4)]);
            sent += usize::from(senders[worker].punt(class, IF, (worker, class, n)).is_ok());
        }
        let given = drained(&mut schedule, Duration::ZERO, usize::MAX);
        assert_eq!(given.len(), sent, "seed {seed}");
        assert!(given.iter().all(|(turn, _)| *turn == Turn::Pass));
        assert!(given.is_sorted_by_key(|(_, (_, class, _))| class.index()), "seed {seed}");
        for worker in 0..workers {
            for &class in PuntClass::ALL {
                let own = given.iter().filter(|(_, m)| (m.0, m.1) == (worker, class));
                assert!(own.is_sorted_by_key(|(_, mark)| mark.2), "seed {seed}");
            }
        }
    }
}

#[test]
fn workers_share_a_class_evenly_however_full_their_rings_are() {
    let (mut senders, mut schedule) = rings(3, OPEN);
    for (worker, count) in [(0, 500), (1, 30), (2, 500)] {
        for n in 0..count {
            senders[worker].punt(PuntClass::Rest, IF, (worker, PuntClass::Rest, n)).unwrap();
        }
    }
    let given = drained(&mut schedule, Duration::ZERO, 80);
    for worker in 0..3 {
        let share = given.iter().filter(|(_, mark)| mark.0 == worker).count();
        assert!((26..=28).contains(&share), "worker {worker} had {share} of 80");
    }
}

#[test]
fn a_class_passes_its_burst_and_then_its_rate() {
    let limits = only(PuntClass::Icmp, RateLimit { per_second: 100, burst: 5 });
    let (mut senders, mut schedule) = rings(1, limits);
    let mut passed_at = |now_ms: u64| {
        for n in 0..20 {
            senders[0].punt(PuntClass::Icmp, IF, (0, PuntClass::Icmp, n)).unwrap();
        }
        let given = drained(&mut schedule, Duration::from_millis(now_ms), usize::MAX);
        assert_eq!(given.len(), 20);
        given.iter().filter(|(turn, _)| *turn == Turn::Pass).count()
    };
    assert_eq!(passed_at(0), 5);
    assert_eq!(passed_at(9), 0);
    assert_eq!(passed_at(10), 1);
    assert_eq!(passed_at(40), 3);
    assert_eq!(passed_at(30), 0, "a clock that steps back earns nothing");
    assert_eq!(passed_at(50), 1, "and the time it took back is not paid twice");
    assert_eq!(passed_at(1_000_000_000_000), 5, "a pause earns the burst, no more");
}

#[test]
fn over_any_time_a_class_passes_no_more_than_burst_and_rate_and_no_less_if_it_asks_enough() {
    for seed in 1..=20 {
        let mut dice = Dice(seed);
        let limit =
            RateLimit { per_second: 1 + dice.roll(9000) as u32, burst: 2 + dice.roll(90) as u32 };
        let (mut senders, mut schedule) = rings(1, only(PuntClass::Neighbor, limit));
        let (mut now, mut asked_at, mut passed) = (Duration::ZERO, Duration::ZERO, 0);
        for _ in 0..500 {
            for n in 0..PUNT_RING[0] as u32 {
                let _ = senders[0].punt(PuntClass::Neighbor, IF, (0, PuntClass::Neighbor, n));
            }
            let given = drained(&mut schedule, now, usize::MAX);
            passed += given.iter().filter(|(turn, _)| *turn == Turn::Pass).count();
            asked_at = now;
            // Steps shorter than the burst lasts, so that nothing earned spills.
            let longest = u64::from(limit.burst - 1) * 1_000_000_000 / u64::from(limit.per_second);
            now += Duration::from_nanos(longest * dice.roll(1000) as u64 / 1000);
        }
        let earned = asked_at.as_nanos() * u128::from(limit.per_second) / 1_000_000_000;
        let expected = u128::from(limit.burst) + earned;
        assert_eq!(passed as u128, expected, "seed {seed} {limit:?}");
    }
}

#[test]
fn a_class_over_its_rate_does_not_hold_up_those_below_it() {
    let limits = only(PuntClass::Neighbor, RateLimit { per_second: 0, burst: 0 });
    let (mut senders, mut schedule) = rings(1, limits);
    let mut pings = VecDeque::new();
    for n in 0..100 {
        senders[0].punt(PuntClass::Icmp, IF, (0, PuntClass::Icmp, n)).unwrap();
        pings.push_back(n);
    }
    // The flood refills its ring before every turn.
    for _ in 0..7 {
        for n in 0..PUNT_RING[0] as u32 {
            let _ = senders[0].punt(PuntClass::Neighbor, IF, (0, PuntClass::Neighbor, n));
        }
        for (turn, (_, class, n)) in drained(&mut schedule, Duration::ZERO, 32) {
            match class {
                PuntClass::Icmp => assert_eq!((turn, Some(n)), (Turn::Pass, pings.pop_front())),
                _ => assert_eq!(turn, Turn::Limit),
            }
        }
    }
    assert!(pings.is_empty(), "{} pings still wait behind the flood", pings.len());
}

#[test]
fn without_workers_there_is_nothing_to_do() {
    assert!(drained(&mut rings(0, OPEN).1, Duration::ZERO, 10).is_empty());
}
