use super::*;
use crate::service::PeerLimit;
use crate::time::ticks;

const UNREACHABLE: (u8, u8) = (3, 3);
const CLIENT: u32 = 0xac10_0001;
const CLIENT_V6: u128 = 0x2001_0db8 << 96 | 1;

fn limiter(workers: usize) -> IcmpLimiter {
    IcmpLimiter::new(workers, [7, 9])
}

/// Limits that leave the bucket for all open.
fn per_peer(interval: u32) -> IcmpLimits {
    let limit = |types| PeerLimit { interval, types };
    let (v4, v6) = (limit(0x1818), limit(!4));
    IcmpLimits { v4, v6, per_second: 1_000_000, burst: 1_000_000 }
}

/// Limits that leave every peer's bucket open.
fn for_all(per_second: u32, burst: u32) -> IcmpLimits {
    IcmpLimits { per_second, burst, ..per_peer(0) }
}

/// `inet_peer_xrlim_allow` with a clock of milliseconds.
struct Kernel {
    tokens: u64,
    last: u64,
}

impl Kernel {
    fn allows(&mut self, timeout: u64, now: u64) -> bool {
        let mut token = self.tokens + (now - self.last);
        self.last = now;
        token = token.min(6 * timeout);
        let allowed = token >= timeout;
        if allowed {
            token -= timeout;
        }
        self.tokens = token;
        allowed
    }
}

#[test]
fn a_peer_gets_what_the_kernel_gives_it() {
    let mut rng = fastrand::Rng::with_seed(5);
    for interval in [0, 1, 40, 250, 1000, 7777] {
        let mut limiter = limiter(1);
        let mut kernel = Kernel { tokens: 0, last: 0 };
        // Begins as a peer that the kernel has just met: a minute of tokens.
        let mut now = 2 * 60 * 1000 / 125 * 2;
        kernel.last = now * 125 / 2 - 60_000;
        let (mut sent, mut kept) = (0, 0);
        for _ in 0..2000 {
            // Two ticks are 125 ms, so that both clocks are exact.
            now += if rng.u8(0..4) == 0 { 2 * rng.u64(0..40) } else { 0 };
            let ours =
                limiter.allows(&per_peer(interval), (CLIENT, 0), UNREACHABLE, Tick(now as u32));
            let theirs = kernel.allows(interval.into(), now * 125 / 2);
            assert_eq!(ours, theirs, "interval {interval} at {now}");
            *(if ours { &mut sent } else { &mut kept }) += 1;
        }
        assert!(sent > 0 && (kept > 0) == (interval > 0), "{interval}: {sent} {kept}");
    }
}

#[test]
fn six_in_a_row_then_one_an_interval_and_each_peer_by_itself() {
    let mut limiter = limiter(1);
    let limits = per_peer(1000);
    let mut count = |target: u32, now| {
        (0..20).filter(|_| limiter.allows(&limits, (target, 0), UNREACHABLE, now)).count()
    };
    assert_eq!(count(CLIENT, Tick(1000)), 6);
    assert_eq!(count(CLIENT + 1, Tick(1000)), 6);
    assert_eq!(count(CLIENT, Tick(1015)), 0);
    assert_eq!(count(CLIENT, Tick(1016)), 1);
    assert_eq!(count(CLIENT, Tick(1016 + ticks(3))), 3);
    assert_eq!(count(CLIENT, Tick(1000 + ticks(3600))), 6);
}

#[test]
fn types_outside_the_mask_and_path_mtu_are_not_limited() {
    let mut limiter = limiter(1);
    let none = IcmpLimits { per_second: 0, burst: 0, ..per_peer(1000) };
    let mut allows = |what| limiter.allows(&none, (CLIENT, 0), what, Tick(1000));
    assert!(!allows(UNREACHABLE) && !allows((11, 0)));
    assert!(allows((3, 4)), "fragmentation needed");
    assert!(allows((5, 0)), "redirect");
    let mut allows_v6 = |what| limiter.allows(&none, (CLIENT_V6, 64), what, Tick(1000));
    assert!(!allows_v6((1, 4)) && !allows_v6((3, 0)));
    assert!(allows_v6((2, 0)), "packet too big");
}

#[test]
fn icmpv6_gives_wider_prefixes_more() {
    let limits = per_peer(1000);
    for (prefix_len, a_second) in [(128, 1), (97, 1), (96, 2), (64, 4), (32, 8), (0, 16)] {
        let mut limiter = limiter(1);
        let to = (CLIENT_V6, prefix_len);
        let mut count =
            |now| (0..99).filter(|_| limiter.allows(&limits, to, (1, 4), Tick(now))).count();
        assert_eq!(count(1000), 6);
        // The bucket holds six: asked so often that it does not run over.
        let later: usize = (1..=16).map(|tick| count(1000 + tick)).sum();
        assert_eq!(later, a_second, "/{prefix_len}");
    }
}

#[test]
fn all_workers_together_send_what_the_kernel_sends_to_all() {
    for workers in [1, 2, 8] {
        let limits = for_all(1000, 50);
        let mut sent = 0;
        for worker in 0..workers {
            let mut limiter = IcmpLimiter::new(workers, [worker as u64, 3]);
            for tick in 0..ticks(60) {
                let now = Tick(1000 + tick);
                let allowed = |_: &u32| limiter.allows(&limits, (CLIENT, 0), UNREACHABLE, now);
                sent += (0..500).filter(allowed).count();
            }
        }
        let a_second = sent / 60;
        assert!((900..=1120).contains(&a_second), "{workers} workers: {a_second} a second");
    }
}

#[test]
fn the_bucket_for_all_holds_a_burst_of_random_size() {
    let limits = for_all(160, 50);
    let mut limiter = limiter(1);
    let mut seen = std::collections::BTreeSet::new();
    for round in 1..50 {
        let now = Tick(ticks(10 * round));
        let allowed = |_: &u32| limiter.allows(&limits, (CLIENT, 0), UNREACHABLE, now);
        seen.insert((0..500).filter(allowed).count());
    }
    assert!(seen.len() > 5, "{seen:?}");
    assert!(seen.iter().all(|count| (25..100).contains(count)), "{seen:?}");
}

#[test]
fn peers_that_nobody_asks_for_give_way() {
    let mut limiter = limiter(1);
    let limits = per_peer(1000);
    for n in 0..100_000 {
        assert!(limiter.allows(&limits, (n, 0), UNREACHABLE, Tick(1000 + n / 100)), "{n}");
    }
    let kept = limiter.peers.iter().filter(|peer| peer.address.is_some()).count();
    assert_eq!(kept, ICMP_PEER_SETS * ICMP_PEER_WAYS);
}
