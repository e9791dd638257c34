//! What the stages know of one packet of the window.

use super::FlowFamily;
use super::fragments::AnyFragment;
use crate::address::Family;
use crate::conn::{Candidate, ConnFamily, ConnTable, KeyHash};
use crate::flow::FlowKey;
use crate::ids::InterfaceId;
use crate::interface::Interfaces;
use crate::io::Packet;
use crate::limits::WINDOW;
use crate::parse::{
    self, Content, FragmentHeaders, Headers, IcmpHeaders, Parsed, Tunnelled, parse_any,
};
use crate::plain::PlainForm;
use crate::punt;
use crate::verdict::{DropReason, PuntClass, Verdict};
use crate::wire::ethernet::{Destination, destination_class};
use crate::wire::ipv6;
use arrayvec::ArrayVec;

/// What the stages know of the window's packets, a column for each thing and a row for each packet,
/// in order: a stage touches the columns that it needs.
pub(super) struct Lanes {
    /// Which way each packet goes.
    pub kinds: [Kind; WINDOW],
    /// Hashes of plain packets' keys.
    pub hashes: [KeyHash; WINDOW],
    /// Likely conns of plain packets.
    pub candidates: [Candidate; WINDOW],
    /// Of those that are not plain, the rest.
    pub others: [Other; WINDOW],
    /// What few packets of most windows are, out of the others' way.
    pub asides: ArrayVec<Aside, WINDOW>,
}

impl Default for Lanes {
    fn default() -> Lanes {
        Lanes {
            kinds: [Kind::Other; WINDOW],
            hashes: [KeyHash::default(); WINDOW],
            candidates: [Candidate::NONE; WINDOW],
            others: [Other::NONE; WINDOW],
            asides: ArrayVec::new(),
        }
    }
}

/// What a packet is, as far as the stages tell packets apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A [plain](crate::plain) packet of an IPv4 flow.
    PlainV4,
    /// The same of IPv6.
    PlainV6,
    /// See [`Lanes::others`].
    Other,
}

/// What is known of a packet that is not plain, or not to be looked up.
#[derive(Clone, Copy)]
pub(super) struct Other {
    /// Where it came in; unknown if its VLAN is.
    pub interface: Option<InterfaceId>,
    /// What is decided, or still to be.
    pub fate: Fate,
}

impl Other {
    const NONE: Other =
        Other { interface: None, fate: Fate::Decided(Verdict::Drop(DropReason::TruncatedL2)) };
}

/// Decided by an early stage, or something that goes through all of them.
#[derive(Clone, Copy)]
pub(super) enum Fate {
    /// Nothing left to do but carry it out.
    Decided(Verdict),
    /// Its place among the asides.
    Aside(u8),
}

/// What is not plain, and larger.
pub(super) enum Aside {
    /// A packet of an IPv4 flow.
    Flow(Flow),
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

/// Flow and hash of nearly all packets: plain ones for the interface alone.
#[inline(always)]
pub(super) fn plain_flow<A: FlowFamily, P: Packet>(
    packet: &P,
    interfaces: &Interfaces,
    conns: &ConnTable,
) -> Option<(FlowKey<A>, KeyHash)> {
    let frame = packet.bytes();
    let head = A::head(frame)?;
    if !A::is_plain(head, frame.len()) {
        return None;
    }
    interfaces.addressed(packet.port(), frame.first_chunk()?)?;
    let key = A::key(head);
    Some((key, conns.hash(&key)))
}

/// Parses any packet and decides what is nobody's flow.
#[inline(never)]
pub(super) fn other<P: Packet>(
    packet: &P,
    interfaces: &Interfaces,
    conns: &ConnTable,
    asides: &mut ArrayVec<Aside, WINDOW>,
) -> Other {
    let parsed = parse_any(packet.bytes());
    let interface = interfaces.find(packet.port(), parsed.vlan());
    let fate = match parsed {
        Parsed::Drop(reason) => Fate::Decided(Verdict::Drop(reason)),
        _ => match destination(packet, interface, interfaces) {
            Err(reason) => Fate::Decided(Verdict::Drop(reason)),
            Ok(ours) => fate(packet.bytes(), &parsed, ours, conns, asides),
        },
    };
    Other { interface, fate }
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
            Some(Meaning::Flow(flow)) => Some(Aside::Flow(flow)),
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
pub(super) fn leave_to_linux<P: Packet>(
    packets: &[P],
    interfaces: &Interfaces,
    window: &mut Lanes,
) {
    let Lanes { kinds, others, asides, .. } = window;
    for ((packet, kind), other) in packets.iter().zip(kinds).zip(others) {
        let class = match (*kind, other.fate) {
            (Kind::PlainV4, _) => class_of_plain::<u32, P>(packet),
            (Kind::PlainV6, _) => class_of_plain::<u128, P>(packet),
            (Kind::Other, Fate::Decided(_)) => continue,
            (Kind::Other, Fate::Aside(at)) => class_of_aside(&asides[usize::from(at)]),
        };
        if *kind != Kind::Other {
            (*kind, other.interface) = (Kind::Other, interfaces.find(packet.port(), 0));
        }
        other.fate = Fate::Decided(Verdict::Punt(class));
    }
}

fn class_of_plain<A: PlainForm, P: Packet>(packet: &P) -> PuntClass {
    A::head(packet.bytes()).map_or(PuntClass::Rest, |head| punt::class_of_flow(&A::headers(head)))
}

fn class_of_aside(aside: &Aside) -> PuntClass {
    match aside {
        Aside::Flow(flow) => punt::class_of_flow(&flow.headers),
        Aside::FlowV6(flow) => punt::class_of_flow(&flow.headers),
        Aside::Fragment(fragment) => punt::class_of_protocol(fragment.proto()),
        _ => PuntClass::Icmp,
    }
}
