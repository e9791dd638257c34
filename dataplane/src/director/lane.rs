//! What the stages know of one packet of the window.

use super::fragments::AnyFragment;
use crate::address::Family;
use crate::conn::{Candidate, ConnFamily, ConnTable, KeyHash};
use crate::ids::InterfaceId;
use crate::interface::Interfaces;
use crate::io::Packet;
use crate::limits::WINDOW;
use crate::parse::{
    self, Content, FragmentHeaders, Headers, IcmpHeaders, Parsed, Tunnelled, parse_any,
    parse_plain, parse_plain6,
};
use crate::punt;
use crate::verdict::{DropReason, PuntClass, Verdict};
use crate::wire::ethernet::{Destination, destination_class};
use crate::wire::ipv6;
use arrayvec::ArrayVec;

/// The window's packets, stage by stage.
#[derive(Default)]
pub(super) struct Lanes {
    /// One for each packet, in order.
    pub lanes: ArrayVec<Lane, WINDOW>,
    /// What few packets of most windows are, out of the lanes' way.
    pub asides: ArrayVec<Aside, WINDOW>,
}

/// One packet's place in the window, filled stage by stage.
pub(super) struct Lane {
    /// Where it came in; unknown if its VLAN is.
    pub interface: Option<InterfaceId>,
    /// What is decided, or still to be.
    pub fate: Fate,
}

/// Decided by an early stage, or something that goes through all of them.
pub(super) enum Fate {
    /// Nothing left to do but carry it out.
    Decided(Verdict),
    /// A packet of an IPv4 flow.
    Flow(Flow),
    /// Something else: its place among the asides.
    Aside(u8),
}

/// What is not an IPv4 flow, and larger.
pub(super) enum Aside {
    /// A packet of an IPv6 flow.
    FlowV6(Flow<u128>),
    /// An ICMP error about an IPv4 flow.
    Related(IcmpHeaders),
    /// An ICMPv6 error about an IPv6 flow.
    RelatedV6(IcmpHeaders<u128>),
    /// A fragment that may be of a flow.
    Fragment(AnyFragment),
    /// An ICMP error about what looks like a tunnel's packet, and the client's in that.
    Tunnel(IcmpHeaders, Tunnelled),
    /// An ICMPv6 error about one.
    TunnelV6(IcmpHeaders<u128>, Tunnelled),
}

/// What of a flow a packet holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// All headers, where a plain packet has them: untagged TCP or UDP without options or extension
    /// headers.
    Plain,
    /// All headers.
    Whole,
    /// A header that ends after the ports: see [`super::cut`].
    Cut,
    /// AH or ESP, which ride on the conn of their key exchange.
    Riding,
    /// The first fragment of a datagram, which counts and is tracked for all of it.
    First,
    /// A later one, in which L4 is payload.
    Later,
}

impl Shape {
    /// Whether it is a whole packet with all headers.
    #[inline]
    pub fn is_whole(self) -> bool {
        matches!(self, Shape::Plain | Shape::Whole)
    }
}

/// A packet of a flow.
#[derive(Clone, Copy)]
pub(super) struct Flow<A = u32> {
    pub headers: Headers<A>,
    pub shape: Shape,
    /// Whether another worker says that it is this one's.
    pub handed_in: bool,
    pub hash: KeyHash,
    pub candidate: Candidate,
}

/// What a packet to the interface is to the director; Linux's are none of these.
enum Meaning<A> {
    Flow(Flow<A>),
    Related(IcmpHeaders<A>),
    Fragment(FragmentHeaders<A>),
    Tunnel(IcmpHeaders<A>, Tunnelled),
}

impl Lane {
    /// The lane of nearly all packets: plain, which is to be called `shape`, and for the interface alone.
    #[inline(always)]
    pub fn plain<P: Packet>(
        packet: &P,
        interfaces: &Interfaces,
        conns: &ConnTable,
        shape: Shape,
    ) -> Option<Lane> {
        let frame = packet.bytes();
        let headers = parse_plain(frame)?;
        let interface = interfaces.addressed(packet.port(), frame.first_chunk()?)?;
        let fate = Fate::Flow(Flow::new(headers, shape, conns));
        Some(Lane { interface: Some(interface), fate })
    }

    /// The same for IPv6, whose flows are asides.
    #[inline(always)]
    pub fn plain6<P: Packet>(
        packet: &P,
        interfaces: &Interfaces,
        conns: &ConnTable,
        shape: Shape,
        asides: &mut ArrayVec<Aside, WINDOW>,
    ) -> Option<Lane> {
        let frame = packet.bytes();
        let headers = parse_plain6(frame)?;
        let interface = interfaces.addressed(packet.port(), frame.first_chunk()?)?;
        let fate = Fate::Aside(asides.len() as u8);
        asides.push(Aside::FlowV6(Flow::new(headers, shape, conns)));
        Some(Lane { interface: Some(interface), fate })
    }

