//! Per-protocol state of a conn, its timeouts and its names.
//!
//! A state is the kernel's number (`include/net/ip_vs.h`), so that listings, the sync protocol and
//! counters need no translation. The number means nothing without the protocol.

pub mod sctp;
pub mod tcp;
pub mod udp;

use crate::flow::protocol;

/// Who sent the packet, and whether the other side is seen at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Side {
    /// The client, of a conn whose replies pass here too.
    Input = 0,
    /// The real server.
    Output = 1,
    /// The client, of a conn whose replies go past here: gatewaying and tunnels (NOOUTPUT).
    InputOnly = 2,
}

/// How long a conn of each state lives without a packet, in [ticks](crate::time::TICKS_PER_SECOND).
/// `ipvsadm --set` changes the entries of TCP's ESTABLISHED and FIN_WAIT and UDP's, nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// By TCP state.
    pub tcp: [u32; tcp::STATES],
    /// UDP has one state.
    pub udp: u32,
    /// By SCTP state.
    pub sctp: [u32; sctp::STATES],
}

impl Default for Timeouts {
    fn default() -> Self {
        Timeouts {
            tcp: tcp::DEFAULT_TIMEOUTS,
            udp: udp::DEFAULT_TIMEOUT,
            sctp: sctp::DEFAULT_TIMEOUTS,
        }
    }
}

impl Timeouts {
    /// Ticks a conn of IP protocol `proto` stays in `state` without a packet; none in a number
    /// that is no state.
    #[inline]
    pub fn timeout(&self, proto: u8, state: u8) -> u32 {
        match proto {
            protocol::TCP => self.tcp.get(usize::from(state)).copied().unwrap_or(0),
            protocol::SCTP => self.sctp.get(usize::from(state)).copied().unwrap_or(0),
            _ => self.udp,
        }
    }
}

/// The state's name in `ipvsadm -Lnc`: `NONE` for a number that is none.
pub fn name(proto: u8, state: u8) -> &'static str {
    match proto {
        protocol::TCP => tcp::NAMES.get(usize::from(state)).copied().unwrap_or("NONE"),
        protocol::UDP => udp::NAME,
        protocol::SCTP => sctp::NAMES.get(usize::from(state)).copied().unwrap_or("NONE"),
        _ => "NONE",
    }
}

/// Whether the state counts as ActiveConn rather than InActConn.
#[inline]
pub fn is_active(proto: u8, state: u8) -> bool {
    match proto {
        protocol::TCP => tcp::is_active(state),
        protocol::SCTP => sctp::is_active(state),
        _ => false,
    }
}

/// Whether the state is the one that makes a conn's template worth keeping, which UDP's one is not.
#[inline]
pub fn is_established(proto: u8, state: u8) -> bool {
    match proto {
        protocol::TCP => state == tcp::state::ESTABLISHED,
        protocol::SCTP => state == sctp::state::ESTABLISHED,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::ticks;

    #[test]
    fn default_timeouts_are_the_kernels() {
        let seconds = [2, 900, 120, 60, 120, 120, 10, 60, 30, 120, 120];
        let timeouts = Timeouts::default();
        for (state, seconds) in seconds.into_iter().enumerate() {
            assert_eq!(timeouts.timeout(protocol::TCP, state as u8), ticks(seconds), "{state}");
        }
        assert_eq!(timeouts.timeout(protocol::TCP, 11), 0);
        assert_eq!(timeouts.timeout(protocol::UDP, udp::NORMAL), ticks(300));
        let seconds = [2, 4, 61, 61, 61, 61, 61, 61, 900, 61, 61, 61, 4, 61];
        for (state, seconds) in seconds.into_iter().enumerate() {
            assert_eq!(timeouts.timeout(protocol::SCTP, state as u8), ticks(seconds), "{state}");
        }
        assert_eq!(timeouts.timeout(protocol::SCTP, 14), 0);
    }

    #[test]
    fn names_are_those_ipvsadm_prints() {
        assert_eq!(name(protocol::TCP, tcp::state::SYN_RECV), "SYN_RECV");
        assert_eq!(name(protocol::TCP, tcp::state::SYNACK), "SYNACK");
        assert_eq!(name(protocol::UDP, udp::NORMAL), "UDP");
        assert_eq!(name(protocol::TCP, 200), "NONE");
        assert_eq!(name(protocol::SCTP, sctp::state::COOKIE_REPLIED), "C-REPLIED");
        assert_eq!(name(protocol::SCTP, sctp::state::CLOSED), "CLOSED");
        assert_eq!(name(protocol::SCTP, 14), "NONE");
    }

    #[test]
    fn only_tcp_and_sctp_are_ever_active() {
        assert!((0..=255).all(|state| !is_active(protocol::UDP, state)));
        assert!(is_active(protocol::TCP, tcp::state::SYN_RECV));
        assert!(is_active(protocol::SCTP, sctp::state::ESTABLISHED));
        assert!(!is_active(protocol::SCTP, tcp::state::ESTABLISHED));
    }
}
