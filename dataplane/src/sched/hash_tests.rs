//! dh, sh and mh against the kernel's walks, and what their tables promise.

use super::tests::{Counts, of_kind, overload, with_thresholds};
use super::*;
use crate::address::{Address, Family};
use crate::service::example::dest;
use crate::siphash::hsiphash;

fn service_of(scheduling: impl Into<Scheduling>, dests: Vec<Dest>) -> Service {
    let Service { id, key, .. } = of_kind(SchedulerKind::Rr, &[]);
    Service::new(id, key, scheduling, dests)
}

fn pick<A: Address>(service: &Service, key: &FlowKey<A>) -> Option<usize> {
    let asked = Asked::new(key, Tick(0));
    Scheduler::new(service, WorkerId(0)).schedule(service, &asked, &Counts::default())
}

fn random_key(rng: &mut fastrand::Rng) -> FlowKey {
    FlowKey { src: rng.u32(..), dst: rng.u32(..), sport: rng.u16(..), dport: 80, proto: 6 }
}

/// Bucket by bucket as `ip_vs_dh_reassign` and `ip_vs_sh_reassign` go around the list.
fn buckets_literally(dests: &[Dest], turn: impl Fn(&Dest) -> u32) -> Vec<usize> {
    let (mut place, mut taken, mut buckets) = (0, 0, Vec::new());
    while buckets.len() < 256 && !dests.is_empty() {
        buckets.push(place);
        taken += 1;
        if taken >= turn(&dests[place]) {
            (place, taken) = ((place + 1) % dests.len(), 0);
        }
    }
    buckets
}

/// `ip_vs_mh_permutate` and `ip_vs_mh_populate`, one bucket at a time.
fn maglev_literally(dests: &[Dest]) -> Vec<usize> {
    let weights = dests.iter().map(|dest| dest.last_weight);
    let gcd = weights.clone().filter(|&weight| weight > 0).reduce(crate::service::gcd);
    let (Some(gcd), Some(most)) = (gcd, weights.max()) else { return Vec::new() };
    let shift = (32 - (most / gcd).leading_zeros()).saturating_sub(6);
    let mut perms: Vec<usize> =
        dests.iter().map(|dest| hashed(dest, 2_654_435_761) % 4093).collect();
    let mut table = vec![None; 4093];
    let (mut place, mut taken, mut filled) = (0, 0, 0);
    while filled < 4093 {
        let weight = dests[place].last_weight;
        let scaled = (weight / gcd) >> shift;
        let turns = if scaled > 0 { scaled } else { weight.min(1) };
        if turns > taken {
            while table[perms[place]].is_some() {
                perms[place] += hashed(&dests[place], 2_654_446_892) % 4092 + 1;
                perms[place] %= 4093;
            }
            table[perms[place]] = Some(place);
            (taken, filled) = (taken + 1, filled + 1);
        }
        if taken >= turns {
            (place, taken) = ((place + 1) % dests.len(), 0);
        }
    }
    table.into_iter().flatten().collect()
}

fn hashed(dest: &Dest, key: u64) -> usize {
    let rip = u32::of(dest.rip).expect("an IPv4 destination");
    hsiphash(rip + u32::from(dest.rport), key) as usize
}

fn random_dests(rng: &mut fastrand::Rng) -> Vec<Dest> {
    let widest = *rng.choice(&[2, 5, 300, 65_536]).unwrap();
    (1..=rng.u32(..9)).map(|id| dest(id, rng.u32(..widest))).collect()
}

#[test]
fn tables_are_the_kernels_bucket_by_bucket() {
    for seed in 0..150 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut dests = random_dests(&mut rng);
        for dest in &mut dests {
            dest.last_weight = if rng.bool() { dest.weight } else { rng.u32(..9) };
        }
        let literal = [
            (SchedulerKind::Dh, buckets_literally(&dests, |_| 1)),
            (SchedulerKind::Sh, buckets_literally(&dests, |dest| dest.weight)),
            (SchedulerKind::Mh, maglev_literally(&dests)),
        ];
        for (kind, literal) in literal {
            let buckets = Buckets::new(kind, Family::V4, &dests);
            let places: Vec<usize> = buckets.places().iter().map(|&place| place.into()).collect();
            assert_eq!(places, literal, "seed {seed} {kind:?}");
        }
    }
}

