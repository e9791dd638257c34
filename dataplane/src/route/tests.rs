use super::*;
use std::collections::{BTreeMap, HashSet};

/// Every route in a map, every look-up over all of them.
#[derive(Clone)]
struct Naive<A>(BTreeMap<(u8, A), RouteTarget>);

impl<A: Address> Naive<A> {
    fn lookup(&self, addr: A) -> Option<RouteTarget> {
        let covers = |&(len, prefix): &(u8, A)| addr & A::netmask(len) == prefix;
        self.0.iter().rev().find(|(key, _)| covers(key)).map(|(_, &target)| target)
    }
}

fn via(id: u16) -> RouteTarget {
    RouteTarget::Via(NextHopId(id))
}

/// Prefixes that nest and touch: few values per byte, and of many bytes most are 0.
fn prefix<A: Address>(rng: &mut fastrand::Rng) -> A {
    let addr = match A::FAMILY {
        Family::V4 => [0; 4].map(|_| [0, 1, 127, 128, 255][rng.usize(..5)]).into(),
        Family::V6 => [0; 16].map(|_| [0, 0, 0, 0, 0, 128, 255][rng.usize(..7)]).into(),
    };
    A::of(addr).expect("an address of the family")
}

fn nodes(routes: &Routes) -> HashSet<*const Node> {
    let mut found = HashSet::new();
    nodes_below(&routes.roots.v4, &mut found);
    nodes_below(&routes.roots.v6, &mut found);
    found
}

fn nodes_below(node: &Arc<Node>, into: &mut HashSet<*const Node>) {
    into.insert(Arc::as_ptr(node));
    let children = node.children.iter().flat_map(|children| children.iter().flatten());
    children.for_each(|child| nodes_below(child, into));
}

fn answers_as_a_list_does<A: Address>(seed: u64) {
    let mut rng = fastrand::Rng::with_seed(seed);
    let (mut routes, mut naive) = (Routes::default(), Naive::<A>(BTreeMap::new()));
    for _ in 0..400 {
        let (addr, len) = (prefix::<A>(&mut rng), rng.u8(..=A::BITS));
        let network = addr & A::netmask(len);
        if rng.u8(..3) == 0 {
            routes = routes.without(addr.ip(), len);
            naive.0.remove(&(len, network));
        } else {
            let target = via(rng.u16(..));
            routes = routes.with(addr.ip(), len, target);
            naive.0.insert((len, network), target);
        }
        for _ in 0..20 {
            let addr = prefix::<A>(&mut rng);
            assert_eq!(routes.lookup(addr), naive.lookup(addr), "seed {seed} {}", addr.ip());
        }
    }
    for (len, prefix) in naive.0.into_keys() {
        routes.remove(prefix.ip(), len);
    }
    assert_eq!(nodes(&routes).len(), 2, "only the roots outlive the routes");
}

#[test]
fn any_history_of_changes_answers_as_a_list_does() {
    for seed in 0..20 {
        answers_as_a_list_does::<u32>(seed);
        answers_as_a_list_does::<u128>(seed);
    }
}

#[test]
fn routes_of_one_family_are_none_of_the_other() {
    let routes = Routes::default().with(0_u32.ip(), 0, via(1)).with(1_u128.ip(), 128, via(2));
    assert_eq!((routes.lookup(1_u32), routes.lookup(1_u128)), (Some(via(1)), Some(via(2))));
    assert_eq!(routes.lookup(2_u128), None);
    let without = routes.without(0_u128.ip(), 0).without(1_u32.ip(), 32);
    assert_eq!((without.lookup(1_u32), without.lookup(1_u128)), (Some(via(1)), Some(via(2))));
}

#[test]
fn a_change_leaves_older_snapshots_alone() {
    let old = Routes::default().with(0x0a00_0000_u32.ip(), 8, via(1));
    let new = old.with(0x0a01_0000_u32.ip(), 16, via(2)).without(0x0a00_0000_u32.ip(), 8);
    assert_eq!(old.lookup(0x0a01_0203_u32), Some(via(1)));
    assert_eq!(new.lookup(0x0a01_0203_u32), Some(via(2)));
    assert_eq!(new.lookup(0x0a02_0203_u32), None);
}

fn changed_nodes<A: Address>() -> usize {
    let mut rng = fastrand::Rng::with_seed(1);
    let mut routes = Routes::default();
    (0..300).for_each(|id| routes.insert(prefix::<A>(&mut rng).ip(), rng.u8(..=A::BITS), via(id)));
    let before = nodes(&routes);
    let changes = (0..200).map(|_| {
        let (addr, len) = (prefix::<A>(&mut rng).ip(), rng.u8(..=A::BITS));
        let changed = [routes.with(addr, len, via(9)), routes.without(addr, len)];
        changed.map(|changed| nodes(&changed).difference(&before).count())
    });
    changes.flatten().max().unwrap_or(0)
}

#[test]
fn a_change_copies_at_most_a_node_for_each_byte() {
    assert_eq!((changed_nodes::<u32>(), changed_nodes::<u128>()), (4, 16));
}

#[test]
fn the_default_route_covers_what_nothing_else_does() {
    let routes = Routes::default()
        .with(0_u32.ip(), 0, via(1))
        .with(0xc0a8_0100_u32.ip(), 24, RouteTarget::OnLink(InterfaceId(2)))
        .with(0xc0a8_0101_u32.ip(), 32, RouteTarget::Local);
    assert_eq!(routes.lookup(0_u32), Some(via(1)));
    assert_eq!(routes.lookup(u32::MAX), Some(via(1)));
    assert_eq!(routes.lookup(0xc0a8_0102_u32), Some(RouteTarget::OnLink(InterfaceId(2))));
    assert_eq!(routes.lookup(0xc0a8_0101_u32), Some(RouteTarget::Local));
    assert_eq!(routes.without(0_u32.ip(), 0).lookup(0_u32), None);
}

#[test]
fn a_hundred_thousand_routes_load_and_answer() {
    let mut rng = fastrand::Rng::with_seed(2);
    let entries: Vec<(u32, u8)> =
        (0..100_000).map(|_| (rng.u32(0x0100_0000..0x2000_0000), rng.u8(16..=24))).collect();
    let mut routes = Routes::default();
    entries.iter().for_each(|&(addr, len)| routes.insert(addr.ip(), len, via(u16::from(len))));
    for &(addr, len) in &entries {
        let found = routes.lookup(addr);
        assert!(matches!(found, Some(RouteTarget::Via(id)) if id.0 >= u16::from(len)));
    }
}
