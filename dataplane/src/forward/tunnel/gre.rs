//! The GRE header (`ipvs_gre_encap`).

use super::Inner;
use crate::flow::protocol;
use crate::wire::{checksum, gre, put16, put32};

/// Writes the header to the front of `payload`, whose rest is the inner packet as it leaves. Gives
/// the protocol number that the outer IP header names.
pub(super) fn write(payload: &mut [u8], inner: &Inner, summed: bool) -> u8 {
    put16(payload, gre::FLAGS, if summed { gre::FLAG_CHECKSUM } else { 0 });
    put16(payload, gre::PROTOCOL, inner.ethertype());
    if summed {
        // The checksum and the reserved bytes behind it.
        put32(payload, gre::CHECKSUM, 0);
        let check = checksum::checksum(payload);
        put16(payload, gre::CHECKSUM, check);
    }
    protocol::GRE
}
