//! What happens when there is no more room, and that there is room until then.

use super::*;
use crate::conn::{EVICTION_PROBES, SideKind};
use crate::flow::Direction;

fn fill(table: &mut ConnTable, conns: impl Iterator<Item = NewConn>) {
    for (number, new) in conns.enumerate() {
        insert(table, &new, Tick(0)).unwrap_or_else(|e| panic!("conn {number}: {e:?}"));
    }
    assert_eq!(table.len(), table.capacity());
}

#[test]
fn every_conn_up_to_the_capacity_finds_room() {
    for capacity in [1, 2, 3, 7, 50, 1_000, if cfg!(miri) { 10 } else { 200_000 }] {
        let mut table = table(capacity, 0);
        fill(&mut table, (0..capacity as u32).map(new_conn));
        assert!((0..capacity as u32).all(|client| is_there(&table, &new_conn(client).key)));
    }
}

#[test]
#[cfg_attr(miri, ignore)]
fn one_client_with_one_port_to_every_port_of_a_vip_costs_nobody_room() {
    let scan = |port: u16| {
        let mut new = new_conn(1);
        new.key.sport = 1024;
        new.key.dport = port;
        new.rport = port;
        new
    };
    let mut table = table(60_000, 0);
    fill(&mut table, (1..=60_000).map(scan));
    assert!((1..=60_000).all(|port| is_there(&table, &scan(port).key)));
}

#[test]
#[cfg_attr(miri, ignore)]
fn a_full_table_keeps_finding_room_as_conns_come_and_go() {
    let capacity = 20_000;
    let mut table = table(capacity, 0);
    fill(&mut table, (0..capacity as u32).map(new_conn));
    for client in 0..500_000 {
        let gone = new_conn(client).key;
        let (id, _) = table.lookup(&gone, table.hash(&gone)).unwrap();
        table.remove(id);
        table.end_window();
        insert(&mut table, &new_conn(client + capacity as u32), Tick(0)).unwrap();
    }
}

#[test]
fn a_full_table_refuses_a_conn_when_none_is_half_open() {
    let mut table = table(100, 0);
    fill(&mut table, (0..100).map(new_conn));
    assert_eq!(insert(&mut table, &new_conn(100), Tick(1)), Err(InsertError::Full));
    assert!(!is_there(&table, &new_conn(100).key));
    table.remove(ConnId(50));
    assert!(insert(&mut table, &new_conn(100), Tick(1)).is_ok());
}

#[test]
fn the_oldest_half_open_conn_among_those_probed_gives_way() {
    let mut table = table(EVICTION_PROBES, 0);
    for client in 0..EVICTION_PROBES as u32 {
        let half_open = client % 3 == 0;
        let state = if half_open { SYN_RECV } else { 1 };
        // The oldest half-open one is client 15.
        let since = Tick(client.abs_diff(15));
        insert(&mut table, &NewConn { state, ..new_conn(client) }, since).unwrap();
    }
    let mut evicted = vec![];
    let result = table.insert(&new_conn(99), Tick(50), &mut |conn| evicted.push(*conn));
    assert!(result.is_ok());
    assert_eq!(evicted.len(), 1);
    assert_eq!(evicted[0].inbound_key(), new_conn(15).key);
    assert!(!is_there(&table, &new_conn(15).key) && is_there(&table, &new_conn(99).key));
}

#[test]
fn a_flood_in_one_window_evicts_its_own_and_refuses_nothing() {
    let mut table = table(200, 0);
    let half_open = |client| NewConn { state: SYN_RECV, ..new_conn(client) };
    fill(&mut table, (0..200).map(half_open));
    let mut evicted = 0;
    for client in 200..200 + crate::limits::WINDOW as u32 {
        table.insert(&half_open(client), Tick(9), &mut |_| evicted += 1).unwrap();
    }
    assert_eq!((evicted, table.len()), (crate::limits::WINDOW, 200));
}

