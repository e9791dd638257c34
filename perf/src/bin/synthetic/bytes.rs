//! What a connection costs in memory: what a table takes, over what it holds when it first refuses.

use crate::{Options, Outcome};
use dataplane::address::Address;
use dataplane::conn::{ConnFamily, ConnFlags, ConnTable, NewConn, TableConfig};
use dataplane::flow::{FlowKey, protocol};
use dataplane::ids::{DestId, NextHopId};
use dataplane::service::ForwardingMethod;
use dataplane::time::{Tick, ticks};
use perf::report::Round;
use perf::synthetic::client;
use std::error::Error;

const CAPACITY: usize = 4_000_000;
const VPORT: u16 = 80;

/// The resident memory of this process, before and after, is what is taken: everything that a table
/// has anywhere, all of it touched. `--size` is the capacity asked for.
pub fn run(options: &Options) -> Outcome {
    let capacity = options.size.unwrap_or(CAPACITY);
    let v4 = |client: u32| client;
    let v6 = |client: u32| 0x2001_0db8_0000_0080 << 64 | u128::from(client);
    for _ in 0..options.rounds {
        fill(capacity, ForwardingMethod::Masq, v4)?.print("bytes-nat");
        fill(capacity, ForwardingMethod::Gatewaying, v4)?.print("bytes-dr");
        fill(capacity, ForwardingMethod::Masq, v6)?.print("bytes-nat6");
    }
    Ok(())
}

fn fill<A: ConnFamily>(
    capacity: usize,
    method: ForwardingMethod,
    address: impl Fn(u32) -> A,
) -> Result<Round, Box<dyn Error>> {
    let config = TableConfig { capacity, side_capacity: 0, secret: [3, 9], huge_pages: false };
    let before = resident()?;
    let mut table = ConnTable::new(&config)?;
    for number in 0.. {
        let new = new_conn(client(number), method, &address);
        if table.insert(&new, Tick(0), &mut |_| unreachable!("none is half-open")).is_err() {
            break;
        }
    }
    let (bytes, held) = (resident()? - before, table.len());
    // What the next table takes is to be new.
    std::mem::forget(table);
    let extra = format!("{held} of capacity {capacity}");
    Ok(Round { value: bytes as f64 / held as f64, quiet: true, extra, ..Round::default() })
}

fn new_conn<A: Address>(
    (number, sport): (u32, u16),
    method: ForwardingMethod,
    address: &impl Fn(u32) -> A,
) -> NewConn<A> {
    let (src, dst) = (address(number), address(1));
    NewConn {
        key: FlowKey { src, dst, sport, dport: VPORT, proto: protocol::TCP },
        rip: address(2).ip(),
        rport: VPORT,
        lport: 0,
        lip_index: 0,
        flags: ConnFlags::of_method(method),
        state: dataplane::proto::tcp::state::ESTABLISHED,
        dest: DestId(1),
        timeout: ticks(900),
        next_hop: NextHopId(1),
        l3_delta: 1,
        l4_delta: 2,
    }
}

/// Bytes of memory that this process has touched.
fn resident() -> Result<usize, Box<dyn Error>> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next()).ok_or("no VmRSS")?;
    Ok(kib.parse::<usize>()? * 1024)
}
