//! IPv4, IPv6 and mixed conns share one table, and each is found by its own keys only.

use super::*;
use crate::conn::{Addresses, Region};
use crate::flow::Direction;
use crate::limits::MAX_LOCALS;
use std::collections::BTreeMap;
use std::net::IpAddr;

const LOCAL_PORT: u16 = 61_000;

/// A conn of client number `client`: of every kind that a table holds.
#[derive(Clone, Copy)]
enum New {
    V4(NewConn),
    V6(NewConn<u128>),
}

fn wide(address: u32) -> u128 {
    0x2001_0db8 << 96 | u128::from(address)
}

fn widened(new: NewConn) -> NewConn<u128> {
    let key = FlowKey {
        src: wide(new.key.src),
        dst: wide(new.key.dst),
        sport: new.key.sport,
        dport: new.key.dport,
        proto: new.key.proto,
    };
    let NewConn { rport, lport, lip_index, flags, state, dest, timeout, next_hop, .. } = new;
    let (l3_delta, l4_delta) = (new.l3_delta, new.l4_delta);
    let rip = wide(u32::of(new.rip).unwrap()).ip();
    NewConn {
        key,
        rip,
        rport,
        lport,
        lip_index,
        flags,
        state,
        dest,
        timeout,
        next_hop,
        l3_delta,
        l4_delta,
    }
}

fn new_of_any_kind(client: u32) -> New {
    let masq = NewConn { timeout: 100 + client % 7, ..new_conn(client) };
    let tunnel = ConnFlags::of_method(ForwardingMethod::Ipip);
    let fullnat = ConnFlags::of_method(ForwardingMethod::Fullnat);
    let lport = 1_024 + client as u16;
    match client % 6 {
        0 => New::V4(masq),
        1 => New::V6(widened(masq)),
        2 => New::V4(NewConn { flags: tunnel, rip: wide(client).ip(), ..masq }),
        3 => New::V6(NewConn { flags: tunnel, rip: client.ip(), ..widened(masq) }),
        4 => New::V4(NewConn { flags: fullnat, lip_index: 4, lport, ..masq }),
        _ => New::V6(NewConn { flags: fullnat, lip_index: 3, lport, ..widened(masq) }),
    }
}

fn put(table: &mut ConnTable, new: New, now: Tick) -> Result<ConnId, InsertError> {
    match new {
        New::V4(new) => table.insert(&new, now, &mut |_| ()),
        New::V6(new) => table.insert(&new, now, &mut |_| ()),
    }
}

fn find(table: &ConnTable, new: New) -> Option<(ConnId, Direction)> {
    match new {
        New::V4(new) => table.lookup(&new.key, table.hash(&new.key)),
        New::V6(new) => table.lookup(&new.key, table.hash(&new.key)),
    }
}

fn addresses(new: New) -> Addresses {
    let of = |client: IpAddr, vip, real| Addresses { client, vip, real };
    match new {
        New::V4(new) => of(new.key.src.ip(), new.key.dst.ip(), new.rip),
        New::V6(new) => of(new.key.src.ip(), new.key.dst.ip(), new.rip),
    }
}

fn agrees(table: &ConnTable, model: &BTreeMap<u32, ConnId>) {
    assert_eq!(table.len(), model.len());
    for client in 0..300 {
        let new = new_of_any_kind(client);
        let found = find(table, new).map(|(id, _)| id);
        assert_eq!(found, model.get(&client).copied(), "client {client}");
        if let Some(id) = found {
            assert_eq!(table.addresses(table.get(id)), addresses(new));
        }
    }
}

fn random_life(
    table: &mut ConnTable,
    model: &mut BTreeMap<u32, ConnId>,
    random: &mut Rng,
    now: Tick,
) {
    for _ in 0..200 {
        let client = random.below(300) as u32;
        match model.get(&client) {
            Some(&id) => {
                assert_eq!(table.remove(id).dest, DestId(1 + client % 4));
                model.remove(&client);
            }
            None => {
                if let Ok(id) = put(table, new_of_any_kind(client), now) {
                    model.insert(client, id);
                }
            }
        }
        if random.one_in(5) {
            table.end_window();
        }
    }
}

#[test]
fn conns_of_every_kind_come_and_go_and_survive_adoption() {
    let mut random = Rng::new(11);
    let (mut table, mut model) = (table(900, 0), BTreeMap::new());
    table.locals_mut().set(3, wide(77).ip());
    table.locals_mut().set(4, 77_u32.ip());
    for round in 0..(if cfg!(miri) { 2 } else { 60 }) {
        let now = Tick(1_000 + round);
        random_life(&mut table, &mut model, &mut random, now);
        agrees(&table, &model);
        let region = Region::from_image(&table.image(), false).unwrap();
        let (mut later, report) = ConnTable::adopt(region, now).unwrap();
        assert_eq!((report.adopted, report.torn), (model.len(), 0));
        agrees(&later, &model);
        // It is a table like any other, and its conns end by the keys that they were adopted with.
        let mut later_model = model.clone();
        random_life(&mut later, &mut later_model, &mut random, now);
        agrees(&later, &later_model);
    }
    expire_all(&mut table, Tick(5_000), &mut |_| ());
    assert!(table.is_empty());
    for client in 0..450 {
        put(&mut table, new_of_any_kind(client), Tick(5_000)).expect("all entries are free again");
    }
}