#[test]
fn a_taken_key_is_refused_until_its_conn_is_over_but_replies_are_the_later_conns() {
    let mut table = table(10, 0);
    let first = insert(&mut table, &new_conn(1), Tick(0)).unwrap();
    assert_eq!(insert(&mut table, &new_conn(1), Tick(159)), Err(InsertError::TupleTaken));
    let mut same_reply = new_conn(1);
    same_reply.key.dst += 1;
    let reply = table.get(first).outbound_key().unwrap();
    let second = insert(&mut table, &same_reply, Tick(159)).unwrap();
    let owner = |table: &ConnTable| table.lookup(&reply, table.hash(&reply)).map(|(id, _)| id);
    assert_eq!(owner(&table), Some(second));
    assert!(is_there(&table, &new_conn(1).key), "the first one lives on");
    table.remove(second);
    assert_eq!(owner(&table), None);
    let direct =
        NewConn { flags: ConnFlags::of_method(ForwardingMethod::Gatewaying), ..same_reply };
    assert!(insert(&mut table, &direct, Tick(1)).is_ok(), "its replies are not looked up");
    let mut evicted = vec![];
    assert!(table.insert(&new_conn(1), Tick(160), &mut |conn| evicted.push(*conn)).is_ok());
    assert_eq!(evicted.len(), 1);
    assert_eq!(evicted[0].inbound_key(), new_conn(1).key);
}

/// The kernel makes the second conn and asks for replies first (`ip_vs_out_hook`, `ip_vs_core.c`).
#[test]
fn packets_that_would_be_one_conns_and_anothers_replies_are_replies() {
    let mut table = table(10, 0);
    let callee = new_conn(1);
    let reply = callee.as_conn(Tick(0)).outbound_key().unwrap();
    let caller = NewConn { key: reply, ..new_conn(2) };
    let older = insert(&mut table, &caller, Tick(0)).unwrap();
    let newer = insert(&mut table, &callee, Tick(1)).unwrap();
    let of = |table: &ConnTable, key: &FlowKey| table.lookup(key, table.hash(key));
    for window in 0..2 {
        assert_eq!(of(&table, &reply), Some((newer, Direction::Outbound)), "window {window}");
        table.end_window();
    }
    let candidate = table.candidate(table.hash(&reply));
    let found = table.find(&reply, table.hash(&reply), candidate);
    assert_eq!(found, Some((newer, Direction::Outbound)));
    let own_reply = table.get(older).outbound_key().unwrap();
    assert_eq!(of(&table, &own_reply), Some((older, Direction::Outbound)), "it lives on");
    assert_eq!(insert(&mut table, &caller, Tick(2)), Err(InsertError::TupleTaken));
    table.remove(newer);
    assert_eq!(of(&table, &reply), None);
    let next = insert(&mut table, &caller, Tick(3)).unwrap();
    assert_eq!(of(&table, &reply), Some((next, Direction::Inbound)));
    table.remove(older);
    assert_eq!(of(&table, &reply), Some((next, Direction::Inbound)));
}

#[test]
fn side_records_are_bounded_and_freed_with_their_conn() {
    let mut table = table(10, 2);
    let ids: Vec<_> =
        (0..3).map(|client| insert(&mut table, &new_conn(client), Tick(0)).unwrap()).collect();
    assert!(table.side(ids[0]).is_none());
    table.attach_side(ids[0], SideKind(7)).unwrap().bytes[0] = 42;
    table.attach_side(ids[1], SideKind(8)).unwrap();
    assert!(table.attach_side(ids[2], SideKind(9)).is_none());
    let record = table.side(ids[0]).unwrap();
    assert_eq!((record.kind(), record.bytes[0]), (SideKind(7), 42));
    table.remove(ids[0]);
    assert_eq!(table.side_free(), 1);
    let fresh = table.attach_side(ids[2], SideKind(9)).unwrap();
    assert_eq!(fresh.bytes[0], 0, "nothing of the last owner is left");
    table.detach_side(ids[2]);
    assert!(table.side(ids[2]).is_none());
    assert_eq!(table.side_free(), 1);
}

#[test]
fn a_capacity_that_cannot_be_is_refused_with_a_sentence() {
    for capacity in [0, usize::MAX, 1 << 40] {
        let config = TableConfig { capacity, side_capacity: 0, secret: [1, 2], huge_pages: false };
        let error = ConnTable::new(&config).err().expect("refused");
        assert!(error.to_string().contains("capacity"), "{error}");
    }
}
