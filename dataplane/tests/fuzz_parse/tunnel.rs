//! What holds for a packet in a tunnel, and for its pieces.

use dataplane::forward::{self, fragment, gatewaying, ipip};
use dataplane::ids::PortId;
use dataplane::io::Packet;
use dataplane::io::sim::{SimPacket, SimPool};
use dataplane::parse::Headers;
use dataplane::testing::verify;
use dataplane::wire::ipv4;

/// The packet in the tunnel is the packet that gatewaying sends, also in pieces.
pub fn check(frame: &[u8], headers: &Headers) {
    let l3 = usize::from(headers.l3);
    let mut direct = SimPacket::new(frame, PortId(0));
    gatewaying::forward(&mut direct, headers);
    let mut tunnelled = SimPacket::new(frame, PortId(0));
    assert!(ipip::encapsulate(&mut tunnelled, headers, 1, 2, Some(3)));
    assert_eq!(&tunnelled.bytes()[l3 + 20..], &direct.bytes()[l3..]);
    assert!(verify(tunnelled.bytes()).is_some_and(|checks| checks.ip));
    let (mut pool, mut rest) = (SimPool::new(64), Vec::new());
    let data = direct.bytes()[headers.l4.into()..].to_vec();
    if !forward::fits(headers.ip_len, 148) {
        assert!(fragment::fragment(&mut direct, l3, 148, &mut pool, &mut rest, 64));
        let pieces = std::iter::once(&direct).chain(&rest);
        let joined: Vec<u8> = pieces.flat_map(|piece| piece_data(piece, l3)).copied().collect();
        assert_eq!(joined, data);
    }
}

fn piece_data(piece: &SimPacket, l3: usize) -> &[u8] {
    let ip = &piece.bytes()[l3..];
    assert!(ip.len() <= 148 && ip.len() == usize::from(ipv4::total_len(ip)));
    let (header, data) = ip.split_at(ipv4::header_len(ip));
    assert!(ipv4::checksum_ok(header));
    data
}
