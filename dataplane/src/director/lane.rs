//! What the stages know of one packet of the window.

use crate::conn::{Candidate, ConnTable, KeyHash};
use crate::flow::protocol;
use crate::ids::InterfaceId;
use crate::interface::Interfaces;
use crate::io::Packet;
use crate::parse::{
    Content, FragmentHeaders, Headers, IcmpHeaders, Parsed, parse_any, parse_plain,
};
use crate::punt;
use crate::service::ServiceTable;
use crate::verdict::{DropReason, PuntClass, Verdict};
use crate::wire::ethernet::{Destination, destination_class};

/// One packet's place in the window, filled stage by stage.
pub(super) struct Lane {
    /// Where it came in; unknown if its VLAN is.
    pub interface: Option<InterfaceId>,
    /// What is decided, or still to be.
    pub fate: Fate,
}

/// Decided by an early stage, or a flow that goes through all of them.
pub(super) enum Fate {
    /// Nothing left to do but carry it out.
    Decided(Verdict),
    /// A TCP or UDP packet of a flow.
    Flow(Flow),
    /// An ICMP error about a flow.
    Related(IcmpHeaders),
}

/// A packet of a flow.
pub(super) struct Flow {
    pub headers: Headers,
    /// Whether the header ends after the ports: for a conn that exists it is counted, then dropped.
    pub cut: bool,
    /// Whether another worker says that it is this one's.
    pub handed_in: bool,
    pub hash: KeyHash,
    pub candidate: Candidate,
}

impl Lane {
    /// The lane of nearly all packets: plain, and for the interface alone.
    #[inline(always)]
    pub fn plain<P: Packet>(
        packet: &P,
        interfaces: &Interfaces,
        conns: &ConnTable,
    ) -> Option<Lane> {
        let headers = parse_plain(packet.bytes())?;
        let interface = interfaces.find(packet.port(), headers.vlan)?;
        let ours = destination_class(packet.bytes(), &interfaces.get(interface).mac);
        (ours == Destination::Ours).then(|| Lane {
            interface: Some(interface),
            fate: Fate::Flow(Flow::new(headers, false, conns)),
        })
    }

    /// Parses any packet and decides what is nobody's flow.
    #[inline(never)]
    pub fn any<P: Packet>(
        packet: &P,
        interfaces: &Interfaces,
        services: &ServiceTable,
        conns: &ConnTable,
    ) -> Lane {
        let parsed = parse_any(packet.bytes());
        let interface = interfaces.find(packet.port(), parsed.vlan());
        let fate = match parsed {
            Parsed::Drop(reason) => Fate::Decided(Verdict::Drop(reason)),
            _ => match destination(packet, interface, interfaces) {
                Err(reason) => Fate::Decided(Verdict::Drop(reason)),
                Ok(ours) => fate(parsed, ours, services, conns),
            },
        };
        Lane { interface, fate }
    }
}

impl Flow {
    /// A flow that is not looked up yet.
    #[inline(always)]
    fn new(headers: Headers, cut: bool, conns: &ConnTable) -> Flow {
        let hash = conns.hash(&headers.key);
        Flow { headers, cut, handed_in: false, hash, candidate: Candidate::NONE }
    }
}

/// Whether a frame is for the interface alone, or for a group; others' are dropped.
#[inline]
fn destination<P: Packet>(
    packet: &P,
    interface: Option<InterfaceId>,
    interfaces: &Interfaces,
) -> Result<bool, DropReason> {
    let id = interface.ok_or(DropReason::UnknownVlan)?;
    match destination_class(packet.bytes(), &interfaces.get(id).mac) {
        Destination::Ours => Ok(true),
        Destination::Multicast => Ok(false),
        Destination::Other => Err(DropReason::NotOurMac),
    }
}

/// What becomes of a frame that has a meaning.
#[inline]
fn fate(parsed: Parsed, ours: bool, services: &ServiceTable, conns: &ConnTable) -> Fate {
    let flow = |headers, cut| Fate::Flow(Flow::new(headers, cut, conns));
    match parsed {
        Parsed::V4(Content::Flow(headers)) if ours => flow(headers, false),
        Parsed::V4(Content::CutFlow(headers)) if ours => flow(headers, true),
        Parsed::V4(Content::Icmp(headers)) if ours && headers.flow().is_some() => {
            Fate::Related(headers)
        }
        Parsed::V4(Content::Fragment(fragment)) if ours && is_service_s(&fragment, services) => {
            Fate::Decided(Verdict::Drop(DropReason::Fragment))
        }
        other => Fate::Decided(match punt::class(&other) {
            Some(class) => Verdict::Punt(class),
            None => Verdict::Drop(DropReason::BadL4Header),
        }),
    }
}

/// Without any service IPVS is not in the way of packets (`ip_vs_unregister_hooks`, called with the
/// last one): even those of conns, which wait for their service to come back, are Linux's.
#[cold]
pub(super) fn leave_to_linux(lanes: &mut [Lane]) {
    for lane in lanes {
        let class = match &lane.fate {
            Fate::Decided(_) => continue,
            Fate::Flow(flow) => punt::class_of_flow(&flow.headers),
            Fate::Related(_) => PuntClass::Icmp,
        };
        lane.fate = Fate::Decided(Verdict::Punt(class));
    }
}

/// Fragments of other protocols, such as a large ping's, are Linux's as their whole datagrams are.
fn is_service_s(fragment: &FragmentHeaders, services: &ServiceTable) -> bool {
    let key = &fragment.headers.key;
    protocol::has_ports(key.proto) && services.is_vip(key.dst)
}
