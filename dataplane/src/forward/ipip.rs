//! IPv4 in IPv4, RFC 2003: the plainest [`tunnel`](super::tunnel).

use super::tunnel::four_in_four;
use crate::io::Packet;
use crate::parse::Headers;
use crate::wire::ipv4;

/// Bytes that the outer header adds: the tunnel's MTU is the next hop's less this.
pub const OVERHEAD: u16 = ipv4::MIN_LEN as u16;

/// Largest inner packet that leaves in one piece through an MTU of `mtu`.
#[inline]
pub fn tunnel_mtu(mtu: u16) -> u16 {
    mtu.saturating_sub(OVERHEAD)
}

/// Takes one from the inner time to live, which must be more than 1, and puts an outer header from
/// `local` to `rip` (host order) in front: TTL of the inner header after that, TOS of the inner.
/// With an `id` the outer packet has it and may be fragmented on its way; without one it has DF and
/// identification 0. `false`, and nothing changed, if there is no headroom or the length does not
/// fit 16 bits.
#[inline]
#[must_use]
pub fn encapsulate<P: Packet>(
    packet: &mut P,
    headers: &Headers,
    local: u32,
    rip: u32,
    id: Option<u16>,
) -> bool {
    four_in_four(packet, &headers.into(), local, rip, id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::PortId;
    use crate::io::sim::{HEADROOM, SimPacket};
    use crate::parse::{Content, Parsed, parse};
    use crate::testing::{Frame, assert_frames_equal};

    const LOCAL: u32 = 0xc0a8_0101;
    const RIP: u32 = 0xc0a8_010b;

    fn headers(frame: &[u8]) -> Headers {
        let Parsed::V4(Content::Flow(headers)) = parse(frame) else { panic!("a flow") };
        headers
    }

    #[test]
    fn the_outer_header_takes_after_the_inner_one() {
        for (df, id) in [(true, 0), (false, 77)] {
            for tagged in [false, true] {
                let with = |frame: Frame| if df { frame.df() } else { frame };
                let tag = |frame: Frame| if tagged { frame.tag(9) } else { frame };
                let inner = with(Frame::udp(1, 2, 3, 4)).id(5).tos(0xb9).payload(b"odd");
                let came = tag(inner.clone()).padding(20).build();
                let mut packet = SimPacket::new(&came, PortId(0));
                let outer_id = (!df).then_some(77);
                assert!(encapsulate(&mut packet, &headers(&came), LOCAL, RIP, outer_id));
                let payload = inner.ttl(63).build_ip();
                let outer = with(Frame::raw(LOCAL, RIP, 4, &payload)).id(id).tos(0xb9).ttl(63);
                assert_frames_equal(packet.bytes(), &tag(outer).build(), "ipip");
            }
        }
    }

    #[test]
    fn without_headroom_the_packet_stays_as_it_was() {
        let came = Frame::tcp(1, 2, 3, 4).build();
        let mut packet = SimPacket::new(&came, PortId(0));
        assert!(packet.grow_front(HEADROOM - 19));
        packet.bytes_mut()[..came.len()].copy_from_slice(&came);
        packet.truncate(came.len());
        assert!(!encapsulate(&mut packet, &headers(&came), LOCAL, RIP, None));
        assert_frames_equal(packet.bytes(), &came, "no headroom");
    }
}
