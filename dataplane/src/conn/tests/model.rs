//! The table does what a `HashMap` of keys and a list of conns do.

use super::*;
use crate::flow::Direction;
use std::collections::HashMap;

/// What the table should hold, kept without cleverness.
#[derive(Default)]
struct Model {
    conns: HashMap<u32, Conn>,
    keys: HashMap<FlowKey, (ConnId, Direction)>,
    ids: HashMap<(u16, u16), ConnId>,
    /// Who had the keys that conns made in this window have for their replies.
    before: HashMap<FlowKey, Vec<(ConnId, Direction)>>,
}

impl Model {
    fn insert(&mut self, id: ConnId, conn: Conn) {
        self.conns.insert(id.0, conn);
        self.ids.insert(serial(&conn), id);
        assert_eq!(self.keys.insert(conn.inbound_key(), (id, Direction::Inbound)), None);
        if let Some(key) = conn.outbound_key() {
            if let Some(before) = self.keys.insert(key, (id, Direction::Outbound)) {
                self.before.entry(key).or_default().push(before);
            }
        }
    }

    /// A conn has ended: its keys, unless others have them, are nobody's.
    fn remove(&mut self, ended: &Conn) -> ConnId {
        let id = self.ids.remove(&serial(ended)).expect("the conn was there");
        let conn = self.conns.remove(&id.0).expect("the conn was there");
        for key in [Some(conn.inbound_key()), conn.outbound_key()].into_iter().flatten() {
            if self.keys.get(&key).is_some_and(|&(owner, _)| owner == id) {
                self.keys.remove(&key);
            }
        }
        id
    }

    /// Whether a conn whose time is not over has the inbound key, or it is the reply key, too.
    fn blocks(&self, conn: &Conn, now: Tick) -> bool {
        let taken = self.keys.get(&conn.inbound_key());
        conn.outbound_key() == Some(conn.inbound_key())
            || taken.is_some_and(|&(id, _)| !self.conns[&id.0].is_expired(now))
    }
}

/// What tells conns of a trial apart that have the same keys.
fn serial(conn: &Conn) -> (u16, u16) {
    (conn.l3_delta, conn.l4_delta)
}

struct Trial {
    table: ConnTable,
    model: Model,
    random: Rng,
    now: Tick,
    /// Conns that were to be made.
    tried: u32,
    /// Ids removed in this window.
    removed: Vec<ConnId>,
    /// Keys hashed in this window, with the candidates found then.
    candidates: Vec<(FlowKey, crate::conn::Candidate)>,
}

impl Trial {
    fn new(seed: u64, capacity: usize) -> Trial {
        Trial {
            table: table(capacity, 8),
            model: Model::default(),
            random: Rng::new(seed),
            now: Tick(u32::MAX - 5_000),
            tried: 0,
            removed: vec![],
            candidates: vec![],
        }
    }

    /// Few clients, real servers and ports, so that keys collide in every way they can.
    fn any_conn(&mut self) -> NewConn {
        let random = &mut self.random;
        let method = [ForwardingMethod::Masq, ForwardingMethod::Gatewaying, ForwardingMethod::Ipip]
            [random.below(5).saturating_sub(2)];
        let mut new = new_conn(random.below(300) as u32);
        new.key.dst = VIP + random.below(2) as u32;
        new.key.proto = [protocol::TCP, protocol::UDP][random.below(2)];
        new.flags = ConnFlags::of_method(method);
        new.timeout = [0, 1, 30, 160, 14_400][random.below(5)];
        self.tried += 1;
        (new.l3_delta, new.l4_delta) = ((self.tried >> 16) as u16, self.tried as u16);
        match self.random.below(40) {
            // A real server calls a client, where the director is to find a service.
            0..=3 => {
                NewConn { key: new.as_conn(self.now).outbound_key().unwrap_or(new.key), ..new }
            }
            // Someone calls himself.
            4 => {
                let (dst, dport) = (new.key.src, new.key.sport);
                NewConn {
                    key: FlowKey { dst, dport, ..new.key },
                    rip: dst.ip(),
                    rport: dport,
                    ..new
                }
            }
            _ => new,
        }
    }

    fn any_key(&mut self) -> FlowKey {
        let new = self.any_conn();
        let conn = new.as_conn(self.now);
        let outbound = conn.outbound_key().unwrap_or(new.key.reversed());
        [new.key, outbound][self.random.below(2)]
    }

    fn step(&mut self) {
        match self.random.below(16) {
            0..=4 => self.insert(),
            5..=8 => self.look_up(),
            9 => self.remove(),
            10..=11 => self.touch(),
            12 => self.take_candidate(),
            13 => self.expire(),
            14 => self.pass_time(),
            _ => self.end_window(),
        }
    }

