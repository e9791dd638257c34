//! Ethernet II with at most one IEEE 802.1Q tag.

use super::be16;

/// Length of an untagged header.
pub const HEADER_LEN: usize = 14;
/// Length of a tag, and so what a tagged header has more.
pub const TAG_LEN: usize = 4;
/// Length of a tagged header.
pub const TAGGED_LEN: usize = HEADER_LEN + TAG_LEN;
/// Offset of the ethertype, or of the tag.
pub const ETHERTYPE: usize = 12;
/// The bits of a tag's control information that are the VLAN id.
pub const VLAN_MASK: u16 = 0x0fff;

/// Ethertypes (IANA) that the director tells apart.
pub mod ethertype {
    /// IPv4.
    pub const IPV4: u16 = 0x0800;
    /// ARP.
    pub const ARP: u16 = 0x0806;
    /// An 802.1Q tag follows.
    pub const VLAN: u16 = 0x8100;
    /// IPv6.
    pub const IPV6: u16 = 0x86dd;
}

/// What an Ethernet header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link {
    /// Ethertype of the payload.
    pub ethertype: u16,
    /// VLAN id, 0 if untagged or priority-tagged.
    pub vlan: u16,
    /// Offset of the payload: 14 or 18.
    pub payload: u8,
}

/// Reads the header and its tag; `None` if the frame is too short for them.
#[inline(always)]
pub fn link(frame: &[u8]) -> Option<Link> {
    let head = frame.first_chunk::<HEADER_LEN>()?;
    let ethertype = be16(head, ETHERTYPE);
    if ethertype != ethertype::VLAN {
        return Some(Link { ethertype, vlan: 0, payload: HEADER_LEN as u8 });
    }
    let head = frame.first_chunk::<TAGGED_LEN>()?;
    Some(Link {
        ethertype: be16(head, ETHERTYPE + TAG_LEN),
        vlan: be16(head, HEADER_LEN) & VLAN_MASK,
        payload: TAGGED_LEN as u8,
    })
}

/// Whom a frame is addressed to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Destination {
    /// The interface's own MAC address.
    Ours,
    /// A group address, broadcast included.
    Multicast,
    /// Another station.
    Other,
}

/// Whom `frame` is addressed to, seen from `our_mac`. A frame without an address is another's.
#[inline]
pub fn destination_class(frame: &[u8], our_mac: &[u8; 6]) -> Destination {
    match frame.first_chunk::<6>() {
        Some(mac) if mac == our_mac => Destination::Ours,
        Some(mac) if mac[0] & 1 == 1 => Destination::Multicast,
        _ => Destination::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAC: [u8; 6] = [2, 0, 0, 0, 0x0d, 1];

    #[test]
    fn frames_are_ours_multicast_or_anothers() {
        let to = |mac: [u8; 6]| destination_class(&[mac, MAC].concat(), &MAC);
        assert_eq!(to(MAC), Destination::Ours);
        assert_eq!(to([0xff; 6]), Destination::Multicast);
        assert_eq!(to([1, 0, 0x5e, 0, 0, 18]), Destination::Multicast);
        assert_eq!(to([2, 0, 0, 0, 0x0d, 2]), Destination::Other);
        assert_eq!(destination_class(&MAC[..5], &MAC), Destination::Other);
    }

    #[test]
    fn a_tag_gives_the_vlan_and_moves_the_payload() {
        let mut frame = vec![0; 12];
        frame.extend([0x08, 0x00]);
        assert_eq!(link(&frame), Some(Link { ethertype: 0x0800, vlan: 0, payload: 14 }));
        frame.truncate(12);
        // Priority 5, drop eligible, VLAN 0x123.
        frame.extend([0x81, 0x00, 0xb1, 0x23, 0x86, 0xdd]);
        assert_eq!(link(&frame), Some(Link { ethertype: 0x86dd, vlan: 0x123, payload: 18 }));
        assert_eq!(link(&frame[..17]), None);
        assert_eq!(link(&frame[..13]), None);
    }
}
