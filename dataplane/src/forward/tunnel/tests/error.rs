//! Errors about outer packets, made into errors about the client's.

use super::super::encapsulate;
use super::super::error::{passed_on, path_mtu, unwrap};
use super::super::{Kind, Outer};
use super::{ends, every_encap, inner_of};
use crate::address::Family;
use crate::flow::FlowKey;
use crate::forward::icmp_error::IcmpError;
use crate::ids::PortId;
use crate::io::Packet;
use crate::io::sim::SimPacket;
use crate::parse::{
    Content, Headers, IcmpHeaders, Parsed, Tunnelled, TunnelledFlow, parse, tunnelled,
};
use crate::testing::{Frame, assert_frames_equal};
use crate::wire::{ipv4, put16};

const FAMILIES: [Family; 2] = [Family::V4, Family::V6];

/// What an error says, of whichever family it is.
enum Error {
    V4(IcmpHeaders),
    V6(IcmpHeaders<u128>),
}

fn read(frame: &[u8]) -> (Error, Option<Tunnelled>) {
    match parse(frame) {
        Parsed::V4(Content::Icmp(headers)) => (Error::V4(headers), tunnelled(frame, &headers)),
        Parsed::V6(Content::Icmp(headers)) => (Error::V6(headers), tunnelled(frame, &headers)),
        other => panic!("no ICMP: {other:?}"),
    }
}

/// A client's packet, marked in every field that is read back.
fn inner(family: Family) -> Frame {
    match family {
        Family::V4 => Frame::tcp(7, 4000, 8, 80).df().tos(8).payload(&[7; 30]),
        Family::V6 => Frame::tcp6(7, 4000, 8, 80).tos(8).payload(&[7; 30]),
    }
}

/// An error of type `kind` about the outer IP packet, quoted to `len` bytes.
fn about(outer: &[u8], over: Family, kind: u8, len: usize) -> Frame {
    match over {
        Family::V4 => Frame::icmp(3, 1, kind, 1, 0).payload(&outer[..len]),
        Family::V6 => Frame::icmp6(3, 1, kind, 1, 0).payload(&outer[..len]),
    }
}

fn unwrapped(frame: &[u8], inner: &Tunnelled) -> (SimPacket, Headers<u128>) {
    let mut packet = SimPacket::new(frame, PortId(0));
    let (error, _) = read(frame);
    let headers = match (error, inner.flow) {
        (Error::V4(error), TunnelledFlow::V4(key)) => {
            widen(unwrap(&mut packet, &error, inner, key))
        }
        (Error::V6(error), TunnelledFlow::V4(key)) => {
            widen(unwrap(&mut packet, &error, inner, key))
        }
        (Error::V4(error), TunnelledFlow::V6(key)) => unwrap(&mut packet, &error, inner, key),
        (Error::V6(error), TunnelledFlow::V6(key)) => unwrap(&mut packet, &error, inner, key),
    };
    (packet, headers)
}

/// The headers with addresses of 16 bytes.
fn widen(headers: Headers) -> Headers<u128> {
    let Headers { key, vlan, ip_len, l3, l4, event, ttl, tos, df } = headers;
    let FlowKey { src, dst, sport, dport, proto } = key;
    let key = FlowKey { src: src.into(), dst: dst.into(), sport, dport, proto };
    Headers { key, vlan, ip_len, l3, l4, event, ttl, tos, df }
}

#[test]
fn an_unwrapped_packet_is_the_inner_one_as_far_as_it_was_quoted() {
    for encap in every_encap(6080) {
        for (over, family) in
            FAMILIES.into_iter().flat_map(|over| FAMILIES.map(|in_it| (over, in_it)))
        {
            let came = inner(family).build();
            let mut packet = SimPacket::new(&came, PortId(0));
            let outer = Outer { encap, ends: ends(over, 1) };
            assert!(encapsulate(&mut packet, &inner_of(&came), &outer, None, 9));
            let (outer_ip, whole) = (&packet.bytes()[14..], inner(family).ttl(63).build_ip());
            let header_len = if family == Family::V4 { 20 } else { 40 };
            let added = usize::from(encap.overhead(over));
            for (tag, len) in
                [(false, header_len + 4), (true, header_len + 9), (false, whole.len())]
            {
                let frame = about(outer_ip, over, 3, added + len);
                let frame = if tag { frame.tag(5) } else { frame }.padding(3).build();
                let found = read(&frame).1.expect("a tunnel's packet");
                assert_eq!((found.tunnel.kind, found.tunnel.ends), (Kind::of(encap), outer.ends));
                let (packet, headers) = unwrapped(&frame, &found);
                let l3 = if tag { 18 } else { 14 };
                assert_frames_equal(
                    packet.bytes(),
                    &[&frame[..l3], &whole[..len]].concat(),
                    "inner",
                );
                let key = FlowKey { src: 7, dst: 8, sport: 4000, dport: 80, proto: 6 };
                assert_eq!((headers.key, headers.ip_len), (key, len as u16));
                assert_eq!(usize::from(headers.l4), l3 + header_len);
                assert_eq!((headers.ttl, headers.tos, headers.df), (63, 8, true));
            }
        }
    }
}

