use super::*;
use crate::flow::protocol::{TCP, UDP};
use crate::limits::EXPECT_PER_CLIENT;
use crate::testing::Rng;
use crate::time::ticks;
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::atomic::AtomicUsize;

const NOW: Tick = Tick(u32::MAX - 100);
const VIP: IpAddr = v4(0x0a00_0064);
const RIP: IpAddr = v4(0xc0a8_010b);

const fn v4(bits: u32) -> IpAddr {
    IpAddr::V4(Ipv4Addr::from_bits(bits))
}

fn store() -> Expectations {
    Expectations::new([3, 5], 1)
}

/// What the home has not read yet, as destination ids and the families left.
fn settled(store: &Expectations) -> Vec<Settled> {
    std::iter::from_fn(|| store.settled(WorkerId(0))).collect()
}

fn passive(client: IpAddr, port: u16) -> Expectation {
    Expectation {
        proto: TCP,
        client,
        cport: 0,
        vip: VIP,
        vport: port,
        rip: RIP,
        rport: port,
        dest: DestId(7),
        flags: 1,
        family: FamilyId(42),
        home: WorkerId(0),
        deadline: NOW.after(ticks(120)),
    }
}

fn active(client: IpAddr, cport: u16) -> Expectation {
    Expectation { cport, vport: 20, rport: 20, ..passive(client, 0) }
}

fn from_client(client: IpAddr, cport: u16, vport: u16) -> Ends {
    Ends::Inbound { client: (client, cport), virtual_end: (VIP, vport) }
}

fn from_server(rip: IpAddr, client: IpAddr, cport: u16) -> Ends {
    Ends::Outbound { real: (rip, 20), client: (client, cport) }
}

#[test]
fn a_passive_data_connection_is_taken_once_from_any_port_of_its_client() {
    let (store, client) = (store(), v4(1));
    let expected = passive(client, 51210);
    assert_eq!(store.announce(expected, NOW), Announced::New);
    for (proto, ends) in [
        (TCP, from_client(v4(2), 4001, 51210)),
        (TCP, from_client(client, 4001, 51211)),
        (UDP, from_client(client, 4001, 51210)),
        (TCP, from_server(RIP, client, 4001)),
        (TCP, Ends::Outbound { real: (RIP, 51210), client: (client, 4001) }),
    ] {
        assert_eq!(store.take(proto, &ends, NOW), Taken::None, "{ends:?}");
    }
    let ends = from_client(client, 4001, 51210);
    assert_eq!(store.take(TCP, &ends, NOW), Taken::Expected(expected));
    assert_eq!(store.take(TCP, &ends, NOW), Taken::None);
    assert!(store.is_empty());
    // The conn that came of it stays in the family.
    assert_eq!(settled(&store), [Settled { dest: DestId(7), left: None }]);
}

#[test]
fn an_active_data_connection_is_found_from_either_side() {
    let client = IpAddr::V6(Ipv6Addr::from_bits(9));
    for ends in [from_server(RIP, client, 25605), from_client(client, 25605, 20)] {
        let store = store();
        store.announce(active(client, 25605), NOW);
        for other in [
            from_server(RIP, client, 25606),
            from_server(VIP, client, 25605),
            from_client(client, 25606, 20),
        ] {
            assert_eq!(store.take(TCP, &other, NOW), Taken::None, "{other:?}");
        }
        assert_eq!(store.take(TCP, &ends, NOW), Taken::Expected(active(client, 25605)));
    }
}

/// The trace nat_ftp_two: servers that announce the same place.
#[test]
fn equal_places_of_two_servers_are_as_in_the_kernel() {
    let (store, client, other) = (store(), v4(1), v4(0xc0a8_010c));
    let (first, second) =
        (passive(client, 51201), Expectation { rip: other, ..passive(client, 51201) });
    assert_eq!(store.announce(first, NOW), Announced::New);
    assert_eq!(store.announce(second, NOW), Announced::New);
    // The newest first.
    let ends = from_client(client, 4100, 51201);
    assert_eq!(store.take(TCP, &ends, NOW), Taken::Expected(second));
    assert_eq!(store.take(TCP, &ends, NOW), Taken::Expected(first));

    // Of active mode the first announcement stands.
    let (first, second) =
        (active(client, 25601), Expectation { rip: other, ..active(client, 25601) });
    assert_eq!(store.announce(first, NOW), Announced::New);
    assert_eq!(store.announce(second, NOW), Announced::Renewed);
    assert_eq!(store.take(TCP, &from_server(other, client, 25601), NOW), Taken::None);
    assert_eq!(store.take(TCP, &from_server(RIP, client, 25601), NOW), Taken::Expected(first));
}