    fn insert(&mut self) {
        let (new, now) = (self.any_conn(), self.now);
        let conn = new.as_conn(now);
        let mut evicted = vec![];
        let result = self.table.insert(&new, now, &mut |ended| evicted.push(ended.conn));
        let tuple_taken = self.model.blocks(&conn, now);
        assert_eq!(result == Err(InsertError::TupleTaken), tuple_taken);
        for conn in &evicted {
            assert!(conn.is_expired(now), "only full tables evict what is not over");
            self.removed.push(self.model.remove(conn));
        }
        if let Ok(id) = result {
            assert!(!self.removed.contains(&id), "an id is not used twice in a window");
            self.model.insert(id, *self.table.get(id));
            assert_eq!(self.table.get(id).inbound_key(), new.key);
            assert_eq!((self.table.get(id).rip.ip(), self.table.get(id).last_seen), (new.rip, now));
        }
    }

    fn look_up(&mut self) {
        let key = self.any_key();
        let found = self.table.lookup(&key, self.table.hash(&key));
        assert_eq!(found, self.model.keys.get(&key).copied());
        // Candidates may be as old as they like.
        for (key, candidate) in &self.candidates {
            let found = self.table.find(key, self.table.hash(key), *candidate);
            let before = self.model.before.get(key).into_iter().flatten();
            let mut right = self.model.keys.get(key).into_iter().chain(before);
            assert!(found.is_none_or(|found| right.any(|&right| right == found)));
            assert_eq!(found.is_some(), self.model.keys.contains_key(key));
        }
    }

    fn take_candidate(&mut self) {
        let key = self.any_key();
        let hash = self.table.hash(&key);
        self.table.prefetch(hash);
        self.candidates.push((key, self.table.candidate(hash)));
        if self.candidates.len() > 32 {
            self.candidates.swap_remove(self.random.below(32));
        }
    }

    fn any_live(&mut self) -> Option<ConnId> {
        let from = self.random.below(self.table.ids().len()) as u32;
        self.table.next_live(from).map(|(id, _)| id)
    }

    fn remove(&mut self) {
        let Some(id) = self.any_live() else { return };
        if self.random.one_in(2) {
            self.table.attach_side(id, crate::conn::SideKind(1));
        }
        let ended = self.table.remove(id);
        assert_eq!(self.model.remove(&ended), id);
        self.removed.push(id);
    }

    /// A packet: the conn lives on, perhaps with another timeout.
    fn touch(&mut self) {
        let Some(id) = self.any_live() else { return };
        let timeout = [5, 160, 14_400][self.random.below(3)];
        for conn in [self.table.get_mut(id), self.model.conns.get_mut(&id.0).unwrap()] {
            conn.last_seen = self.now;
            conn.timeout = timeout;
        }
    }

    fn expire(&mut self) {
        let budget = self.random.below(100);
        let (now, model, removed) = (self.now, &mut self.model, &mut self.removed);
        self.table.expire(now, budget, |_, _| false, &mut |conn| {
            assert!(conn.is_expired(now), "never early");
            removed.push(model.remove(conn));
        });
    }

    fn pass_time(&mut self) {
        let ticks = [1, 1, 1, 1, 20, 200, 20_000][self.random.below(7)];
        self.now = self.now.after(ticks);
    }

    fn end_window(&mut self) {
        self.table.end_window();
        self.removed.clear();
        self.model.before.clear();
    }

    fn check(&mut self) {
        assert_eq!(self.table.len(), self.model.conns.len());
        for (id, conn) in self.table.live_in(self.table.ids()) {
            let expected = &self.model.conns[&id.0];
            assert_eq!(conn.inbound_key(), expected.inbound_key());
            assert_eq!((conn.last_seen, conn.timeout), (expected.last_seen, expected.timeout));
        }
        for (key, &place) in &self.model.keys {
            assert_eq!(self.table.lookup(key, self.table.hash(key)), Some(place));
        }
    }
}

#[test]
fn the_table_agrees_with_a_hash_map_under_random_operations() {
    let (seeds, steps) = if cfg!(miri) { (1, 400) } else { (20, 20_000) };
    for seed in 0..seeds {
        let mut trial = Trial::new(seed, 2_000);
        for step in 0..steps {
            trial.step();
            if step % 1_000 == 0 {
                trial.check();
            }
        }
        trial.check();
    }
}

#[test]
fn windows_of_any_length_give_the_same_ids() {
    let ids = |window: usize| {
        let mut table = table(512, 0);
        let mut random = Rng::new(5);
        let mut ids = vec![];
        for step in 0..20_000 {
            let new = new_conn(random.below(400) as u32);
            match table.lookup(&new.key, table.hash(&new.key)) {
                Some((id, _)) => drop(table.remove(id)),
                None => ids.push(insert(&mut table, &new, Tick(0)).unwrap()),
            }
            if step % window == window - 1 {
                table.end_window();
            }
        }
        ids
    };
    assert_eq!(ids(1), ids(128));
}
