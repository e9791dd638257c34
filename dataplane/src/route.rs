//! Routes: longest-prefix match for IPv4, in snapshots that share what did not change.
//!
//! A trie with a node per byte of the address. Each node expands its prefixes to the 256 values of
//! its byte, so a look-up is at most four steps. A change copies the nodes on its way, at most
//! four, unless no other snapshot has them.

use crate::ids::{InterfaceId, NextHopId};
use std::sync::Arc;

/// Where packets to a prefix go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RouteTarget {
    /// The destination is a neighbour on this interface.
    OnLink(InterfaceId),
    /// Through a gateway.
    Via(NextHopId),
    /// The director itself.
    Local,
}

/// An immutable set of routes. Cloning and [`Routes::with`] are cheap.
#[derive(Debug, Clone, Default)]
pub struct Routes {
    root: Arc<Node>,
}

/// The routes whose length ends in one byte of the address, below one value of the bytes before.
#[derive(Debug, Clone)]
struct Node {
    /// By value of the byte: the longest of `own` that covers it.
    best: [Option<RouteTarget>; 256],
    /// The prefixes that end here, in no order.
    own: Vec<Own>,
    /// By value of the byte; absent while there is none.
    children: Option<Box<[Option<Arc<Node>>; 256]>>,
}

/// The part of a prefix in its node.
#[derive(Debug, Clone, Copy)]
struct Own {
    /// First value of the byte.
    first: u8,
    /// Length in this byte, 0 to 8; 0 in the root only.
    len: u8,
    target: RouteTarget,
}

impl Routes {
    /// These routes and one more, which replaces one to the same prefix. Host bits of `prefix` do
    /// not matter; `len` is at most 32.
    #[must_use]
    pub fn with(&self, prefix: u32, len: u8, target: RouteTarget) -> Routes {
        let mut routes = self.clone();
        routes.insert(prefix, len, target);
        routes
    }

    /// These routes without the one to exactly this prefix, if there is one.
    #[must_use]
    pub fn without(&self, prefix: u32, len: u8) -> Routes {
        let mut routes = self.clone();
        routes.remove(prefix, len);
        routes
    }

    /// As [`Routes::with`], in place: copies nothing that no other snapshot has, so a table of any
    /// size is loaded in time that its size bounds.
    pub fn insert(&mut self, prefix: u32, len: u8, target: RouteTarget) {
        let (way, own) = split(prefix, len, target);
        let mut node = Arc::make_mut(&mut self.root);
        for &byte in way.bytes() {
            node = Arc::make_mut(node.child(byte));
        }
        node.own.retain(|other| !other.same_prefix(&own));
        node.own.push(own);
        node.expand(own);
    }

    /// As [`Routes::without`], in place.
    pub fn remove(&mut self, prefix: u32, len: u8) {
        let (way, own) = split(prefix, len, RouteTarget::Local);
        if self.root.has(way.bytes(), own) {
            Arc::make_mut(&mut self.root).take(way.bytes(), own);
        }
    }

    /// The target of the longest prefix that covers the address.
    #[inline]
    pub fn lookup(&self, addr: u32) -> Option<RouteTarget> {
        let mut found = None;
        let mut node = &*self.root;
        for byte in addr.to_be_bytes() {
            found = node.best[usize::from(byte)].or(found);
            match node.below(byte) {
                Some(child) => node = child,
                None => break,
            }
        }
        found
    }
}

/// The bytes before the one a prefix ends in.
struct Way {
    bytes: [u8; 4],
    len: usize,
}

impl Way {
    fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

fn split(prefix: u32, len: u8, target: RouteTarget) -> (Way, Own) {
    assert!(len <= 32, "an IPv4 prefix has at most 32 bits");
    let way = Way { bytes: prefix.to_be_bytes(), len: usize::from(len.saturating_sub(1) / 8) };
    let len = len - 8 * way.len as u8;
    let first = way.bytes[way.len] & !host_bits(len);
    (way, Own { first, len, target })
}

fn host_bits(len: u8) -> u8 {
    (0xff_u16 >> len) as u8
}

impl Own {
    fn same_prefix(&self, other: &Own) -> bool {
        (self.first, self.len) == (other.first, other.len)
    }

    fn values(&self) -> std::ops::RangeInclusive<u8> {
        self.first..=self.first | host_bits(self.len)
    }
}

impl Node {
    fn below(&self, byte: u8) -> Option<&Arc<Node>> {
        self.children.as_ref()?[usize::from(byte)].as_ref()
    }

    fn child(&mut self, byte: u8) -> &mut Arc<Node> {
        let children = self.children.get_or_insert_with(|| Box::new([const { None }; 256]));
        children[usize::from(byte)].get_or_insert_default()
    }

    /// Finds the best for each value that `changed` covers anew.
    fn expand(&mut self, changed: Own) {
        for value in changed.values() {
            let covering = self.own.iter().filter(|own| own.values().contains(&value));
            let longest = covering.max_by_key(|own| own.len);
            self.best[usize::from(value)] = longest.map(|own| own.target);
        }
    }

    fn has(&self, way: &[u8], own: Own) -> bool {
        match way {
            [] => self.own.iter().any(|other| other.same_prefix(&own)),
            [byte, rest @ ..] => self.below(*byte).is_some_and(|child| child.has(rest, own)),
        }
    }

    /// Removes a prefix that is there, and the nodes it leaves empty.
    fn take(&mut self, way: &[u8], own: Own) {
        let [byte, rest @ ..] = way else {
            self.own.retain(|other| !other.same_prefix(&own));
            self.expand(own);
            return;
        };
        let child = Arc::make_mut(self.child(*byte));
        child.take(rest, own);
        if child.own.is_empty() && child.children.is_none() {
            self.drop_child(*byte);
        }
    }

