//! The headers of UDP and GUE (`ipvs_gue_encap`).

use super::{Ends, GueChecksum, Inner, Unfinished};
use crate::flow::protocol;
use crate::wire::{checksum, gue, put16, put32, udp};

/// Ports that GUE's packets come from: Linux's default `net.ipv4.ip_local_port_range`, of which the
/// kernel's `udp_flow_src_port` never takes the last one.
const FIRST_PORT: u16 = 32768;
const LAST_PORT: u16 = 60999;

/// The UDP source port of a flow with this `entropy`.
#[inline]
pub fn source_port(entropy: u16) -> u16 {
    let scaled = u32::from(entropy) * u32::from(LAST_PORT - FIRST_PORT);
    FIRST_PORT + (scaled >> 16) as u16
}

/// Writes both headers to the front of `payload`, whose rest is the inner packet as it leaves.
/// Gives the protocol number that the outer IP header names.
pub(super) fn write(
    payload: &mut [u8],
    inner: &Inner,
    ends: &Ends,
    port: u16,
    check: GueChecksum,
    entropy: u16,
) -> u8 {
    let len = payload.len() as u16;
    put16(payload, udp::SPORT, source_port(entropy));
    put16(payload, udp::DPORT, port);
    put16(payload, udp::LEN, len);
    put16(payload, udp::CHECKSUM, 0);
    let unfinished = inner.unfinished.filter(|_| check == GueChecksum::Remote);
    write_gue(&mut payload[udp::HEADER_LEN..], inner.protocol(), unfinished);
    if check != GueChecksum::Absent {
        let pseudo_header = ends.pseudo_header(protocol::UDP, len);
        let sum = !checksum::fold(pseudo_header + checksum::sum(payload));
        put16(payload, udp::CHECKSUM, if sum == 0 { udp::ZERO_CHECKSUM } else { sum });
    }
    protocol::UDP
}

fn write_gue(header: &mut [u8], proto: u8, unfinished: Option<Unfinished>) {
    let option_words = if unfinished.is_some() { gue::REMCSUM_LEN as u8 / 4 } else { 0 };
    header[gue::VERSION_AND_LEN] = option_words;
    header[gue::PROTOCOL] = proto;
    put16(header, gue::FLAGS, if unfinished.is_some() { gue::FLAG_PRIVATE } else { 0 });
    if let Some(Unfinished { start, field }) = unfinished {
        put32(header, gue::MIN_LEN, gue::PRIVATE_REMCSUM);
        put16(header, gue::MIN_LEN + 4, start);
        put16(header, gue::MIN_LEN + 6, field);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn source_ports_cover_the_range_evenly() {
        let mut counts = [0u8; 1 << 16];
        (0..=u16::MAX).for_each(|entropy| counts[usize::from(source_port(entropy))] += 1);
        let used = |port: usize| (32768..60999).contains(&port);
        for (port, &count) in counts.iter().enumerate() {
            assert!(if used(port) { (2..=3).contains(&count) } else { count == 0 }, "port {port}");
        }
    }
}
