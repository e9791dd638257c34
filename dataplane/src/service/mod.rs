//! Virtual services and destinations as workers see them: one immutable table a generation.

mod claims;
mod fullnat;
mod icmp_limits;
mod lineage;
pub mod persistence;
mod real_services;
mod table;
mod thresholds;
mod vips;

pub use crate::proto::Timeouts;
pub use fullnat::{ClientAddress, Fullnat};
pub use icmp_limits::{IcmpLimits, PeerLimit};
pub use table::{DropPacket, MarkRule, ServiceTable, Settings};

use self::persistence::Persistence;
use crate::address::Family;
use crate::forward::tunnel::Encap;
use crate::ids::{DestId, Generation, NextHopId, ServiceId};
use crate::sched::{self, Buckets, Locality, Scheduling};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32};

/// How packets reach the real server (`ipvsadm -m`, `-g`, `-i`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum ForwardingMethod {
    /// NAT: destination rewritten, replies come back through the director.
    Masq = 0,
    /// Through a tunnel to the real server, which answers the client itself.
    Ipip = 2,
    /// Direct routing: only the MAC address changes; the real server answers the client itself.
    Gatewaying = 3,
    /// NAT of both ends: the real server sees a local address of the director and answers to it,
    /// whatever its routes. Not the kernel's; the number is that of DPVS (`DPVS_FWD_MODE_FNAT`).
    Fullnat = 5,
}

/// What packets a service takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ServiceKey {
    /// Protocol, virtual address and port. Port 0 takes every port.
    Address {
        /// IP protocol number: TCP, UDP or SCTP.
        proto: u8,
        /// VIP.
        vip: IpAddr,
        /// Port, or 0 for any.
        vport: u16,
    },
    /// Packets of one family that a [`MarkRule`] gave this mark.
    Fwmark {
        /// Never 0.
        mark: u32,
        /// As with `ipvsadm -f N` and `ipvsadm -f N -6`, which are two services.
        family: Family,
    },
}

impl ServiceKey {
    /// The family of the packets it takes.
    pub fn family(self) -> Family {
        match self {
            ServiceKey::Address { vip, .. } => Family::of(vip),
            ServiceKey::Fwmark { family, .. } => family,
        }
    }
}

/// A virtual service of one snapshot.
#[derive(Debug, Clone)]
pub struct Service {
    /// Its identity over generations.
    pub id: ServiceId,
    /// What it takes.
    pub key: ServiceKey,
    /// How it chooses.
    pub scheduler: Scheduling,
    /// In the kernel's list order: the last added comes first.
    pub dests: Vec<Dest>,
    /// Greatest common divisor of the positive weights, 1 if there is none (`ip_vs_wrr.c`).
    pub weight_gcd: u32,
    /// Greatest weight.
    pub max_weight: u32,
    /// Since when it has been there without a break.
    pub begun: Generation,
    /// When its scheduler, or its destinations as that sees them, were edited last.
    pub edited: Generation,
    /// What a hashing scheduler looks destinations up in.
    pub buckets: Buckets,
    /// What lblc or lblcr remembers for it, over generations.
    pub locality: Option<Arc<Locality>>,
    /// How long lblc and lblcr remember an address that nobody asks for, and lblcr leaves a set as it
    /// is, ticks.
    pub locality_expiration: u32,
    /// What makes its clients come back to their server.
    pub persistence: Option<Persistence>,
    /// Every packet is scheduled anew and no conn kept, of UDP (one-packet scheduling).
    pub one_packet: bool,
    /// Its masq servers may begin conns of UDP themselves: its engine lets them (`conn_out`,
    /// `ip_vs_pe_sip.c`), persistent or not.
    pub calls_out: bool,
    /// What its fullnat destinations need.
    pub fullnat: Fullnat,
}

impl Service {
    /// A service of these destinations, in the kernel's list order, with what schedulers compute
    /// of them once. Neither persistent nor one-packet, and nothing is remembered for it.
    pub fn new(
        id: ServiceId,
        key: ServiceKey,
        scheduler: impl Into<Scheduling>,
        dests: Vec<Dest>,
    ) -> Self {
        let scheduler = scheduler.into();
        let divisor = dests.iter().fold(0, |divisor, dest| gcd(dest.weight, divisor));
        let max_weight = dests.iter().map(|dest| dest.weight).max().unwrap_or(0);
        let buckets = Buckets::new(scheduler.kind, key.family(), &dests);
        Service {
            id,
            key,
            scheduler,
            dests,
            weight_gcd: divisor.max(1),
            max_weight,
            begun: Generation::default(),
            edited: Generation::default(),
            buckets,
            locality: None,
            locality_expiration: sched::EXPIRATION,
            persistence: None,
            one_packet: false,
            calls_out: false,
            fullnat: Fullnat::default(),
        }
    }

