//! What happens at the bounds, and to templates that somebody wants to go.

use super::*;

const START: Tick = Tick(u32::MAX - 100);

fn secs(seconds: u32) -> Tick {
    START.after(ticks(seconds))
}

fn make(store: &TemplateStore, key: &TemplateKey<'_>, dest: u32, now: Tick) -> TemplateId {
    store.create(key, &new(dest, 300), now).expect("room").id
}

#[test]
fn a_second_creator_gets_the_firsts_template_and_is_its_child() {
    let store = store(8);
    let first = store.create(&key(1), &new(1, 300), START).unwrap();
    let second = store.create(&key(1), &new(2, 300), secs(1)).unwrap();
    assert_eq!((second.id, second.dest, second.addr), (first.id, DestId(1), ip(0xc0a8_0101)));
    assert_eq!((second.children, second.remaining, store.len()), (2, ticks(300), 1));
    assert_eq!((store.persistent_conns(DestId(1)), store.persistent_conns(DestId(2))), (1, 0));
}

#[test]
fn an_invalid_template_is_not_found_again_keeps_its_timer_and_shows_port_65535() {
    let store = store(8);
    let old = make(&store, &key(1), 1, START);
    assert_eq!(store.join(&key(1), secs(5), |template| template.dest != DestId(1)), Join::Missing);
    assert_eq!(store.join(&key(1), secs(5), |_| true), Join::Missing);
    let fresh = make(&store, &key(1), 2, secs(5));
    let mut shown = listing(&store, secs(6));
    shown.sort_by_key(|template| template.remaining);
    assert_eq!((shown[0].id, shown[0].vport, shown[0].port), (old, 0xffff, 0xffff));
    assert_eq!((shown[0].remaining, shown[0].children), (ticks(294), 1));
    assert_eq!((shown[1].id, shown[1].vport, shown[1].remaining), (fresh, 80, ticks(299)));
    store.detach(old, secs(7), ChildEnd::Expired);
    sweep(&store, secs(300));
    assert_eq!(listing(&store, secs(300)).iter().map(|left| left.id).collect::<Vec<_>>(), [fresh]);
    assert_eq!(store.persistent_conns(DestId(1)), 0);
}

#[test]
fn a_full_store_refuses_until_a_template_without_use_can_give_way() {
    let store = store(2);
    let (one, two) = (make(&store, &key(1), 1, START), make(&store, &key(2), 2, START));
    assert_eq!(store.create(&key(3), &new(3, 300), START), Err(Refusal::Full));
    store.assure(one);
    store.detach(one, secs(1), ChildEnd::Expired);
    assert_eq!(store.create(&key(3), &new(3, 300), secs(1)), Err(Refusal::Full), "assured");
    store.detach(two, secs(1), ChildEnd::Expired);
    make(&store, &key(3), 3, secs(1));
    assert_eq!((peek(&store, &key(2), secs(1)), store.len()), (None, 2));
    assert_eq!(store.create(&key(2), &new(2, 300), secs(299)), Err(Refusal::Full));
    make(&store, &key(2), 2, secs(301));
    assert_eq!(peek(&store, &key(1), secs(301)), None, "its time was over");
}

#[test]
fn engine_data_has_a_bound_of_its_own() {
    let store = store(4);
    let sip = |data| key(1).with_engine(Engine::Sip, data).unwrap();
    let kept = make(&store, &sip(&[1; 255]), 1, START);
    let gone = make(&store, &sip(b"two"), 2, START);
    assert_eq!(store.create(&sip(b"three"), &new(3, 300), START), Err(Refusal::Full));
    make(&store, &key(1), 3, START);
    store.detach(gone, START, ChildEnd::Expired);
    make(&store, &sip(b"three"), 3, START);
    assert_eq!(peek(&store, &sip(&[1; 255]), START).map(|template| template.id), Some(kept));
    assert_eq!(peek(&store, &sip(b"two"), START), None);
    let (mut data, mut cursor) = (Vec::new(), Cursor::all());
    store.visit(&mut cursor, 9, START, |_, found| {
        data.push(found.to_vec());
        Fate::Keep
    });
    assert_eq!(data, [vec![1; 255], b"three".to_vec(), Vec::new()]);
}

