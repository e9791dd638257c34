//! The IEEE 802.1Q tag, which frames have on the wire and not on a TAP.

use dataplane::io::Packet;

const MACS: usize = 12;
const TAG: usize = 4;
const TPID: [u8; 2] = [0x81, 0x00];
const VID_MASK: u16 = 0x0fff;

/// Takes the tag off a frame that carries one of `vlan`; any other frame stays as it is.
pub fn untag<P: Packet>(packet: &mut P, vlan: u16) {
    if tag_of(packet.bytes()) == Some(vlan) {
        packet.bytes_mut().copy_within(..MACS, TAG);
        packet.shrink_front(TAG);
    }
}

/// Puts a tag of `vlan` with priority 0 on a frame of at least two MAC addresses; `vlan` 0 puts
/// none. `false`, and nothing changed, if the packet has no room in front.
#[must_use]
pub fn tag<P: Packet>(packet: &mut P, vlan: u16) -> bool {
    if vlan == 0 {
        return true;
    }
    if !packet.grow_front(TAG) {
        return false;
    }
    let frame = packet.bytes_mut();
    frame.copy_within(TAG..TAG + MACS, 0);
    frame[MACS..MACS + 2].copy_from_slice(&TPID);
    frame[MACS + 2..MACS + TAG].copy_from_slice(&vlan.to_be_bytes());
    true
}

fn tag_of(frame: &[u8]) -> Option<u16> {
    match frame.get(MACS..MACS + TAG)? {
        &[0x81, 0x00, high, low] => Some(u16::from_be_bytes([high, low]) & VID_MASK),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::Frame;
    use super::*;

    const PLAIN: &[u8] = b"\x02\0\0\0\0\x01\x02\0\0\0\0\x02\x08\0payload";
    /// Priority 5, VLAN 100.
    const TAGGED: &[u8] = b"\x02\0\0\0\0\x01\x02\0\0\0\0\x02\x81\0\xa0\x64\x08\0payload";

    #[test]
    fn the_tag_comes_off_with_its_priority_and_nothing_else_changes() {
        let mut frame = Frame::new(TAGGED);
        untag(&mut frame, 100);
        assert_eq!(frame.bytes(), PLAIN);
    }

    #[test]
    fn a_frame_without_this_vlans_tag_stays_as_it_is() {
        for (bytes, vlan) in
            [(PLAIN, 100), (PLAIN, 0), (TAGGED, 101), (TAGGED, 0), (&TAGGED[..15], 100)]
        {
            let mut frame = Frame::new(bytes);
            untag(&mut frame, vlan);
            assert_eq!(frame.bytes(), bytes);
        }
    }

    #[test]
    fn what_was_tagged_untags_to_itself() {
        for vlan in [1, 100, 4094] {
            let mut frame = Frame::new(PLAIN);
            assert!(tag(&mut frame, vlan));
            assert_eq!(frame.bytes().len(), PLAIN.len() + TAG);
            assert_eq!(frame.bytes()[12..16], [0x81, 0, (vlan >> 8) as u8, vlan as u8]);
            untag(&mut frame, vlan);
            assert_eq!(frame.bytes(), PLAIN);
        }
    }

    #[test]
    fn no_vlan_means_no_tag_and_no_headroom_means_no_change() {
        let mut frame = Frame::new(PLAIN);
        assert!(tag(&mut frame, 0));
        assert_eq!(frame.bytes(), PLAIN);
        let mut tight = Frame::without_headroom(PLAIN);
        assert!(!tag(&mut tight, 100));
        assert_eq!(tight.bytes(), PLAIN);
    }
}