    /// With what its scheduler is to remember: what is `known` of the service before it, if that is
    /// this scheduler's. `known` is then what the next one goes on with.
    #[must_use]
    pub fn remembering(self, known: &mut Option<Arc<Locality>>) -> Self {
        *known = Locality::of(self.scheduler.kind, self.key, known.take());
        Service { locality: known.clone(), ..self }
    }
}

/// Greatest common divisor; 0 divides nothing and is divided by all.
pub(crate) fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// A destination of one service in one snapshot.
#[derive(Debug, Clone)]
pub struct Dest {
    /// Its identity over generations.
    pub id: DestId,
    /// Real server's address. Of another family than the service's only through a tunnel.
    pub rip: IpAddr,
    /// Real server's port; 0 keeps the packet's own (fwmark and port-0 services).
    pub rport: u16,
    /// 0 is quiesced: no new conns.
    pub weight: u32,
    /// The last weight that was not 0; 0 if it was added quiesced and has been since.
    pub last_weight: u32,
    /// How packets reach it.
    pub method: ForwardingMethod,
    /// How its tunnel wraps them, if it is reached through one.
    pub encap: Encap,
    /// No new conns from this many on; 0 is no limit.
    pub u_threshold: u32,
    /// Below this many it is no longer overloaded; 0 means three quarters of the upper.
    pub l_threshold: u32,
    /// Where frames for `rip` go.
    pub next_hop: NextHopId,
    /// When it was added: greater than that of all before it.
    pub added: u64,
    /// What all workers share about it.
    pub shared: Arc<DestShared>,
}

impl Dest {
    /// What `ipvsadm -e` can edit, and whose it is.
    pub(crate) fn edits(&self) -> impl PartialEq + use<> {
        (self.id, self.weight, self.method, self.u_threshold, self.l_threshold)
    }
}

/// The little that workers share about a destination, touched when a conn begins or ends, never
/// per packet. Lives as long as the id, across removal and re-adding.
#[derive(Debug, Default)]
pub struct DestShared {
    /// Conns on all workers, active and inactive.
    pub conns: AtomicU32,
    /// `IP_VS_DEST_F_OVERLOAD`: set and cleared by the rules of `ip_vs_conn.c`.
    pub overloaded: AtomicBool,
}

#[cfg(test)]
pub(crate) mod example {
    //! Services for tests.

    use super::*;
    use crate::address::Address;
    use crate::sched::SchedulerKind;

    /// A destination with that id as the last byte of its address, too.
    pub fn dest(id: u32, weight: u32) -> Dest {
        Dest {
            id: DestId(id),
            rip: (0xc0a8_0100 | id).ip(),
            rport: 80,
            weight,
            last_weight: weight,
            method: ForwardingMethod::Masq,
            encap: Encap::Ipip,
            u_threshold: 0,
            l_threshold: 0,
            next_hop: NextHopId::NONE,
            added: u64::from(id),
            shared: Arc::default(),
        }
    }

    /// A round-robin service of these destinations, in the list's order.
    pub fn service(dests: Vec<Dest>) -> Service {
        let key = ServiceKey::Address { proto: 6, vip: 0x0a00_0064_u32.ip(), vport: 80 };
        Service::new(ServiceId(1), key, SchedulerKind::Rr, dests)
    }
}

#[cfg(test)]
mod tests {
    use super::example::{dest, service};

    #[test]
    fn the_divisor_and_the_maximum_pass_over_weights_of_0() {
        let cases: [(&[u32], u32, u32); 5] =
            [(&[], 1, 0), (&[0, 0], 1, 0), (&[10, 0, 4, 6], 2, 10), (&[7], 7, 7), (&[4, 9], 1, 9)];
        for (weights, gcd, max) in cases {
            let service = service(weights.iter().map(|&weight| dest(1, weight)).collect());
            assert_eq!((service.weight_gcd, service.max_weight), (gcd, max), "{weights:?}");
        }
    }
}
