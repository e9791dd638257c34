//! NAT of SCTP: the port, and the checksum where the port changes (`sctp_dnat_handler`,
//! `sctp_snat_handler`). IPv4 and IPv6 alike, since the checksum covers no address.
//!
//! As from the kernel, a checksum is computed over what came, so one that was wrong goes out right,
//! unless the port stays: then no byte changes and a wrong one stays wrong. It covers the whole
//! packet: of a fragment there is none.
//!
//! A packet is given from the common header to the end of the IP packet, without Ethernet padding.
//! It gives `false`, and stays as it was, if it ends before its common header does.

use crate::wire::{be16, put16, sctp};

/// Client to real server: the destination port becomes `rport`.
#[inline]
#[must_use]
pub fn inbound(packet: &mut [u8], rport: u16) -> bool {
    change_port(packet, sctp::DPORT, rport)
}

/// Real server to client: the source port becomes `vport`.
#[inline]
#[must_use]
pub fn outbound(packet: &mut [u8], vport: u16) -> bool {
    change_port(packet, sctp::SPORT, vport)
}

#[inline]
fn change_port(packet: &mut [u8], at: usize, port: u16) -> bool {
    if packet.len() < sctp::HEADER_LEN {
        return false;
    }
    if be16(packet, at) != port {
        put16(packet, at, port);
        sctp::write_checksum(packet);
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::protocol;
    use crate::forward::golden_tests::exchanges;
    use crate::testing::{Rng, assert_frames_equal};

    #[test]
    fn a_new_port_gets_a_right_checksum_and_nothing_else_changes() {
        let mut rng = Rng::new(1);
        for len in sctp::HEADER_LEN..200 {
            let before = rng.bytes(len);
            for (change, at) in [(inbound as fn(&mut [u8], u16) -> bool, 2), (outbound, 0)] {
                let mut after = before.clone();
                let port = be16(&before, at) ^ 1;
                assert!(change(&mut after, port));
                assert_eq!(be16(&after, at), port);
                assert!(sctp::checksum_ok(&after));
                after[at..at + 2].copy_from_slice(&before[at..at + 2]);
                after[8..12].copy_from_slice(&before[8..12]);
                assert_eq!(after, before);
            }
        }
    }

    #[test]
    fn the_same_port_leaves_a_packet_as_it_is_and_its_wrong_checksum_too() {
        let mut packet = Rng::new(2).bytes(60);
        assert!(!sctp::checksum_ok(&packet));
        let before = packet.clone();
        assert!(inbound(&mut packet, be16(&before, 2)) && outbound(&mut packet, be16(&before, 0)));
        assert_eq!(packet, before);
    }

    #[test]
    fn a_packet_cut_in_its_header_is_refused_untouched() {
        for len in 0..sctp::HEADER_LEN {
            let mut packet = vec![7; len];
            assert!(!inbound(&mut packet, 80) && !outbound(&mut packet, 80));
            assert_eq!(packet, vec![7; len]);
        }
    }

    /// L4 protocol and offset of what follows the IP header, which is a plain one.
    fn l4(frame: &[u8]) -> (u8, usize) {
        match frame[12..14] {
            [0x08, 0x00] => (frame[14 + 9], 14 + 20),
            _ => (frame[14 + 6], 14 + 40),
        }
    }

    /// Every packet of the trace that went through has the kernel's bytes. Gives how many did, and
    /// how many of them came, and went, with a wrong checksum.
    fn replay(trace: &str, rport: u16) -> (usize, usize, usize) {
        let (mut forwarded, mut came_wrong, mut went_wrong) = (0, 0, 0);
        for (step, exchange) in exchanges(trace).iter().enumerate() {
            let [kernels] = &exchange.came[..] else { continue };
            let (proto, at) = l4(kernels);
            let mut packet = exchange.sent[at..].to_vec();
            if proto != protocol::SCTP || packet.len() < sctp::HEADER_LEN {
                continue;
            }
            came_wrong += usize::from(!sctp::checksum_ok(&packet));
            assert!(match exchange.from_server {
                false => inbound(&mut packet, rport),
                true => outbound(&mut packet, 80),
            });
            assert_frames_equal(&packet, &kernels[at..], &format!("{trace}, frame {step}"));
            went_wrong += usize::from(!sctp::checksum_ok(&packet));
            forwarded += 1;
        }
        (forwarded, came_wrong, went_wrong)
    }

    #[test]
    fn packets_equal_the_kernels_and_those_of_a_changed_port_are_all_right() {
        assert_eq!(replay("nat_sctp", 8080), (15, 2, 0));
        assert_eq!(replay("nat_sctp_v6", 8080), (8, 2, 0));
        assert_eq!(replay("nat_sctp_edges", 8080), (76, 8, 0));
    }

    #[test]
    fn packets_of_an_unchanged_port_equal_the_kernels_and_wrong_ones_stay_wrong() {
        assert_eq!(replay("nat_sctp_same_port", 80), (14, 2, 2));
    }
}
