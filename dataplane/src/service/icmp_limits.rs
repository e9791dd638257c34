//! How many ICMP errors may be sent: the numbers that Linux has under `net.ipv4` and
//! `net.ipv6.icmp` (`ip-sysctl.rst`).

/// One family's limit on errors to one peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerLimit {
    /// Milliseconds between two errors on average; 0 for no limit (`icmp_ratelimit`,
    /// `icmp.ratelimit`).
    pub interval: u32,
    /// A bit for each ICMP type that limits are for; those of all but errors do not matter
    /// (`icmp_ratemask`, `icmp.ratemask`).
    pub types: u128,
}

/// Limits on errors, as Linux names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IcmpLimits {
    /// For ICMP.
    pub v4: PeerLimit,
    /// For ICMPv6.
    pub v6: PeerLimit,
    /// Errors a second to all peers, of both families (`icmp_msgs_per_sec`).
    pub per_second: u32,
    /// How many of them at once (`icmp_msgs_burst`).
    pub burst: u32,
}

impl Default for IcmpLimits {
    /// Linux's own: a second to a peer, a thousand a second to all; of ICMP unreachable, source
    /// quench, time exceeded and parameter problem, of ICMPv6 all but packet too big.
    fn default() -> Self {
        IcmpLimits {
            v4: PeerLimit { interval: 1000, types: 0x1818 },
            v6: PeerLimit { interval: 1000, types: !(1 << 2) },
            per_second: 1000,
            burst: 50,
        }
    }
}

impl PeerLimit {
    /// Whether errors of this type are limited.
    pub fn limits(&self, kind: u8) -> bool {
        self.types.checked_shr(kind.into()).unwrap_or(0) & 1 != 0
    }
}
