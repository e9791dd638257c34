//! The slot map, which says whose a flow is, and the redirection tables, which say to which queue it
//! goes, made to agree.

use dataplane::limits::OWNER_SLOTS;
use dataplane::owner::SlotMap;

/// Slots that a worker has at least in a map that repeats itself for a small table: the largest
/// share is then an eighth more than the least.
const LEAST_SHARE: usize = 8;

/// The slot map of `workers` that tables of these sizes, powers of two, can express as well as it
/// can be done: it repeats itself after as many slots as the smallest has entries. Workers that are
/// too many for that have their equal shares, and tables agree with a part of the slots.
pub fn slot_map(workers: usize, tables: impl IntoIterator<Item = u16>) -> SlotMap {
    let smallest = tables.into_iter().map(usize::from).min().unwrap_or(OWNER_SLOTS);
    let period = smallest.min(OWNER_SLOTS);
    let is_fair = period % workers == 0 || period >= LEAST_SHARE * workers;
    let period = if is_fair { period } else { OWNER_SLOTS };
    SlotMap::from_fn(workers, |slot| slot % period % workers)
}

/// The table of `entries`, a power of two, that takes each slot to its owner's queue. Worker and
/// queue have the same number; a worker without a queue has its packets come by another's.
pub fn redirection(map: &SlotMap, entries: u16, queues: u16) -> Vec<u16> {
    let owner = |entry: u16| map.worker(entry % OWNER_SLOTS as u16).0;
    (0..entries).map(|entry| owner(entry) % queues).collect()
}

/// How many of the [`OWNER_SLOTS`] arrive at their owner.
pub fn agreement(map: &SlotMap, table: &[u16]) -> usize {
    let arrives = |&slot: &usize| table[slot % table.len()] == map.worker(slot as u16).0;
    (0..OWNER_SLOTS).filter(arrives).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use dataplane::limits::MAX_WORKERS;
    use dataplane::owner::{TOEPLITZ_KEY, slot};

    #[test]
    fn without_tables_the_map_is_the_even_one() {
        for workers in 1..=MAX_WORKERS {
            assert_eq!(slot_map(workers, []), SlotMap::even(workers));
            assert_eq!(slot_map(workers, [512, 2048]), SlotMap::even(workers));
        }
    }

    #[test]
    fn a_table_agrees_wholly_unless_it_is_too_small_for_fair_shares() {
        for workers in 1..=MAX_WORKERS {
            for entries in [64, 128, 512, 2048] {
                let map = slot_map(workers, [entries]);
                let table = redirection(&map, entries, workers as u16);
                let agrees = agreement(&map, &table);
                let size = usize::from(entries);
                let whole = size >= OWNER_SLOTS || size % workers == 0 || size >= 8 * workers;
                assert_eq!(agrees == OWNER_SLOTS, whole, "{workers} workers, {entries}: {agrees}");
                let owned = |worker| (0..512).filter(|&s| map.worker(s).index() == worker).count();
                let shares: Vec<usize> = (0..workers).map(owned).collect();
                let (least, most) = (shares.iter().min(), shares.iter().max());
                let (least, most) = (least.expect("some"), most.expect("some"));
                assert!(
                    most * 8 <= least * 9 + 8,
                    "{workers} workers, {entries}: {least} to {most}"
                );
            }
        }
    }

    #[test]
    fn the_smallest_table_decides_and_larger_ones_still_agree() {
        let map = slot_map(3, [512, 128]);
        for entries in [128, 512, 1024] {
            assert_eq!(agreement(&map, &redirection(&map, entries, 3)), OWNER_SLOTS);
        }
    }

    #[test]
    fn workers_without_a_queue_are_served_by_those_that_have_one() {
        let map = slot_map(4, [128]);
        let table = redirection(&map, 128, 2);
        assert!(table.iter().all(|&queue| queue < 2));
        assert_eq!(agreement(&map, &table), OWNER_SLOTS / 2);
    }

    /// What a NIC does: Toeplitz by its definition over one end, the lowest bits into the table.
    fn nic_queue(input: &[u8], table: &[u16]) -> u16 {
        let bit = |bytes: &[u8], at: usize| bytes[at / 8] >> (7 - at % 8) & 1;
        let window =
            |at| (at..at + 32).fold(0, |w: u32, i| w << 1 | u32::from(bit(&TOEPLITZ_KEY, i)));
        let set = (0..8 * input.len()).filter(|&at| bit(input, at) == 1);
        let hash = set.fold(0, |hash, at| hash ^ window(at));
        table[hash as usize % table.len()]
    }

    #[test]
    fn a_nic_that_hashes_the_clients_end_brings_packets_to_their_owner() {
        let mut rng = fastrand::Rng::with_seed(11);
        for (workers, entries) in [(2, 128), (3, 128), (5, 64), (7, 512), (48, 2048)] {
            let map = slot_map(workers, [entries]);
            let table = redirection(&map, entries, workers as u16);
            for _ in 0..1000 {
                let (addr, wide, port) = (rng.u32(..), rng.u128(..), rng.u16(..));
                let v4 = [&addr.to_be_bytes()[..], &port.to_be_bytes()].concat();
                let v6 = [&wide.to_be_bytes()[..], &port.to_be_bytes()].concat();
                assert_eq!(nic_queue(&v4, &table), map.worker(slot(addr, port)).0);
                assert_eq!(nic_queue(&v6, &table), map.worker(slot(wide, port)).0);
            }
        }
    }
}
