//! What a client's packet may become on its way to a real server: rewritten naively, for every service
//! that could have taken it.

use super::net;
use super::segment::{Leaving, Segment};
use dataplane::address::Address;
use dataplane::flow::FlowKey;
use dataplane::service::ForwardingMethod::{Fullnat, Gatewaying, Ipip, Masq};
use dataplane::service::ServiceKey;
use dataplane::testing::control::Server;

/// The services that may have taken a client's packet: its own, else that of any port.
pub fn kind_of(segment: &Segment) -> Vec<net::Kind> {
    let takes = |kind: &net::Kind| {
        let ServiceKey::Address { proto, vip, vport } = kind.key else {
            return false;
        };
        let key = segment.key;
        (proto, vip) == (key.proto, key.dst.ip()) && (vport == 0 || vport == key.dport)
    };
    net::all_kinds().into_iter().filter(takes).collect()
}

/// A client's key as its masq server sees it.
pub fn inner(key: &FlowKey, server: &Server) -> FlowKey {
    let dport = if server.rport == 0 { key.dport } else { server.rport };
    FlowKey { dst: net::v4(server.rip), dport, ..*key }
}

/// Source and destination of a frame without IP options.
pub fn key_of(frame: &[u8]) -> FlowKey {
    let u16_at = |at: usize| u16::from_be_bytes([frame[at], frame[at + 1]]);
    let u32_at = |at: usize| u32::from(u16_at(at)) << 16 | u32::from(u16_at(at + 2));
    let (sport, dport) = (u16_at(34), u16_at(36));
    FlowKey { src: u32_at(26), dst: u32_at(30), sport, dport, proto: frame[23] }
}

/// The source end of such a frame.
pub fn source(frame: &[u8]) -> (u32, u16) {
    let key = key_of(frame);
    (key.src, key.sport)
}

/// The packet as it leaves for a server, `local` being the director's end towards it.
pub fn leaving<'a>(
    passed: &'a Segment,
    server: &'a Server,
    local: (u32, u16),
) -> impl Fn() -> Leaving + use<'a> {
    move || match server.method {
        Masq => Leaving::plain(&Segment { key: inner(&passed.key, server), ..*passed }),
        Gatewaying => Leaving::plain(passed),
        Fullnat => {
            let key = inner(&passed.key, server);
            let key = FlowKey { src: local.0, sport: local.1, ..key };
            Leaving::plain(&Segment { key, ..*passed })
        }
        Ipip => Leaving::tunnelled(passed, local.0, net::v4(server.rip)),
    }
}
