//! Limits on the ICMP errors made here, as Linux has them: a bucket for all, and one for each peer
//! (`icmp_global_allow`, `icmpv4_xrlim_allow`, `net/ipv4/icmp.c`; `icmpv6_xrlim_allow`,
//! `net/ipv6/icmp.c`; `inet_peer_xrlim_allow`, `net/ipv4/inetpeer.c`).
//!
//! A worker has an equal share of the bucket for all, and peers of its own: the clients whose flows
//! it owns. Of those it remembers a bounded number; one that gave way begins with a full bucket, as
//! one that the kernel forgot does.

use crate::address::{Address, Family};
use crate::limits::{ICMP_PEER_SETS, ICMP_PEER_WAYS};
use crate::service::IcmpLimits;
use crate::time::{TICKS_PER_SECOND, Tick};
use crate::wire::icmp::{code, kind};
use std::net::IpAddr;

/// Errors in a row that a peer may get (`XRLIM_BURST_FACTOR`).
const PEER_BURST: u32 = 6;

/// Tokens a millisecond: so many that a tick is a whole number of them.
const TOKENS_PER_MS: u32 = TICKS_PER_SECOND;

/// Tokens a tick.
const TOKENS_PER_TICK: u32 = 1000;

/// Longest interval that the arithmetic holds, in milliseconds: half a day.
const MAX_INTERVAL: u32 = u32::MAX / PEER_BURST / TOKENS_PER_MS;

/// A peer's bucket.
#[derive(Debug, Clone, Copy, Default)]
struct Peer {
    /// None for a free place.
    address: Option<IpAddr>,
    last: Tick,
    tokens: u32,
}

/// What one worker may still send.
pub(super) struct IcmpLimiter {
    share_of: u32,
    credit: u32,
    stamp: Tick,
    dice: fastrand::Rng,
    hasher: ahash::RandomState,
    peers: Box<[Peer]>,
}

impl IcmpLimiter {
    /// Of one of so many workers. The bucket for all is empty, and full after a moment.
    pub fn new(workers: usize, secret: [u64; 2]) -> IcmpLimiter {
        IcmpLimiter {
            share_of: workers.max(1) as u32,
            credit: 0,
            stamp: Tick::default(),
            dice: fastrand::Rng::with_seed(secret[0] ^ secret[1]),
            hasher: ahash::RandomState::with_seeds(secret[0], secret[1], secret[1], secret[0]),
            peers: vec![Peer::default(); ICMP_PEER_SETS * ICMP_PEER_WAYS].into(),
        }
    }

    /// Whether an error of this type and code may be sent to `target`, over a route whose prefix has
    /// `prefix_len` bits; if so, it is counted. ICMPv6 gives wider prefixes more.
    pub fn allows<A: Address>(
        &mut self,
        limits: &IcmpLimits,
        (target, prefix_len): (A, u8),
        (kind, code): (u8, u8),
        now: Tick,
    ) -> bool {
        let (limit, halvings) = match A::FAMILY {
            Family::V4 if is_path_mtu(kind, code) => return true,
            Family::V4 => (limits.v4, 0),
            Family::V6 => (limits.v6, A::BITS.saturating_sub(prefix_len) >> 5),
        };
        let interval = limit.interval >> halvings;
        !limit.limits(kind)
            || self.allows_any(limits, now) && self.allows_peer(interval, target, now)
    }

    /// The bucket for all. One error costs 0 to 2 credits, so that nobody learns from their number
    /// what others were sent (CVE-2020-25705).
    fn allows_any(&mut self, limits: &IcmpLimits, now: Tick) -> bool {
        let per_second = limits.per_second.div_ceil(self.share_of);
        let elapsed = now.since(self.stamp).min(TICKS_PER_SECOND);
        let more = u64::from(per_second) * u64::from(elapsed) / u64::from(TICKS_PER_SECOND);
        if more > 0 {
            self.stamp = now;
        }
        // A tick is longer than the kernel's step: the rate must not suffer from a small burst.
        let room = limits.burst.div_ceil(self.share_of).max(per_second / TICKS_PER_SECOND);
        let room = if limits.burst == 0 { 0 } else { room };
        self.credit = (u64::from(self.credit) + more).min(room.into()) as u32;
        let allowed = self.credit > 0;
        if allowed {
            self.credit = self.credit.saturating_sub(self.dice.u32(0..3));
        }
        allowed
    }

    fn allows_peer<A: Address>(&mut self, interval: u32, target: A, now: Tick) -> bool {
        let price = interval.min(MAX_INTERVAL) * TOKENS_PER_MS;
        let peer = self.peer(target, now);
        let elapsed = u64::from(now.since(peer.last)) * u64::from(TOKENS_PER_TICK);
        let most = u64::from(PEER_BURST * price);
        let tokens = (u64::from(peer.tokens) + elapsed).min(most) as u32;
        let allowed = tokens >= price;
        peer.tokens = if allowed { tokens - price } else { tokens };
        peer.last = now;
        allowed
    }

    /// The peer's bucket; a new one is full and takes the place of the one used longest ago.
    fn peer<A: Address>(&mut self, target: A, now: Tick) -> &mut Peer {
        let address = Some(target.ip());
        let set = self.hasher.hash_one(target) as usize % ICMP_PEER_SETS;
        let set = &mut self.peers[set * ICMP_PEER_WAYS..][..ICMP_PEER_WAYS];
        let known = set.iter().position(|peer| peer.address == address);
        let idle = |peer: &Peer| peer.address.map_or(u32::MAX, |_| now.since(peer.last));
        let at = known.unwrap_or_else(|| {
            let oldest = (0..ICMP_PEER_WAYS).max_by_key(|&at| idle(&set[at])).unwrap_or(0);
            set[oldest] = Peer { address, last: now, tokens: u32::MAX };
            oldest
        });
        &mut set[at]
    }
}

/// Path MTU discovery is never limited.
fn is_path_mtu(kind: u8, code: u8) -> bool {
    (kind, code) == (kind::UNREACHABLE, code::FRAGMENTATION_NEEDED)
}

#[cfg(test)]
mod tests;
