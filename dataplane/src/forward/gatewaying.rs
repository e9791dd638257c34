//! Direct routing: the packet stays as it is but for its time to live (`ip_vs_dr_xmit`).

use super::trimmed_ip;
use crate::io::Packet;
use crate::parse::Headers;
use crate::wire::checksum;
use crate::wire::ip::IpHeader;

/// Takes one from the time to live or hop limit, which must be more than 1.
#[inline]
pub fn forward<A: IpHeader, P: Packet>(packet: &mut P, headers: &Headers<A>) {
    A::take_hop(trimmed_ip(packet, headers), checksum::UNCHANGED);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::PortId;
    use crate::io::sim::SimPacket;
    use crate::parse::{Content, Parsed, parse};
    use crate::testing::{Frame, assert_frames_equal};

    #[test]
    fn only_the_time_to_live_changes_and_padding_goes() {
        let frame = Frame::tcp(1, 2, 3, 4).tag(5).ip_options(&[1; 4]).payload(b"odd");
        let came = frame.clone().padding(9).build();
        let Parsed::V4(Content::Flow(headers)) = parse(&came) else { panic!("a flow") };
        let mut packet = SimPacket::new(&came, PortId(0));
        forward(&mut packet, &headers);
        assert_frames_equal(packet.bytes(), &frame.ttl(63).build(), "gatewaying");
    }
}
