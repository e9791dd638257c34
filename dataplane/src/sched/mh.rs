//! Maglev hashing (`ip_vs_mh.c`): as sh, with a table in which a destination that comes or goes
//! moves few others. The table is the kernel's bit by bit, so that a kernel director and this one
//! send the same client to the same real server.

use super::{Asked, SchedFlags};
use crate::address::{Address, Family};
use crate::service::{Dest, Service, gcd};
use crate::siphash::hsiphash;
use std::net::IpAddr;
use std::sync::Arc;

/// Buckets (`CONFIG_IP_VS_MH_TAB_INDEX` 12).
pub const SIZE: usize = 4093;

/// Bits that the turns of the heaviest have at most (`IP_VS_MH_TAB_BITS`).
const TURN_BITS: u32 = 6;

/// Keys of the two hashes (`generate_hash_secret`), each used as both words.
const KEY_1: u64 = 2_654_435_761;
const KEY_2: u64 = 2_654_446_892;

/// One destination's way through the table.
struct Walk {
    place: u16,
    /// Buckets it takes a round.
    turns: u32,
    next: usize,
    skip: usize,
}

impl Walk {
    fn new(place: usize, family: Family, dest: &Dest, turns: u32) -> Self {
        let name = folded(family, dest.rip).wrapping_add(dest.rport.into());
        let next = hsiphash(name, KEY_1) as usize % SIZE;
        let skip = hsiphash(name, KEY_2) as usize % (SIZE - 1) + 1;
        Walk { place: place as u16, turns, next, skip }
    }

    /// Takes its next bucket that is free; there is one, as the size is prime.
    fn take(&mut self, table: &mut [Option<u16>]) {
        while table[self.next].is_some() {
            self.next = (self.next + self.skip) % SIZE;
        }
        table[self.next] = Some(self.place);
    }
}

/// What a destination is known by. The kernel folds it as if it were of the service's family: of an
/// IPv6 destination behind an IPv4 address only the first word counts.
fn folded(family: Family, rip: IpAddr) -> u32 {
    match rip {
        IpAddr::V4(rip) => rip.to_bits(),
        IpAddr::V6(rip) if family == Family::V6 => rip.to_bits().fold(),
        IpAddr::V6(rip) => (rip.to_bits() >> 96) as u32,
    }
}

/// Fills the table by turns in proportion to the last weights that were not 0: quiescing a
/// destination moves no other's clients. Empty if all were added with weight 0.
pub fn buckets(family: Family, dests: &[Dest]) -> Arc<[u16]> {
    let mut walks = walks(family, dests);
    let mut table = vec![None; if walks.is_empty() { 0 } else { SIZE }];
    let mut free = table.len();
    while free > 0 {
        for walk in &mut walks {
            let turns = free.min(walk.turns as usize);
            (0..turns).for_each(|_| walk.take(&mut table));
            free -= turns;
        }
    }
    table.into_iter().flatten().collect()
}

fn walks(family: Family, dests: &[Dest]) -> Vec<Walk> {
    let divisor = dests.iter().fold(0, |divisor, dest| gcd(dest.last_weight, divisor));
    let heaviest = dests.iter().map(|dest| dest.last_weight).max().unwrap_or(0);
    let bits = heaviest.checked_div(divisor).map_or(0, |turns| u32::BITS - turns.leading_zeros());
    let shift = bits.saturating_sub(TURN_BITS);
    let weighted = dests.iter().enumerate().filter(|(_, dest)| dest.last_weight > 0);
    let turns = |dest: &Dest| ((dest.last_weight / divisor) >> shift).max(1);
    weighted.map(|(place, dest)| Walk::new(place, family, dest, turns(dest))).collect()
}

pub fn choose(service: &Service, asked: &Asked) -> Option<usize> {
    let flags = service.scheduler.flags;
    let client = asked.client(flags.contains(SchedFlags::PORT));
    let bucket = |offset| hsiphash(client.wrapping_add(offset), KEY_1) as usize % SIZE;
    service.buckets.choose(&service.dests, flags.contains(SchedFlags::FALLBACK), bucket)
}
