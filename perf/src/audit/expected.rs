//! What a frame has to look like behind the appliance, made from scratch.

use super::frame::{LONGEST, Sent, sum_l4, write};
use super::plan::{Method, Plan, Service};
use super::sum::checksum;
use super::{Fault, Wire};
use std::net::IpAddr;
use std::ops::Range;

/// Room for the header of a tunnel.
const TUNNEL: usize = 40;

/// A frame as it has to leave.
#[derive(Debug, Clone)]
pub struct Expected {
    bytes: [u8; LONGEST + TUNNEL],
    len: usize,
    /// Where it has to leave.
    pub wire: Wire,
    /// Where the IP header begins: the inner one, of a tunnel.
    pub ip: usize,
    /// Where the TCP or UDP header begins.
    pub l4: usize,
    /// Where the payload begins.
    pub payload: usize,
}

impl Expected {
    /// The frame.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    /// All of the frame but checksums, in parts, with what it means if one differs.
    pub fn parts(&self, service: &Service) -> impl Iterator<Item = (Range<usize>, Fault)> + use<> {
        let (ip, l4, payload, len) = (self.ip, self.l4, self.payload, self.len);
        let v4 = service.vip.is_ipv4();
        let tunnel = match (ip == 14, v4) {
            (true, _) => [14..14, 14..14],
            (false, true) => [14..24, 26..ip],
            (false, false) => [14..ip, ip..ip],
        };
        let header = match v4 {
            true => [ip..ip + 8, ip + 9..ip + 10],
            false => [ip..ip + 7, ip + 7..ip + 7],
        };
        let (ttl, addresses) = if v4 { (ip + 8, ip + 12) } else { (ip + 7, ip + 8) };
        let sum = l4 + if service.tcp { 16 } else { 6 };
        let [tunnel_before, tunnel_after] = tunnel;
        let [header_before, header_after] = header;
        [
            (0..6, Fault::NextHop),
            (6..12, Fault::SourceMac),
            (12..14, Fault::IpHeader),
            (tunnel_before, Fault::Tunnel),
            (tunnel_after, Fault::Tunnel),
            (header_before, Fault::IpHeader),
            (ttl..ttl + 1, Fault::TimeToLive),
            (header_after, Fault::IpHeader),
            (addresses..l4, Fault::Address),
            (l4..l4 + 4, Fault::Port),
            (l4 + 4..sum, Fault::L4Header),
            (sum + 2..payload, Fault::L4Header),
            (payload..len, Fault::Payload),
        ]
        .into_iter()
    }
}

/// What `sent` has to become, if its flow is `server`'s and its local end `local`; `id` is the
/// identification of a tunnel's header, which the appliance is free to choose.
pub fn expected(plan: &Plan, sent: &Sent, server: u8, local: (u8, u16), id: u16) -> Expected {
    let service = &plan.services[usize::from(sent.service)];
    let mut frame = [0; LONGEST];
    let len = write(plan, sent, &mut frame);
    let ip_len = service.ip_len();
    let hop = &service.servers[usize::from(server)];
    let ip = &mut frame[14..len];
    if let Some(ends) = new_ends(service, sent, server, local) {
        rewrite(service, ends, ip);
    }
    take_from_ttl(ip);
    let is_tunnel = service.method == Method::Ipip;
    let outer = if is_tunnel { ip_len } else { 0 };
    let mut done = Expected {
        bytes: [0; LONGEST + TUNNEL],
        len: len + outer,
        wire: if sent.from.is_none() { Wire::Servers } else { Wire::Clients },
        ip: 14 + outer,
        l4: 14 + outer + ip_len,
        payload: 14 + outer + ip_len + sent.l4_len(service),
    };
    let (mac, own) = match sent.from {
        None => (hop.mac, plan.own[1]),
        Some(_) => (plan.gateway, plan.own[0]),
    };
    done.bytes[..6].copy_from_slice(&mac);
    done.bytes[6..12].copy_from_slice(&own);
    done.bytes[12..14].copy_from_slice(&frame[12..14]);
    done.bytes[14 + outer..len + outer].copy_from_slice(&frame[14..len]);
    if is_tunnel {
        let (header, inner) = done.bytes[14..len + outer].split_at_mut(outer);
        wrap(plan, hop.address, sent.is_whole(), id, header, inner);
    }
    done
}