/// `ip_vs_sh_get` and `ip_vs_sh_get_fallback`, and their like in `ip_vs_mh.c`.
fn get_literally(service: &Service, key: &FlowKey) -> Option<usize> {
    let table = service.buckets.places();
    let flags = service.scheduler.flags;
    let port = if flags.contains(SchedFlags::PORT) { u32::from(key.sport) } else { 0 };
    let client = key.src.wrapping_add(port);
    let bucket = |offset: usize| match service.scheduler.kind {
        SchedulerKind::Mh => {
            hsiphash(client.wrapping_add(offset as u32), 2_654_435_761) as usize % 4093
        }
        _ => (offset + (client.wrapping_mul(0x61c8_8647) >> 24) as usize) & 255,
    };
    let first = bucket(0);
    let mut tried = vec![first];
    if flags.contains(SchedFlags::FALLBACK) {
        tried.extend((0..table.len()).map(|i| bucket((i + first) % table.len())));
    }
    let places = tried.into_iter().map_while(|bucket| table.get(bucket).copied());
    let mut dests = places.map(usize::from);
    dests.find(|&place| service.dests[place].weight > 0 && !service.dests[place].is_overloaded())
}

#[test]
fn clients_are_looked_up_as_the_kernel_does_whatever_the_flags_and_whatever_is_unavailable() {
    for seed in 0..100 {
        let mut rng = fastrand::Rng::with_seed(seed);
        for kind in [SchedulerKind::Sh, SchedulerKind::Mh] {
            let flags = SchedFlags::from_bits_truncate(rng.u8(..8));
            let dests = random_dests(&mut rng);
            let service = with_thresholds(service_of(Scheduling { kind, flags }, dests));
            overload(&service, &mut rng, 2);
            for _ in 0..50 {
                let key = random_key(&mut rng);
                let want = get_literally(&service, &key);
                assert_eq!(pick(&service, &key), want, "seed {seed} {kind:?} {flags:?} {key:?}");
            }
        }
    }
}

#[test]
fn a_hashed_destination_that_is_unavailable_gets_no_conn_and_no_other_does() {
    for kind in [SchedulerKind::Dh, SchedulerKind::Sh, SchedulerKind::Mh] {
        let whole = of_kind(kind, &[1, 1, 1]);
        let quiesced = |dest: &Dest| Dest { weight: u32::from(dest.id.0 != 2), ..dest.clone() };
        let part = service_of(kind, whole.dests.iter().map(quiesced).collect());
        let mut rng = fastrand::Rng::with_seed(1);
        let mut refused = 0;
        for _ in 0..300 {
            let key = random_key(&mut rng);
            let before = pick(&whole, &key);
            assert_eq!(pick(&part, &key), before.filter(|&place| place != 1), "{kind:?}");
            refused += u32::from(before == Some(1));
        }
        assert!((50..150).contains(&refused), "{kind:?}: {refused}");
    }
}

#[test]
fn dh_asks_for_the_address_served_and_sh_for_the_client_with_its_port_if_told() {
    let mut rng = fastrand::Rng::with_seed(7);
    let weights = [1; 16];
    let dh = of_kind(SchedulerKind::Dh, &weights);
    let sh = of_kind(SchedulerKind::Sh, &weights);
    let port = Scheduling::from(SchedulerKind::Sh).with_flag("sh-port").unwrap();
    let by_port = service_of(port, sh.dests.clone());
    let key = random_key(&mut rng);
    let others: Vec<FlowKey> = (0..32).map(|_| random_key(&mut rng)).collect();
    let same = |service: &Service, keys: &dyn Fn(&FlowKey) -> FlowKey| {
        others.iter().all(|other| pick(service, &keys(other)) == pick(service, &key))
    };
    assert!(same(&dh, &|other| FlowKey { dst: key.dst, ..*other }));
    assert!(same(&sh, &|other| FlowKey { src: key.src, ..*other }));
    assert!(!same(&dh, &|other| FlowKey { dst: other.dst, ..key }));
    assert!(!same(&sh, &|other| FlowKey { src: other.src, ..key }));
    assert!(!same(&by_port, &|other| FlowKey { sport: other.sport, ..key }));
}

#[test]
fn shares_of_the_table_follow_the_weights() {
    for (kind, slack) in [(SchedulerKind::Sh, 0.07), (SchedulerKind::Mh, 0.01)] {
        let buckets = of_kind(kind, &[1, 2, 5]).buckets;
        let share = |place| {
            let own = buckets.places().iter().filter(|&&other| other == place).count();
            own as f64 / buckets.places().len() as f64
        };
        for (place, weight) in [(0, 1.0), (1, 2.0), (2, 5.0)] {
            assert!((share(place) - weight / 8.0).abs() < slack, "{kind:?} {place}");
        }
    }
}