#[test]
fn a_place_for_the_clients_port_goes_before_one_for_any() {
    let (store, client) = (store(), v4(1));
    let (exact, any) = (active(client, 4000), Expectation { vport: 20, ..passive(client, 20) });
    store.announce(exact, NOW);
    store.announce(any, NOW);
    let ends = from_client(client, 4000, 20);
    assert_eq!(store.take(TCP, &ends, NOW), Taken::Expected(exact));
    assert_eq!(store.take(TCP, &ends, NOW), Taken::Expected(any));
}

#[test]
fn what_is_over_is_not_taken_and_goes_when_asked() {
    let (store, client) = (store(), v4(1));
    store.announce(passive(client, 1), NOW);
    let (last, over) = (NOW.after(ticks(120) - 1), NOW.after(ticks(120)));
    let ends = from_client(client, 4000, 1);
    assert_eq!(store.take(TCP, &ends, over), Taken::None);
    // Announced again it lasts longer.
    let later = Expectation { deadline: over.after(1), ..passive(client, 1) };
    assert_eq!(store.announce(later, last), Announced::Renewed);
    store.announce(passive(v4(2), 1), NOW);
    assert_eq!(settled(&store), []);
    store.expire(over);
    assert_eq!(store.len(), 1);
    assert_eq!(settled(&store), [Settled { dest: DestId(7), left: Some(FamilyId(42)) }]);
    let mut listed = Vec::new();
    store.list(over, &mut listed);
    assert_eq!(listed, [later]);
    store.list(over.after(1), &mut listed);
    assert_eq!(listed.len(), 1);
    assert_eq!(store.take(TCP, &ends, over), Taken::Expected(later));
    // One that is over is not renewed, but announced anew.
    store.announce(passive(client, 1), NOW);
    assert_eq!(store.announce(later, over), Announced::New);
}

#[test]
fn one_clients_announcements_make_room_for_its_own() {
    let (store, client) = (store(), v4(1));
    for port in 1..=EXPECT_PER_CLIENT as u16 + 1 {
        assert_eq!(store.announce(passive(client, port), NOW), Announced::New);
    }
    assert_eq!(store.len(), EXPECT_PER_CLIENT);
    assert_eq!(store.take(TCP, &from_client(client, 4000, 1), NOW), Taken::None);
    assert!(matches!(store.take(TCP, &from_client(client, 4000, 2), NOW), Taken::Expected(_)));
}

#[test]
fn a_full_shard_refuses_new_clients_until_something_is_over() {
    let mut shard = Shard::new(3);
    let mut gone = Vec::new();
    for (client, port) in [(1, 1), (2, 2), (2, 3)] {
        let room = shard.make_room(v4(client), NOW, |_| unreachable!("there is room"));
        assert_eq!(room, Room::One);
        shard.push(passive(v4(client), port));
    }
    assert_eq!(shard.make_room(v4(3), NOW, |_| unreachable!("nothing gives way")), Room::None);
    assert_eq!(shard.make_room(v4(2), NOW, |old| gone.push(*old)), Room::One);
    assert_eq!(gone, [passive(v4(2), 2)]);
    shard.push(Expectation { deadline: NOW.after(1), ..passive(v4(2), 4) });
    assert_eq!(shard.make_room(v4(3), NOW.after(1), |old| gone.push(*old)), Room::One);
    assert_eq!((gone.len(), gone[1].vport), (2, 4));
}

