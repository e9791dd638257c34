//! The numbers of `rte_ethdev.h` for what a port can hash and offload.

/// Kinds of packets and fields that a device hashes to spread flows over queues.
pub mod hash {
    /// IPv4 packets of any kind.
    pub const IPV4: u64 = dpdk_sys::DPDK_RSS_IPV4;
    /// IPv4 fragments.
    pub const IPV4_FRAGMENT: u64 = dpdk_sys::DPDK_RSS_IPV4_FRAGMENT;
    /// TCP over IPv4.
    pub const IPV4_TCP: u64 = dpdk_sys::DPDK_RSS_IPV4_TCP;
    /// UDP over IPv4.
    pub const IPV4_UDP: u64 = dpdk_sys::DPDK_RSS_IPV4_UDP;
    /// SCTP over IPv4.
    pub const IPV4_SCTP: u64 = dpdk_sys::DPDK_RSS_IPV4_SCTP;
    /// Other protocols over IPv4.
    pub const IPV4_OTHER: u64 = dpdk_sys::DPDK_RSS_IPV4_OTHER;
    /// IPv6 packets of any kind.
    pub const IPV6: u64 = dpdk_sys::DPDK_RSS_IPV6;
    /// IPv6 fragments.
    pub const IPV6_FRAGMENT: u64 = dpdk_sys::DPDK_RSS_IPV6_FRAGMENT;
    /// TCP over IPv6.
    pub const IPV6_TCP: u64 = dpdk_sys::DPDK_RSS_IPV6_TCP;
    /// UDP over IPv6.
    pub const IPV6_UDP: u64 = dpdk_sys::DPDK_RSS_IPV6_UDP;
    /// SCTP over IPv6.
    pub const IPV6_SCTP: u64 = dpdk_sys::DPDK_RSS_IPV6_SCTP;
    /// Other protocols over IPv6.
    pub const IPV6_OTHER: u64 = dpdk_sys::DPDK_RSS_IPV6_OTHER;
    /// Of addresses only the source.
    pub const L3_SOURCE: u64 = dpdk_sys::DPDK_RSS_L3_SOURCE_HALF << 1;
    /// Of addresses only the destination.
    pub const L3_DESTINATION: u64 = dpdk_sys::DPDK_RSS_L3_DESTINATION;
    /// Of ports only the source.
    pub const L4_SOURCE: u64 = dpdk_sys::DPDK_RSS_L4_SOURCE;
    /// Of ports only the destination.
    pub const L4_DESTINATION: u64 = dpdk_sys::DPDK_RSS_L4_DESTINATION;
}

/// What a device can do on receiving.
pub mod rx {
    /// Verdict on IPv4 header checksums.
    pub const IPV4_CHECKSUM: u64 = dpdk_sys::DPDK_RX_IPV4_CHECKSUM;
    /// Verdict on UDP checksums.
    pub const UDP_CHECKSUM: u64 = dpdk_sys::DPDK_RX_UDP_CHECKSUM;
    /// Verdict on TCP checksums.
    pub const TCP_CHECKSUM: u64 = dpdk_sys::DPDK_RX_TCP_CHECKSUM;
    /// Takes VLAN tags out of frames.
    pub const VLAN_STRIP: u64 = dpdk_sys::DPDK_RX_VLAN_STRIP;
    /// Spreads a frame over several buffers.
    pub const SCATTER: u64 = dpdk_sys::DPDK_RX_SCATTER;
    /// Tells each packet's hash.
    pub const HASH: u64 = dpdk_sys::DPDK_RX_HASH;
}

/// What a device can do on sending.
pub mod tx {
    /// Fills in IPv4 header checksums.
    pub const IPV4_CHECKSUM: u64 = dpdk_sys::DPDK_TX_IPV4_CHECKSUM;
    /// Fills in UDP checksums.
    pub const UDP_CHECKSUM: u64 = dpdk_sys::DPDK_TX_UDP_CHECKSUM;
    /// Fills in TCP checksums.
    pub const TCP_CHECKSUM: u64 = dpdk_sys::DPDK_TX_TCP_CHECKSUM;
    /// Puts VLAN tags into frames.
    pub const VLAN_INSERT: u64 = dpdk_sys::DPDK_TX_VLAN_INSERT;
    /// Sends a frame from several buffers.
    pub const MULTI_SEGMENT: u64 = dpdk_sys::DPDK_TX_MULTI_SEGMENT;
    /// Frees buffers of one pool without looking at each.
    pub const FAST_FREE: u64 = dpdk_sys::DPDK_TX_FAST_FREE;
}
