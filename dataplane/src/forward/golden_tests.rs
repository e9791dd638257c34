//! Frames that the kernel's IPVS sent, leaf by leaf, from the recorded traces.

use super::icmp_error::IcmpError;
use super::{fits, fragment, gatewaying, icmp_error, ipip, link, masq};
use crate::flow::Direction;
use crate::ids::PortId;
use crate::io::Packet;
use crate::io::sim::{SimPacket, SimPool};
use crate::parse::{Content, Headers, Parsed, parse};
use crate::testing::{assert_frames_equal, from_hex};
use crate::wire::{be16, ipv4};

const VIP: u32 = 0x0a00_0064;
const RIP: u32 = 0xc0a8_010b;
const LOCAL: u32 = 0xc0a8_0101;
const MTU: u16 = 1500;

/// A frame sent to the director and the frames that came out because of it.
pub(super) struct Exchange {
    pub(super) sent: Vec<u8>,
    pub(super) came: Vec<Vec<u8>>,
    pub(super) from_server: bool,
}

pub(super) fn exchanges(name: &str) -> Vec<Exchange> {
    let path = format!("{}/tests/golden/{name}.json", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).expect("the trace is there");
    let trace: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let mut all: Vec<Exchange> = Vec::new();
    for step in trace["steps"].as_array().expect("steps") {
        let frame = || from_hex(step["frame"].as_str().expect("a frame"));
        match step["op"].as_str() {
            Some("send") => {
                let from_server = step["port"] == "s";
                all.push(Exchange { sent: frame(), came: Vec::new(), from_server });
            }
            Some("recv") => all.last_mut().expect("after a send").came.push(frame()),
            _ => {}
        }
    }
    all
}

/// Compares what `forward` makes of every TCP or UDP packet with what the kernel made of it, MAC
/// addresses taken from the kernel's frame; gives how many.
fn replay(
    name: &str,
    mut forward: impl FnMut(&Exchange, &Headers, SimPacket) -> Vec<SimPacket>,
) -> usize {
    let mut compared = 0;
    for (step, exchange) in exchanges(name).iter().enumerate() {
        let Parsed::V4(Content::Flow(headers)) = parse(&exchange.sent) else { continue };
        let packets = forward(exchange, &headers, SimPacket::new(&exchange.sent, PortId(0)));
        assert_eq!(packets.len(), exchange.came.len(), "{name}, frame {step}");
        for (mut packet, came) in packets.into_iter().zip(&exchange.came) {
            let mac = |at: usize| came[at..at + 6].try_into().expect("six bytes");
            assert!(link::address(&mut packet, headers.l3, 0, &mac(0), &mac(6)));
            assert_frames_equal(packet.bytes(), came, &format!("{name}, frame {step}"));
            compared += 1;
        }
    }
    compared
}

/// The identification the kernel chose: the one thing it does not reproduce itself.
fn id_of(exchange: &Exchange) -> u16 {
    be16(&exchange.came[0], 14 + ipv4::ID)
}

fn refuse(
    exchange: &Exchange,
    headers: &Headers,
    mut packet: SimPacket,
    error: IcmpError,
    src: u32,
) -> Vec<SimPacket> {
    assert!(icmp_error::make(&mut packet, headers, error, src, id_of(exchange)));
    vec![packet]
}

fn masquerade(
    vport: u16,
    rport: u16,
) -> impl FnMut(&Exchange, &Headers, SimPacket) -> Vec<SimPacket> {
    let deltas = masq::deltas(VIP, vport, RIP, rport);
    move |exchange, headers, mut packet| {
        if exchange.from_server {
            masq::outbound(&mut packet, headers, (VIP, vport), deltas);
        } else {
            masq::inbound(&mut packet, headers, (RIP, rport), deltas);
        }
        vec![packet]
    }
}

#[test]
fn masq_equals_the_kernels_for_tcp() {
    assert_eq!(replay("nat_tcp_basic", masquerade(80, 80)), 12);
}

