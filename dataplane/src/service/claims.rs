//! What services claim of the packets of one family: virtual addresses with their ports, marks, and
//! which addresses are virtual at all.

use super::vips::Vips;
use super::{MarkRule, Service, ServiceKey};
use crate::address::Address;
use crate::by_family::PerFamily;
use crate::flow::port::{FTP, FTP_DATA};
use crate::flow::{FlowKey, protocol};
use ahash::{AHashMap, AHashSet};
use std::net::IpAddr;
use std::ops::RangeInclusive;

/// Ports below are servers' (`ip_unprivileged_port_start`).
const UNPRIVILEGED: u16 = 1024;

/// [`Claims`] on packets of either family.
#[derive(Debug)]
pub struct Claimed;

impl PerFamily for Claimed {
    type Of<A: Address> = Claims<A>;
}

/// Indices of services by what they take.
#[derive(Debug)]
pub struct Claims<A> {
    by_end: AHashMap<VirtualEnd<A>, usize>,
    /// In order of precedence.
    marks: Vec<Mark<A>>,
    vips: Vips<A>,
    /// Where fullnat's real servers answer to.
    locals: AHashSet<A>,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct VirtualEnd<A> {
    vip: A,
    vport: u16,
    proto: u8,
}

/// A [`MarkRule`] as packets of its family are compared with it.
#[derive(Debug)]
struct Mark<A> {
    network: A,
    mask: A,
    proto: Option<u8>,
    dports: RangeInclusive<u16>,
    /// Of the service of this mark and family, if there is one.
    service: Option<usize>,
}

impl<A: Address> Claims<A> {
    /// Of these services and rules, as far as they are of this family.
    pub fn new(services: &[Service], rules: &[MarkRule], lingering: &[IpAddr]) -> Self {
        let mut by_end = AHashMap::new();
        let mut marked = AHashMap::new();
        for (at, service) in services.iter().enumerate() {
            match service.key {
                ServiceKey::Address { proto, vip, vport } => {
                    let vip = A::of(vip).into_iter();
                    by_end.extend(vip.map(|vip| (VirtualEnd { vip, vport, proto }, at)));
                }
                ServiceKey::Fwmark { mark, family } if family == A::FAMILY => {
                    marked.insert(mark, at);
                }
                ServiceKey::Fwmark { .. } => {}
            }
        }
        let marks = rules.iter().filter_map(|rule| {
            let service = marked.get(&rule.mark).copied();
            Mark::new(rule, service)
        });
        let lingering = lingering.iter().filter_map(|&vip| A::of(vip));
        let vips = Vips::new(by_end.keys().map(|end| end.vip).chain(lingering));
        Claims { marks: marks.collect(), vips, by_end, locals: AHashSet::new() }
    }

    /// Adds a rule behind all others that marks nothing, if it is of this family.
    pub fn push_removed(&mut self, rule: &MarkRule) {
        // Without a service a rule leaves its packets to the address.
        self.marks.extend(Mark::new(rule, None));
    }

    /// Adds a local address of fullnat, if it is of this family.
    pub fn push_local(&mut self, address: IpAddr) {
        self.locals.extend(A::of(address));
    }

    /// Index of the service that takes a client's packet.
    #[inline]
    pub fn lookup(&self, key: &FlowKey<A>) -> Option<usize> {
        self.lookup_mark(key).or_else(|| {
            let end = |vport| VirtualEnd { vip: key.dst, vport, proto: key.proto };
            let exact = self.by_end.get(&end(key.dport));
            let of_ftp = || self.by_end.get(&end(FTP)).filter(|_| may_be_ftp_data(key));
            exact.or_else(of_ftp).or_else(|| self.by_end.get(&end(0))).copied()
        })
    }

    fn lookup_mark(&self, key: &FlowKey<A>) -> Option<usize> {
        self.marks.iter().find(|mark| mark.matches(key))?.service
    }

    #[inline]
    pub fn is_vip(&self, addr: A) -> bool {
        self.vips.contains(addr) || self.marks.iter().any(|mark| mark.covers(addr))
    }

    #[inline]
    pub fn is_from_client(&self, key: &FlowKey<A>) -> bool {
        let marked = || self.marks.iter().any(|mark| mark.matches(key));
        self.vips.contains(key.dst) || marked() && !self.locals.contains(&key.dst)
    }
}

/// Whether a packet may be of a data connection of an FTP service at its destination.
fn may_be_ftp_data<A>(key: &FlowKey<A>) -> bool {
    key.proto == protocol::TCP && (key.dport == FTP_DATA || key.dport >= UNPRIVILEGED)
}

impl<A: Address> Mark<A> {
    fn new(rule: &MarkRule, service: Option<usize>) -> Option<Self> {
        let mask = A::netmask(rule.len);
        let network = A::of(rule.prefix)? & mask;
        Some(Mark { network, mask, proto: rule.proto, dports: rule.dports.clone(), service })
    }

    #[inline]
    fn covers(&self, addr: A) -> bool {
        addr & self.mask == self.network
    }

    #[inline]
    fn matches(&self, key: &FlowKey<A>) -> bool {
        self.covers(key.dst)
            && self.proto.is_none_or(|proto| proto == key.proto)
            && self.dports.contains(&key.dport)
    }
}