#[test]
fn mh_moves_few_clients_that_did_not_lose_their_destination() {
    let dests: Vec<Dest> = (1..=20).map(|id| dest(id, 1)).collect();
    let whole = Buckets::new(SchedulerKind::Mh, Family::V4, &dests);
    let part: Vec<Dest> = dests.iter().filter(|dest| dest.id != DestId(7)).cloned().collect();
    let left = Buckets::new(SchedulerKind::Mh, Family::V4, &part);
    let id = |dests: &[Dest], place: u16| dests[usize::from(place)].id;
    let pairs = whole.places().iter().zip(left.places());
    let moved = pairs
        .map(|(&before, &after)| (id(&dests, before), id(&part, after)))
        .filter(|&(before, after)| before != DestId(7) && before != after)
        .count();
    assert!((1..mh::SIZE / 20).contains(&moved), "{moved} of {}", mh::SIZE);
}

#[test]
fn quiescing_a_destination_leaves_the_table_of_mh_as_it_was() {
    let whole = of_kind(SchedulerKind::Mh, &[3, 1, 2]);
    let mut dests = whole.dests.clone();
    dests[1].weight = 0;
    let quiesced = Buckets::new(SchedulerKind::Mh, Family::V4, &dests);
    assert_eq!(quiesced.places(), whole.buckets.places());
    dests[1].last_weight = 0;
    let never_weighed = Buckets::new(SchedulerKind::Mh, Family::V4, &dests);
    assert!(!never_weighed.places().contains(&1));
}

/// An IPv6 address whose words come to `folded`.
fn unfolded(folded: u32, rng: &mut fastrand::Rng) -> u128 {
    let words = [rng.u32(..), rng.u32(..), rng.u32(..)];
    let last = words.iter().fold(folded, |last, word| last ^ word);
    words.into_iter().chain([last]).fold(0, |address, word| address << 32 | u128::from(word))
}

fn unfolded_dests(dests: &[Dest], rng: &mut fastrand::Rng) -> Vec<Dest> {
    let rip = |dest: &Dest| u32::of(dest.rip).expect("an IPv4 destination");
    dests.iter().map(|dest| Dest { rip: unfolded(rip(dest), rng).ip(), ..dest.clone() }).collect()
}

#[test]
fn ipv6_hashes_by_its_words_added_without_carry() {
    for kind in [SchedulerKind::Dh, SchedulerKind::Sh, SchedulerKind::Mh] {
        let mut rng = fastrand::Rng::with_seed(11);
        let flags = SchedFlags::PORT | SchedFlags::FALLBACK;
        let v4 = service_of(Scheduling { kind, flags }, random_dests(&mut rng));
        let dests = unfolded_dests(&v4.dests, &mut rng);
        let buckets = Buckets::new(kind, Family::V6, &dests);
        assert_eq!(buckets.places(), v4.buckets.places(), "{kind:?}");
        let v6 = Service { dests, buckets, ..v4.clone() };
        for _ in 0..100 {
            let FlowKey { src, dst, sport, dport, proto } = random_key(&mut rng);
            let (wide_src, wide_dst) = (unfolded(src, &mut rng), unfolded(dst, &mut rng));
            let narrow = FlowKey { src, dst, sport, dport, proto };
            let wide = FlowKey { src: wide_src, dst: wide_dst, sport, dport, proto };
            assert_eq!(pick(&v6, &wide), pick(&v4, &narrow), "{kind:?} {wide:?}");
        }
    }
}

/// The kernel hashes a destination as an address of the service's family (`ip_vs_mh_permutate`).
#[test]
fn of_an_ipv6_destination_behind_an_ipv4_address_mh_knows_the_first_word() {
    let mut rng = fastrand::Rng::with_seed(12);
    let v4 = of_kind(SchedulerKind::Mh, &[3, 1, 2]);
    let dests = v4.dests.iter().map(|dest| {
        let first = u32::of(dest.rip).expect("an IPv4 destination");
        Dest { rip: (u128::from(first) << 96 | u128::from(rng.u64(..))).ip(), ..dest.clone() }
    });
    let mixed = Buckets::new(SchedulerKind::Mh, Family::V4, &dests.collect::<Vec<_>>());
    assert_eq!(mixed.places(), v4.buckets.places());
}
