//! Routes: longest-prefix match, in snapshots that share what did not change.
//!
//! A trie for each family with a node per byte of the address. Each node expands its prefixes to
//! the 256 values of its byte, so a look-up is at most as many steps as an address has bytes. A
//! change copies the nodes on its way, unless no other snapshot has them.

use crate::address::{Address, Family};
use crate::by_family::{ByFamily, PerFamily};
use crate::ids::{InterfaceId, NextHopId};
use std::net::IpAddr;
use std::sync::Arc;

/// Where packets to a prefix go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RouteTarget {
    /// The destination is a neighbour on this interface.
    OnLink(InterfaceId),
    /// Through a gateway.
    Via(NextHopId),
    /// The director itself: one of Linux's addresses.
    Local,
    /// Linux knows the way, by a link that is not ours or a kind of gateway that we do not have, or knows
    /// that there is none.
    Linux,
}

/// An immutable set of routes. Cloning and [`Routes::with`] are cheap.
#[derive(Debug, Clone, Default)]
pub struct Routes {
    roots: ByFamily<Root>,
}

#[derive(Debug, Clone)]
struct Root;

impl PerFamily for Root {
    type Of<A: Address> = Arc<Node>;
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
    /// not matter.
    ///
    /// # Panics
    /// If `len` is more than the address has bits.
    #[must_use]
    pub fn with(&self, prefix: IpAddr, len: u8, target: RouteTarget) -> Routes {
        let mut routes = self.clone();
        routes.insert(prefix, len, target);
        routes
    }

    /// These routes without the one to exactly this prefix, if there is one.
    #[must_use]
    pub fn without(&self, prefix: IpAddr, len: u8) -> Routes {
        let mut routes = self.clone();
        routes.remove(prefix, len);
        routes
    }

    /// As [`Routes::with`], in place: copies nothing that no other snapshot has, so a table of any
    /// size is loaded in time that its size bounds.
    pub fn insert(&mut self, prefix: IpAddr, len: u8, target: RouteTarget) {
        let (way, own) = split(prefix, len, target);
        let mut node = Arc::make_mut(self.root_mut(Family::of(prefix)));
        for &byte in way.bytes() {
            node = Arc::make_mut(node.child(byte));
        }
        node.own.retain(|other| !other.same_prefix(&own));
        node.own.push(own);
        node.expand(own);
    }

    /// As [`Routes::without`], in place.
    pub fn remove(&mut self, prefix: IpAddr, len: u8) {
        let (way, own) = split(prefix, len, RouteTarget::Local);
        let root = self.root_mut(Family::of(prefix));
        if root.has(way.bytes(), own) {
            Arc::make_mut(root).take(way.bytes(), own);
        }
    }

    /// The target of the longest prefix that covers the address.
    #[inline]
    pub fn lookup<A: Address>(&self, addr: A) -> Option<RouteTarget> {
        let mut found = None;
        let mut node = &**self.roots.of::<A>();
        for byte in addr.bytes() {
            found = node.best[usize::from(byte)].or(found);
            match node.below(byte) {
                Some(child) => node = child,
                None => break,
            }
        }
        found
    }

    /// The length of the longest prefix that covers the address. Takes longer than a look-up.
    pub fn prefix_len<A: Address>(&self, addr: A) -> Option<u8> {
        let mut found = None;
        let mut node = &**self.roots.of::<A>();
        for (byte, above) in addr.bytes().into_iter().zip((0..).step_by(8)) {
            let covering = node.own.iter().filter(|own| own.values().contains(&byte));
            found = covering.map(|own| above + own.len).max().or(found);
            match node.below(byte) {
                Some(child) => node = child,
                None => break,
            }
        }
        found
    }

    fn root_mut(&mut self, family: Family) -> &mut Arc<Node> {
        match family {
            Family::V4 => &mut self.roots.v4,
            Family::V6 => &mut self.roots.v6,
        }
    }
}

/// The bytes before the one a prefix ends in.
struct Way {
    bytes: [u8; 16],
    len: usize,
}

impl Way {
    fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

fn split(prefix: IpAddr, len: u8, target: RouteTarget) -> (Way, Own) {
    assert!(len <= Family::of(prefix).bits(), "a prefix is no longer than its address");
    let mut bytes = [0; 16];
    match prefix {
        IpAddr::V4(prefix) => bytes[..4].copy_from_slice(&prefix.octets()),
        IpAddr::V6(prefix) => bytes = prefix.octets(),
    }
    let way = Way { bytes, len: usize::from(len.saturating_sub(1) / 8) };
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
mod tests;
