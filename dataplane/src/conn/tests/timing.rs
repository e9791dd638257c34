//! Conns end when their time is over: never early, and late by no more than promised.

use super::*;
use crate::conn::wheel::MAX_STEP;
use crate::time::ticks;
use std::collections::HashMap;

#[test]
fn an_idle_conn_ends_on_the_very_tick() {
    for start in [Tick(0), Tick(12_345), Tick(u32::MAX - 70), Tick(u32::MAX / 2)] {
        for timeout in [0, 1, 63, 64, 65, 127, 128, 129, 1_000] {
            let mut table = table(4, 0);
            let new = NewConn { timeout, ..new_conn(1) };
            insert(&mut table, &new, start).unwrap();
            for tick in 0..timeout {
                expire_all(&mut table, start.after(tick), &mut |_| panic!("early: {timeout}"));
            }
            expire_all(&mut table, start.after(timeout), &mut |_| ());
            assert!(table.is_empty(), "late: {timeout} from {start:?}");
        }
    }
}

#[test]
fn a_shortened_timeout_is_met_no_later_than_one_step() {
    let mut table = table(4, 0);
    let now = Tick(77);
    let id = insert(&mut table, &NewConn { timeout: ticks(900), ..new_conn(1) }, now).unwrap();
    let closed = now.after(ticks(100));
    (0..=ticks(100)).for_each(|tick| expire_all(&mut table, now.after(tick), &mut |_| ()));
    table.get_mut(id).last_seen = closed;
    table.get_mut(id).timeout = ticks(1);
    let mut tick = closed;
    while !table.is_empty() {
        tick = tick.after(1);
        expire_all(&mut table, tick, &mut |_| ());
    }
    assert!((ticks(1)..=MAX_STEP + 1).contains(&tick.since(closed)));
}

#[test]
fn random_traffic_is_expired_never_early_and_never_more_than_a_step_late() {
    let mut table = table(1_000, 0);
    let mut random = Rng::new(9);
    let mut now = Tick(u32::MAX - 3_000);
    let mut due: HashMap<FlowKey, Tick> = HashMap::new();
    for _ in 0..(if cfg!(miri) { 300 } else { 20_000 }) {
        let timeout = [3, 40, 100, 700][random.below(4)];
        let new = NewConn { timeout, ..new_conn(random.below(900) as u32) };
        match table.lookup(&new.key, table.hash(&new.key)) {
            Some((id, _)) if random.one_in(8) => {
                due.remove(&new.key);
                table.remove(id);
            }
            Some((id, _)) => {
                let conn = table.get_mut(id);
                (conn.last_seen, conn.timeout) = (now, timeout);
                due.insert(new.key, now.after(timeout));
            }
            None => {
                insert(&mut table, &new, now).unwrap();
                due.insert(new.key, now.after(timeout));
            }
        }
        if random.one_in(3) {
            now = now.after(1);
            expire_all(&mut table, now, &mut |conn| {
                let late = now.since(due.remove(&conn.inbound_key()).unwrap());
                assert!(late <= MAX_STEP + 1, "{late} ticks late, or early");
            });
            assert!(due.values().all(|&at| (now.since(at) as i32) <= MAX_STEP as i32 + 1));
        }
    }
}

#[test]
fn a_long_pause_is_caught_up_within_the_budget_of_each_call() {
    for pause in [160, 190, 200, 1_000_003, u32::MAX / 3] {
        let mut table = table(1_000, 0);
        for client in 0..1_000 {
            let timeout = if client < 3 { u32::MAX } else { 160 };
            let new = NewConn { timeout, ..new_conn(client) };
            insert(&mut table, &new, Tick(5 + client % 3)).unwrap();
        }
        let now = Tick(7).after(pause);
        for calls in 0.. {
            let before = table.len();
            let looked_at = table.expire(now, 10, |_, _| false, &mut |_| ());
            assert!(looked_at <= 10 && before - table.len() <= looked_at);
            if looked_at < 10 {
                break;
            }
            assert!(calls < 105, "stuck with {} after a pause of {pause}", table.len());
        }
        assert_eq!(table.len(), 3);
    }
}

#[test]
fn a_conn_that_controls_others_is_kept_and_asked_about_again() {
    let mut table = table(4, 0);
    insert(&mut table, &new_conn(1), Tick(0)).unwrap();
    let mut asked = 0;
    for tick in 0..=160 + 2 * MAX_STEP {
        let keep = |_: &mut Conn, _: Option<&crate::conn::SideRecord>| {
            asked += 1;
            asked < 3
        };
        table.expire(Tick(tick), 64, keep, &mut |_| ());
        assert_eq!(table.len(), usize::from(tick < 160 + 2 * MAX_STEP));
    }
    assert_eq!(asked, 3);
}

#[test]
fn short_conns_do_not_hold_entries_until_their_slot_comes() {
    let mut table = table(4, 0);
    for client in 0..10_000 {
        let id = insert(&mut table, &new_conn(client), Tick(0)).unwrap();
        table.remove(id);
        table.end_window();
    }
    expire_all(&mut table, Tick(10_000), &mut |_| panic!("nothing is left to expire"));
}
