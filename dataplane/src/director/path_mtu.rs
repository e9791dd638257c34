//! What was learned about the paths of tunnels: a router on the way said that an outer packet was
//! too large for it (RFC 1191, RFC 8201).
//!
//! A table of fixed size, for each worker its own: a next hop has one place in it, which the latest
//! to learn something gets. What is lost that way is learned again from the next error.

use crate::address::Family;
use crate::ids::NextHopId;
use crate::nexthop::NextHop;
use crate::time::{Tick, ticks};
use crate::wire::ipv6;
use std::net::{IpAddr, Ipv4Addr};

/// Places in the table.
const PLACES: usize = 256;

/// How long it is believed, as in the kernel (`ip_rt_mtu_expires`, `ip6_rt_mtu_expires`): a path may
/// become wider again, and nobody would say so.
const LIFETIME: u32 = ticks(600);

/// The narrowest path that is believed: the kernel's `net.ipv4.route.min_pmtu`, so that a forged error
/// does not make crumbs of all packets, and what IPv6 guarantees (RFC 8200 section 5).
const fn least(family: Family) -> u16 {
    match family {
        Family::V4 => 552,
        Family::V6 => ipv6::MIN_MTU,
    }
}

/// One path.
#[derive(Debug, Clone, Copy)]
struct Path {
    /// The far end of the tunnel: ids of next hops are given to other targets in time.
    target: IpAddr,
    mtu: u16,
    learned: Tick,
}

/// The paths on which less fits than through their first hop.
#[derive(Debug)]
pub(super) struct PathMtus {
    paths: Box<[Path]>,
    /// Until something is learned, nothing is looked up.
    any: bool,
}

impl PathMtus {
    /// Nothing is learned yet.
    pub(super) fn new() -> Self {
        let nowhere = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        let path = Path { target: nowhere, mtu: u16::MAX, learned: Tick::default() };
        PathMtus { paths: vec![path; PLACES].into(), any: false }
    }

    /// The largest packet that passes the whole path of the next hop.
    #[inline(always)]
    pub(super) fn mtu(&self, id: NextHopId, hop: &NextHop, now: Tick) -> u16 {
        if self.any { self.learned_mtu(id, hop, now) } else { hop.mtu }
    }

    #[inline(never)]
    fn learned_mtu(&self, id: NextHopId, hop: &NextHop, now: Tick) -> u16 {
        let path = &self.paths[id.index() % PLACES];
        let known = path.target == hop.target && now.since(path.learned) < LIFETIME;
        if known { hop.mtu.min(path.mtu) } else { hop.mtu }
    }

    /// Takes in what a router said. No error makes a path wider.
    pub(super) fn learn(&mut self, id: NextHopId, hop: &NextHop, mtu: u16, now: Tick) {
        let mtu = mtu.max(least(Family::of(hop.target)));
        if mtu > self.mtu(id, hop, now) || mtu >= hop.mtu {
            return;
        }
        self.paths[id.index() % PLACES] = Path { target: hop.target, mtu, learned: now };
        self.any = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::Address;

    const ID: NextHopId = NextHopId(3);
    const NOW: Tick = Tick(u32::MAX - 100);

    fn hop(target: impl Address) -> NextHop {
        NextHop { target: target.ip(), ..NextHop::NONE }
    }

    #[test]
    fn a_path_is_as_narrow_as_it_was_said_for_ten_minutes() {
        let (mut paths, hop) = (PathMtus::new(), hop(9_u32));
        assert_eq!(paths.mtu(ID, &hop, NOW), 1500);
        paths.learn(ID, &hop, 1200, NOW);
        let after = |paths: &PathMtus, seconds| paths.mtu(ID, &hop, NOW.after(ticks(seconds)));
        assert_eq!((after(&paths, 0), after(&paths, 599), after(&paths, 600)), (1200, 1200, 1500));
        paths.learn(ID, &hop, 1200, NOW.after(ticks(500)));
        assert_eq!((after(&paths, 1099), after(&paths, 1100)), (1200, 1500));
    }

    #[test]
    fn no_error_widens_a_path_or_narrows_it_below_what_is_guaranteed() {
        let mut paths = PathMtus::new();
        for (said, known) in [(1500, 1500), (9000, 1500), (1300, 1300), (1400, 1300), (0, 552)] {
            paths.learn(ID, &hop(9_u32), said, NOW);
            assert_eq!(paths.mtu(ID, &hop(9_u32), NOW), known, "said {said}");
        }
        paths.learn(ID, &hop(9_u128), 1000, NOW);
        assert_eq!(paths.mtu(ID, &hop(9_u128), NOW), 1280);
    }

    #[test]
    fn nothing_is_believed_of_another_target_or_beyond_the_first_hops_mtu() {
        let mut paths = PathMtus::new();
        paths.learn(ID, &hop(9_u32), 1200, NOW);
        assert_eq!(paths.mtu(ID, &hop(8_u32), NOW), 1500, "the id's next target");
        assert_eq!(paths.mtu(NextHopId(4), &hop(9_u32), NOW), 1500);
        let narrow = NextHop { mtu: 1000, ..hop(9_u32) };
        assert_eq!(paths.mtu(ID, &narrow, NOW), 1000);
        let other = NextHopId(ID.0 + PLACES as u16);
        paths.learn(other, &hop(7_u32), 1400, NOW);
        assert_eq!(paths.mtu(other, &hop(7_u32), NOW), 1400, "the place was given away");
        assert_eq!(paths.mtu(ID, &hop(9_u32), NOW), 1500);
    }
}
