use super::*;
use crate::proto::sctp::Event;
use crate::testing::{Frame, from_hex};
use crate::wire::tcp::flags;

const CLIENT: u32 = 0xac10_0001;
const VIP: u32 = 0x0a00_0064;

fn tcp() -> Frame {
    Frame::tcp(CLIENT, 4000, VIP, 80)
}

fn udp() -> Frame {
    Frame::udp(CLIENT, 4000, VIP, 53)
}

#[track_caller]
fn headers(frame: &[u8]) -> Headers {
    match parse(frame) {
        Parsed::V4(Content::Flow(headers)) => headers,
        other => panic!("not a flow: {other:?}"),
    }
}

#[track_caller]
fn icmp_headers(frame: &[u8]) -> IcmpHeaders {
    match parse(frame) {
        Parsed::V4(Content::Icmp(headers)) => headers,
        other => panic!("not ICMP: {other:?}"),
    }
}

#[test]
fn headers_stay_small() {
    assert!(size_of::<Headers>() <= 32);
    assert!(size_of::<Content<u32>>() <= 44, "{}", size_of::<Content<u32>>());
}

#[test]
fn a_plain_tcp_packet_gives_every_field() {
    let expected = Headers {
        key: FlowKey { src: CLIENT, dst: VIP, sport: 4000, dport: 80, proto: 6 },
        vlan: 0,
        ip_len: 45,
        l3: 14,
        l4: 34,
        event: flags::PSH | flags::ACK,
        ttl: 9,
        tos: 0xb9,
        df: true,
    };
    let frame = tcp().flags(0x18).ttl(9).tos(0xb9).df().payload(b"odd..");
    assert_eq!(headers(&frame.build()), expected);
    let tagged = Headers { vlan: 10, l3: 18, l4: 38, ..expected };
    assert_eq!(headers(&frame.clone().tag(0xe00a).build()), tagged);
    let with_options = Headers { ip_len: 53, l4: 42, ..expected };
    assert_eq!(headers(&frame.ip_options(&[1; 8]).build()), with_options);
}

#[test]
fn the_short_way_takes_plain_packets_and_leaves_the_others() {
    let taken = |frame: &Frame| plain::headers::<u32>(&frame.build()).is_some();
    let long_udp = udp().payload(&[0; 12]);
    assert!(taken(&tcp()) && taken(&tcp().tcp_options(&[1; 12])) && taken(&long_udp));
    assert!(!taken(&tcp().tag(1)) && !taken(&tcp().ip_options(&[1; 4])) && !taken(&udp()));
    assert!(!taken(&long_udp.fragment(0, true)) && !taken(&tcp().bad_ip_checksum()));
}

#[test]
fn ethernet_padding_is_no_part_of_the_packet_and_a_priority_tag_is_no_vlan() {
    assert_eq!(headers(&tcp().padding(6).build()).ip_len, 40);
    let priority = headers(&udp().tag(0xe000).build());
    assert_eq!((priority.vlan, priority.l3), (0, 18));
}

#[test]
fn every_truncation_of_a_frame_is_dropped_by_the_layer_that_is_cut() {
    let frame = tcp().tag(3).payload(b"x").build();
    for len in 0..frame.len() {
        let reason = if len < 18 { DropReason::TruncatedL2 } else { DropReason::BadIpHeader };
        assert_eq!(parse(&frame[..len]), Parsed::Drop(reason), "cut to {len}");
    }
}

#[test]
fn lying_ip_headers_are_dropped() {
    let lie = |at: usize, value: u8| {
        let mut frame = tcp().build();
        frame[14 + at] = value;
        parse(&frame)
    };
    assert_eq!(lie(0, 0x65), Parsed::Drop(DropReason::BadIpHeader), "version 6");
    assert_eq!(lie(0, 0x44), Parsed::Drop(DropReason::BadIpHeader), "header of 16 bytes");
    assert_eq!(lie(0, 0x4f), Parsed::Drop(DropReason::BadIpHeader), "header of 60 of 40 bytes");
    assert_eq!(lie(3, 41), Parsed::Drop(DropReason::BadIpHeader), "longer than the frame");
    assert_eq!(lie(3, 19), Parsed::Drop(DropReason::BadIpHeader), "shorter than the header");
    assert_eq!(lie(5, 1), Parsed::Drop(DropReason::BadIpChecksum));
    let bad = tcp().ip_options(&[1; 4]).bad_ip_checksum().build();
    assert_eq!(parse(&bad), Parsed::Drop(DropReason::BadIpChecksum));
}

