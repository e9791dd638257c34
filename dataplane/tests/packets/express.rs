//! The short way of plain packets beside the whole way: the same traffic, the same frames out, the
//! same counters, the same conns.

use crate::rig::*;
use dataplane::conn::Listed;
use dataplane::flow::protocol;
use dataplane::ids::PortId;
use dataplane::nexthop::NextHopState;
use dataplane::service::{ClientAddress, ForwardingMethod, ServiceKey};
use dataplane::testing::control::{Server, tcp, udp};
use dataplane::testing::{Frame, MAC_CLIENT, MAC_DIRECTOR, Rng, assert_frames_equal};
use std::net::IpAddr;

const CLIENT6: u128 = 0x2001_0db8_00aa_0000_0000_0000_0000_0001;
const ROUTER6: u128 = 0x2001_0db8_00aa_0000_0000_0000_0000_00fe;
const VIP6: u128 = 0x2001_0db8_0001_0000_0000_0000_0000_0064;
const RIP6: u128 = 0x2001_0db8_0002_0000_0000_0000_0000_000b;
/// Fullnat's local addresses.
const LOCAL: u32 = 0xc0a8_0180;
const LOCAL6: u128 = 0x2001_0db8_0002_0000_0000_0000_0000_0080;
const METHODS: [ForwardingMethod; 4] = [
    ForwardingMethod::Masq,
    ForwardingMethod::Gatewaying,
    ForwardingMethod::Ipip,
    ForwardingMethod::Fullnat,
];

/// Every method over TCP and UDP and both families, on ports 80, 81 and 82.
fn services() -> Vec<(ServiceKey, ServiceKey, ForwardingMethod)> {
    let of = |(n, method): (u16, _)| {
        let port = 80 + n;
        [(tcp(VIP, port), tcp(VIP6, port), method), (udp(VIP, port), udp(VIP6, port), method)]
    };
    (0u16..).zip(METHODS).flat_map(of).collect()
}

fn rig(express: bool) -> Rig {
    let mut rig = Rig::with(|config| config.express = express);
    rig.control.neighbor(ROUTER6, dataplane::ids::InterfaceId(0), MAC_CLIENT);
    rig.control.neighbor(RIP6, dataplane::ids::InterfaceId(1), mac(9));
    rig.control.route(0x2001_0db8_00aa_0000_0000_0000_0000_0000_u128, 64, ROUTER6);
    for (v4, v6, method) in services() {
        rig.add(v4, method, 2);
        rig.control.service(v6, dataplane::sched::SchedulerKind::Rr);
        let ServiceKey::Address { vport, proto, .. } = v6 else { panic!("an address") };
        rig.control.server(v6, Server::new(RIP6, vport, method));
        if method == ForwardingMethod::Fullnat {
            let is_tcp = proto == protocol::TCP;
            let told = if is_tcp { ClientAddress::Toa } else { ClientAddress::None };
            rig.control.fullnat(v4, &[LOCAL], told);
            rig.control.fullnat(v6, &[LOCAL6], told);
        }
    }
    rig.publish();
    rig
}

/// What the frames of a flow have in common with none of another: mostly plain, and every other kind.
fn dressed(rng: &mut Rng, frame: Frame) -> Frame {
    const FLAGS: [u8; 8] = [0x02, 0x10, 0x10, 0x18, 0x11, 0x04, 0x12, 0x00];
    let frame = frame.flags(FLAGS[rng.below(8)]).seq(rng.next() as u32);
    let frame = frame.payload(&vec![7; rng.below(40)]).ttl([64, 64, 64, 2, 1, 0][rng.below(6)]);
    match rng.below(16) {
        0 => frame.padding(rng.below(12)),
        1 => frame.tag(VLAN_C),
        2 => frame.ip_options(&[1; 4]),
        3 => frame.tcp_options(&[1; 8]),
        4 => frame.no_checksum(),
        5 => frame.bad_l4_checksum(),
        6 => frame.bad_ip_checksum(),
        7 => frame.df().payload(&[1; 1200]),
        8 => frame.tos(3),
        9 => frame.tcp_options(&[254, 8, 0, 80, 8, 8, 8, 8]),
        _ => frame,
    }
}

