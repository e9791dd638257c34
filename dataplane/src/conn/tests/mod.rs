//! Tests of the table as a whole, against naive oracles.

mod crash;
mod families;
mod full;
mod model;
mod timing;

use super::{Conn, ConnFlags, ConnId, ConnTable, Ended, InsertError, NewConn, TableConfig};
use crate::address::Address;
use crate::flow::{FlowKey, protocol};
use crate::ids::{DestId, NextHopId};
use crate::proto::tcp::state::SYN_RECV;
use crate::service::ForwardingMethod;
use crate::testing::Rng;
use crate::time::Tick;

const VIP: u32 = 0xc000_0201;
const SECRET: [u64; 2] = [0x0123_4567_89ab_cdef, 0xfedc_ba98_7654_3210];

fn table(capacity: usize, side_capacity: usize) -> ConnTable {
    let config = TableConfig { capacity, side_capacity, secret: SECRET, huge_pages: false };
    ConnTable::new(&config).unwrap()
}

/// A masq conn of client number `client` to one of four real servers.
fn new_conn(client: u32) -> NewConn {
    NewConn {
        key: FlowKey {
            src: 0x0a00_0000 + client / 16,
            dst: VIP,
            sport: 40_000 + (client % 16) as u16,
            dport: 80,
            proto: protocol::TCP,
        },
        rip: (0xc633_6400 + client % 4).ip(),
        rport: 8080,
        lport: 0,
        lip_index: 0,
        flags: ConnFlags::of_method(ForwardingMethod::Masq),
        state: 1,
        dest: DestId(1 + client % 4),
        timeout: 160,
        next_hop: NextHopId(3),
        l3_delta: 0x1234,
        l4_delta: 0x4321,
    }
}

fn insert(table: &mut ConnTable, new: &NewConn, now: Tick) -> Result<ConnId, InsertError> {
    table.insert(new, now, &mut |conn: &Ended| panic!("evicted {conn:?}"))
}

fn is_there(table: &ConnTable, key: &FlowKey) -> bool {
    table.lookup(key, table.hash(key)).is_some()
}

fn expire_all(table: &mut ConnTable, now: Tick, expired: &mut impl FnMut(&Ended)) {
    while table.expire(now, 64, |_, _| false, expired) == 64 {}
    table.end_window();
}
