//! The capability table: what a device says of itself (`struct rte_eth_dev_info`), and what is known
//! of its driver besides.

use bitflags::bitflags;

bitflags! {
    /// Kinds of packets and fields that a device hashes, numbered as `RTE_ETH_RSS_…` in DPDK.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct Hash: u64 {
        /// IPv4 packets of any kind.
        const IPV4 = 1 << 2;
        /// IPv4 fragments.
        const IPV4_FRAGMENT = 1 << 3;
        /// TCP over IPv4.
        const IPV4_TCP = 1 << 4;
        /// UDP over IPv4.
        const IPV4_UDP = 1 << 5;
        /// SCTP over IPv4.
        const IPV4_SCTP = 1 << 6;
        /// Other protocols over IPv4.
        const IPV4_OTHER = 1 << 7;
        /// IPv6 packets of any kind.
        const IPV6 = 1 << 8;
        /// IPv6 fragments.
        const IPV6_FRAGMENT = 1 << 9;
        /// TCP over IPv6.
        const IPV6_TCP = 1 << 10;
        /// UDP over IPv6.
        const IPV6_UDP = 1 << 11;
        /// SCTP over IPv6.
        const IPV6_SCTP = 1 << 12;
        /// Other protocols over IPv6.
        const IPV6_OTHER = 1 << 13;
        /// Of ports only the destination.
        const L4_DESTINATION = 1 << 60;
        /// Of ports only the source.
        const L4_SOURCE = 1 << 61;
        /// Of addresses only the destination.
        const L3_DESTINATION = 1 << 62;
        /// Of addresses only the source.
        const L3_SOURCE = 1 << 63;
    }
}

bitflags! {
    /// What a device can do on receiving, numbered as `RTE_ETH_RX_OFFLOAD_…`.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct RxOffload: u64 {
        /// Takes VLAN tags out of frames.
        const VLAN_STRIP = 1 << 0;
        /// Verdict on IPv4 header checksums.
        const IPV4_CHECKSUM = 1 << 1;
        /// Verdict on UDP checksums.
        const UDP_CHECKSUM = 1 << 2;
        /// Verdict on TCP checksums.
        const TCP_CHECKSUM = 1 << 3;
        /// Spreads a frame over several buffers.
        const SCATTER = 1 << 13;
        /// Tells each packet's hash.
        const HASH = 1 << 19;
    }
}

bitflags! {
    /// What a device can do on sending, numbered as `RTE_ETH_TX_OFFLOAD_…`.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct TxOffload: u64 {
        /// Puts VLAN tags into frames.
        const VLAN_INSERT = 1 << 0;
        /// Fills in IPv4 header checksums.
        const IPV4_CHECKSUM = 1 << 1;
        /// Fills in UDP checksums.
        const UDP_CHECKSUM = 1 << 2;
        /// Fills in TCP checksums.
        const TCP_CHECKSUM = 1 << 3;
        /// Sends a frame from several buffers.
        const MULTI_SEGMENT = 1 << 15;
        /// Frees buffers of one pool without looking at each.
        const FAST_FREE = 1 << 16;
    }
}

impl Hash {
    /// What tells flows apart.
    pub const FLOWS: Hash = Hash::IPV4
        .union(Hash::IPV4_FRAGMENT)
        .union(Hash::IPV4_TCP)
        .union(Hash::IPV4_UDP)
        .union(Hash::IPV4_SCTP)
        .union(Hash::IPV4_OTHER)
        .union(Hash::IPV6)
        .union(Hash::IPV6_FRAGMENT)
        .union(Hash::IPV6_TCP)
        .union(Hash::IPV6_UDP)
        .union(Hash::IPV6_SCTP)
        .union(Hash::IPV6_OTHER);
}

/// What a port's device is and can.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// DPDK's driver, such as `net_ice`.
    pub driver: String,
    /// NUMA node, if it has one.
    pub node: Option<u32>,
    /// Receive queues at most.
    pub rx_queues: u16,
    /// Transmit queues at most.
    pub tx_queues: u16,
    /// Frames that the driver would have a receive queue hold; 0: it does not say.
    pub rx_ring: u16,
    /// The same of a transmit queue.
    pub tx_ring: u16,
    /// Kinds of packets that it can hash, and whether one end of them alone.
    pub hash: Hash,
    /// Bytes of the hash's key; 0: not stated, which stands for 40.
    pub hash_key: u8,
    /// Entries of the table from the hash's lowest bits to queues; 0: none.
    pub redirection: u16,
    /// On receiving.
    pub rx: RxOffload,
    /// On sending.
    pub tx: TxOffload,
}

/// What flow rules of a driver can do for steering. Only of drivers whose sources say so: that a
/// driver accepts a rule does not prove it (`net_tap` takes any fields and hashes both ends).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RuleUse {
    /// Nothing.
    None,
    /// One kind of packet by one end alone, for the whole port and with its key and table:
    /// `i40e_hash.c`, `ice_hash.c`, `iavf_hash.c`.
    PerKind,
    /// Packets from or to one address by one end alone, with a key and queues of their own:
    /// `mlx5_validate_action_rss` (mlx5_flow.c).
    PerAddress,
}

impl Device {
    pub(super) fn rule_use(&self) -> RuleUse {
        match self.driver.as_str() {
            "net_i40e" | "net_ice" | "net_iavf" => RuleUse::PerKind,
            "mlx5_pci" => RuleUse::PerAddress,
            _ => RuleUse::None,
        }
    }

    /// Takes a redirection table only if it tells hashes too (`ena_rss_reta_update`, ena_rss.c).
    pub(super) fn ties_table_to_hash(&self) -> bool {
        self.driver == "net_ena"
    }
}