#[test]
fn a_dropped_last_child_takes_a_template_along_that_never_had_an_established_one() {
    let store = store(8);
    for (client, assured, how, stays) in [
        (1, false, ChildEnd::Dropped, false),
        (2, false, ChildEnd::Expired, true),
        (3, true, ChildEnd::Dropped, true),
    ] {
        let id = make(&store, &key(client), 1, START);
        store.create(&key(client), &new(1, 300), START).unwrap();
        if assured {
            store.assure(id);
        }
        store.detach(id, START, how);
        assert_eq!(listing(&store, START).iter().filter(|left| left.id == id).count(), 1);
        store.detach(id, START, how);
        assert_eq!(peek(&store, &key(client), START).is_some(), stays, "client {client}");
    }
}

#[test]
fn a_visitor_ends_templates_and_puts_off_those_with_children() {
    let store = store(8);
    let (used, unused) = (make(&store, &key(1), 1, START), make(&store, &key(2), 1, START));
    store.detach(unused, START, ChildEnd::Expired);
    let mut cursor = Cursor::random(&store, 0x0000_0004_dead_beef);
    assert_eq!(store.visit(&mut cursor, 9, secs(10), |_, _| Fate::End), Step::Done);
    let left = listing(&store, secs(10));
    assert_eq!(
        left.iter().map(|left| (left.id, left.remaining)).collect::<Vec<_>>(),
        [(used, ticks(60))]
    );
    assert_eq!(store.persistent_conns(DestId(1)), 1);
}

#[test]
fn an_ended_templates_id_names_none() {
    let store = store(1);
    let old = make(&store, &key(1), 1, START);
    store.detach(old, START, ChildEnd::Dropped);
    let fresh = make(&store, &key(2), 2, START);
    store.assure(old);
    store.detach(old, START, ChildEnd::Dropped);
    store.assure(TemplateId::default());
    let left = listing(&store, START);
    assert_eq!((left[0].id, left[0].children, left[0].assured), (fresh, 1, false));
    store.detach(fresh, START, ChildEnd::Expired);
    store.lock(0).expect("free").drop_unassured(old);
    assert_eq!(listing(&store, START).len(), 1);
}

#[test]
fn a_locked_shard_is_busy_for_those_who_need_the_lock_only() {
    let store = store(8);
    let id = make(&store, &key(1), 1, START);
    let locked = store.lock(0).expect("free");
    assert_eq!(store.join(&key(1), START, |_| true), Join::Busy);
    assert_eq!(store.create(&key(2), &new(1, 300), START), Err(Refusal::Busy));
    assert_eq!(store.visit(&mut Cursor::all(), 9, START, |_, _| Fate::Keep), Step::Busy);
    store.assure(id);
    store.detach(id, START, ChildEnd::Dropped);
    drop(locked);
    let left = listing(&store, START)[0];
    assert_eq!((left.id, left.children, left.assured), (id, 0, true));
}

#[test]
fn workers_sweep_their_shares_at_a_bounded_pace() {
    let store = store(1024);
    for client in 0..1000 {
        make(&store, &key(client), 1, START);
    }
    listing(&store, START).iter().for_each(|all| store.detach(all.id, START, ChildEnd::Expired));
    let mut first = Sweeper::new(0, 3, START);
    (0..1000).for_each(|_| first.sweep(&store, secs(300), 16));
    assert!(store.shards() == 4 && (300..700).contains(&store.len()), "shards 1 and 2 are others'");
    let mut sweepers: Vec<_> = (0..3).map(|worker| Sweeper::new(worker, 3, START)).collect();
    let mut turns = 0;
    while !store.is_empty() {
        let before = store.len();
        sweepers[turns % 3].sweep(&store, secs(300), 16);
        assert!(store.len() + 16 >= before);
        turns += 1;
        assert!(turns < 1000, "{} left", store.len());
    }
    assert_eq!(store.persistent_conns(DestId(1)), 0);
}

#[test]
fn a_child_of_six_years_does_not_confuse_the_clock() {
    let store = store(8);
    let id = make(&store, &key(1), 1, START);
    let mut now = START;
    for _ in 0..2 * 365 * 6 {
        now = now.after(ticks(12 * 3600));
        sweep(&store, now);
    }
    now = now.after(ticks(7));
    let kept = listing(&store, now)[0];
    assert!((1..=ticks(60)).contains(&kept.remaining) && kept.children == 1);
    store.detach(id, now, ChildEnd::Expired);
    let left = listing(&store, now)[0];
    assert_eq!((left.remaining, left.timeout), (kept.remaining, ticks(60)));
    sweep(&store, now.after(kept.remaining));
    assert!(store.is_empty());
}
