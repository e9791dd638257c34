use super::*;
use crate::ids::PortId;
use crate::io::sim::SimPacket;
use crate::parse::{Content, Parsed, parse};
use crate::testing::{Frame, assert_frames_equal};

#[test]
fn esp_over_ipv6_changes_its_address_and_nothing_behind_it() {
    let esp = |src, dst| Frame::raw6(src, dst, 50, &[7; 41]).ext_of_len(0, 8);
    let delta = deltas(2_u128, 500, 3, 500).0;
    for inwards in [true, false] {
        let came = if inwards { esp(1, 2) } else { esp(3, 1) }.padding(4).build();
        let Parsed::V6(Content::Riding(headers)) = parse(&came) else { panic!("rides") };
        let mut packet = SimPacket::new(&came, PortId(0));
        let left = match inwards {
            true => {
                inbound_riding(&mut packet, &headers, 3, delta);
                esp(1, 3)
            }
            false => {
                outbound_riding(&mut packet, &headers, 2, delta);
                esp(2, 1)
            }
        };
        assert_frames_equal(packet.bytes(), &left.ttl(63).build(), "rides");
    }
}

#[test]
fn ah_and_esp_over_ipv4_change_their_address_and_their_header_s_checksum() {
    for proto in [50, 51] {
        let frame = |src, dst| Frame::raw(src, dst, proto, &[7; 41]).ip_options(&[1; 8]);
        let delta = deltas(2_u32, 500, 3, 500).0;
        for inwards in [true, false] {
            let came = if inwards { frame(1, 2) } else { frame(3, 1) }.padding(4).build();
            let Parsed::V4(Content::Riding(headers)) = parse(&came) else { panic!("rides") };
            let mut packet = SimPacket::new(&came, PortId(0));
            let left = match inwards {
                true => {
                    inbound_riding(&mut packet, &headers, 3, delta);
                    frame(1, 3)
                }
                false => {
                    outbound_riding(&mut packet, &headers, 2, delta);
                    frame(2, 1)
                }
            };
            assert_frames_equal(packet.bytes(), &left.ttl(63).build(), "rides");
        }
    }
}
