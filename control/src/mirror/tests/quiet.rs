//! On-link clients come and go; their ids must not run out.

use super::*;
use crate::mirror::targets::{IDLE, QUARANTINE, QUIET};
use dataplane::nexthop::NextHops;

/// On the link of the WAN once the test has made it wide.
const CLIENTS: u32 = 0x0a01_0000;

/// A director with 10.0.0.0/8 on its WAN link.
fn wide() -> Rig {
    let mut rig = Rig::new();
    rig.tell(Event::Route { route: on_link("10.0.0.0/8", WAN), replace: false });
    rig
}

impl Rig {
    /// Workers ask for clients 1000, 1001, … until they are refused; how many got ids.
    fn ask_for_all(&mut self) -> u32 {
        let mut refused = |n: &u32| self.request(CLIENTS + 1000 + n).is_err();
        (0..65_536).find(|n| refused(n)).expect("ids are bounded")
    }

    /// Settles until nothing is due; the last table and how many settlements it took.
    fn settle_all(&mut self) -> (Option<NextHops>, u32) {
        let (mut table, mut settlements) = (None, 0);
        loop {
            table = self.state.settle(self.now).next_hops.or(table);
            settlements += 1;
            if self.state.deadline().is_none_or(|deadline| deadline > self.now) {
                return (table, settlements);
            }
        }
    }

    fn client_answers(&mut self, client: u32) -> Changes {
        self.neighbor(WAN, client, NeighborState::Known(RS_MAC))
    }
}

#[test]
fn clients_that_do_not_answer_give_their_ids_back() {
    let mut rig = wide();
    let all = rig.ask_for_all();
    let late = CLIENTS + 99;
    assert!(rig.request(late).is_err());
    rig.state.settle(rig.now);

    rig.now += QUIET;
    let (table, settlements) = rig.settle_all();
    let table = table.expect("a table without them");
    assert!((0..all).all(|n| table.find(CLIENTS + 1000 + n).is_none()));
    assert!(settlements > 10, "in bounded steps, not {settlements}");
    assert_eq!(rig.state.deadline(), None);
    rig.request(late).expect("room again");
    rig.now += QUARANTINE;
    assert!(rig.ask_for_all() >= all - 1, "ids are used again");
}

#[test]
fn a_client_keeps_its_id_while_it_answers_or_is_asked_for() {
    let mut rig = wide();
    let (answers, asked) = (CLIENTS + 1, CLIENTS + 2);
    let id = rig.request(answers).expect("room");
    rig.state.settle(rig.now);
    rig.client_answers(answers);
    let almost = QUIET - Duration::from_millis(1);
    for _ in 0..20 {
        rig.request(asked).expect("room");
        assert!(rig.pass(almost).next_hops.is_none_or(|table| table.find(asked).is_some()));
    }
    assert_eq!(rig.request(answers), Ok(id));

    let gone = Event::NeighborGone { ifindex: WAN, address: answers.ip() };
    rig.tell(gone);
    rig.pass(GRACE);
    let first = rig.pass(QUIET).next_hops;
    let table = rig.pass(QUIET).next_hops.or(first).expect("both are gone");
    assert_eq!((table.find(answers), table.find(asked)), (None, None));
}

#[test]
fn a_released_client_is_found_again_at_once() {
    let mut rig = wide();
    let client = CLIENTS + 1;
    let first = rig.request(client).expect("room");
    rig.state.settle(rig.now);
    let table = rig.pass(QUIET).next_hops.expect("a table without it");
    assert_eq!(table.find(client), None);
    rig.client_answers(client);

    let second = rig.request(client).expect("room");
    assert_ne!(second, first, "the old id is in quarantine");
    let found = hop(&rig.state.settle(rig.now), second);
    assert_eq!((found.target, found.state), (client.ip(), NextHopState::Resolved));
}

#[test]
fn in_a_crowd_those_that_answer_lose_their_ids_when_long_not_asked_for() {
    let mut rig = wide();
    let all = rig.ask_for_all();
    rig.state.settle(rig.now);
    for n in 0..all {
        let (ifindex, address) = (WAN, (CLIENTS + 1000 + n).ip());
        let state = NeighborState::Known(RS_MAC);
        rig.state.apply(&Event::Neighbor(KernelNeighbor { ifindex, address, state }), rig.now);
    }
    rig.state.settle(rig.now);
    let mut table = None;
    for _ in 0..IDLE.as_secs() / QUIET.as_secs() {
        assert!(rig.request(CLIENTS + 99).is_err());
        rig.now += QUIET;
        table = rig.settle_all().0;
    }
    let table = table.expect("a table with fewer");
    let left = (0..all).filter(|n| table.find(CLIENTS + 1000 + n).is_some()).count();
    assert_eq!(left as u32, all / 2, "no more go than must");
    rig.request(CLIENTS + 99).expect("room");
}

#[test]
fn a_real_server_keeps_its_id_whatever_workers_ask_for() {
    let mut rig = Rig::new();
    let id = rig.intern(&[RS]).expect("room")[0];
    assert_eq!(rig.request(RS), Ok(id));
    rig.pass(QUIET);
    rig.pass(QUIET);
    assert_eq!(rig.intern(&[RS]), Ok(vec![id]));
    rig.release(&[RS]);
    assert_ne!(rig.intern(&[RS]), Ok(vec![id]), "nobody held it any more");
}

#[test]
fn a_released_id_stands_for_nothing_until_its_quarantine_is_over() {
    let mut rig = Rig::new();
    let id = rig.intern(&[RS]).expect("room")[0];
    rig.release(&[RS]);
    rig.now += QUARANTINE - Duration::from_millis(1);
    assert_ne!(rig.intern(&[RS + 1]), Ok(vec![id]));
    assert_eq!(
        rig.state.settle(rig.now).next_hops.map(|table| *table.get(id)),
        Some(NextHop::NONE)
    );
    rig.now += Duration::from_millis(1);
    assert_eq!(rig.intern(&[RS + 2]), Ok(vec![id]));
}

#[test]
fn real_servers_get_ids_all_or_none() {
    let mut rig = Rig::new();
    let first = rig.intern(&[RS]).expect("room")[0];
    let many: Vec<u32> = (0..65_536).map(|n| RS + n).collect();
    assert_eq!(rig.intern(&many), Err(NoNextHopLeft));
    rig.now += QUARANTINE;
    assert_eq!(rig.intern(&[RS]), Ok(vec![first]), "it was held before");
    rig.intern(&many[..65_000]).expect("the others were given back");
}