    /// Parses any packet and decides what is nobody's flow.
    #[inline(never)]
    pub fn any<P: Packet>(
        packet: &P,
        interfaces: &Interfaces,
        conns: &ConnTable,
        asides: &mut ArrayVec<Aside, WINDOW>,
    ) -> Lane {
        let parsed = parse_any(packet.bytes());
        let interface = interfaces.find(packet.port(), parsed.vlan());
        let fate = match parsed {
            Parsed::Drop(reason) => Fate::Decided(Verdict::Drop(reason)),
            _ => match destination(packet, interface, interfaces) {
                Err(reason) => Fate::Decided(Verdict::Drop(reason)),
                Ok(ours) => fate(packet.bytes(), &parsed, ours, conns, asides),
            },
        };
        Lane { interface, fate }
    }
}

impl<A: ConnFamily> Flow<A> {
    /// A flow that is not looked up yet.
    #[inline(always)]
    pub fn new(headers: Headers<A>, shape: Shape, conns: &ConnTable) -> Flow<A> {
        let hash = conns.hash(&headers.key);
        Flow { headers, shape, handed_in: false, hash, candidate: Candidate::NONE }
    }

    /// Bytes that the packet counts for. The kernel takes IPv6's fragment header off before it counts.
    #[inline(always)]
    pub fn counted_len(&self) -> u64 {
        let ip_len = self.headers.ip_len;
        u64::from(match self.shape {
            Shape::First if A::FAMILY == Family::V6 => ip_len - ipv6::fragment_header::LEN as u16,
            _ => ip_len,
        })
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
fn fate(
    frame: &[u8],
    parsed: &Parsed,
    ours: bool,
    conns: &ConnTable,
    asides: &mut ArrayVec<Aside, WINDOW>,
) -> Fate {
    let aside = match *parsed {
        Parsed::V4(content) if ours => match meaning(frame, content, conns) {
            Some(Meaning::Flow(flow)) => return Fate::Flow(flow),
            Some(Meaning::Related(icmp)) => Some(Aside::Related(icmp)),
            Some(Meaning::Tunnel(icmp, inner)) => Some(Aside::Tunnel(icmp, inner)),
            Some(Meaning::Fragment(fragment)) => Some(Aside::Fragment(AnyFragment::V4(fragment))),
            None => None,
        },
        Parsed::V6(content) if ours => match meaning(frame, content, conns) {
            Some(Meaning::Flow(flow)) => Some(Aside::FlowV6(flow)),
            Some(Meaning::Related(icmp)) => Some(Aside::RelatedV6(icmp)),
            Some(Meaning::Tunnel(icmp, inner)) => Some(Aside::TunnelV6(icmp, inner)),
            Some(Meaning::Fragment(fragment)) => Some(Aside::Fragment(AnyFragment::V6(fragment))),
            None => None,
        },
        _ => None,
    };
    match aside {
        Some(aside) => {
            asides.push(aside);
            Fate::Aside((asides.len() - 1) as u8)
        }
        None => Fate::Decided(match punt::class(parsed) {
            Some(class) => Verdict::Punt(class),
            None => Verdict::Drop(DropReason::BadL4Header),
        }),
    }
}

/// What a packet to the interface alone is; `None` is Linux's.
fn meaning<A: ConnFamily>(
    frame: &[u8],
    content: Content<A>,
    conns: &ConnTable,
) -> Option<Meaning<A>> {
    let flow = |headers, shape| Some(Meaning::Flow(Flow::new(headers, shape, conns)));
    match content {
        Content::Flow(headers) => flow(headers, Shape::Whole),
        Content::CutFlow(headers) => flow(headers, Shape::Cut),
        Content::Riding(headers) => flow(headers, Shape::Riding),
        Content::Icmp(icmp) => match parse::tunnelled(frame, &icmp) {
            Some(inner) => Some(Meaning::Tunnel(icmp, inner)),
            None => icmp.flow().is_some().then_some(Meaning::Related(icmp)),
        },
        // Fragments of other protocols, such as a large ping's, are Linux's as their whole
        // datagrams are.
        Content::Fragment(fragment) => {
            fragment.may_be_of_flow().then_some(Meaning::Fragment(fragment))
        }
    }
}

/// Without any service IPVS is not in the way of packets (`ip_vs_unregister_hooks`, called with the
/// last one): even those of conns, which wait for their service to come back, are Linux's.
#[cold]
pub(super) fn leave_to_linux(window: &mut Lanes) {
    for lane in &mut window.lanes {
        let class = match &lane.fate {
            Fate::Decided(_) => continue,
            Fate::Flow(flow) => punt::class_of_flow(&flow.headers),
            Fate::Aside(at) => match &window.asides[usize::from(*at)] {
                Aside::FlowV6(flow) => punt::class_of_flow(&flow.headers),
                Aside::Fragment(fragment) => punt::class_of_protocol(fragment.proto()),
                _ => PuntClass::Icmp,
            },
        };
        lane.fate = Fate::Decided(Verdict::Punt(class));
    }
}
