use super::*;
use crate::address::Address;
use crate::ids::{DestId, NextHopId};

fn key(src: u32) -> FlowKey {
    FlowKey { src, dst: 1, sport: 2, dport: 3, proto: 17 }
}

#[test]
fn a_conn_whose_second_key_finds_no_room_leaves_its_first_ones() {
    let config = TableConfig { capacity: 1, side_capacity: 0, secret: [3, 4], huge_pages: false };
    let mut table = ConnTable::new(&config).unwrap();
    let stranger = Reference::new(0, Direction::Inbound);
    let stuffed: Vec<u32> =
        (0..10_000).filter(|&src| table.index.insert(table.hash(&key(src)), stranger)).collect();
    let one = table.hash(&key(stuffed[0]));
    table.index.remove(one, stranger);
    for client in 20_000..20_100 {
        let new = NewConn {
            key: key(client),
            rip: 9_u32.ip(),
            rport: 9,
            lport: 0,
            lip_index: 0,
            flags: ConnFlags::empty(),
            state: 0,
            dest: DestId(1),
            timeout: 1,
            next_hop: NextHopId::NONE,
            l3_delta: 0,
            l4_delta: 0,
        };
        assert_eq!(table.insert(&new, Tick(0), &mut |_| ()), Err(InsertError::Full));
    }
    assert!(table.index.insert(one, stranger), "its slot is free again");
    assert!(table.is_empty());
}
