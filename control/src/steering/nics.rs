//! Devices as their drivers describe them: mocked from DPDK 22.11's sources (`…_dev_info_get`), since
//! none of the NICs is at hand. Nobody has seen these plans carried out by one.

use super::device::{Device, Hash, RxOffload, TxOffload};

const CHECKSUMS: RxOffload =
    RxOffload::IPV4_CHECKSUM.union(RxOffload::UDP_CHECKSUM).union(RxOffload::TCP_CHECKSUM);
const SENT_CHECKSUMS: TxOffload =
    TxOffload::IPV4_CHECKSUM.union(TxOffload::UDP_CHECKSUM).union(TxOffload::TCP_CHECKSUM);
const INTEL_RX: RxOffload =
    CHECKSUMS.union(RxOffload::VLAN_STRIP).union(RxOffload::SCATTER).union(RxOffload::HASH);
const INTEL_TX: TxOffload = SENT_CHECKSUMS
    .union(TxOffload::VLAN_INSERT)
    .union(TxOffload::MULTI_SEGMENT)
    .union(TxOffload::FAST_FREE);
const IP_TCP_UDP: Hash = Hash::FLOWS.difference(Hash::IPV4_SCTP).difference(Hash::IPV6_SCTP);

fn nic(driver: &str, queues: u16) -> Device {
    Device {
        driver: driver.into(),
        node: Some(0),
        rx_queues: queues,
        tx_queues: queues,
        rx_ring: 0,
        tx_ring: 0,
        hash: Hash::empty(),
        hash_key: 0,
        redirection: 0,
        rx: RxOffload::empty(),
        tx: TxOffload::empty(),
    }
}

/// Intel 82599 (`ixgbe_dev_info_get`, `IXGBE_RSS_OFFLOAD_ALL`): both ends of TCP and UDP, fixed.
pub fn ixgbe_82599() -> Device {
    let l4 = Hash::IPV4_TCP | Hash::IPV4_UDP | Hash::IPV6_TCP | Hash::IPV6_UDP;
    Device {
        tx_queues: 64,
        rx_ring: 256,
        tx_ring: 256,
        hash: Hash::IPV4 | Hash::IPV6 | l4,
        hash_key: 40,
        redirection: 128,
        rx: INTEL_RX,
        tx: INTEL_TX - TxOffload::FAST_FREE,
        ..nic("net_ixgbe", 128)
    }
}

/// Intel XL710 (`i40e_dev_info_get`, `I40E_RSS_OFFLOAD_ALL`): one end by rules (i40e_hash.c).
pub fn i40e_xl710() -> Device {
    Device {
        rx_ring: 1024,
        tx_ring: 512,
        hash: Hash::FLOWS - Hash::IPV4 - Hash::IPV6,
        hash_key: 52,
        redirection: 512,
        rx: INTEL_RX,
        tx: INTEL_TX,
        ..nic("net_i40e", 64)
    }
}

/// Intel E810 (`ice_dev_info_get`, `ICE_RSS_OFFLOAD_ALL`): one end by rules (ice_hash.c). The table's
/// size comes from the firmware's capabilities; 512 of 2048 here, to be the smaller.
pub fn ice_e810() -> Device {
    Device {
        rx_ring: 1024,
        tx_ring: 1024,
        hash: Hash::FLOWS,
        hash_key: 52,
        redirection: 512,
        rx: INTEL_RX,
        tx: INTEL_TX,
        ..nic("net_ice", 256)
    }
}

/// NVIDIA ConnectX-5 and -6 (`mlx5_dev_infos_get`, `MLX5_RSS_HF_MASK`): one end as a field, and rules
/// with tables of their own.
pub fn mlx5_cx() -> Device {
    let ends = Hash::L3_SOURCE | Hash::L3_DESTINATION | Hash::L4_SOURCE | Hash::L4_DESTINATION;
    Device {
        rx_ring: 256,
        tx_ring: 256,
        hash: IP_TCP_UDP | ends,
        hash_key: 40,
        redirection: 512,
        rx: CHECKSUMS | RxOffload::SCATTER | RxOffload::HASH | RxOffload::VLAN_STRIP,
        tx: INTEL_TX,
        ..nic("mlx5_pci", 1024)
    }
}

/// Amazon's ENA (`ena_infos_get`, `ENA_ALL_RSS_HF`): its hardware could hash one end
/// (`ena_eth_hf_to_admin_hf`), but the driver does not offer it, and DPDK refuses what is not offered.
pub fn ena() -> Device {
    Device {
        node: None,
        rx_ring: 1024,
        tx_ring: 1024,
        hash: Hash::IPV4_TCP | Hash::IPV4_UDP | Hash::IPV6_TCP | Hash::IPV6_UDP,
        hash_key: 40,
        redirection: 128,
        rx: CHECKSUMS | RxOffload::SCATTER | RxOffload::HASH,
        tx: SENT_CHECKSUMS | TxOffload::MULTI_SEGMENT | TxOffload::FAST_FREE,
        ..nic("net_ena", 8)
    }
}

/// The same with what a later driver might offer, for the table that it ties to hashes.
pub fn ena_of_one_end() -> Device {
    let mut device = ena();
    device.hash |= mlx5_cx().hash - Hash::FLOWS;
    device
}

/// virtio with `VIRTIO_NET_F_RSS` (`virtio_dev_info_get`).
pub fn virtio() -> Device {
    Device {
        hash: IP_TCP_UDP,
        hash_key: 40,
        redirection: 128,
        rx: RxOffload::VLAN_STRIP | RxOffload::SCATTER,
        tx: TxOffload::MULTI_SEGMENT | TxOffload::VLAN_INSERT,
        ..nic("net_virtio", 4)
    }
}

/// A packet socket with four queue pairs: the kernel's fanout spreads.
pub fn af_packet() -> Device {
    Device {
        rx: RxOffload::VLAN_STRIP,
        tx: TxOffload::MULTI_SEGMENT | TxOffload::VLAN_INSERT,
        ..nic("net_af_packet", 4)
    }
}

/// An XDP socket on one queue: what the kernel's interface hashes is set with ethtool.
pub fn af_xdp() -> Device {
    Device { rx_ring: 2048, tx_ring: 2048, ..nic("net_af_xdp", 1) }
}

/// No device at all, which takes tables and keys (`net_null`).
pub fn null() -> Device {
    Device { hash: Hash::FLOWS, redirection: 128, ..nic("net_null", 1024) }
}

/// Shared memory (`memif_dev_info`).
pub fn memif() -> Device {
    Device { tx: TxOffload::MULTI_SEGMENT, ..nic("net_memif", 255) }
}

/// A kernel interface (`tap_dev_info`): it hashes, but has no table to be set, and accepts rules for
/// one end that it then does not keep to (`rss_add_actions`, tap_flow.c).
pub fn tap() -> Device {
    Device {
        hash: IP_TCP_UDP,
        hash_key: 40,
        rx: CHECKSUMS | RxOffload::SCATTER,
        tx: SENT_CHECKSUMS | TxOffload::MULTI_SEGMENT,
        ..nic("net_tap", 16)
    }
}