#[test]
fn an_ipv6_reply_is_found_by_its_own_key() {
    let mut table = table(16, 0);
    table.locals_mut().set(3, wide(77).ip());
    let reply = |table: &ConnTable, dst, dport| {
        let key = FlowKey { src: wide(0xc633_6400), dst, sport: 8080, dport, proto: protocol::TCP };
        table.lookup(&key, table.hash(&key))
    };
    let masq = widened(new_conn(0));
    let id = put(&mut table, New::V6(masq), Tick(0)).unwrap();
    let (cip, _) = table.client_and_vip::<u128>(table.get(id));
    assert_eq!(reply(&table, cip, 40_000), Some((id, Direction::Outbound)));
    table.remove(id);
    assert_eq!(reply(&table, cip, 40_000), None);
    table.end_window();
    let fullnat = NewConn { lip_index: 3, lport: LOCAL_PORT, ..masq };
    let id = put(&mut table, New::V6(fullnat), Tick(0)).unwrap();
    assert_eq!(reply(&table, wide(77), LOCAL_PORT), Some((id, Direction::Outbound)));
    assert_eq!(reply(&table, cip, 40_000), None, "replies go to the local address");
}

#[test]
fn a_v4_fullnat_reply_is_found_by_the_local_end() {
    let mut table = table(16, 0);
    table.locals_mut().set(9, 0x0a09_0909_u32.ip());
    let new = NewConn { lip_index: 9, lport: LOCAL_PORT, ..new_conn(0) };
    let id = put(&mut table, New::V4(new), Tick(0)).unwrap();
    let reply = FlowKey {
        src: 0xc633_6400_u32,
        dst: 0x0a09_0909,
        sport: 8080,
        dport: LOCAL_PORT,
        proto: protocol::TCP,
    };
    assert_eq!(table.lookup(&reply, table.hash(&reply)), Some((id, Direction::Outbound)));
    assert_eq!(table.local::<u32>(table.get(id)), 0x0a09_0909);
}

#[test]
fn local_addresses_are_adopted_with_the_conns_and_none_without_its_own_is() {
    let mut table = table(16, 0);
    table.locals_mut().set(3, wide(77).ip());
    table.locals_mut().set(4, 77_u32.ip());
    let (narrow, wider) = (new_of_any_kind(4), new_of_any_kind(5));
    let ids = [narrow, wider].map(|new| put(&mut table, new, Tick(0)).unwrap());
    let image = table.image();
    let (mut later, _) =
        ConnTable::adopt(Region::from_image(&image, false).unwrap(), Tick(0)).unwrap();
    let reply = |dst, client: u32| {
        let (src, dport) = (0xc633_6400 + client % 4, 1_024 + client as u16);
        FlowKey { src, dst, sport: 8080, dport, proto: protocol::TCP }
    };
    let found = |table: &ConnTable| {
        let (v4, v6) = (reply(77, 4), reply(77, 5));
        let v6 = FlowKey {
            src: wide(v6.src),
            dst: wide(v6.dst),
            sport: v6.sport,
            dport: v6.dport,
            proto: v6.proto,
        };
        [table.lookup(&v4, table.hash(&v4)), table.lookup(&v6, table.hash(&v6))]
    };
    assert_eq!(found(&later), ids.map(|id| Some((id, Direction::Outbound))));
    for id in ids {
        later.remove(id);
    }
    assert_eq!(found(&later), [None, None]);
    for index in [3, 4] {
        let mut unknown = image.clone();
        let (v6, v4) = unknown[64..].split_at_mut(16 * MAX_LOCALS);
        v6[16 * index..16 * (index + 1)].fill(0);
        v4[4 * index..4 * (index + 1)].fill(0);
        let region = Region::from_image(&unknown, false).unwrap();
        let (later, report) = ConnTable::adopt(region, Tick(0)).unwrap();
        assert_eq!((report.adopted, report.torn), (1, 1));
        assert_eq!(found(&later).map(|found| found.is_some()), [index == 3, index == 4]);
    }
}

#[test]
fn an_ipv6_conn_counts_twice_against_the_capacity() {
    let mut table = table(10, 0);
    for client in 0..5 {
        put(&mut table, New::V6(widened(new_conn(client))), Tick(0)).unwrap();
    }
    assert_eq!(table.len(), 5);
    let full = put(&mut table, New::V4(new_conn(9)), Tick(1));
    assert_eq!(full, Err(InsertError::Full));
}

#[test]
fn the_same_key_bits_of_the_other_family_are_another_conn() {
    let mut table = table(8, 0);
    let narrow = put(&mut table, New::V4(new_conn(0)), Tick(0)).unwrap();
    let mut zero_above = widened(new_conn(0));
    (zero_above.key.src, zero_above.key.dst) =
        (new_conn(0).key.src.into(), new_conn(0).key.dst.into());
    let wide = put(&mut table, New::V6(zero_above), Tick(0)).unwrap();
    assert_eq!(find(&table, New::V4(new_conn(0))).map(|(id, _)| id), Some(narrow));
    assert_eq!(find(&table, New::V6(zero_above)).map(|(id, _)| id), Some(wide));
}

#[test]
fn a_second_line_that_does_not_know_its_conn_makes_it_torn() {
    for damage in 0..3 {
        let mut table = table(8, 0);
        let id = put(&mut table, New::V6(widened(new_conn(0))), Tick(0)).unwrap();
        let second = ConnId(table.get(id).cip);
        match damage {
            0 => table.get_mut(second).flags.remove(ConnFlags::SECOND_LINE),
            1 => table.get_mut(id).cip = 100_000,
            _ => table.get_mut(id).cip = id.0,
        }
        let region = Region::from_image(&table.image(), false).unwrap();
        let (later, report) = ConnTable::adopt(region, Tick(0)).unwrap();
        assert_eq!((report.torn, later.len()), (1, 0), "damage {damage}");
    }
}
