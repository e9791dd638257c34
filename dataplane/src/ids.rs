//! Numbers that name things, one type each so that they cannot be mixed up.

use bytemuck::{Pod, Zeroable};

macro_rules! id {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Pod, Zeroable)]
        #[repr(transparent)]
        pub struct $name(pub $inner);

        impl $name {
            /// The number as an index into the table of these things.
            #[inline]
            pub fn index(self) -> usize {
                self.0 as usize
            }
        }
    };
}

id! {
    /// A DPDK port, in the order of the configuration.
    PortId(u16)
}
id! {
    /// A pair of port and VLAN: what has its own kernel twin, addresses and neighbours.
    InterfaceId(u16)
}
id! {
    /// A worker thread, 0 to [`crate::limits::MAX_WORKERS`] − 1.
    WorkerId(u16)
}
id! {
    /// A virtual service, stable from the rule that made it to the one that deletes it.
    ServiceId(u32)
}
id! {
    /// A destination of one service. Stays reserved after removal until no worker has conns on it,
    /// and re-adding the same address to the same service finds it again. 0 is never given out.
    DestId(u32)
}
id! {
    /// An entry of the next-hop table: a target address seen from an interface.
    /// [`NextHopId::NONE`] (0) is no entry.
    NextHopId(u16)
}
id! {
    /// The number of a published snapshot; each publication has one more than the last.
    Generation(u64)
}

impl DestId {
    /// No destination: of conns past their service. No destination has this id.
    pub const NONE: DestId = DestId(0);
}

impl NextHopId {
    /// "No next hop is known": entry 0 of every table, never resolved.
    pub const NONE: NextHopId = NextHopId(0);
}
