use super::*;
use crate::limits::{EXT_HEADERS, EXT_HEADERS_LEN};
use crate::testing::{Frame, Rng};
use crate::wire::tcp::flags;

const CLIENT: u128 = 0x2001_0db8_00cc << 80 | 1;
const VIP: u128 = 0x2001_0db8_000c << 80 | 0x100;
const ROUTER: u128 = 0x2001_0db8_000c << 80 | 2;

/// Types of extension headers.
const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const AH: u8 = 51;
const DESTINATION_OPTIONS: u8 = 60;

fn tcp() -> Frame {
    Frame::tcp6(CLIENT, 4000, VIP, 80)
}

fn udp() -> Frame {
    Frame::udp6(CLIENT, 4000, VIP, 53)
}

#[track_caller]
fn headers(frame: &[u8]) -> Headers<u128> {
    match parse(frame) {
        Parsed::V6(Content::Flow(headers)) => headers,
        other => panic!("not a flow: {other:?}"),
    }
}

#[track_caller]
fn icmp_headers(frame: &[u8]) -> IcmpHeaders<u128> {
    match parse(frame) {
        Parsed::V6(Content::Icmp(headers)) => headers,
        other => panic!("not ICMPv6: {other:?}"),
    }
}

#[test]
fn headers_stay_in_a_cache_line() {
    assert!(size_of::<Headers<u128>>() <= 64);
}

#[test]
fn a_plain_tcp_packet_gives_every_field() {
    let expected = Headers {
        key: FlowKey { src: CLIENT, dst: VIP, sport: 4000, dport: 80, proto: 6 },
        vlan: 0,
        ip_len: 65,
        l3: 14,
        l4: 54,
        event: flags::PSH | flags::ACK,
        ttl: 9,
        tos: 0xb9,
        df: true,
    };
    let frame = tcp().flags(0x18).ttl(9).tos(0xb9).flow_label(0xf_ffff).payload(b"odd..");
    assert_eq!(headers(&frame.build()), expected);
    assert_eq!(headers(&frame.clone().padding(3).build()), expected, "Ethernet padding");
    let tagged = Headers { vlan: 10, l3: 18, l4: 58, ..expected };
    assert_eq!(headers(&frame.clone().tag(0xe00a).build()), tagged);
    let with_options = Headers { ip_len: 89, l4: 78, ..expected };
    assert_eq!(headers(&frame.ext_of_len(DESTINATION_OPTIONS, 24).build()), with_options);
}

#[test]
fn the_short_way_takes_plain_packets_and_leaves_the_others() {
    let taken = |frame: &Frame| plain::headers::<u128>(&frame.build()).is_some();
    let long_udp = udp().payload(&[0; 12]);
    assert!(taken(&tcp()) && taken(&tcp().tcp_options(&[1; 12])) && taken(&long_udp));
    assert!(taken(&udp().payload(&[0; 11]).padding(1)) && !taken(&udp().payload(&[0; 11])));
    assert!(!taken(&tcp().tag(1)) && !taken(&tcp().ext_of_len(HOP_BY_HOP, 8)));
    assert!(!taken(&long_udp.fragment6(1, 0, true)) && !taken(&Frame::tcp(1, 2, 3, 4)));
    assert!(!taken(&Frame::raw6(1, 2, 132, &[0; 20])));
}

#[test]
fn the_short_way_says_what_the_long_one_says_whatever_the_bytes() {
    let mut rng = Rng::new(60);
    let mut taken = 0;
    for _ in 0..200_000 {
        let mut frame = if rng.one_in(2) { tcp() } else { udp().payload(&[0; 14]) }.build();
        for _ in 0..rng.below(4) {
            let at = 12 + rng.below(frame.len() - 12);
            frame[at] = [0, 1, 5, 8, 16, 20, 22, 0x60, rng.next() as u8][rng.below(9)];
        }
        frame.truncate(frame.len() - rng.below(3) * rng.below(30));
        if let Some(headers) = plain::headers::<u128>(&frame) {
            taken += 1;
            assert_eq!(parse_any(&frame), Parsed::V6(Content::Flow(headers)));
        }
    }
    assert!(taken > 50_000, "{taken} plain packets");
}

