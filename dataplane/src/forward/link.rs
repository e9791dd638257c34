//! The frame's link header: MAC addresses, a tag put on, changed or taken off, and the ethertype,
//! which changes where a packet of one family leaves in a tunnel of the other.

use crate::io::Packet;
use crate::wire::ethernet::{ETHERTYPE, HEADER_LEN, TAG_LEN, TAGGED_LEN, ethertype};
use crate::wire::{ipv6, put16};

/// Writes the link header of a frame whose IP header is at `l3` (14 or 18): MAC addresses, the tag
/// of `vlan`, priority 0, or none for 0, and the ethertype that the IP header's version asks for.
/// `false`, and nothing changed, if a tag is to be added and there is no headroom.
#[inline]
#[must_use]
pub fn address<P: Packet>(
    packet: &mut P,
    l3: u8,
    vlan: u16,
    dst_mac: &[u8; 6],
    src_mac: &[u8; 6],
) -> bool {
    if usize::from(l3) == HEADER_LEN && vlan == 0 {
        let frame = packet.bytes_mut();
        write_macs(frame, dst_mac, src_mac);
        put16(frame, ETHERTYPE, ethertype_of(&frame[HEADER_LEN..]));
        return true;
    }
    address_with_tag(packet, l3, vlan, dst_mac, src_mac)
}

/// Writes the MAC addresses alone, destination first.
#[inline(always)]
pub fn readdress(frame: &mut [u8], macs: &[u8; 12]) {
    frame[..12].copy_from_slice(macs);
}

#[inline(always)]
fn write_macs(frame: &mut [u8], dst_mac: &[u8; 6], src_mac: &[u8; 6]) {
    frame[..12][..6].copy_from_slice(dst_mac);
    frame[..12][6..].copy_from_slice(src_mac);
}

/// The ethertype of an IP packet.
#[inline(always)]
fn ethertype_of(ip: &[u8]) -> u16 {
    if ipv6::version(ip) == 6 { ethertype::IPV6 } else { ethertype::IPV4 }
}

/// [`address`] where the frame came with a tag or leaves with one.
#[inline(never)]
fn address_with_tag<P: Packet>(
    packet: &mut P,
    l3: u8,
    vlan: u16,
    dst_mac: &[u8; 6],
    src_mac: &[u8; 6],
) -> bool {
    let tagged = usize::from(l3) == TAGGED_LEN;
    let payload_type = ethertype_of(&packet.bytes()[l3.into()..]);
    match (tagged, vlan != 0) {
        (false, true) if !packet.grow_front(TAG_LEN) => return false,
        (true, false) => packet.shrink_front(TAG_LEN),
        _ => {}
    }
    let frame = packet.bytes_mut();
    write_macs(frame, dst_mac, src_mac);
    let type_at = if vlan != 0 { ETHERTYPE + TAG_LEN } else { ETHERTYPE };
    if vlan != 0 {
        put16(frame, ETHERTYPE, ethertype::VLAN);
        put16(frame, HEADER_LEN, vlan);
    }
    put16(frame, type_at, payload_type);
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::PortId;
    use crate::io::sim::{HEADROOM, SimPacket};
    use crate::testing::{Frame, assert_frames_equal};

    const TO: [u8; 6] = [2, 0, 0, 0, 0x0e, 0x11];
    const FROM: [u8; 6] = [2, 0, 0, 0, 0x0d, 2];

    #[test]
    fn frames_leave_with_the_tag_of_their_way_out_whatever_they_came_with() {
        let frame = Frame::tcp(1, 2, 3, 4).payload(b"data");
        for (came, l3) in [(frame.clone(), 14), (frame.clone().tag(0xe007), 18)] {
            let readdressed = frame.clone().macs(TO, FROM);
            for (vlan, left) in [(0, readdressed.clone()), (9, readdressed.tag(9))] {
                let mut packet = SimPacket::new(&came.build(), PortId(0));
                assert!(address(&mut packet, l3, vlan, &TO, &FROM));
                assert_frames_equal(packet.bytes(), &left.build(), "readdressed");
            }
        }
    }

    #[test]
    fn the_ethertype_is_that_of_the_packet_whatever_the_frame_said() {
        let (v4, v6) = (Frame::tcp(1, 2, 3, 4), Frame::tcp6(1, 2, 3, 4));
        for (said, is) in [(&v4, &v6), (&v6, &v4), (&v4, &v4)] {
            for (tag, l3) in [(None, 14), (Some(5), 18)] {
                let with = |frame: &Frame| {
                    let frame = frame.clone().macs(TO, FROM);
                    tag.map_or(frame.clone(), |tci| frame.tag(tci))
                };
                let link = &with(said).build()[..usize::from(l3)];
                let mut packet = SimPacket::new(&[link, &is.build_ip()].concat(), PortId(0));
                assert!(address(&mut packet, l3, tag.unwrap_or(0), &TO, &FROM));
                assert_frames_equal(packet.bytes(), &with(is).build(), "ethertype");
            }
        }
    }

    #[test]
    fn without_headroom_for_a_tag_the_frame_stays_as_it_was() {
        let mut packet = SimPacket::new(&[0; 60], PortId(0));
        assert!(packet.grow_front(HEADROOM));
        let before = packet.bytes().to_vec();
        assert!(!address(&mut packet, 14, 9, &TO, &FROM));
        assert_frames_equal(packet.bytes(), &before, "no headroom");
        assert!(address(&mut packet, 14, 0, &TO, &FROM));
    }
}