#[test]
fn an_inner_length_that_lies_is_kept_between_the_ports_and_what_is_there() {
    let mut ip = Frame::udp(7, 4000, 8, 80).payload(&[7; 30]).build_ip();
    for (said, taken) in [(0, 24), (20, 24), (25, 25), (58, 58), (59, 58), (u16::MAX, 58)] {
        put16(&mut ip, ipv4::TOTAL_LEN, said);
        let outer = Frame::raw(1, 9, 4, &ip).build_ip();
        let frame = about(&outer, Family::V4, 3, outer.len()).build();
        let found = read(&frame).1.expect("a tunnel's packet");
        assert_eq!(unwrapped(&frame, &found).1.ip_len, taken, "said {said}");
    }
}

#[test]
fn only_errors_about_the_size_tell_an_mtu() {
    let v4 = |kind, code, rest| match read(&Frame::icmp(3, 1, kind, code, rest).build()).0 {
        Error::V4(error) => path_mtu(&error, rest),
        Error::V6(_) => panic!("IPv4"),
    };
    assert_eq!((v4(3, 4, 0xffff_04b0), v4(3, 4, 0)), (Some(1200), Some(0)));
    assert_eq!((v4(3, 1, 1200), v4(11, 0, 1200), v4(2, 0, 1200)), (None, None, None));
    let v6 = |kind, code, rest| match read(&Frame::icmp6(3, 1, kind, code, rest).build()).0 {
        Error::V6(error) => path_mtu(&error, rest),
        Error::V4(_) => panic!("IPv6"),
    };
    assert_eq!((v6(2, 0, 1400), v6(2, 7, 70_000)), (Some(1400), Some(u16::MAX)));
    assert_eq!((v6(1, 4, 1400), v6(3, 0, 1400)), (None, None));
}

#[test]
fn a_client_gets_the_same_error_or_what_means_as_much_in_its_family() {
    let told = |over: Family, to: Family, kind, code| {
        let frame = match over {
            Family::V4 => Frame::icmp(3, 1, kind, code, 9),
            Family::V6 => Frame::icmp6(3, 1, kind, code, 9),
        };
        let error = match read(&frame.build()).0 {
            Error::V4(error) => passed_on(&error, 9, to),
            Error::V6(error) => passed_on(&error, 9, to),
        };
        error.map(|error| match error {
            IcmpError::PassedOn { kind, code, rest } => (kind, code, rest),
            other => panic!("{other:?}"),
        })
    };
    use Family::{V4, V6};
    for (kind, code) in [(3, 0), (3, 1), (3, 13), (4, 0), (11, 0)] {
        assert_eq!(told(V4, V4, kind, code), Some((kind, code, 9)));
    }
    for (kind, code) in [(1, 0), (1, 4), (3, 0), (3, 1)] {
        assert_eq!(told(V6, V6, kind, code), Some((kind, code, 9)));
    }
    assert_eq!(told(V6, V6, 4, 1), Some((1, 3, 0)), "a pointer into the outer header");
    let to_v6 = [((3, 0), 3), ((3, 1), 3), ((3, 3), 4), ((3, 9), 1), ((3, 10), 1), ((3, 13), 1)];
    for ((kind, code), meant) in to_v6 {
        assert_eq!(told(V4, V6, kind, code), Some((1, meant, 0)), "{kind}/{code}");
    }
    assert_eq!(told(V4, V6, 11, 0), Some((3, 0, 0)));
    assert_eq!(told(V4, V6, 4, 0), None, "source quench");
    for ((kind, code), meant) in [((1, 0), 1), ((1, 1), 10), ((1, 3), 1), ((1, 4), 3), ((4, 1), 1)]
    {
        assert_eq!(told(V6, V4, kind, code), Some((3, meant, 0)), "{kind}/{code}");
    }
    assert_eq!(told(V6, V4, 3, 0), Some((11, 0, 0)));
}