#[test]
fn every_truncation_of_a_frame_is_dropped_by_the_layer_that_is_cut() {
    let frame = tcp().tag(3).ext_of_len(ROUTING, 16).payload(b"x").build();
    for len in 0..frame.len() {
        let reason = if len < 18 { DropReason::TruncatedL2 } else { DropReason::BadIpHeader };
        assert_eq!(parse(&frame[..len]), Parsed::Drop(reason), "cut to {len}");
    }
}

#[test]
fn a_packet_that_truly_ends_early_is_judged_by_the_header_that_is_cut() {
    let whole = tcp().ext_of_len(HOP_BY_HOP, 8).ext_of_len(DESTINATION_OPTIONS, 16).build();
    for len in 1..whole.len() - 54 {
        let mut frame = whole[..54 + len].to_vec();
        frame[18..20].copy_from_slice(&(len as u16).to_be_bytes());
        match parse(&frame) {
            Parsed::Drop(DropReason::BadIpHeader) => assert!(len < 24, "{len} bytes"),
            Parsed::Other(PuntClass::Rest, 0) => assert!((24..28).contains(&len)),
            Parsed::V6(Content::CutFlow(headers)) => {
                assert!((28..44).contains(&len));
                assert_eq!((headers.key.dport, headers.event), (80, 0));
            }
            other => panic!("{len} bytes: {other:?}"),
        }
    }
}

#[test]
fn lying_ip_headers_and_jumbograms_are_dropped() {
    let lie = |frame: Frame, at: usize, value: u8| {
        let mut frame = frame.build();
        frame[14 + at] = value;
        parse(&frame)
    };
    assert_eq!(lie(tcp(), 0, 0x45), Parsed::Drop(DropReason::BadIpHeader), "version 4");
    assert_eq!(lie(tcp(), 5, 21), Parsed::Drop(DropReason::BadIpHeader), "beyond the frame");
    assert_eq!(lie(tcp(), 5, 0), Parsed::Other(PuntClass::Rest, 0), "no payload");
    let mut long = tcp().payload(&vec![0; 65500]).build();
    assert_eq!(parse(&long), Parsed::Drop(DropReason::BadIpHeader), "65,560 bytes");
    long[18..20].copy_from_slice(&65495_u16.to_be_bytes());
    assert_eq!(headers(&long).ip_len, u16::MAX);
    // Jumbo payload option, 65,536 bytes.
    let jumbo = tcp().ext(HOP_BY_HOP, &[0, 0xc2, 4, 0, 1, 0, 0]);
    let mut frame = jumbo.build();
    frame[18..20].fill(0);
    assert_eq!(parse(&frame), Parsed::Drop(DropReason::Jumbogram));
}

#[test]
fn an_l4_header_may_lie_about_its_length_behind_extension_headers_too() {
    for ext in [0, 16] {
        let with = |frame: Frame| match ext {
            0 => frame,
            len => frame.ext_of_len(DESTINATION_OPTIONS, len),
        };
        let lies = [0, 0x40, 0x60].map(|offset| (with(tcp()), 12, offset)).into_iter();
        let lies = lies.chain([0, 7, 8, 20, 21].map(|len| (with(udp().payload(&[0; 12])), 5, len)));
        for (frame, at, lie) in lies {
            let mut frame = frame.build();
            let told = headers(&frame);
            frame[54 + ext + at] = lie;
            assert_eq!(headers(&frame), told, "{lie} at {at}");
        }
    }
}

#[test]
fn any_chain_of_extension_headers_within_the_bounds_leads_to_the_flow() {
    let mut rng = Rng::new(61);
    for round in 0..2000 {
        let (mut frame, mut ext) = (tcp(), 0);
        for _ in 0..rng.below(EXT_HEADERS + 3) {
            let kind = [HOP_BY_HOP, ROUTING, DESTINATION_OPTIONS, AH, 44][rng.below(5)];
            frame = match kind {
                // The fragment header of a whole datagram.
                44 => frame.fragment6(rng.next() as u32, 0, false),
                AH => frame.ext(AH, &[[4].as_slice(), &rng.bytes(22)].concat()),
                _ => frame.ext_of_len(kind, 24),
            };
            ext += if kind == 44 { 8 } else { 24 };
        }
        let bytes = frame.build();
        let parsed = parse(&bytes);
        match parsed {
            Parsed::V6(Content::Flow(headers)) => {
                assert!(ext <= EXT_HEADERS_LEN);
                assert_eq!((headers.key.sport, headers.key.proto), (4000, 6));
                assert_eq!(usize::from(headers.l4), 54 + ext, "round {round}");
            }
            Parsed::Drop(DropReason::ExtHeaders) => assert!(ext > 8 * EXT_HEADERS),
            other => panic!("round {round}: {other:?}"),
        }
    }
}

