//! A process may end between any two stores: what it published is there afterwards, whole, and
//! nothing else.

use super::*;
use crate::conn::region::LOCALS_BYTES;
use crate::conn::{AdoptReport, Region, RegionError, SideKind};
use std::collections::HashSet;

fn adopt(image: &[u8], now: Tick) -> (ConnTable, AdoptReport) {
    ConnTable::adopt(Region::from_image(image, false).unwrap(), now).unwrap()
}

/// A conn as the next process is to see it.
fn essence(id: ConnId, conn: &Conn) -> (u32, Vec<u8>) {
    let table_own = ConnFlags::FILED;
    let essence = Conn { link: 0, flags: conn.flags - table_own, ..*conn };
    (id.0, bytemuck::bytes_of(&essence).to_vec())
}

fn conns(table: &ConnTable) -> HashSet<(u32, Vec<u8>)> {
    table.live_in(table.ids()).map(|(id, conn)| essence(id, conn)).collect()
}

/// Adopts an image of which any bytes that differ between `before` and `after` may be of either.
fn adopt_mixture(random: &mut Rng, before: &[u8], after: &[u8], now: Tick) -> ConnTable {
    let mixed: Vec<u8> = before
        .iter()
        .zip(after)
        .map(|(&old, &new)| if random.one_in(2) { old } else { new })
        .collect();
    let (table, report) = adopt(&mixed, now);
    assert_eq!(AdoptReport { adopted: report.adopted, ..AdoptReport::default() }, report);
    table
}

fn random_life(table: &mut ConnTable, random: &mut Rng, now: Tick, steps: usize) {
    for _ in 0..steps {
        let new = new_conn(random.below(120) as u32);
        match table.lookup(&new.key, table.hash(&new.key)) {
            Some((id, _)) if random.one_in(3) => drop(table.remove(id)),
            Some((id, _)) if random.one_in(3) => drop(table.attach_side(id, SideKind(1))),
            Some((id, _)) => table.get_mut(id).last_seen = now,
            None => drop(insert(table, &new, now).unwrap()),
        }
        table.end_window();
    }
}

#[test]
fn a_copy_taken_between_operations_holds_every_conn_as_it_was() {
    let mut random = Rng::new(3);
    let mut table = table(128, 16);
    for round in 0..(if cfg!(miri) { 3 } else { 200 }) {
        let now = Tick(round * 3);
        random_life(&mut table, &mut random, now, 20);
        let (mut later, report) = adopt(&table.image(), now);
        assert_eq!(conns(&later), conns(&table));
        assert_eq!((report.adopted, later.len()), (table.len(), table.len()));
        assert_eq!(later.side_free(), table.side_free());
        // And it is a table like any other.
        random_life(&mut later, &mut random, now, 50);
        expire_all(&mut later, now.after(160), &mut |_| ());
        assert!(later.is_empty());
        assert_eq!(later.side_free(), 16);
    }
}

#[test]
fn an_insertion_cut_short_anywhere_before_its_last_store_leaves_nothing() {
    let mut random = Rng::new(4);
    let mut table = table(128, 8);
    let now = Tick(100);
    random_life(&mut table, &mut random, now, if cfg!(miri) { 20 } else { 300 });
    for client in 1_000..(if cfg!(miri) { 1_002 } else { 1_100 }) {
        let published = conns(&table);
        let before = table.image();
        let new = new_conn(client);
        let inbound = table.hash(&new.key);
        let id = table.stage(new.as_conn(now), new.second_line(), inbound).unwrap();
        let after = table.image();
        let later = adopt_mixture(&mut random, &before, &after, now);
        assert_eq!(conns(&later), published);
        assert!(!is_there(&later, &new_conn(client).key));

        table.publish(id, now);
        let (later, _) = adopt(&table.image(), now);
        assert_eq!(later.len(), published.len() + 1);
        assert!(is_there(&later, &new_conn(client).key));
        let reply = table.get(id).outbound_key().expect("a masq conn has one");
        table.stage_replies(id, &reply);
        table.remove(id);
        table.end_window();
    }
}

#[test]
fn a_removal_cut_short_anywhere_after_its_first_store_leaves_nothing() {
    let mut random = Rng::new(5);
    let mut table = table(64, 64);
    let now = Tick(100);
    for client in 0..(if cfg!(miri) { 4 } else { 60 }) {
        let id = insert(&mut table, &new_conn(client), now).unwrap();
        table.attach_side(id, SideKind(2)).unwrap();
    }
    while let Some((id, _)) = table.next_live(0) {
        let gone = essence(id, table.get(id));
        let mut withdrawn = table.image();
        let at = 64 + LOCALS_BYTES + 64 * id.index() + std::mem::offset_of!(Conn, flags);
        let flags = table.get(id).flags - ConnFlags::LIVE;
        withdrawn[at..at + 4].copy_from_slice(&flags.bits().to_ne_bytes());
        let mut left = conns(&table);
        assert!(left.remove(&gone));
        table.remove(id);
        let later = adopt_mixture(&mut random, &withdrawn, &table.image(), now);
        assert_eq!(conns(&later), left);
        assert_eq!(later.side_free(), 64 - left.len());
    }
}

#[test]
fn entries_that_cannot_be_are_dropped_and_counted() {
    let mut table = table(16, 4);
    let ids: Vec<_> =
        (0..5).map(|client| insert(&mut table, &new_conn(client), Tick(9)).unwrap()).collect();
    table.get_mut(ids[0]).flags.insert(ConnFlags::from_bits_retain(1 << 30));
    table.get_mut(ids[1]).last_seen = Tick(10);
    table.get_mut(ids[2]).side = 2;
    let twin = *table.get(ids[3]);
    *table.get_mut(ids[4]) = twin;
    let (later, report) = adopt(&table.image(), Tick(9));
    assert_eq!(report, AdoptReport { adopted: 1, torn: 3, duplicate: 1, no_room: 0 });
    assert_eq!(later.next_live(0).map(|(id, _)| id), Some(ids[3]));
}

#[test]
fn what_is_not_a_region_of_this_layout_is_refused_with_a_reason() {
    let good = table(4, 1).image();
    let refused = |image: &[u8]| match Region::from_image(image, false) {
        Err(error @ RegionError::NotAdoptable { .. }) => error.to_string(),
        other => panic!("{other:?}"),
    };
    assert!(refused(&[]).contains("cut short"));
    assert!(refused(&good[..good.len() - 1]).contains("cut short"));
    for (at, reason) in [(0, "begin"), (8, "another layout"), (12, "other sizes"), (48, "clock")] {
        let mut bad = good.clone();
        bad[at] ^= 1;
        assert!(refused(&bad).contains(reason), "byte {at}");
    }
}