/// Source and destination after translation, where there is one: it gives UDP a checksum that had none, too
/// (`udp_dnat_handler`, `ip_vs_proto_udp.c`).
fn new_ends(
    service: &Service,
    sent: &Sent,
    server: u8,
    local: (u8, u16),
) -> Option<[(IpAddr, u16); 2]> {
    let client = service.client(sent.flow);
    let server = (service.servers[usize::from(server)].address, service.rport);
    match (service.method, sent.from) {
        (Method::Gatewaying | Method::Ipip, _) => None,
        (_, Some(_)) => Some([(service.vip, service.vport), client]),
        (Method::Masq, None) => Some([client, server]),
        (Method::Fullnat, None) => Some([(service.locals[usize::from(local.0)], local.1), server]),
    }
}

fn rewrite(service: &Service, ends: [(IpAddr, u16); 2], ip: &mut [u8]) {
    let l4 = service.ip_len();
    for (place, (address, port)) in ends.into_iter().enumerate() {
        match address {
            IpAddr::V4(address) => {
                ip[12 + 4 * place..][..4].copy_from_slice(&address.octets());
            }
            IpAddr::V6(address) => {
                ip[8 + 16 * place..][..16].copy_from_slice(&address.octets());
            }
        }
        ip[l4 + 2 * place..][..2].copy_from_slice(&port.to_be_bytes());
    }
    let sum = l4 + if service.tcp { 16 } else { 6 };
    ip[sum..sum + 2].fill(0);
    sum_l4(service, ip);
}

fn take_from_ttl(ip: &mut [u8]) {
    if ip[0] >> 4 == 6 {
        ip[7] -= 1;
        return;
    }
    ip[8] -= 1;
    ip[10..12].fill(0);
    let sum = checksum(&[&ip[..20]]);
    ip[10..12].copy_from_slice(&sum.to_be_bytes());
}

/// The header of a tunnel: RFC 2003, RFC 2473.
fn wrap(plan: &Plan, to: IpAddr, whole: bool, id: u16, header: &mut [u8], inner: &[u8]) {
    match (plan.tunnels, to) {
        ([IpAddr::V4(from), _], IpAddr::V4(to)) => {
            header[..2].copy_from_slice(&[0x45, inner[1]]);
            header[2..4].copy_from_slice(&(inner.len() as u16 + 20).to_be_bytes());
            header[4..6].copy_from_slice(&id.to_be_bytes());
            header[6..8].copy_from_slice(&[if whole { 0x40 } else { 0 }, 0]);
            header[8..12].copy_from_slice(&[inner[8], 4, 0, 0]);
            header[12..16].copy_from_slice(&from.octets());
            header[16..20].copy_from_slice(&to.octets());
            let sum = checksum(&[header]);
            header[10..12].copy_from_slice(&sum.to_be_bytes());
        }
        ([_, IpAddr::V6(from)], IpAddr::V6(to)) => {
            // The traffic class of the inner header, no flow label.
            header[..4].copy_from_slice(&[0x60 | inner[0] & 0x0f, inner[1] & 0xf0, 0, 0]);
            header[4..6].copy_from_slice(&(inner.len() as u16).to_be_bytes());
            header[6..8].copy_from_slice(&[41, inner[7]]);
            header[8..24].copy_from_slice(&from.octets());
            header[24..40].copy_from_slice(&to.octets());
        }
        _ => unreachable!("a plan's service and its servers are of one family"),
    }
}
