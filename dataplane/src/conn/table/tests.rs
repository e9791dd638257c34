use super::*;
use crate::address::Address;
use crate::conn::{InsertError, NewConn};
use crate::ids::{DestId, NextHopId};

fn key(src: u32) -> FlowKey {
    FlowKey { src, dst: 1, sport: 2, dport: 3, proto: 17 }
}

fn masq(client: u32) -> NewConn {
    NewConn {
        key: key(client),
        rip: 9_u32.ip(),
        rport: 9,
        lport: 0,
        lip_index: 0,
        flags: ConnFlags::empty(),
        state: 0,
        dest: DestId(1),
        timeout: 16,
        next_hop: NextHopId::NONE,
        l3_delta: 0,
        l4_delta: 0,
    }
}

/// A table of one conn whose index has room for `slots` keys.
fn stuffed(slots: usize) -> ConnTable {
    let config = TableConfig { capacity: 1, side_capacity: 0, secret: [3, 4], huge_pages: false };
    let mut table = ConnTable::new(&config).unwrap();
    let stranger = Reference::new(0, Direction::Inbound);
    let stuffed: Vec<u32> =
        (0..10_000).filter(|&src| table.index.insert(table.hash(&key(src)), stranger)).collect();
    for &src in &stuffed[..slots] {
        table.index.remove(table.hash(&key(src)), stranger);
    }
    table
}

#[test]
fn a_conn_whose_key_finds_no_room_is_not_made() {
    let mut table = stuffed(0);
    for client in 20_000..20_100 {
        assert_eq!(table.insert(&masq(client), Tick(0), &mut |_| ()), Err(InsertError::Full));
    }
    assert!(table.is_empty());
}

#[test]
fn a_conn_whose_reply_key_finds_no_room_is_over_at_once() {
    let mut table = stuffed(1);
    let mut tries = (20_000..).map(|client| table.insert(&masq(client), Tick(0), &mut |_| ()));
    let id = tries.find_map(Result::ok).expect("one finds the only slot");
    assert!(!table.is_expired(id, Tick(0)));
    table.end_window();
    assert!(table.is_expired(id, Tick(0)) && table.get(id).outbound_key().is_none());
    table.remove(id);
    assert!(table.is_empty());
}

#[test]
fn a_reply_key_is_found_before_it_is_settled_and_gone_with_its_conn() {
    let config = TableConfig { capacity: 40, side_capacity: 0, secret: [3, 4], huge_pages: false };
    let mut table = ConnTable::new(&config).unwrap();
    let ids: Vec<ConnId> = (0..40)
        .map(|client| table.insert(&masq(client), Tick(0), &mut |_| ()).expect("there is room"))
        .collect();
    for ended in 0..=ids.len() {
        for (at, &id) in ids.iter().enumerate() {
            let reply = FlowKey { src: 9, sport: 9, ..key(at as u32).reversed() };
            let found = table.lookup(&reply, table.hash(&reply));
            assert_eq!(found, (at >= ended).then_some((id, Direction::Outbound)));
        }
        ids.get(ended).map(|&id| table.remove(id));
    }
}