/// A client's packet or a real server's, of a few flows; `conns` are those that are open.
fn frame(rng: &mut Rng, conns: &[Listed]) -> (PortId, Vec<u8>) {
    let local_ends: Vec<_> = conns.iter().filter(|conn| conn.local.is_some()).collect();
    if !local_ends.is_empty() && rng.one_in(4) {
        let answer = answer(local_ends[rng.below(local_ends.len())]);
        return (S, dressed(rng, answer).build());
    }
    let (client, server) = (1000 + rng.below(6) as u16, 80 + rng.below(4) as u16);
    let is_udp = rng.one_in(3);
    let inbound = rng.below(3) > 0;
    let (v4, v6) = match is_udp {
        true => (Frame::udp as fn(_, _, _, _) -> _, Frame::udp6 as fn(_, _, _, _) -> _),
        false => (Frame::tcp as fn(_, _, _, _) -> _, Frame::tcp6 as fn(_, _, _, _) -> _),
    };
    let is_v6 = rng.one_in(3);
    let n = 1 + rng.below(2) as u8;
    let plain = match (is_v6, inbound) {
        (false, true) => v4(CLIENT, client, VIP, server),
        (false, false) => from_server(n, v4(rip(n), server, CLIENT, client)),
        (true, true) => v6(CLIENT6, client, VIP6, server),
        (true, false) => v6(RIP6, server, CLIENT6, client).macs(MAC_DS, mac(9)),
    };
    let plain = if inbound { plain.macs(MAC_DIRECTOR, MAC_CLIENT) } else { plain };
    (if inbound { C } else { S }, dressed(rng, plain).build())
}

/// A real server's packet to the local end of a fullnat conn.
fn answer(Listed { conn, addresses, local }: &Listed) -> Frame {
    let (rport, lport, is_tcp) = (conn.rport, conn.lport, conn.proto == protocol::TCP);
    match (addresses.real, local.expect("fullnat")) {
        (IpAddr::V4(real), IpAddr::V4(local)) => {
            let make = if is_tcp { Frame::tcp } else { Frame::udp };
            let n = (real.to_bits() - rip(0)) as u8;
            from_server(n, make(real.to_bits(), rport, local.to_bits(), lport))
        }
        (IpAddr::V6(real), IpAddr::V6(local)) => {
            let make = if is_tcp { Frame::tcp6 } else { Frame::udp6 };
            make(real.to_bits(), rport, local.to_bits(), lport).macs(MAC_DS, mac(9))
        }
        _ => panic!("one family"),
    }
}

/// What changes around the traffic.
fn change(rig: &mut Rig, rng: &mut Rng) {
    match rng.below(6) {
        0 => rig.pass(rng.below(70) as u32),
        1 => rig.resolve(rip(1), NextHopState::Unresolved),
        2 => rig.resolve(rip(1), NextHopState::Resolved),
        3 => {
            rig.control.delete_server(tcp(VIP, 80), rip(2), 80);
            rig.publish();
        }
        4 => {
            rig.control.server(tcp(VIP, 80), Server::new(rip(2), 80, ForwardingMethod::Masq));
            rig.publish();
        }
        _ => {
            rig.control.hop(rip(1)).mtu = [1500, 600][rng.below(2)];
            rig.publish();
        }
    }
}

fn conns(rig: &Rig) -> Vec<Listed> {
    let conns = rig.machine.conns(0);
    conns.live_in(conns.ids()).map(|(_, conn)| conns.listed(conn)).collect()
}

#[test]
fn the_short_way_and_the_whole_way_do_the_same() {
    for seed in 0..40 {
        let (mut rng, mut rigs) = (Rng::new(seed), [rig(true), rig(false)]);
        for round in 0..60 {
            if rng.one_in(8) {
                let seed = rng.next();
                rigs.iter_mut().for_each(|rig| change(rig, &mut Rng::new(seed)));
            }
            let open = conns(&rigs[1]);
            let frames: Vec<_> = (0..rng.below(40)).map(|_| frame(&mut rng, &open)).collect();
            let what = format!("seed {seed}, round {round}");
            let [short, whole] = rigs.each_mut().map(|rig| {
                frames.iter().for_each(|(port, frame)| rig.machine.feed(*port, 0, frame));
                rig.machine.settle(rig.now);
                rig.machine.check();
                rig.machine.take_sent()
            });
            assert_eq!(short.len(), whole.len(), "{what}: frames sent");
            for (short, whole) in short.iter().zip(&whole) {
                assert_eq!(short.0, whole.0, "{what}: port");
                assert_frames_equal(&short.1, &whole.1, &what);
            }
            let [short, whole] = &mut rigs;
            assert_eq!(short.machine.take_punted(), whole.machine.take_punted(), "{what}: punted");
            assert_eq!(short.machine.totals(), whole.machine.totals(), "{what}: tally");
            assert_eq!(short.dests(), whole.dests(), "{what}: destinations");
            let told = |rig| format!("{:#?}", conns(rig));
            assert_eq!(told(short), told(whole), "{what}: conns");
        }
    }
}
