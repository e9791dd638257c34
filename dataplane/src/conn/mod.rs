//! The connection table: one per worker, owned by value, sized at start.
//!
//! [`entry`] is a connection, 64 bytes. [`hash`] and [`index`] find it by a packet's key, one slot
//! per direction. [`wheel`] says when to look at its timer, [`free`] which entries are free,
//! [`side`] holds what few conns need. [`table`] ties these together; [`region`] is their memory,
//! which [`adopt`] takes over after a restart or a crash. [`directory`] gives destinations the ids
//! that conns carry.

mod adopt;
mod directory;
mod entry;
mod free;
mod hash;
mod index;
mod region;
mod side;
mod table;
mod wheel;

#[cfg(test)]
mod tests;

pub use adopt::AdoptReport;
pub use directory::{DestDirectory, DestRecord};
pub use entry::{Conn, ConnFlags};
pub use hash::KeyHash;
pub use region::{Region, RegionError};
pub use side::{SIDE_BYTES, SideKind, SideRecord};
pub use table::{ConnTable, EVICTION_PROBES};

use crate::flow::FlowKey;
use crate::ids::{DestId, NextHopId};

/// A conn of one table: the number of its entry. Holds from insertion to removal, and for a
/// removed conn to the end of the window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ConnId(pub u32);

impl ConnId {
    #[inline]
    fn index(self) -> usize {
        self.0 as usize
    }
}

/// Where a key's conn probably is, by its tag: between the stages of a look-up.
#[derive(Debug, Clone, Copy)]
pub struct Candidate(index::Reference);

impl Candidate {
    /// No idea: [`ConnTable::find`] looks the key up.
    pub const NONE: Candidate = Candidate(index::Reference::NONE);
}

/// What a conn is made from. The table sets the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewConn {
    /// As the client's packets carry it: source CIP, destination VIP.
    pub key: FlowKey,
    /// Real server's address, host order.
    pub rip: u32,
    /// Real server's port.
    pub rport: u16,
    /// Forwarding method and properties; bits from 16 are ignored.
    pub flags: ConnFlags,
    /// State of the protocol's machine, in the kernel's numbers.
    pub state: u8,
    /// Destination it belongs to.
    pub dest: DestId,
    /// Ticks without a packet after which it is over.
    pub timeout: u32,
    /// Where its inbound packets go next.
    pub next_hop: NextHopId,
    /// See [`Conn::l3_delta`].
    pub l3_delta: u16,
    /// See [`Conn::l4_delta`].
    pub l4_delta: u16,
}

/// Why there is no new conn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InsertError {
    /// The table is full, and no half-open conn could give way.
    Full,
    /// Another conn, whose time is not over, has the inbound or the outbound key.
    TupleTaken,
}

/// Shape of a table.
#[derive(Debug, Clone, Copy)]
pub struct TableConfig {
    /// Conns at once. About 95 bytes of memory each.
    pub capacity: usize,
    /// Side records, 64 bytes each.
    pub side_capacity: usize,
    /// Secret of the hash: random, and the same after adoption.
    pub secret: [u64; 2],
    /// Memory from the reserved huge pages of 2 MiB, or none.
    pub huge_pages: bool,
}
