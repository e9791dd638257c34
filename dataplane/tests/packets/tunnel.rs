//! Tunnels of every encapsulation between every two families: what fits, what is told, and what is
//! learned from errors about their packets.

use crate::rig::*;
use dataplane::address::{Address, Family};
use dataplane::forward::tunnel::{Encap, GueChecksum, Kind, unwrap_quoted};
use dataplane::ids::{InterfaceId, PortId};
use dataplane::sched::SchedulerKind;
use dataplane::service::ForwardingMethod::{Ipip, Masq};
use dataplane::service::ServiceKey;
use dataplane::testing::control::{Server, tcp, udp};
use dataplane::testing::{Frame, MAC_CLIENT, verify};
use std::net::IpAddr;

const CLIENT6: u128 = 0x2001_0db8_00cc << 80 | 1;
const VIP6: u128 = 0x2001_0db8_000c << 80 | 0x100;
const ROUTER6: u128 = 0x2001_0db8_000c << 80 | 2;
const RIP6: u128 = 0x2001_0db8_0005 << 80 | 0x11;
const LOCAL: u32 = 0xc0a8_0101;
const LOCAL6: u128 = 0x2001_0db8_0005 << 80 | 1;

const FAMILIES: [Family; 2] = [Family::V4, Family::V6];
const ENCAPS: [Encap; 6] = [
    Encap::Ipip,
    Encap::Gre { checksum: false },
    Encap::Gre { checksum: true },
    Encap::Gue { port: 6080, checksum: GueChecksum::Absent },
    Encap::Gue { port: 6080, checksum: GueChecksum::Full },
    Encap::Gue { port: 6080, checksum: GueChecksum::Remote },
];

/// A service of one family whose real server, of another or the same, is behind a tunnel.
struct Tunnelled {
    rig: Rig,
    encap: Encap,
    inner: Family,
    over: Family,
}

impl Tunnelled {
    /// With one conn, from port 4000.
    fn new(encap: Encap, inner: Family, over: Family) -> Tunnelled {
        let mut tunnelled = Tunnelled::with_workers(encap, inner, over, 1);
        assert_eq!(tunnelled.send(&tunnelled.packet(0)).len(), 1);
        tunnelled
    }

    fn with_workers(encap: Encap, inner: Family, over: Family, workers: usize) -> Tunnelled {
        let mut rig =
            Rig::with(|config| (config.workers, config.queues) = (workers, vec![workers; 2]));
        rig.control.neighbor(ROUTER6, InterfaceId(0), MAC_CLIENT);
        rig.control.neighbor(RIP6, InterfaceId(1), mac(1));
        rig.control.route(CLIENT6, 64, ROUTER6);
        let mut tunnelled = Tunnelled { rig, encap, inner, over };
        tunnelled.rig.control.service(tunnelled.service(), SchedulerKind::Rr);
        tunnelled.edit(encap);
        tunnelled
    }

    fn service(&self) -> ServiceKey {
        if self.inner == Family::V4 { tcp(VIP, 80) } else { tcp(VIP6, 80) }
    }

    fn server(&self) -> IpAddr {
        if self.over == Family::V4 { rip(1).ip() } else { RIP6.ip() }
    }

    /// Adds the real server, or edits it.
    fn edit(&mut self, encap: Encap) {
        self.encap = encap;
        let server = Server::new(self.server(), 80, Ipip).encap(encap);
        self.rig.control.server(self.service(), server);
        self.rig.publish();
    }

    /// A client's packet with DF, `len` bytes of payload.
    fn packet(&self, len: usize) -> Frame {
        self.packet_from(4000, len)
    }

    fn packet_from(&self, cport: u16, len: usize) -> Frame {
        let frame = match self.inner {
            Family::V4 => Frame::tcp(CLIENT, cport, VIP, 80).df(),
            Family::V6 => Frame::tcp6(CLIENT6, cport, VIP6, 80),
        };
        frame.payload(&vec![7; len])
    }

    /// A packet whose IP length is `ip_len`.
    fn of_len(&self, ip_len: u16) -> Frame {
        let headers = if self.inner == Family::V4 { 40 } else { 60 };
        self.packet(usize::from(ip_len) - headers)
    }

    /// What comes out for a packet from the client.
    fn send(&mut self, frame: &Frame) -> Vec<(PortId, Vec<u8>)> {
        self.feed(C, &frame.build())
    }

    fn feed(&mut self, port: PortId, frame: &[u8]) -> Vec<(PortId, Vec<u8>)> {
        self.rig.machine.feed(port, 0, frame);
        self.rig.machine.settle(self.rig.now);
        self.rig.machine.check();
        let sent = self.rig.machine.take_sent();
        for (_, frame) in &sent {
            assert!(verify(frame).is_some_and(|checks| checks.ip && checks.l4 != Some(false)));
        }
        sent
    }

