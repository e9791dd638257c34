//! A frame that the appliance sent, beside what it has to be.

use super::expected::{Expected, expected};
use super::frame::{Sent, l4_parts, pseudo};
use super::plan::{Method, Plan, Service};
use super::sum::is_true;
use super::{Fault, Wire, Wrong};
use std::net::IpAddr;

/// What a client's frame says of its flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Seen {
    /// The server, by its place.
    pub server: u8,
    /// Of fullnat the local end: the address by its place, and the port.
    pub local: (u8, u16),
}

/// Compares `frame`, which left on `wire`, with what `sent` has to become. `known` is what earlier frames
/// said of its flow; without it the frame may name any of its service's servers. Says which.
///
/// # Errors
/// The first thing that is wrong.
pub fn check(
    plan: &Plan,
    sent: &Sent,
    wire: Wire,
    frame: &[u8],
    known: Option<Seen>,
) -> Result<Seen, Wrong> {
    let service = &plan.services[usize::from(sent.service)];
    let named = match sent.from {
        Some(server) => Seen { server, local: sent.local },
        None => named(service, frame, known),
    };
    let outer_id = match (service.method, service.vip.is_ipv4()) {
        (Method::Ipip, true) if !sent.is_whole() => word(frame, 18),
        _ => 0,
    };
    let wanted = expected(plan, sent, named.server, named.local, outer_id);
    if wire != wanted.wire {
        return Err(Wrong::new(Fault::Wire, format!("to the {wire:?}, not the {:?}", wanted.wire)));
    }
    let (len, right) = (frame.len(), wanted.bytes().len());
    if len != right {
        return Err(Wrong::new(Fault::Length, format!("{len} bytes, not {right}")));
    }
    compare(service, frame, &wanted)?;
    check_sums(service, sent, frame, &wanted)?;
    match known.filter(|_| sent.from.is_none()) {
        Some(before) => check_flow(service, before, named).map(|()| named),
        None => Ok(named),
    }
}

/// The server and local end that a client's frame names; where it names none, those that it should.
fn named(service: &Service, frame: &[u8], known: Option<Seen>) -> Seen {
    let default = known.unwrap_or(Seen { server: 0, local: (0, 0) });
    let ip = 14;
    let destination = match service.method {
        Method::Gatewaying => None,
        _ => address(service, frame, ip, 1),
    };
    let server = service.servers.iter().position(|server| match destination {
        Some(destination) => server.address == destination,
        None => frame.get(..6) == Some(&server.mac[..]),
    });
    let local = match service.method {
        Method::Fullnat => address(service, frame, ip, 0).and_then(|source| {
            let place = service.locals.iter().position(|&local| local == source)?;
            Some((place as u8, word(frame, ip + service.ip_len())))
        }),
        _ => None,
    };
    Seen {
        server: server.map_or(default.server, |place| place as u8),
        local: local.unwrap_or(default.local),
    }
}

/// The source (0) or destination (1) of the header at `ip`.
fn address(service: &Service, frame: &[u8], ip: usize, place: usize) -> Option<IpAddr> {
    if service.vip.is_ipv4() {
        let bytes: &[u8; 4] = frame.get(ip + 12 + 4 * place..)?.first_chunk()?;
        return Some(IpAddr::from(*bytes));
    }
    let bytes: &[u8; 16] = frame.get(ip + 8 + 16 * place..)?.first_chunk()?;
    Some(IpAddr::from(*bytes))
}

fn word(frame: &[u8], at: usize) -> u16 {
    frame.get(at..at + 2).map_or(0, |bytes| u16::from(bytes[0]) << 8 | u16::from(bytes[1]))
}

/// Everything but checksums.
fn compare(service: &Service, frame: &[u8], wanted: &Expected) -> Result<(), Wrong> {
    let right = wanted.bytes();
    for (range, fault) in wanted.parts(service) {
        if frame[range.clone()] != right[range.clone()] {
            let at = range.start;
            let (got, right) = (hex(&frame[range.clone()]), hex(&right[range]));
            return Err(Wrong::new(fault, format!("at byte {at} {got}, not {right}")));
        }
    }
    Ok(())
}

/// Each checksum over all that it covers. It need not be the very one that was expected: there are
/// two for a sum of zero (RFC 1624).
fn check_sums(
    service: &Service,
    sent: &Sent,
    frame: &[u8],
    wanted: &Expected,
) -> Result<(), Wrong> {
    let wrong = |fault, at| {
        let (got, right) = (word(frame, at), word(wanted.bytes(), at));
        Err(Wrong::new(fault, format!("at byte {at} {got:04x}, not {right:04x}")))
    };
    let is_v4 = service.vip.is_ipv4();
    if is_v4 && wanted.ip > 14 && !is_true(&[&frame[14..34]]) {
        return wrong(Fault::Tunnel, 24);
    }
    if is_v4 && !is_true(&[&frame[wanted.ip..wanted.ip + 20]]) {
        return wrong(Fault::IpChecksum, wanted.ip + 10);
    }
    let at = wanted.l4 + if service.tcp { 16 } else { 6 };
    let ip = &frame[wanted.ip..];
    let translated = matches!(service.method, Method::Masq | Method::Fullnat);
    let good = match (sent.is_unsummed(service), word(frame, at)) {
        (true, sum) if !translated => sum == 0,
        (_, 0) if !service.tcp => false,
        _ => is_true(&l4_parts(service, ip, &pseudo(service, ip))),
    };
    if good { Ok(()) } else { wrong(Fault::L4Checksum, at) }
}

fn check_flow(service: &Service, before: Seen, after: Seen) -> Result<(), Wrong> {
    if after.server != before.server {
        let [was, is] = [before, after].map(|seen| &service.servers[usize::from(seen.server)]);
        let text = format!("from {} to {}", was.address, is.address);
        return Err(Wrong::new(Fault::Moved, text));
    }
    if after.local != before.local {
        let text = format!("{:?}, it was {:?}", after.local, before.local);
        return Err(Wrong::new(Fault::LocalEnd, text));
    }
    Ok(())
}

/// A few bytes as text.
fn hex(bytes: &[u8]) -> String {
    const MOST: usize = 48;
    let end = if bytes.len() > MOST { "…" } else { "" };
    let digits: String = bytes.iter().take(MOST).map(|byte| format!("{byte:02x}")).collect();
    digits + end
}