#[test]
fn an_l4_header_may_lie_about_its_length() {
    for offset in [0, 0x40, 0x60, 0xf0] {
        let mut frame = tcp().build();
        let told = headers(&frame);
        frame[14 + 20 + 12] = offset;
        assert_eq!(headers(&frame), told, "offset {offset:#x}");
    }
    for len in [0, 7, 8, 11, 12, 255] {
        let mut frame = udp().payload(b"abc").build();
        let told = headers(&frame);
        frame[14 + 20 + 5] = len;
        assert_eq!(headers(&frame), told, "UDP length {len}");
    }
}

#[test]
fn what_ends_before_its_ports_is_linuxs_and_a_cut_icmp_header_nobodys() {
    let cut = |proto: u8, len: usize| parse(&Frame::raw(1, 2, proto, &vec![0x50; len]).build());
    for (proto, len) in [6, 17, 132].into_iter().flat_map(|proto| (0..4).map(move |n| (proto, n))) {
        assert_eq!(cut(proto, len), Parsed::Other(PuntClass::Rest, 0), "{proto}, {len} bytes");
    }
    assert_eq!(cut(1, 7), Parsed::Drop(DropReason::BadL4Header));
}

#[test]
fn a_header_cut_after_the_ports_still_tells_its_flow() {
    for (proto, lens) in [(6, 4..20), (17, 4..8)] {
        for len in lens {
            let mut l4 = vec![0xff; len];
            l4[..4].copy_from_slice(&[0x0f, 0xa0, 0, 53]);
            let parsed = parse(&Frame::raw(1, 2, proto, &l4).build());
            let Parsed::V4(Content::CutFlow(headers)) = parsed else {
                panic!("protocol {proto}, {len} bytes");
            };
            assert_eq!(headers.key, FlowKey { src: 1, dst: 2, sport: 4000, dport: 53, proto });
            assert_eq!(headers.event, 0);
        }
    }
}

#[test]
fn first_and_later_fragments_are_told_apart_from_whole_packets() {
    let fragment = |offset, more| match parse(&udp().id(119).fragment(offset, more).build()) {
        Parsed::V4(Content::Fragment(fragment)) => Some(fragment),
        _ => None,
    };
    let first = fragment(0, true).expect("a fragment");
    assert_eq!((first.id, first.offset, first.more), (119, 0, true));
    let key = FlowKey { src: CLIENT, dst: VIP, sport: 4000, dport: 53, proto: 17 };
    assert_eq!((first.headers.key, first.headers.l3, first.headers.l4), (key, 14, 34));
    let last = fragment(1480, false).expect("a fragment");
    assert_eq!((last.id, last.offset, last.more), (119, 1480, false));
    assert_eq!(last.headers.key, FlowKey { sport: 0, dport: 0, ..key });
    assert_eq!(fragment(0, false), None);
    assert!(matches!(parse(&udp().df().build()), Parsed::V4(Content::Flow(_))));
}

#[test]
fn an_icmp_error_gives_the_flow_it_quotes() {
    let reply = Frame::tcp(VIP, 80, CLIENT, 4000).ip_options(&[1; 4]).build();
    let error = Frame::icmp_error(0x0a00_0002, VIP, 3, 4, &reply, 28).tag(7).build();
    let headers = icmp_headers(&error);
    let quoted = FlowKey { src: VIP, dst: CLIENT, sport: 80, dport: 4000, proto: 6 };
    assert_eq!((headers.src, headers.dst, headers.vlan), (0x0a00_0002, VIP, 7));
    assert_eq!((headers.kind, headers.code, headers.l4), (3, 4, 38));
    assert_eq!(headers.quoted(), Some(quoted));
    assert_eq!(headers.quoted_l4(), Some(38 + 8 + 24));
}