#[test]
fn a_bomb_of_options_is_dropped_by_name() {
    let bomb = |len| parse(&tcp().ext_of_len(DESTINATION_OPTIONS, len).build());
    assert!(matches!(bomb(EXT_HEADERS_LEN), Parsed::V6(Content::Flow(_))));
    for len in [EXT_HEADERS_LEN + 8, 1400, 2048] {
        assert_eq!(bomb(len), Parsed::Drop(DropReason::ExtHeaders), "{len} bytes");
    }
}

#[test]
fn first_and_later_fragments_are_told_apart_from_whole_datagrams() {
    let fragment = |frame: Frame| match parse(&frame.build()) {
        Parsed::V6(Content::Fragment(fragment)) => Some(fragment),
        _ => None,
    };
    let id = 0x1234_5678;
    let first = fragment(udp().fragment6(id, 0, true)).expect("a fragment");
    assert_eq!((first.id, first.offset, first.more), (id, 0, true));
    let key = FlowKey { src: CLIENT, dst: VIP, sport: 4000, dport: 53, proto: 17 };
    assert_eq!((first.headers.key, first.headers.l3, first.headers.l4), (key, 14, 62));
    let last = fragment(udp().ext_of_len(HOP_BY_HOP, 8).fragment6(id, 65528, false));
    let last = last.expect("a fragment");
    assert_eq!((last.id, last.offset, last.more), (id, 65528, false));
    assert_eq!(last.headers.key, FlowKey { sport: 0, dport: 0, ..key });
    assert_eq!(last.headers.l4, 70);
    let syn = fragment(tcp().fragment6(id, 0, true)).expect("a fragment");
    assert_eq!(syn.headers.event, flags::SYN);
    let whole = headers(&udp().fragment6(id, 0, false).build());
    assert_eq!((whole.key, whole.l4), (key, 62));
}

#[test]
fn esp_rides_on_the_flow_of_its_key_exchange_and_ah_shows_the_flow_behind_it() {
    let frame = Frame::raw6(CLIENT, VIP, 50, &[7; 40]).ext_of_len(HOP_BY_HOP, 8);
    let Parsed::V6(Content::Riding(headers)) = parse(&frame.build()) else { panic!("ESP") };
    let key = FlowKey { src: CLIENT, dst: VIP, sport: 500, dport: 500, proto: 17 };
    assert_eq!((headers.key, headers.l4, headers.ip_len), (key, 62, 88));
    let behind = self::headers(&tcp().ext(AH, &[&[4][..], &[9; 22]].concat()).build());
    assert_eq!((behind.key.proto, behind.l4), (6, 78));
}

#[test]
fn an_icmpv6_error_gives_the_flow_it_quotes_behind_extension_headers_too() {
    let reply = Frame::tcp6(VIP, 80, CLIENT, 4000).ext_of_len(DESTINATION_OPTIONS, 16);
    let quoted = FlowKey { src: VIP, dst: CLIENT, sport: 80, dport: 4000, proto: 6 };
    for kind in [1, 2, 3, 4, 127] {
        let error = Frame::icmp6(ROUTER, VIP, kind, 4, 1300).payload(&reply.build_ip());
        let headers = icmp_headers(&error.ext_of_len(HOP_BY_HOP, 8).tag(7).build());
        assert_eq!((headers.src, headers.dst, headers.vlan), (ROUTER, VIP, 7));
        assert_eq!((headers.kind, headers.code, headers.l4), (kind, 4, 66));
        assert_eq!((headers.quoted(), headers.quoted_l4()), (Some(quoted), Some(66 + 8 + 56)));
        assert_eq!(headers.flow(), Some(quoted.reversed()));
    }
}