/// The naive store: a list in the order of announcement, searched from its end.
#[test]
fn random_announcements_and_questions_agree_with_a_plain_list() {
    let (mut rng, store, mut list) = (Rng::new(8), store(), Vec::<Expectation>::new());
    let (mut now, mut taken, mut told, mut new) = (NOW, 0, 0, 0);
    for _ in 0..50_000 {
        now = now.after(rng.below(3) as u32);
        let (client, port) = (v4(rng.below(4) as u32), 1 + rng.below(3) as u16);
        let made = if rng.one_in(2) { passive(client, port) } else { active(client, port) };
        let rip = if rng.one_in(3) { VIP } else { RIP };
        let made = Expectation { rip, deadline: now.after(rng.below(60) as u32), ..made };
        list.retain(|old| !old.is_over(now));
        told += settled(&store).len();
        match rng.below(5) {
            0 | 1 => {
                let again = list.iter_mut().find(|old| old.is_again(&made));
                let renewed = again.map(|old| old.deadline = made.deadline).is_some();
                if !renewed {
                    list.push(made);
                }
                new += usize::from(!renewed);
                let outcome = if renewed { Announced::Renewed } else { Announced::New };
                assert_eq!(store.announce(made, now), outcome);
            }
            4 => store.expire(now),
            kind => {
                let inbound = from_client(client, port, if rng.one_in(2) { 20 } else { port });
                let ends = if kind == 2 { inbound } else { from_server(rip, client, port) };
                let about = |exact: bool| {
                    let fits = |e: &Expectation| e.is_about(TCP, &ends) && (e.cport != 0) == exact;
                    list.iter().rposition(fits)
                };
                let expected = about(true).or(about(false)).map(|at| list.remove(at));
                taken += usize::from(expected.is_some());
                let expected = expected.map_or(Taken::None, Taken::Expected);
                assert_eq!(store.take(TCP, &ends, now), expected);
            }
        }
    }
    assert!(taken > 1000, "{taken} taken");
    store.expire(now.after(ticks(60)));
    assert!(store.is_empty());
    assert_eq!(told + settled(&store).len(), new, "the home hears of each once");
    let counted = |locked: &CachePadded<Locked>| locked.cells.iter().all(|c| c.load(Relaxed) == 0);
    assert!(store.shards.iter().all(counted), "every cell is counted down");
}

#[test]
fn each_announcement_is_taken_by_exactly_one_of_several_threads() {
    const PORTS: u16 = 400;
    let (store, winners) = (store(), AtomicUsize::new(0));
    let clients: Vec<IpAddr> = (0..8).map(v4).collect();
    let announced = Mutex::new(BTreeMap::<(IpAddr, u16), u32>::new());
    std::thread::scope(|scope| {
        for half in clients.chunks(4) {
            scope.spawn(|| {
                for (port, client) in
                    (1..=PORTS).flat_map(|port| half.iter().map(move |c| (port, *c)))
                {
                    while store.announce(passive(client, port), NOW) == Announced::Busy {}
                    // Few at a time, so that none has to give way.
                    while store.len() > EXPECT_PER_CLIENT / 2 {
                        std::thread::yield_now();
                    }
                }
            });
        }
        for thread in 0..4 {
            let (store, clients, announced, winners) = (&store, &clients, &announced, &winners);
            scope.spawn(move || {
                let mut rng = Rng::new(thread);
                let goal = usize::from(PORTS) * clients.len();
                while winners.load(Relaxed) < goal {
                    let (client, port) =
                        (clients[rng.below(8)], 1 + rng.below(PORTS.into()) as u16);
                    let mut listed = Vec::new();
                    if rng.one_in(50) {
                        store.list(NOW, &mut listed);
                    }
                    let any = listed.first().map_or((client, port), |e| (e.client, e.vport));
                    let ends = from_client(any.0, 4000, any.1);
                    if let Taken::Expected(expected) = store.take(TCP, &ends, NOW) {
                        let key = (expected.client, expected.vport);
                        *announced.lock().expect("alive").entry(key).or_default() += 1;
                        winners.fetch_add(1, Relaxed);
                    }
                }
            });
        }
    });
    let announced = announced.into_inner().expect("alive");
    assert_eq!(announced.len(), usize::from(PORTS) * clients.len());
    assert!(announced.values().all(|times| *times == 1));
    assert!(store.is_empty());
}

#[test]
fn a_lock_that_is_held_for_long_is_given_up_and_nothing_is_lost() {
    let (store, client) = (store(), v4(1));
    store.announce(passive(client, 1), NOW);
    let held = store.place(client).0.shard.lock().expect("alive");
    let ends = from_client(client, 4000, 1);
    assert_eq!(store.take(TCP, &ends, NOW), Taken::Busy);
    assert_eq!(store.announce(passive(client, 2), NOW), Announced::Busy);
    drop(held);
    assert!(matches!(store.take(TCP, &ends, NOW), Taken::Expected(_)));
    assert!(store.is_empty());
}
