use super::*;
use crate::testing::Rng;
use std::collections::{BTreeMap, BTreeSet};

const LOCALS: [u32; 4] = [0, 0x0a00_0005, 0xc0a8_01fe, 0xffff_ffff];

fn any_range() -> PortRange {
    PortRange { first: 0, last: u16::MAX }
}

fn spreads_as_the_owner_says<A: Address>(address: A) {
    let spread = Spread::new::<A>();
    for slot in 0..OWNER_SLOTS as u16 {
        let ports: BTreeSet<u16> =
            (0..PORTS_PER_SLOT).map(|place| spread.port(address, slot, place)).collect();
        assert_eq!(ports.len(), PORTS_PER_SLOT, "each port once");
        assert!(ports.iter().all(|&port| owner::slot(address, port) == slot), "slot {slot}");
    }
}

#[test]
fn every_port_of_an_address_is_of_the_slot_that_owns_it_in_both_families() {
    for address in LOCALS {
        spreads_as_the_owner_says(address);
        spreads_as_the_owner_says(0x2001_0db8_u128 << 96 | u128::from(address));
    }
}

/// The naive pool: who has which end towards which destination.
#[derive(Default)]
struct Model {
    taken: BTreeMap<(DestId, u32, u16), u16>,
    /// Each choice is made in a tick of its own.
    now: u32,
}

impl Model {
    fn choose(&mut self, ports: &mut LocalPorts, wanted: &Wanted, slot: u16) -> Option<LocalEnd> {
        self.now += 1;
        let taken = &self.taken;
        let free = |local, port| !taken.contains_key(&(wanted.dest, local, port));
        let address = |index| LOCALS[usize::from(index)];
        let end = ports.choose(wanted, [slot].into_iter(), Tick(self.now), address, free)?;
        let key = (wanted.dest, LOCALS[usize::from(end.index)], end.port);
        assert!(wanted.range.contains(end.port) && wanted.locals.contains(&end.index));
        assert_eq!(owner::slot(key.1, end.port), slot, "replies come back to the slot");
        assert_eq!(self.taken.insert(key, slot), None, "no end twice towards one destination");
        Some(end)
    }

    /// How many ends of the slot there are in all.
    fn room(wanted: &Wanted, slot: u16) -> usize {
        let ends = wanted.locals.iter().flat_map(|&index| (0..=u16::MAX).map(move |p| (index, p)));
        ends.filter(|&(index, port)| {
            wanted.range.contains(port) && owner::slot(LOCALS[usize::from(index)], port) == slot
        })
        .count()
    }

    fn taken(&self, dest: DestId, slot: u16) -> usize {
        self.taken.iter().filter(|(key, of)| key.0 == dest && **of == slot).count()
    }
}

#[test]
fn a_random_life_gives_every_end_once_and_all_of_them_before_it_is_exhausted() {
    let mut rng = Rng::new(41);
    let (mut ports, mut model) = (LocalPorts::new(), Model::default());
    let ranges = [PortRange::default(), PortRange { first: 40_000, last: 44_000 }];
    let slots = [0, 7, 511];
    let locals: [&[u16]; 2] = [&[1], &[2, 3, 1]];
    // A destination belongs to one service, which has its addresses and its range.
    let wanted = |dest: usize| Wanted {
        dest: DestId(dest as u32),
        locals: locals[dest % 2],
        range: ranges[dest / 2],
    };
    let room: Vec<Vec<usize>> =
        (0..4).map(|dest| slots.map(|slot| Model::room(&wanted(dest), slot)).to_vec()).collect();
    let mut refused = 0;
    for _ in 0..6_000 {
        let (dest, slot) = (rng.below(4), rng.below(slots.len()));
        if rng.one_in(4) && !model.taken.is_empty() {
            let gone = *model.taken.keys().nth(rng.below(model.taken.len())).unwrap();
            model.taken.remove(&gone);
        } else if model.choose(&mut ports, &wanted(dest), slots[slot]).is_none() {
            refused += 1;
            let taken = model.taken(DestId(dest as u32), slots[slot]);
            assert_eq!(taken, room[dest][slot], "exhausted when all are taken");
        }
    }
    assert!(refused > 100, "the small pools were exhausted: {refused}");
}

#[test]
fn an_end_that_was_freed_comes_last() {
    let (mut ports, mut model) = (LocalPorts::new(), Model::default());
    let wanted = Wanted { dest: DestId(1), locals: &[1, 2], range: any_range() };
    let first = model.choose(&mut ports, &wanted, 3).unwrap();
    model.taken.clear();
    for nth in 1..2 * PORTS_PER_SLOT {
        assert_ne!(model.choose(&mut ports, &wanted, 3).unwrap(), first, "conn {nth}");
    }
    assert_eq!(model.choose(&mut ports, &wanted, 3), Some(first));
}

#[test]
fn neighbours_in_time_get_different_addresses() {
    let (mut ports, mut model) = (LocalPorts::new(), Model::default());
    let wanted = Wanted { dest: DestId(1), locals: &[1, 2, 3], range: any_range() };
    let chosen: Vec<u16> =
        (0..6).map(|_| model.choose(&mut ports, &wanted, 9).unwrap().index).collect();
    assert_eq!(chosen, [1, 2, 3, 1, 2, 3]);
}

#[test]
fn a_full_slot_is_searched_once_a_tick_and_the_next_slot_helps_out() {
    let mut ports = LocalPorts::new();
    let wanted = Wanted { dest: DestId(1), locals: &[1], range: any_range() };
    let mut asked = 0;
    let mut choose = |now, slots: &[u16]| {
        let slots_of_worker = slots.iter().copied();
        let address = |index| LOCALS[usize::from(index)];
        let end = ports.choose(&wanted, slots_of_worker, Tick(now), address, |local, port| {
            asked += 1;
            owner::slot(local, port) != 3
        });
        (end.map(|end| owner::slot(LOCALS[1], end.port)), asked)
    };
    assert_eq!(choose(5, &[3]), (None, 128));
    assert_eq!(choose(5, &[3]), (None, 128), "not searched again");
    assert_eq!(choose(5, &[3, 8]), (Some(8), 129));
    assert_eq!(choose(6, &[3]), (None, 257));
}