    fn drop_child(&mut self, byte: u8) {
        if let Some(children) = &mut self.children {
            children[usize::from(byte)] = None;
            if children.iter().all(Option::is_none) {
                self.children = None;
            }
        }
    }
}

impl Default for Node {
    fn default() -> Self {
        Node { best: [None; 256], own: Vec::new(), children: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::{BTreeMap, HashSet};

    /// Every route in a map, every look-up over all of them.
    #[derive(Default, Clone)]
    struct Naive(BTreeMap<(u8, u32), RouteTarget>);

    fn mask(prefix: u32, len: u8) -> u32 {
        prefix & u32::MAX.checked_shl(32 - u32::from(len)).unwrap_or(0)
    }

    impl Naive {
        fn lookup(&self, addr: u32) -> Option<RouteTarget> {
            let covers = |&(len, prefix): &(u8, u32)| mask(addr, len) == prefix;
            self.0.iter().rev().find(|(key, _)| covers(key)).map(|(_, &target)| target)
        }
    }

    fn via(id: u16) -> RouteTarget {
        RouteTarget::Via(NextHopId(id))
    }

    /// Prefixes that nest and touch: few values per byte.
    fn prefix(rng: &mut fastrand::Rng) -> u32 {
        u32::from_be_bytes([0; 4].map(|_| [0, 1, 127, 128, 255][rng.usize(..5)]))
    }

    fn nodes(node: &Arc<Node>, into: &mut HashSet<*const Node>) {
        into.insert(Arc::as_ptr(node));
        let children = node.children.iter().flat_map(|children| children.iter().flatten());
        children.for_each(|child| nodes(child, into));
    }

    #[test]
    fn any_history_of_changes_answers_as_a_list_does() {
        for seed in 0..20 {
            let mut rng = fastrand::Rng::with_seed(seed);
            let (mut routes, mut naive) = (Routes::default(), Naive::default());
            for _ in 0..400 {
                let (addr, len) = (prefix(&mut rng), rng.u8(..=32));
                if rng.u8(..3) == 0 {
                    routes = routes.without(addr, len);
                    naive.0.remove(&(len, mask(addr, len)));
                } else {
                    let target = via(rng.u16(..));
                    routes = routes.with(addr, len, target);
                    naive.0.insert((len, mask(addr, len)), target);
                }
                for _ in 0..20 {
                    let addr = prefix(&mut rng);
                    assert_eq!(routes.lookup(addr), naive.lookup(addr), "seed {seed} {addr:#x}");
                }
            }
            for (len, prefix) in naive.0.into_keys() {
                routes.remove(prefix, len);
            }
            let mut left = HashSet::new();
            nodes(&routes.root, &mut left);
            assert_eq!(left.len(), 1, "only the root outlives the routes");
        }
    }

    #[test]
    fn a_change_leaves_older_snapshots_alone() {
        let old = Routes::default().with(0x0a00_0000, 8, via(1));
        let new = old.with(0x0a01_0000, 16, via(2)).without(0x0a00_0000, 8);
        assert_eq!(old.lookup(0x0a01_0203), Some(via(1)));
        assert_eq!(new.lookup(0x0a01_0203), Some(via(2)));
        assert_eq!(new.lookup(0x0a02_0203), None);
    }

    #[test]
    fn a_change_copies_at_most_four_nodes() {
        let mut rng = fastrand::Rng::with_seed(1);
        let mut routes = Routes::default();
        (0..300).for_each(|id| routes.insert(prefix(&mut rng), rng.u8(..=32), via(id)));
        for _ in 0..200 {
            let (addr, len) = (prefix(&mut rng), rng.u8(..=32));
            for changed in [routes.with(addr, len, via(9)), routes.without(addr, len)] {
                let (mut before, mut after) = (HashSet::new(), HashSet::new());
                nodes(&routes.root, &mut before);
                nodes(&changed.root, &mut after);
                assert!(after.difference(&before).count() <= 4);
            }
        }
    }

    #[test]
    fn the_default_route_covers_what_nothing_else_does() {
        let routes = Routes::default()
            .with(0, 0, via(1))
            .with(0xc0a8_0100, 24, RouteTarget::OnLink(InterfaceId(2)))
            .with(0xc0a8_0101, 32, RouteTarget::Local);
        assert_eq!(routes.lookup(0), Some(via(1)));
        assert_eq!(routes.lookup(u32::MAX), Some(via(1)));
        assert_eq!(routes.lookup(0xc0a8_0102), Some(RouteTarget::OnLink(InterfaceId(2))));
        assert_eq!(routes.lookup(0xc0a8_0101), Some(RouteTarget::Local));
        assert_eq!(routes.without(0, 0).lookup(0), None);
    }

    #[test]
    fn a_hundred_thousand_routes_load_and_answer() {
        let mut rng = fastrand::Rng::with_seed(2);
        let entries: Vec<(u32, u8)> =
            (0..100_000).map(|_| (rng.u32(0x0100_0000..0x2000_0000), rng.u8(16..=24))).collect();
        let mut routes = Routes::default();
        entries.iter().for_each(|&(addr, len)| routes.insert(addr, len, via(u16::from(len))));
        for &(addr, len) in &entries {
            let found = routes.lookup(addr);
            assert!(matches!(found, Some(RouteTarget::Via(id)) if id.0 >= u16::from(len)));
        }
    }
}
