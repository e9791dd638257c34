//! What `ipvsadm -L` shows: services, destinations, their counters, and conns.

use super::identity::{DestIdentity, Identities, ServiceIdentity, since};
use super::stats::{self, Rates};
use crate::api::protocol::{ConnRow, DestListing, EngineRow, ServiceListing, Stats};
use crate::rules::{RealServer, VirtualService, words};
use dataplane::conn::{Addresses, Listed};
use dataplane::counters::DestTotals;
use dataplane::ids::DestId;
use dataplane::proto;
use dataplane::template::Template;
use dataplane::time::{TICKS_PER_SECOND, Tick};
use std::net::SocketAddr;

/// Makes listings.
pub(super) struct Lister<'a, F> {
    /// Who is who.
    pub ids: &'a Identities,
    /// Averages of the last seconds.
    pub rates: &'a Rates,
    /// What workers have counted under an id.
    pub counted: F,
}

impl<F: Fn(DestId) -> DestTotals> Lister<'_, F> {
    /// One service with its destinations in the kernel's order.
    pub fn service(&self, service: &VirtualService) -> ServiceListing {
        let identity = self.ids.get(service.key);
        let servers = service.real_servers.iter().rev();
        let dests: Vec<DestListing> = servers.map(|server| self.dest(identity, server)).collect();
        let counted = identity.map_or(DestTotals::default(), |id| self.service_totals(id));
        let mut rate = Stats::default();
        dests.iter().for_each(|dest| add(&mut rate, dest.rate));
        ServiceListing {
            key: service.key,
            options: service.options.clone(),
            stats: stats::listed(counted),
            rate,
            dests,
        }
    }

    fn dest(&self, identity: Option<&ServiceIdentity>, server: &RealServer) -> DestListing {
        let place = (server.rip, server.rport);
        let dest = identity.and_then(|identity| identity.dests.get(&place));
        let totals = dest.map_or(DestTotals::default(), |dest| self.dest_totals(dest));
        DestListing {
            server: server.clone(),
            active: totals.active,
            inactive: totals.inactive,
            persistent: totals.persistent,
            stats: stats::listed(totals),
            rate: dest.map_or(Stats::default(), |dest| self.rates.of(dest.id)),
        }
    }

    fn dest_totals(&self, dest: &DestIdentity) -> DestTotals {
        since((self.counted)(dest.id), dest.base)
    }

    /// What a service counted, removed destinations included.
    fn service_totals(&self, service: &ServiceIdentity) -> DestTotals {
        let mut totals = service.retired;
        service.dests.values().for_each(|dest| totals += self.dest_totals(dest));
        totals
    }
}

fn add(total: &mut Stats, part: Stats) {
    total.conns += part.conns;
    total.inpkts += part.inpkts;
    total.outpkts += part.outpkts;
    total.inbytes += part.inbytes;
    total.outbytes += part.outbytes;
}

/// One template as listed, with what its engine found.
pub fn template_row(template: &Template, data: &[u8]) -> ConnRow {
    let engine = template.engine.map(|engine| EngineRow {
        name: words::engine_name(engine).to_owned(),
        data: String::from_utf8_lossy(data).into_owned(),
    });
    ConnRow {
        proto: template.proto,
        expires: template.remaining / TICKS_PER_SECOND,
        state: template.state_name().to_owned(),
        cip: template.client,
        cport: 0,
        vip: template.vaddr,
        vport: template.vport,
        rip: template.addr,
        rport: template.port,
        template: true,
        engine,
        local: None,
    }
}

/// One conn as listed; `None` for one whose time has come. A listing takes its time: packets come
/// after `now`.
pub fn row(listed: &Listed, now: Tick) -> Option<ConnRow> {
    let Listed { conn, addresses: Addresses { client, vip, real }, local } = *listed;
    let age = now.since(conn.last_seen);
    let came_later = age > u32::MAX / 2;
    let left = conn.timeout.checked_sub(if came_later { 0 } else { age })?;
    Some(ConnRow {
        proto: conn.proto,
        expires: left / TICKS_PER_SECOND,
        state: proto::name(conn.proto, conn.state).to_owned(),
        cip: client,
        cport: conn.cport,
        vip,
        vport: conn.vport,
        rip: real,
        rport: conn.rport,
        template: false,
        engine: None,
        local: local.map(|address| SocketAddr::new(address, conn.lport)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytemuck::Zeroable;
    use dataplane::conn::Conn;
    use std::net::Ipv4Addr;

    #[test]
    fn a_conn_is_listed_until_its_time_has_come_and_not_lost_by_packets_during_the_listing() {
        let any = Ipv4Addr::UNSPECIFIED.into();
        let addresses = Addresses { client: any, vip: any, real: any };
        let expires = |last_seen: u32, now: u32| {
            let timeout = 10 * TICKS_PER_SECOND;
            let mut conn = Conn::zeroed();
            (conn.last_seen, conn.timeout) = (Tick(last_seen), timeout);
            row(&Listed { conn, addresses, local: None }, Tick(now)).map(|row| row.expires)
        };
        assert_eq!(expires(100, 100 + 4 * TICKS_PER_SECOND), Some(6));
        assert_eq!(expires(100, 100 + 11 * TICKS_PER_SECOND), None);
        assert_eq!(expires(105, 100), Some(10), "a packet came after the listing began");
        assert_eq!(expires(3, u32::MAX - 3), Some(10), "and over the wrap of time");
    }
}
