//! The front of the protocols with ports, the same over IPv4 and IPv6.

use crate::address::{Address, Family};
use crate::flow::protocol;
use crate::proto::sctp::Event;
use crate::wire::{be16, sctp, tcp, udp};

/// Bytes of the ports, which TCP, UDP and SCTP begin with.
pub(super) const PORTS_LEN: usize = 4;
/// The port of ISAKMP (RFC 2408), at both ends.
const ISAKMP: u16 = 500;

/// What the front of an L4 part tells.
#[derive(Clone, Copy)]
pub(super) struct Front {
    pub(super) sport: u16,
    pub(super) dport: u16,
    /// What moves the protocol's state machine.
    pub(super) event: u8,
    /// Whether the header ends after the ports.
    pub(super) cut: bool,
}

impl Front {
    /// Of what has no ports, or none that can be seen.
    pub(super) const NONE: Front = Front { sport: 0, dport: 0, event: 0, cut: false };
    /// Of AH and ESP: the flow is that of their key exchange.
    pub(super) const RIDING: Front = Front { sport: ISAKMP, dport: ISAKMP, ..Front::NONE };

    /// Of a whole packet of a protocol with ports; `None` if it ends before them. The length that a
    /// header gives of itself is its receiver's matter: IPVS looks at none.
    #[inline]
    pub(super) fn of(proto: u8, l4: &[u8]) -> Option<Front> {
        let event = match proto {
            protocol::TCP => l4.get(..tcp::MIN_LEN).map(|head| head[tcp::FLAGS]),
            protocol::UDP => l4.get(..udp::HEADER_LEN).map(|_| 0),
            _ => l4.get(..sctp::HEADER_LEN).map(|_| Event::of(l4) as u8),
        };
        Some(Front::with(l4.first_chunk()?, event.unwrap_or(0), event.is_none()))
    }

    /// Of a first fragment, which may be cut within its L4 header, or before.
    pub(super) fn of_first_fragment(proto: u8, payload: &[u8]) -> Front {
        let event = match proto {
            protocol::TCP => payload.get(tcp::FLAGS).copied().unwrap_or(0),
            protocol::SCTP => Event::of(payload) as u8,
            _ => 0,
        };
        Front::with(payload.first_chunk().unwrap_or(&[0; PORTS_LEN]), event, false)
    }

    fn with(ports: &[u8; PORTS_LEN], event: u8, cut: bool) -> Front {
        let (sport, dport) = (be16(ports, tcp::SPORT), be16(ports, tcp::DPORT));
        Front { sport, dport, event, cut }
    }
}

/// Whether packets of a protocol ride on the conn of their key exchange: ESP, and AH, which in IPv6 is
/// an extension header, behind which the flow shows.
pub(super) fn rides<A: Address>(proto: u8) -> bool {
    proto == protocol::ESP || proto == protocol::AH && A::FAMILY == Family::V4
}