#[test]
fn four_bytes_of_the_quoted_l4_header_are_enough_and_a_quote_cut_before_names_no_flow() {
    let reply = Frame::udp6(VIP, 53, CLIENT, 4000).ext_of_len(ROUTING, 8).build_ip();
    for len in 0..=reply.len() {
        let error = Frame::icmp6(ROUTER, VIP, 3, 0, 0).payload(&reply[..len]).build();
        assert_eq!(icmp_headers(&error).quoted().is_some(), len >= 52, "{len} bytes");
    }
}

#[test]
fn quotes_that_lie_or_lead_too_far_name_no_flow() {
    let about = |frame: Frame| {
        icmp_headers(&Frame::icmp6(ROUTER, VIP, 3, 0, 0).payload(&frame.build_ip()).build())
    };
    let reply = || Frame::udp6(VIP, 53, CLIENT, 4000);
    assert!(about(reply().fragment6(1, 0, true)).flow().is_some(), "first fragment");
    assert_eq!(about(reply().fragment6(1, 8, false)).quoted(), None, "later fragment");
    assert_eq!(about(reply().ext_of_len(ROUTING, 200)).quoted(), None, "too long a chain");
    let longest = Frame::icmp6(ROUTER, VIP, 3, 0, 0).ext_of_len(ROUTING, EXT_HEADERS_LEN).tag(1);
    let longest = longest.payload(&reply().ext_of_len(ROUTING, EXT_HEADERS_LEN).build_ip());
    assert_eq!(icmp_headers(&longest.build()).quoted_l4(), Some(18 + 40 + 192 + 8 + 40 + 192));
    let mut version_4 = reply().build_ip();
    version_4[0] = 0x45;
    let frame = Frame::icmp6(ROUTER, VIP, 3, 0, 0).payload(&version_4);
    assert_eq!(icmp_headers(&frame.build()).quoted(), None);
    let echo = Frame::icmp6(ROUTER, VIP, 128, 0, 0).payload(&reply().build_ip());
    assert_eq!(icmp_headers(&echo.build()).quoted(), None);
    let tunnel = about(Frame::raw6(VIP, CLIENT, 41, &reply().build_ip()));
    assert_eq!(tunnel.quoted().map(|key| key.proto), Some(41));
    assert_eq!(tunnel.flow(), None);
}

#[test]
fn what_is_linux_s_is_punted_with_its_class() {
    let class = |frame: Frame| crate::punt::class(&parse(&frame.build()));
    let icmp = |kind| Frame::icmp6(CLIENT, VIP, kind, 0, 0);
    for kind in [130, 131, 132, 133, 134, 135, 136, 137, 143] {
        assert_eq!(parse(&icmp(kind).build()), Parsed::Other(PuntClass::Neighbor, 0), "{kind}");
    }
    let report = icmp(143).ext(HOP_BY_HOP, &[0, 5, 2, 0, 0, 0, 0]).tag(9);
    assert_eq!(parse(&report.build()), Parsed::Other(PuntClass::Neighbor, 9));
    for kind in [1, 128, 129, 138, 142, 144, 255] {
        assert_eq!(class(icmp(kind)), Some(PuntClass::Icmp), "{kind}");
    }
    assert_eq!(class(icmp(128).fragment6(1, 0, true)), Some(PuntClass::Icmp));
    assert_eq!(class(Frame::raw6(1, 2, 112, &[0; 20])), Some(PuntClass::Control), "VRRP");
    let bgp = || Frame::tcp6(CLIENT, 40000, VIP, 179);
    assert_eq!(class(bgp()), Some(PuntClass::Control), "BGP");
    assert_eq!(class(bgp().ext_of_len(DESTINATION_OPTIONS, 8)), Some(PuntClass::Control));
    assert_eq!(class(Frame::udp6(1, 49152, 2, 3784)), Some(PuntClass::Control), "BFD");
    assert_eq!(class(tcp()), Some(PuntClass::Rest));
    // Mobility (135) is no extension header to the kernel; 59 is the end without anything.
    for proto in [47, 59, 135, 139] {
        assert_eq!(class(Frame::raw6(1, 2, proto, &[0; 8])), Some(PuntClass::Rest), "{proto}");
    }
    assert_eq!(
        parse(&Frame::raw6(1, 2, 58, &[0; 7]).build()),
        Parsed::Drop(DropReason::BadL4Header)
    );
}
