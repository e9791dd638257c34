//! What a device could do for the data path, and what of it is asked for.

use super::device::{Device, RxOffload, TxOffload};
use super::spread::Spread;

/// A thing that devices can do and software can do as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offload {
    /// Verdicts on checksums of what arrives.
    ReceivedChecksums,
    /// Checksums of what leaves.
    SentChecksums,
    /// VLAN tags of what arrives, beside the frame.
    TagsOut,
    /// VLAN tags of what leaves, from beside the frame.
    TagsIn,
    /// Frames that arrive in several buffers.
    Scatter,
    /// Frames that leave in several buffers.
    MultiSegment,
    /// Each packet's hash.
    Hashes,
    /// Sent buffers back to their pool without a look at each.
    FastFree,
}

/// Whether a device is asked for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is.
    Asked,
    /// It would be, but the device does not offer it.
    NotOffered,
    /// It is not, for this reason.
    NotWanted(&'static str),
}

impl Offload {
    /// All of them.
    pub const ALL: [Offload; 8] = [
        Offload::ReceivedChecksums,
        Offload::SentChecksums,
        Offload::TagsOut,
        Offload::TagsIn,
        Offload::Scatter,
        Offload::MultiSegment,
        Offload::Hashes,
        Offload::FastFree,
    ];

    /// Its name in listings.
    pub fn name(self) -> &'static str {
        match self {
            Offload::ReceivedChecksums => "rx_checksums",
            Offload::SentChecksums => "tx_checksums",
            Offload::TagsOut => "rx_vlan_strip",
            Offload::TagsIn => "tx_vlan_insert",
            Offload::Scatter => "rx_scatter",
            Offload::MultiSegment => "tx_multi_segment",
            Offload::Hashes => "rx_hash",
            Offload::FastFree => "tx_fast_free",
        }
    }

    /// Whether the device has it, or a part of it.
    pub fn is_offered(self, device: &Device) -> bool {
        let received = RxOffload::IPV4_CHECKSUM | RxOffload::UDP_CHECKSUM | RxOffload::TCP_CHECKSUM;
        let sent = TxOffload::IPV4_CHECKSUM | TxOffload::UDP_CHECKSUM | TxOffload::TCP_CHECKSUM;
        match self {
            Offload::ReceivedChecksums => device.rx.intersects(received),
            Offload::SentChecksums => device.tx.intersects(sent),
            Offload::TagsOut => device.rx.contains(RxOffload::VLAN_STRIP),
            Offload::TagsIn => device.tx.contains(TxOffload::VLAN_INSERT),
            Offload::Scatter => device.rx.contains(RxOffload::SCATTER),
            Offload::MultiSegment => device.tx.contains(TxOffload::MULTI_SEGMENT),
            Offload::Hashes => device.rx.contains(RxOffload::HASH),
            Offload::FastFree => device.tx.contains(TxOffload::FAST_FREE),
        }
    }

    /// What is asked of a device whose packets are spread so; `one_pool`: all buffers are of one
    /// pool, which [`Offload::FastFree`] takes for granted (and that none has a second reference:
    /// the data path makes none).
    pub fn verdict(self, device: &Device, spread: Spread, one_pool: bool) -> Verdict {
        match self.reason_against(device, spread, one_pool) {
            Some(why) => Verdict::NotWanted(why),
            None if self.is_offered(device) => Verdict::Asked,
            None => Verdict::NotOffered,
        }
    }

    fn reason_against(
        self,
        device: &Device,
        spread: Spread,
        one_pool: bool,
    ) -> Option<&'static str> {
        match self {
            Offload::ReceivedChecksums => {
                Some("the IP header's is verified as it is read, the others pass as they are")
            }
            Offload::SentChecksums => {
                Some("they are changed by what is rewritten, so that a wrong one stays wrong")
            }
            Offload::TagsOut | Offload::TagsIn => Some("tags are read and written in the frame"),
            Offload::Scatter | Offload::MultiSegment => Some("a buffer holds a whole frame"),
            Offload::Hashes if spread.is_steered() && device.ties_table_to_hash() => None,
            Offload::Hashes => Some("the owner is found by a hash of the headers"),
            Offload::FastFree if one_pool => None,
            Offload::FastFree => Some("buffers of several NUMA nodes leave by one queue"),
        }
    }
}