    /// The IP packet of the only frame, which went to the real server; it carries `came`.
    fn assert_wraps(&self, sent: &[(PortId, Vec<u8>)], came: &Frame) -> Vec<u8> {
        let [(port, frame)] = sent else { panic!("{} frames", sent.len()) };
        assert_eq!((*port, &frame[..6]), (S, &mac(1)[..]));
        let quoted = unwrap_quoted(&frame[14..]).expect("a tunnel's packet");
        assert_eq!((quoted.kind, quoted.family), (Kind::of(self.encap), self.inner));
        assert_eq!(quoted.ends.family(), self.over);
        assert_eq!(quoted.inner_at, self.encap.overhead(self.over));
        assert_eq!(frame[14 + usize::from(quoted.inner_at)..], came.clone().ttl(63).build_ip());
        frame[14..].to_vec()
    }

    /// An error from a router about an outer packet, quoted to `len` bytes.
    fn error(&self, kind: u8, code: u8, rest: u32, outer: &[u8]) -> Frame {
        let frame = match self.over {
            Family::V4 => Frame::icmp(rip(9), LOCAL, kind, code, rest),
            Family::V6 => Frame::icmp6(RIP6 + 8, LOCAL6, kind, code, rest),
        };
        from_server(9, frame.payload(outer))
    }

    fn too_big(&self, mtu: u16, outer: &[u8]) -> Frame {
        let (kind, code) = if self.over == Family::V4 { (3, 4) } else { (2, 0) };
        self.error(kind, code, mtu.into(), outer)
    }

    /// The client is told, from the VIP, `mtu` about a packet of its own.
    fn assert_told(&self, sent: &[(PortId, Vec<u8>)], mtu: u16) {
        assert_eq!(self.told(sent), (if self.inner == Family::V4 { (3, 4) } else { (2, 0) }, mtu));
    }

    /// Type and code of the only frame, an error to the client, and the last two bytes of the rest.
    fn told(&self, sent: &[(PortId, Vec<u8>)]) -> ((u8, u8), u16) {
        let [(port, frame)] = sent else { panic!("{} frames", sent.len()) };
        assert_eq!((*port, &frame[..6]), (C, &MAC_CLIENT[..]));
        let (ethertype, ends, l4) = match self.inner {
            Family::V4 => ([8, 0], [VIP.to_be_bytes(), CLIENT.to_be_bytes()].concat(), 34),
            Family::V6 => ([0x86, 0xdd], [VIP6.to_be_bytes(), CLIENT6.to_be_bytes()].concat(), 54),
        };
        assert_eq!((&frame[12..14], &frame[l4 - ends.len()..l4]), (&ethertype[..], &ends[..]));
        let ports = l4 + 8 + (l4 - 14);
        assert_eq!(frame[ports..ports + 4], [0x0f, 0xa0, 0, 80], "the client's own packet");
        ((frame[l4], frame[l4 + 1]), u16::from_be_bytes([frame[l4 + 6], frame[l4 + 7]]))
    }
}

/// Runs a test for every encapsulation, inner and outer family.
fn for_every_tunnel(test: impl Fn(Encap, Family, Family)) {
    for encap in ENCAPS {
        for inner in FAMILIES {
            FAMILIES.into_iter().for_each(|over| test(encap, inner, over));
        }
    }
}

#[test]
fn what_fits_goes_whole_and_the_client_is_told_what_does() {
    for_every_tunnel(|encap, inner, over| {
        let mut tunnel = Tunnelled::new(encap, inner, over);
        let mtu = 1500 - encap.overhead(over);
        let fitting = tunnel.of_len(mtu);
        let sent = tunnel.send(&fitting);
        assert_eq!(tunnel.assert_wraps(&sent, &fitting).len(), 1500);
        let sent = tunnel.send(&tunnel.of_len(mtu + 1));
        tunnel.assert_told(&sent, mtu);
    });
}

#[test]
fn an_edit_holds_for_conns_that_exist() {
    let mut tunnel = Tunnelled::new(Encap::Ipip, Family::V4, Family::V6);
    for encap in ENCAPS.into_iter().rev() {
        tunnel.edit(encap);
        let packet = tunnel.packet(100);
        let sent = tunnel.send(&packet);
        tunnel.assert_wraps(&sent, &packet);
    }
    assert_eq!(tunnel.rig.machine.conns(0).len(), 1);
}

