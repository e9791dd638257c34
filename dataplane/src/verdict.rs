//! What may become of a packet. Closed: a new outcome does not compile until it has a counter.

/// Declares an enum whose variants have a name for listings and an index for counter arrays.
macro_rules! named_enum {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum $name { $($(#[$vdoc])* $variant,)* }

        impl $name {
            /// Every variant, in the order of its counter.
            pub const ALL: &'static [$name] = &[$($name::$variant,)*];
            /// How many variants there are.
            pub const COUNT: usize = Self::ALL.len();

            /// The name in listings, metrics and documents.
            pub fn name(self) -> &'static str {
                match self { $($name::$variant => $text,)* }
            }

            /// Place in an array of [`Self::COUNT`] counters.
            #[inline]
            pub fn index(self) -> usize {
                self as usize
            }
        }
    };
}

named_enum! {
    /// Why a packet was dropped. Each has a counter of that name in `sluice stats`.
    DropReason {
        /// Shorter than its Ethernet or VLAN header says.
        TruncatedL2 = "truncated_l2",
        /// Unicast frame to another station's MAC address.
        NotOurMac = "not_our_mac",
        /// Tagged with a VLAN that no interface is configured for.
        UnknownVlan = "unknown_vlan",
        /// IP header shorter than it says, or lengths that contradict each other.
        BadIpHeader = "bad_ip_header",
        /// IPv4 header checksum is wrong.
        BadIpChecksum = "bad_ip_checksum",
        /// IPv6 packet that is longer than its length field could say (RFC 2675).
        Jumbogram = "jumbogram",
        /// More IPv6 extension headers, or longer ones, than are followed.
        ExtHeaders = "ext_headers",
        /// Checksum of an ICMP error about a conn is wrong.
        BadIcmpChecksum = "bad_icmp_checksum",
        /// TCP checksum of a packet whose payload a helper reads is wrong.
        BadTcpChecksum = "bad_tcp_checksum",
        /// TCP, UDP, SCTP or ICMP header cut short or with a length that cannot be.
        BadL4Header = "bad_l4_header",
        /// First fragment of an SCTP packet whose port would change: its checksum covers all of it.
        FragmentSctp = "fragment_sctp",
        /// Later fragment of a datagram whose conn has ended.
        FragmentOrphan = "fragment_orphan",
        /// Fragment that shares some bytes with one before it; with it all of its datagram that follows.
        FragmentOverlap = "fragment_overlap",
        /// Fragment that brings nothing but bytes that arrived before.
        FragmentDuplicate = "fragment_duplicate",
        /// First fragment without the whole L4 header, or a later one within it (RFC 1858, RFC 3128).
        FragmentTiny = "fragment_tiny",
        /// Fragment that ends beyond the largest datagram.
        FragmentTooLong = "fragment_too_long",
        /// Fragment that is empty, or not the last and no multiple of 8 bytes long.
        FragmentBadLength = "fragment_bad_length",
        /// Fragment that contradicts the last one about where the datagram ends.
        FragmentBadEnd = "fragment_bad_end",
        /// Fragment of a datagram in too many pieces.
        FragmentTooMany = "fragment_too_many",
        /// Fragment that waited for the first until newer ones needed the room.
        FragmentCacheFull = "fragment_cache_full",
        /// Fragment that waited for the first, which did not come.
        FragmentTimeout = "fragment_timeout",
        /// Time to live ran out here; the sender gets time-exceeded.
        TtlExceeded = "ttl_exceeded",
        /// Larger than the next hop's MTU with DF set; the sender gets fragmentation-needed.
        FragNeeded = "frag_needed",
        /// Larger than the MTU and could not be fragmented: no buffers, or too many fragments.
        FragNoBuffer = "frag_no_buffer",
        /// ICMP error about the outer packet of a tunnel; the client gets it about its own packet.
        TunnelError = "tunnel_error",
        /// Fragment of TCP to a real server that is told the client's address in the stream.
        FragmentTold = "fragment_told",
        /// Client's data that its real server could have read before the PROXY header.
        BeforeProxyHeader = "before_proxy_header",
        /// A real server's packet without a conn; with `nat_icmp_send` it gets port-unreachable.
        NoConn = "no_conn",
        /// No destination available; the client gets port-unreachable.
        NoDestination = "no_destination",
        /// Would have begun a conn, but the lot of `drop_packet` fell on it.
        DropPacket = "drop_packet",
        /// The conn's destination was removed.
        DestinationRemoved = "destination_removed",
        /// No Call-ID in a first packet to a service that tells clients apart by it.
        NoCallId = "no_call_id",
        /// The persistence templates that a new conn needs were locked for too long.
        TemplateBusy = "template_busy",
        /// No room for a persistence template, and none could give way.
        TemplateFull = "template_full",
        /// What FTP control connections announced was locked for too long.
        ExpectBusy = "expect_busy",
        /// No room for what an FTP control connection announces, and none of its client's could give
        /// way.
        ExpectFull = "expect_full",
        /// The connection table is full and nothing half-open could give way.
        TableFull = "table_full",
        /// The conn's reply tuple is taken by another conn.
        TupleTaken = "tuple_taken",
        /// All local ports of the service towards the real server are taken.
        NoLocalPort = "no_local_port",
        /// No route to the next address.
        NoRoute = "no_route",
        /// The next hop's MAC address is not known and its waiting queue is full.
        NextHopUnresolved = "next_hop_unresolved",
        /// The next hop did not answer in time.
        NextHopTimeout = "next_hop_timeout",
        /// No headroom in the packet's buffer for an outer header.
        NoHeadroom = "no_headroom",
        /// No room in the packet's buffer, or in its length field, for what a helper puts in.
        NoTailroom = "no_tailroom",
        /// Handed over by a worker whose snapshot differs for a moment, and of no conn here: begun
        /// here it would be on two workers as soon as the snapshots agree.
        Strayed = "strayed",
        /// The hand-over ring to the owner was full.
        HandOverFull = "hand_over_full",
        /// The punt queue of its class was full, or the interface has no twin.
        PuntFull = "punt_full",
        /// To be punted, but the interface has no kernel twin.
        NoTwin = "no_twin",
        /// The port's transmit queue was full.
        TxFull = "tx_full",
        /// The port or worker is stopping.
        Stopping = "stopping",
        /// Made of several buffers, which the data path does not take.
        MultiSegment = "multi_segment",
    }
}

named_enum! {
    /// Classes of punted packets, in strict order of priority.
    PuntClass {
        /// ARP and neighbour discovery.
        Neighbor = "neighbor",
        /// VRRP, BGP, BFD, and replies to the director's own sessions.
        Control = "control",
        /// ICMP that is not an error about a conn.
        Icmp = "icmp",
        /// Everything else.
        Rest = "rest",
    }
}

/// What the director decided about one packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Rewritten and addressed: transmit on this port.
    Transmit(crate::ids::PortId),
    /// Linux's: to the kernel twin of the interface it came in on.
    Punt(PuntClass),
    /// Rewritten for a real server that is the director itself: Linux's, if addressed to it.
    Deliver,
    /// Another worker's flow.
    HandOver(crate::ids::WorkerId),
    /// Waits until the next hop that stands for [`Outbox::waits_for`] is resolved.
    ///
    /// [`Outbox::waits_for`]: crate::director::Outbox::waits_for
    Hold,
    /// Gone, and why.
    Drop(DropReason),
}

impl From<crate::conn::InsertError> for DropReason {
    fn from(error: crate::conn::InsertError) -> DropReason {
        match error {
            crate::conn::InsertError::Full => DropReason::TableFull,
            crate::conn::InsertError::TupleTaken => DropReason::TupleTaken,
        }
    }
}