#[test]
fn masq_equals_the_kernels_for_udp_with_every_kind_of_checksum() {
    assert_eq!(replay("nat_udp", masquerade(53, 5353)), 11);
}

#[test]
fn gatewaying_equals_the_kernels_and_so_does_time_exceeded() {
    let count = replay("dr_v4", |exchange, headers, mut packet| {
        if super::expires(headers) {
            return refuse(exchange, headers, packet, IcmpError::TimeExceeded, VIP);
        }
        gatewaying::forward(&mut packet, headers);
        vec![packet]
    });
    assert!(count >= 40, "{count} frames compared");
}

#[test]
fn ipip_equals_the_kernels_and_so_do_its_fragments_and_errors() {
    let mut fragmented = 0;
    let count = replay("tun_ipip_v4", |exchange, headers, mut packet| {
        let mtu = ipip::tunnel_mtu(MTU);
        if super::expires(headers) {
            return refuse(exchange, headers, packet, IcmpError::TimeExceeded, VIP);
        }
        if headers.df && !fits(headers.ip_len, mtu) {
            let direction = Direction::Inbound;
            let error = IcmpError::FragmentationNeeded { mtu, direction };
            return refuse(exchange, headers, packet, error, VIP);
        }
        let id = (!headers.df).then(|| id_of(exchange));
        assert!(ipip::encapsulate(&mut packet, headers, LOCAL, RIP, id));
        let mut rest = Vec::new();
        if !fits(headers.ip_len, mtu) {
            fragmented += 1;
            let l3 = headers.l3.into();
            assert!(fragment::fragment(&mut packet, l3, MTU, &mut SimPool::new(4), &mut rest, 64));
        }
        rest.insert(0, packet);
        rest
    });
    assert!(count >= 40, "{count} frames compared");
    assert_eq!(fragmented, 3);
}

#[test]
fn port_unreachable_equals_the_kernels_when_all_weights_are_zero() {
    let count = replay("sched_rr_w0all", |exchange, headers, packet| {
        refuse(exchange, headers, packet, IcmpError::PortUnreachable, VIP)
    });
    assert!(count >= 3, "{count} frames compared");
}

/// Cuts a packet that is to leave through `mtu` if it does not fit.
fn in_pieces(mut packet: SimPacket, headers: &Headers, mtu: u16) -> Vec<SimPacket> {
    let mut rest = Vec::new();
    if !fits(headers.ip_len, mtu) {
        let l3 = headers.l3.into();
        assert!(fragment::fragment(&mut packet, l3, mtu, &mut SimPool::new(4), &mut rest, 64));
    }
    rest.insert(0, packet);
    rest
}

#[test]
fn masq_through_a_small_mtu_equals_the_kernels_in_both_directions() {
    let mut masquerade = masquerade(80, 80);
    let count = replay("leaf/nat_mtu", |exchange, headers, packet| {
        let (mtu, src, direction) = match exchange.from_server {
            false => (1400, VIP, Direction::Inbound),
            true => (1300, LOCAL, Direction::Outbound),
        };
        if headers.df && !fits(headers.ip_len, mtu) {
            let error = IcmpError::FragmentationNeeded { mtu, direction };
            return refuse(exchange, headers, packet, error, src);
        }
        let packet = masquerade(exchange, headers, packet).remove(0);
        in_pieces(packet, headers, mtu)
    });
    assert_eq!(count, 10);
}

#[test]
fn gatewaying_through_a_small_mtu_equals_the_kernels() {
    let count = replay("dr_v4_mtu1400", |exchange, headers, mut packet| {
        let mtu = 1400;
        if super::expires(headers) {
            return refuse(exchange, headers, packet, IcmpError::TimeExceeded, VIP);
        }
        if headers.df && !fits(headers.ip_len, mtu) {
            let direction = Direction::Inbound;
            let error = IcmpError::FragmentationNeeded { mtu, direction };
            return refuse(exchange, headers, packet, error, VIP);
        }
        gatewaying::forward(&mut packet, headers);
        in_pieces(packet, headers, mtu)
    });
    assert!(count >= 50, "{count} frames compared");
}

mod v6;
