//! How a tunnel wraps packets: ipvsadm's `--tun-type` and what goes with it.

use crate::address::Family;
use crate::wire::{gre, gue, ipv4, ipv6, udp};

/// What stands between the outer IP header and the inner packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Encap {
    /// Nothing: RFC 2003, RFC 2473, RFC 4213.
    #[default]
    Ipip,
    /// A GRE header, RFC 2784.
    Gre {
        /// Whether with a checksum over GRE header and inner packet.
        checksum: bool,
    },
    /// A UDP header and one of Generic UDP Encapsulation.
    Gue {
        /// UDP port of the real server.
        port: u16,
        /// UDP's checksum.
        checksum: GueChecksum,
    },
}

/// What the UDP header of GUE has in its checksum field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum GueChecksum {
    /// Zero, over IPv6 too (RFC 6935).
    #[default]
    Absent,
    /// The checksum.
    Full,
    /// The checksum; and of an inner packet whose own is [unfinished](super::Unfinished), where the
    /// receiver finds what to finish.
    Remote,
}

/// Tunnel types, numbered as the kernel's `IP_VS_CONN_F_TUNNEL_TYPE_*`.
mod kind {
    pub const IPIP: u16 = 0;
    pub const GUE: u16 = 1;
    pub const GRE: u16 = 2;
}
/// Bits above the type.
const CHECKSUM: u16 = 1 << 2;
const REMOTE: u16 = 1 << 3;

impl Encap {
    /// The port (0 for all but GUE), and type and flags in the low four bits: 32 bits for a conn to
    /// keep. Zeros are [`Encap::Ipip`].
    #[inline]
    pub const fn to_bits(self) -> (u16, u16) {
        match self {
            Encap::Ipip => (0, kind::IPIP),
            Encap::Gre { checksum: false } => (0, kind::GRE),
            Encap::Gre { checksum: true } => (0, kind::GRE | CHECKSUM),
            Encap::Gue { port, checksum: GueChecksum::Absent } => (port, kind::GUE),
            Encap::Gue { port, checksum: GueChecksum::Full } => (port, kind::GUE | CHECKSUM),
            Encap::Gue { port, checksum: GueChecksum::Remote } => (port, kind::GUE | REMOTE),
        }
    }

    /// What [`Encap::to_bits`] gave; `None` for anything else.
    #[inline]
    pub const fn from_bits((port, bits): (u16, u16)) -> Option<Encap> {
        const GRE_SUMMED: u16 = kind::GRE | CHECKSUM;
        const GUE_SUMMED: u16 = kind::GUE | CHECKSUM;
        const GUE_REMOTE: u16 = kind::GUE | REMOTE;
        Some(match (port, bits) {
            (0, kind::IPIP) => Encap::Ipip,
            (0, kind::GRE) => Encap::Gre { checksum: false },
            (0, GRE_SUMMED) => Encap::Gre { checksum: true },
            (port, kind::GUE) => Encap::Gue { port, checksum: GueChecksum::Absent },
            (port, GUE_SUMMED) => Encap::Gue { port, checksum: GueChecksum::Full },
            (port, GUE_REMOTE) => Encap::Gue { port, checksum: GueChecksum::Remote },
            _ => return None,
        })
    }

    /// Bytes between the outer IP header and an inner packet that is finished.
    #[inline]
    pub const fn shim_len(self) -> usize {
        match self {
            Encap::Ipip => 0,
            Encap::Gre { checksum: false } => gre::MIN_LEN,
            Encap::Gre { checksum: true } => gre::SUMMED_LEN,
            Encap::Gue { .. } => udp::HEADER_LEN + gue::MIN_LEN,
        }
    }

    /// Bytes that are added in front of an inner packet that is finished.
    #[inline]
    pub const fn overhead(self, outer: Family) -> u16 {
        let header_len = match outer {
            Family::V4 => ipv4::MIN_LEN,
            Family::V6 => ipv6::HEADER_LEN,
        };
        (header_len + self.shim_len()) as u16
    }

    /// Largest inner packet that leaves in one piece through an MTU of `mtu`.
    #[inline]
    pub const fn tunnel_mtu(self, mtu: u16, outer: Family) -> u16 {
        mtu.saturating_sub(self.overhead(outer))
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::every_encap;
    use super::*;

    #[test]
    fn bits_tell_every_encapsulation_and_nothing_else() {
        for encap in every_encap(6080) {
            assert_eq!(Encap::from_bits(encap.to_bits()), Some(encap));
        }
        assert_eq!(Encap::from_bits((0, 0)), Some(Encap::Ipip));
        let known = |port| (0..=u16::MAX).filter_map(move |bits| Encap::from_bits((port, bits)));
        assert_eq!((known(0).count(), known(6080).count()), (6, 3));
        for bits in 0..=u16::MAX {
            let back = Encap::from_bits((6080, bits)).map(Encap::to_bits);
            assert!(back.is_none_or(|back| back == (6080, bits)));
        }
    }
}
