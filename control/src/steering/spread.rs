//! What a device is asked to hash, so that its queues come near to the flows' owners.

use super::device::{Device, Hash, RuleUse};
use super::faces::Faces;

/// An end of the packets that arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Source address and port.
    Source,
    /// Destination address and port.
    Destination,
}

/// How a device is told to hash one end alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// As a field of its configuration.
    Fields,
    /// By flow rules, one a kind of packet.
    Rules,
}

/// How packets are spread over a port's receive queues.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spread {
    /// Not at all: there is one queue.
    OneQueue,
    /// As the device likes: it has no hash to be told of.
    Device,
    /// By a hash over both ends of a flow: the queues have equal shares.
    BothEnds,
    /// By a hash over the client's end alone, the same that finds owners.
    ClientEnd(End, Way),
    /// So by flow rules for the addresses that are known, and over both ends for all others.
    PerAddress,
}

impl End {
    /// The end of packets on a port that is the client's, if it is the same of all.
    pub fn of_client(faces: Faces) -> Option<End> {
        match faces {
            Faces::Clients => Some(End::Source),
            Faces::Servers => Some(End::Destination),
            Faces::Both => None,
        }
    }

    /// This end's address and port alone.
    pub fn alone(self) -> Hash {
        match self {
            End::Source => Hash::L3_SOURCE | Hash::L4_SOURCE,
            End::Destination => Hash::L3_DESTINATION | Hash::L4_DESTINATION,
        }
    }
}

impl Spread {
    /// Over `queues` of a device; `steered` if the client's end is to be hashed where it can be.
    pub fn of(device: &Device, queues: u16, faces: Faces, steered: bool) -> Spread {
        let by_end = End::of_client(faces).and_then(|end| way(device, end).map(|way| (end, way)));
        match by_end {
            _ if queues <= 1 => Spread::OneQueue,
            _ if (device.hash & Hash::FLOWS).is_empty() => Spread::Device,
            _ if !steered || !has_table(device) => Spread::BothEnds,
            Some((end, way)) => Spread::ClientEnd(end, way),
            None if device.rule_use() == RuleUse::PerAddress => Spread::PerAddress,
            None => Spread::BothEnds,
        }
    }

    /// Whether the device needs the owner's key and table for it.
    pub fn is_steered(self) -> bool {
        match self {
            Spread::OneQueue | Spread::Device | Spread::BothEnds => false,
            Spread::ClientEnd(..) | Spread::PerAddress => true,
        }
    }

    /// What the device's configuration says is hashed.
    pub fn configured(self, device: &Device) -> Hash {
        let kinds = device.hash & Hash::FLOWS;
        match self {
            Spread::OneQueue | Spread::Device => Hash::empty(),
            Spread::BothEnds | Spread::PerAddress | Spread::ClientEnd(_, Way::Rules) => kinds,
            Spread::ClientEnd(end, Way::Fields) => kinds | end.alone(),
        }
    }
}

fn way(device: &Device, end: End) -> Option<Way> {
    match device.rule_use() {
        _ if device.hash.contains(end.alone()) => Some(Way::Fields),
        RuleUse::PerKind => Some(Way::Rules),
        RuleUse::None | RuleUse::PerAddress => None,
    }
}

/// A table of any other size would not split the hash as slots do.
fn has_table(device: &Device) -> bool {
    device.redirection.is_power_of_two()
}