#[test]
fn what_a_router_says_of_the_path_is_told_and_kept_for_ten_minutes() {
    for_every_tunnel(|encap, inner, over| {
        let mut tunnel = Tunnelled::new(encap, inner, over);
        let large = tunnel.packet(1340);
        let sent = tunnel.send(&large);
        let outer = tunnel.assert_wraps(&sent, &large);
        let mtu = (1350 - encap.overhead(over)).max(if inner == Family::V6 { 1280 } else { 0 });
        let error = tunnel.too_big(1350, &outer[..outer.len().min(1000)]);
        let told = tunnel.feed(S, &error.build());
        tunnel.assert_told(&told, mtu);
        let refused = tunnel.send(&large);
        tunnel.assert_told(&refused, mtu);
        let fitting = tunnel.of_len(1350 - encap.overhead(over));
        let sent = tunnel.send(&fitting);
        tunnel.assert_wraps(&sent, &fitting);
        tunnel.rig.pass(599);
        let refused = tunnel.send(&large);
        tunnel.assert_told(&refused, mtu);
        tunnel.rig.pass(1);
        let sent = tunnel.send(&large);
        tunnel.assert_wraps(&sent, &large);
    });
}

/// The outer IP packet that was cut into these, whose pieces each fit `mtu`.
fn joined(sent: &[(PortId, Vec<u8>)], mtu: usize) -> Vec<u8> {
    let mut whole = sent[0].1[14..].to_vec();
    let v4 = whole[0] >> 4 == 4;
    assert!(
        sent.len() > 1 && sent.iter().all(|(port, frame)| *port == S && frame.len() <= 14 + mtu)
    );
    let data = if v4 { 34 } else { 62 };
    whole.extend(sent[1..].iter().flat_map(|(_, frame)| &frame[data..]));
    if !v4 {
        assert_eq!(whole[6], 44);
        whole[6] = whole[40];
        whole.drain(40..48);
    }
    whole
}

#[test]
fn without_df_the_outer_packet_is_cut_to_the_path_and_no_error_is_news() {
    for (encap, over) in ENCAPS.into_iter().flat_map(|encap| FAMILIES.map(|over| (encap, over))) {
        let mut tunnel = Tunnelled::new(encap, Family::V4, over);
        let large = Frame::tcp(CLIENT, 4000, VIP, 80).payload(&[7; 1340]);
        let sent = tunnel.send(&large);
        let outer = tunnel.assert_wraps(&sent, &large);
        let error = tunnel.too_big(1300, &outer[..500]);
        assert_eq!(tunnel.feed(S, &error.build()), []);
        let pieces = tunnel.send(&large);
        let whole = joined(&pieces, 1300);
        let quoted = unwrap_quoted(&whole).expect("a tunnel's packet");
        assert_eq!(whole[usize::from(quoted.inner_at)..], large.clone().ttl(63).build_ip());
    }
}

#[test]
fn every_sender_of_ipv6_may_count_on_1280_bytes() {
    for (encap, over) in ENCAPS.into_iter().flat_map(|encap| FAMILIES.map(|over| (encap, over))) {
        let mut tunnel = Tunnelled::new(encap, Family::V6, over);
        let large = tunnel.of_len(1281);
        let sent = tunnel.send(&large);
        let outer = tunnel.assert_wraps(&sent, &large);
        let told = tunnel.feed(S, &tunnel.too_big(1280, &outer).build());
        tunnel.assert_told(&told, 1280);
        let refused = tunnel.send(&large);
        tunnel.assert_told(&refused, 1280);
        let least = tunnel.of_len(1280);
        let pieces = tunnel.send(&least);
        let whole = joined(&pieces, 1280);
        let inner_at = encap.overhead(over).into();
        assert_eq!(whole[inner_at..], least.ttl(63).build_ip());
    }
}

#[test]
fn without_pmtu_disc_ipv4_is_cut_outside_and_ipv6_is_refused_all_the_same() {
    for_every_tunnel(|encap, inner, over| {
        let mut tunnel = Tunnelled::new(encap, inner, over);
        tunnel.rig.control.settings.pmtu_disc = false;
        tunnel.rig.publish();
        let large = tunnel.of_len(1500);
        let sent = tunnel.send(&large);
        match inner {
            Family::V4 => {
                let whole = joined(&sent, 1500);
                assert_eq!(whole[encap.overhead(over).into()..], large.ttl(63).build_ip());
            }
            Family::V6 => tunnel.assert_told(&sent, 1500 - encap.overhead(over)),
        }
    });
}

#[test]
fn an_error_that_is_not_about_the_size_reaches_the_client_in_its_own_family() {
    for_every_tunnel(|encap, inner, over| {
        let mut tunnel = Tunnelled::new(encap, inner, over);
        let packet = tunnel.packet(100);
        let sent = tunnel.send(&packet);
        let outer = tunnel.assert_wraps(&sent, &packet);
        let (unreachable, expired) =
            if over == Family::V4 { ((3, 1), (11, 0)) } else { ((1, 3), (3, 0)) };
        let means = if inner == Family::V4 { [(3, 1), (11, 0)] } else { [(1, 3), (3, 0)] };
        for ((kind, code), means) in [unreachable, expired].into_iter().zip(means) {
            let error = tunnel.error(kind, code, 0, &outer);
            let told = tunnel.feed(S, &error.build());
            assert_eq!(tunnel.told(&told), (means, 0));
            let bad = error.bad_l4_checksum();
            assert_eq!(tunnel.feed(S, &bad.build()), []);
        }
    });
}

