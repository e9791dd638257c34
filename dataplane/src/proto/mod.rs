//! Per-protocol state of a conn, its timeouts and its names.
//!
//! A state is the kernel's number (`include/net/ip_vs.h`), so that listings, the sync protocol and
//! counters need no translation. The number means nothing without the protocol.

pub mod sctp;
pub mod tcp;
pub mod udp;

use crate::flow::protocol;
use crate::wire::tcp::flags;
use sctp::Event;

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

/// What becomes of a packet that belongs to no conn, before a service is looked for
/// (`conn_schedule` of `ip_vs_proto_*.c`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Opening {
    /// It may begin a conn.
    Schedule,
    /// It is the host's own.
    Leave,
    /// It is dropped, whatever its destination.
    Drop,
}

/// What becomes of a packet with this [event](crate::parse::Headers::event) that belongs to no conn;
/// `sloppy` as `sloppy_tcp` or `sloppy_sctp` says for the protocol.
#[inline]
pub fn opening(proto: u8, event: u8, sloppy: bool) -> Opening {
    match proto {
        protocol::TCP => tcp::opening(event, sloppy),
        protocol::SCTP => sctp::opening(Event::from_number(event), sloppy),
        _ => Opening::Schedule,
    }
}

/// Whether a packet with this [event](crate::parse::Headers::event) asks for a new conn, even on
/// the ends of one that exists (`is_new_conn` in `ip_vs_core.c`).
#[inline]
pub fn is_new_conn(proto: u8, event: u8) -> bool {
    match proto {
        protocol::TCP => event & flags::SYN != 0,
        protocol::SCTP => event == Event::Init as u8,
        _ => false,
    }
}

/// The state after a packet with this [event](crate::parse::Headers::event). `secure`: by the table
/// of `secure_tcp`, which other protocols have none of.
#[inline(always)]
pub fn next(proto: u8, state: u8, side: Side, event: u8, secure: bool) -> u8 {
    match proto {
        protocol::TCP => tcp::next(state, side, event, secure),
        protocol::SCTP => sctp::next(state, side, Event::from_number(event)),
        _ => state,
    }
}

/// Whether a conn in this state is one whose client has not answered yet, as every one of a flood.
#[inline]
pub fn is_half_open(proto: u8, state: u8) -> bool {
    match proto {
        protocol::TCP => matches!(state, tcp::state::SYN_RECV | tcp::state::SYNACK),
        protocol::SCTP => matches!(state, sctp::state::INIT1 | sctp::state::INIT),
        _ => false,
    }
}

/// Whether both ends are done with a conn in this state, so that its ends may be used again.
#[inline]
pub fn is_closed(proto: u8, state: u8) -> bool {
    match proto {
        protocol::TCP => matches!(state, tcp::state::TIME_WAIT | tcp::state::CLOSE),
        protocol::SCTP => state == sctp::state::CLOSED,
        _ => false,
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
    fn each_protocol_has_its_own_opening_half_open_and_closed_states() {
        use protocol::{SCTP, TCP, UDP};
        let [init, data, none] = [Event::Init, Event::Data, Event::NoChunk].map(|it| it as u8);
        for (proto, event, sloppy, becomes) in [
            (TCP, flags::SYN | flags::ACK, false, Opening::Schedule),
            (TCP, flags::SYN | flags::RST, true, Opening::Leave),
            (TCP, flags::ACK, false, Opening::Leave),
            (TCP, flags::ACK, true, Opening::Schedule),
            (SCTP, init, false, Opening::Schedule),
            (SCTP, data, false, Opening::Leave),
            (SCTP, data, true, Opening::Schedule),
            (SCTP, none, true, Opening::Drop),
            (UDP, 0, false, Opening::Schedule),
        ] {
            assert_eq!(opening(proto, event, sloppy), becomes, "{proto}, {event}");
        }
        assert!(is_new_conn(TCP, flags::SYN | flags::RST) && !is_new_conn(TCP, flags::ACK));
        assert!(is_new_conn(SCTP, init) && !is_new_conn(SCTP, flags::SYN) && !is_new_conn(UDP, 2));
        let states = |of: fn(u8, u8) -> bool, proto| (0..=255).filter(|&s| of(proto, s)).collect();
        let of =
            |proto| -> [Vec<u8>; 2] { [states(is_half_open, proto), states(is_closed, proto)] };
        assert_eq!(of(TCP), [vec![3, 10], vec![5, 6]]);
        assert_eq!(of(SCTP), [vec![1, 2], vec![13]]);
        assert_eq!(of(UDP), [const { Vec::<u8>::new() }; 2]);
    }

    #[test]
    fn a_packet_moves_the_state_of_its_own_protocol_only() {
        let event = Event::InitAck as u8;
        assert_eq!(next(protocol::SCTP, 1, Side::Output, event, true), sctp::state::COOKIE_SENT);
        let syn = |secure| next(protocol::TCP, 0, Side::InputOnly, flags::SYN, secure);
        assert_eq!((syn(false), syn(true)), (tcp::state::SYN_RECV, tcp::state::SYNACK));
        assert_eq!(next(protocol::UDP, udp::NORMAL, Side::Input, 0xff, true), udp::NORMAL);
    }

    #[test]
    fn only_tcp_and_sctp_are_ever_active() {
        assert!((0..=255).all(|state| !is_active(protocol::UDP, state)));
        assert!(is_active(protocol::TCP, tcp::state::SYN_RECV));
        assert!(is_active(protocol::SCTP, sctp::state::ESTABLISHED));
        assert!(!is_active(protocol::SCTP, tcp::state::ESTABLISHED));
    }
}
