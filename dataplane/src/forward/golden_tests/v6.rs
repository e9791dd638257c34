//! The same over IPv6.

use super::{Exchange, exchanges};
use crate::flow::{Direction, protocol};
use crate::forward::icmp_error::{self, IcmpError};
use crate::forward::{self, fits, gatewaying, icmp_related, link, masq};
use crate::ids::PortId;
use crate::io::Packet;
use crate::io::sim::SimPacket;
use crate::parse::{Content, Headers, IcmpHeaders, Parsed, parse};
use crate::testing::assert_frames_equal;
use crate::wire::{ipv6, put32};

const VIP: u128 = 0x2001_0db8_000c << 80 | 0x100;
const RIP: u128 = 0x2001_0db8_0005 << 80 | 0x11;

/// What a leaf is to make of a packet: whether the result is an error of the director's own.
enum Made {
    Forwarded,
    Refused,
}

/// Compares what `forward` makes of every whole packet that the kernel let through or answered with
/// what came of it; gives how many. Of the director's own errors the flow label is left out: the
/// kernel's is a hash under a secret of the boot's.
fn replay(
    name: &str,
    mut forward: impl FnMut(&Exchange, &Content<u128>, &mut SimPacket) -> Made,
) -> usize {
    let mut compared = 0;
    for (step, exchange) in exchanges(name).iter().enumerate() {
        let Parsed::V6(content) = parse(&exchange.sent) else { continue };
        if matches!(content, Content::Fragment(_)) || exchange.came.is_empty() {
            continue;
        }
        let mut came = exchange.came[0].clone();
        let mut packet = SimPacket::new(&exchange.sent, PortId(0));
        if let Made::Refused = forward(exchange, &content, &mut packet) {
            assert_ne!(ipv6::flow_label(&came[14..]), 0, "{name}, frame {step}");
            put32(&mut came, 14, 6 << 28);
        }
        let mac = |at: usize| came[at..at + 6].try_into().expect("six bytes");
        assert!(link::address(&mut packet, 14, 0, &mac(0), &mac(6)));
        assert_frames_equal(packet.bytes(), &came, &format!("{name}, frame {step}"));
        compared += 1;
    }
    compared
}

fn refuse(packet: &mut SimPacket, headers: &Headers<u128>, error: IcmpError) -> Made {
    assert!(icmp_error::make(packet, headers, error, VIP, 0));
    Made::Refused
}

fn masquerade(
    exchange: &Exchange,
    headers: &Headers<u128>,
    (vport, rport): (u16, u16),
    packet: &mut SimPacket,
) -> Made {
    let deltas = masq::deltas(VIP, vport, RIP, rport);
    match exchange.from_server {
        true => masq::outbound(packet, headers, (VIP, vport), deltas),
        false => masq::inbound(packet, headers, (RIP, rport), deltas),
    }
    Made::Forwarded
}

#[test]
fn masq_equals_the_kernels_and_so_do_its_errors_and_those_of_clients() {
    let mtu = 1400;
    let count = replay("nat_v6", |exchange, content, packet| match content {
        Content::Flow(headers) if forward::expires(headers) => {
            refuse(packet, headers, IcmpError::TimeExceeded)
        }
        Content::Flow(headers) if !fits(headers.ip_len, mtu) => {
            let direction = Direction::Inbound;
            refuse(packet, headers, IcmpError::FragmentationNeeded { mtu, direction })
        }
        Content::Flow(headers) => {
            let udp = headers.key.proto == protocol::UDP;
            masquerade(exchange, headers, if udp { (53, 5353) } else { (80, 80) }, packet)
        }
        Content::Icmp(headers) => {
            assert!(icmp_related::checksum_ok(packet, headers));
            icmp_related::inbound(packet, headers, RIP, 80);
            Made::Forwarded
        }
        other => panic!("{other:?}"),
    });
    assert_eq!(count, 13);
}

#[test]
fn gatewaying_equals_the_kernels_and_so_does_time_exceeded() {
    let count = replay("leaf/dr_v6", |_, content, packet| {
        match content {
            Content::Flow(headers) if forward::expires(headers) => {
                return refuse(packet, headers, IcmpError::TimeExceeded);
            }
            Content::Flow(headers) => gatewaying::forward(packet, headers),
            Content::Icmp(headers) => {
                let outer = icmp_related::as_packet(packet, headers);
                gatewaying::forward(packet, &outer);
            }
            other => panic!("{other:?}"),
        }
        Made::Forwarded
    });
    assert!(count >= 20, "{count} frames compared");
}

#[test]
fn port_unreachable_equals_the_kernels_when_a_service_has_no_servers() {
    let count = replay("leaf/noconn_cases", |_, content, packet| match content {
        Content::Flow(headers) => refuse(packet, headers, IcmpError::PortUnreachable),
        other => panic!("{other:?}"),
    });
    assert_eq!(count, 1);
}

#[test]
fn masq_of_sctp_equals_the_kernels() {
    let count = replay("nat_sctp_v6", |exchange, content, packet| match content {
        Content::Flow(headers) if forward::expires(headers) => {
            refuse(packet, headers, IcmpError::TimeExceeded)
        }
        Content::Flow(headers) => masquerade(exchange, headers, (80, 8080), packet),
        other => panic!("{other:?}"),
    });
    assert_eq!(count, 9);
}

/// The kernel loses a real server's errors over IPv6; here they are translated as over IPv4.
#[test]
fn an_error_of_a_real_server_reaches_the_client_unlike_the_kernels() {
    let mut lost = 0;
    for exchange in exchanges("nat_v6").iter().filter(|exchange| exchange.from_server) {
        let Parsed::V6(Content::Icmp(headers)) = parse(&exchange.sent) else { continue };
        assert!(exchange.came.is_empty(), "the kernel's bug is mended");
        let mut packet = SimPacket::new(&exchange.sent, PortId(0));
        assert!(icmp_related::checksum_ok(&packet, &headers));
        icmp_related::outbound(&mut packet, &headers, VIP, 80);
        assert!(icmp_related::checksum_ok(&packet, &reparsed(&packet)));
        let told = reparsed(&packet);
        assert_eq!((told.src, told.dst, told.ttl), (VIP, headers.dst, headers.ttl - 1));
        let quoted = told.quoted().expect("a flow");
        assert_eq!((quoted.src, quoted.dst, quoted.dport), (headers.dst, VIP, 80));
        lost += 1;
    }
    assert_eq!(lost, 2);
}

fn reparsed(packet: &SimPacket) -> IcmpHeaders<u128> {
    match parse(packet.bytes()) {
        Parsed::V6(Content::Icmp(headers)) => headers,
        other => panic!("{other:?}"),
    }
}