#[test]
fn an_error_about_a_removed_servers_tunnel_reaches_the_client() {
    for_every_tunnel(|encap, inner, over| {
        let mut tunnel = Tunnelled::new(encap, inner, over);
        let packet = tunnel.packet(100);
        let sent = tunnel.send(&packet);
        let outer = tunnel.assert_wraps(&sent, &packet);
        let (service, server) = (tunnel.service(), tunnel.server());
        tunnel.rig.control.delete_server(service, server, 80);
        tunnel.rig.publish();
        let (kind, code) = if over == Family::V4 { (3, 1) } else { (1, 3) };
        let told = tunnel.feed(S, &tunnel.error(kind, code, 0, &outer).build());
        let means = if inner == Family::V4 { (3, 1) } else { (1, 3) };
        assert_eq!(tunnel.told(&told), (means, 0));
    });
}

#[test]
fn an_error_about_a_packet_that_no_tunnel_of_the_conn_sent_is_linuxs() {
    for_every_tunnel(|encap, inner, over| {
        let mut tunnel = Tunnelled::new(encap, inner, over);
        let packet = tunnel.packet(100);
        let sent = tunnel.send(&packet);
        let outer = tunnel.assert_wraps(&sent, &packet);
        let (src, dst) = if over == Family::V4 { (15, 19) } else { (23, 39) };
        let other = |at: usize| {
            let mut outer = outer.clone();
            outer[at] ^= 4;
            outer
        };
        let to_elsewhere = match over {
            Family::V4 => Frame::icmp(rip(9), LOCAL + 4, 3, 1, 0).payload(&outer),
            Family::V6 => Frame::icmp6(RIP6 + 8, LOCAL6 + 4, 1, 3, 0).payload(&outer),
        };
        let mut frames = vec![
            tunnel.error(3, 1, 0, &other(src)),
            tunnel.error(3, 1, 0, &other(dst)),
            from_server(9, to_elsewhere),
        ];
        if matches!(encap, Encap::Gue { .. }) {
            // Its UDP port.
            frames.push(tunnel.error(3, 1, 0, &other(dst + 4)));
        }
        for frame in frames {
            assert_eq!(tunnel.feed(S, &frame.build()), []);
            let punted = tunnel.rig.machine.take_punted();
            assert_eq!(punted.len(), 1);
            assert_eq!(punted[0].2, frame.build());
        }
    });
}

#[test]
fn an_error_about_a_datagram_that_looks_like_gue_follows_its_own_conn() {
    let mut rig = Rig::serving(udp(VIP, 6080), Masq, 1);
    rig.control.service(tcp(VIP, 80), SchedulerKind::Rr);
    rig.publish();
    let inside = Frame::tcp(CLIENT, 4000, VIP, 80).build_ip();
    let payload = [&[0, 4, 0, 0], &inside[..]].concat();
    let request = |to| Frame::udp(CLIENT, 5000, to, 6080).payload(&payload);
    rig.machine.feed(C, 0, &request(VIP).build());
    rig.machine.settle(rig.now);
    assert_eq!(rig.machine.take_sent().len(), 1);
    let quote = request(rip(1)).ttl(63).build_ip();
    let error = from_server(1, Frame::icmp(rip(1), CLIENT, 3, 3, 0).payload(&quote));
    rig.machine.feed(S, 0, &error.build());
    rig.machine.settle(rig.now);
    let sent = rig.machine.take_sent();
    assert_eq!((sent.len(), sent[0].0), (1, C));
    assert_eq!(sent[0].1[26..30], VIP.to_be_bytes());
}

#[test]
fn an_error_reaches_the_worker_that_has_the_conn() {
    for (inner, over) in FAMILIES.into_iter().flat_map(|inner| FAMILIES.map(|over| (inner, over))) {
        let mut tunnel = Tunnelled::with_workers(ENCAPS[3], inner, over, 3);
        for cport in 4000..4030 {
            let packet = tunnel.packet_from(cport, 100);
            let sent = tunnel.send(&packet);
            let outer = tunnel.assert_wraps(&sent, &packet);
            let told = tunnel.feed(S, &tunnel.too_big(1000, &outer).build());
            let [(C, _)] = told[..] else { panic!("from port {cport}: {} frames", told.len()) };
        }
        assert!((0..3).all(|worker| !tunnel.rig.machine.conns(worker).is_empty()));
    }
}