#[test]
fn four_bytes_of_the_quoted_l4_header_are_enough_and_three_are_not() {
    let reply = Frame::udp(VIP, 53, CLIENT, 4000).build();
    let error = |quoted| Frame::icmp_error(1, VIP, 11, 0, &reply, quoted).build();
    assert!(icmp_headers(&error(24)).quoted().is_some());
    assert_eq!(icmp_headers(&error(23)).quoted(), None);
    assert_eq!(icmp_headers(&error(0)).quoted_l4(), None);
}

#[test]
fn a_quoted_header_that_lies_names_no_flow() {
    let reply = Frame::udp(VIP, 53, CLIENT, 4000).payload(&[9; 60]).build();
    let first_byte = |byte: u8| {
        let mut reply = reply.clone();
        reply[14] = byte;
        icmp_headers(&Frame::icmp_error(1, VIP, 3, 3, &reply, 80).build()).quoted()
    };
    assert!(first_byte(0x45).is_some());
    assert_eq!(first_byte(0x65), None, "version 6");
    assert_eq!(first_byte(0x44), None, "header of 16 bytes");
    assert!(first_byte(0x4f).is_some(), "header of 60 bytes, which are there");
}

#[test]
fn messages_that_are_not_about_a_flow_quote_none() {
    let reply = Frame::udp(VIP, 53, CLIENT, 4000);
    let about = |kind, frame: &Frame| {
        icmp_headers(&Frame::icmp_error(1, VIP, kind, 0, &frame.build(), 28).build()).quoted()
    };
    assert_eq!(about(5, &reply), None, "redirect");
    assert_eq!(about(12, &reply), None, "parameter problem");
    assert_eq!(about(0, &reply), None, "echo reply");
    assert_eq!(about(3, &reply.clone().fragment(8, false)), None, "later fragment");
    for kind in [3, 4, 11] {
        assert!(about(kind, &reply).is_some(), "type {kind}");
    }
    assert!(about(3, &reply.fragment(0, true)).is_some(), "first fragment");
    let tunnel = about(3, &Frame::raw(VIP, CLIENT, 4, &[9; 8])).expect("of any protocol");
    assert_eq!((tunnel.proto, tunnel.sport, tunnel.dport), (4, 0, 0));
}

#[test]
fn an_error_is_found_by_the_quoted_flow_reversed_and_a_tunnels_by_the_inner_one_as_it_is() {
    let inner = Frame::tcp(CLIENT, 4000, VIP, 80).ip_options(&[1; 8]);
    let key = FlowKey { src: CLIENT, dst: VIP, sport: 4000, dport: 80, proto: 6 };
    let error = |frame: &Frame, len| Frame::icmp_error(1, 2, 3, 1, &frame.build(), len).build();
    let of = |frame: &Frame, len| icmp_headers(&error(frame, len));
    assert_eq!(of(&Frame::tcp(VIP, 80, CLIENT, 4000), 28).flow(), Some(key));
    let inside = |frame: &Frame, len| {
        let error = error(frame, len);
        tunnelled(&error, &icmp_headers(&error))
    };
    let tunnel = Frame::raw(1, 9, 4, &inner.build_ip()).ip_options(&[1; 4]);
    let found = inside(&tunnel, 24 + 28 + 4).expect("a tunnel's packet");
    assert_eq!((found.flow, found.at, found.header_len), (TunnelledFlow::V4(key), 42 + 24, 28));
    assert_eq!(of(&tunnel, 24 + 28 + 4).flow(), None, "the outer packet is of no flow");
    assert_eq!(inside(&tunnel, 24 + 28 + 3), None, "three bytes of the ports");
    assert_eq!(inside(&inner, 100), None, "no tunnel");
    for other in [inner.fragment(8, false), Frame::icmp(CLIENT, VIP, 8, 0, 1), tunnel] {
        assert_eq!(inside(&Frame::raw(1, 9, 4, &other.build_ip()), 100), None);
    }
}

#[test]
fn either_family_is_found_in_the_tunnels_of_either() {
    let key6 = FlowKey { src: 7_u128, dst: 8, sport: 4000, dport: 80, proto: 17 };
    let key4 = FlowKey { src: CLIENT, dst: VIP, sport: 4000, dport: 80, proto: 6 };
    let (udp6, tcp) = (Frame::udp6(7, 4000, 8, 80).build_ip(), Frame::tcp(CLIENT, 4000, VIP, 80));
    let over_v4 = Frame::raw(1, 9, 41, &udp6).build_ip();
    let over_v4 = Frame::icmp(3, 1, 3, 1, 0).payload(&over_v4).padding(7).build();
    let found = tunnelled(&over_v4, &icmp_headers(&over_v4)).expect("a tunnel's packet");
    assert_eq!((found.flow, found.at, found.header_len), (TunnelledFlow::V6(key6), 62, 40));
    let over_v6 = Frame::raw6(1, 9, 4, &tcp.build_ip()).build_ip();
    let over_v6 = Frame::icmp6(3, 1, 1, 3, 0).payload(&over_v6).build();
    let Parsed::V6(Content::Icmp(headers)) = parse(&over_v6) else { panic!("ICMPv6") };
    let found = tunnelled(&over_v6, &headers).expect("a tunnel's packet");
    assert_eq!((found.flow, found.at, found.header_len), (TunnelledFlow::V4(key4), 102, 20));
}

#[test]
fn what_is_not_ip_is_punted_with_its_class() {
    let punted = |ethertype: &str, rest: &str| {
        parse(&from_hex(&format!("020000000d01020000000c01{ethertype}{rest}")))
    };
    assert_eq!(punted("0806", ""), Parsed::Other(PuntClass::Neighbor, 0));
    assert_eq!(punted("8100 0005 0806", ""), Parsed::Other(PuntClass::Neighbor, 5));
    assert_eq!(punted("88cc", ""), Parsed::Other(PuntClass::Rest, 0));
    assert_eq!(punted("8100 0005 8100 0006", ""), Parsed::Other(PuntClass::Rest, 5));
}

#[test]
fn sctp_is_a_flow_whose_header_may_be_cut_after_the_ports() {
    let of = |len: usize| {
        let mut l4 = vec![0; len];
        l4[..4].copy_from_slice(&[0x0f, 0xa0, 0, 53]);
        // The first chunk's type.
        l4.iter_mut().skip(12).take(1).for_each(|kind| *kind = 1);
        parse(&Frame::raw(1, 2, 132, &l4).build())
    };
    let key = FlowKey { src: 1, dst: 2, sport: 4000, dport: 53, proto: 132 };
    for len in 4..20 {
        match of(len) {
            Parsed::V4(Content::CutFlow(headers)) if len < 12 => assert_eq!(headers.key, key),
            Parsed::V4(Content::Flow(headers)) if len >= 12 => {
                let event = if len < 16 { Event::NoChunk } else { Event::Init };
                assert_eq!((headers.key, headers.event), (key, event as u8));
            }
            other => panic!("{len} bytes: {other:?}"),
        }
    }
}

#[test]
fn ah_and_esp_ride_on_the_flow_of_their_key_exchange() {
    for proto in [50, 51] {
        let frame = Frame::raw(CLIENT, VIP, proto, &[7; 40]).ip_options(&[1; 4]).build();
        let Parsed::V4(Content::Riding(headers)) = parse(&frame) else { panic!("{proto}") };
        let key = FlowKey { src: CLIENT, dst: VIP, sport: 500, dport: 500, proto: 17 };
        assert_eq!((headers.key, headers.l4, headers.ip_len), (key, 38, 64));
    }
}
