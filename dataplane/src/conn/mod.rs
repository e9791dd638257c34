//! The connection table: one per worker, owned by value, sized at start.
//!
//! [`entry`] is a connection, 64 bytes, which IPv6 addresses make two with the [`second`] line;
//! [`family`] tells the two apart. [`new_conn`] is what a conn is made from, [`locals`] the local
//! addresses of fullnat. [`keys`], [`hash`] and [`index`] find it by a packet's key, one slot per direction;
//! [`staged`] are reply keys on their way into that. [`wheel`] says when to look at its
//! timer, [`free`] which entries are free, [`side`] holds what few conns need. [`table`] ties these
//! together; [`region`] is their memory, which [`adopt`] takes over after a restart or a crash.
//! [`directory`] gives destinations the ids that conns carry.

mod adopt;
mod directory;
mod entry;
mod family;
mod free;
mod hash;
mod index;
mod keys;
mod locals;
mod new_conn;
mod region;
mod second;
mod side;
mod staged;
mod table;
mod wheel;

#[cfg(test)]
mod tests;

use crate::flow::Direction;
use std::net::IpAddr;

pub use adopt::AdoptReport;
pub use directory::{DestDirectory, DestRecord};
pub use entry::{Conn, ConnFlags};
pub use family::ConnFamily;
pub use hash::KeyHash;
pub use locals::Locals;
pub use new_conn::{InsertError, NewConn};
pub use region::{Region, RegionError};
pub use side::{SIDE_BYTES, SideKind, SideRecord};
pub use table::{ConnTable, EVICTION_PROBES};

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

    /// Which way packets of the key go, if the conn is the key's.
    #[inline]
    pub fn direction(self) -> Direction {
        self.0.direction()
    }

    /// The conn it points to; of [`Candidate::NONE`] one that no table has.
    #[inline]
    pub fn conn(self) -> ConnId {
        ConnId(self.0.entry())
    }
}

/// A conn that has ended.
#[derive(Debug, Clone, Copy)]
pub struct Ended {
    /// As it was last; its addresses of 16 bytes are gone.
    pub conn: Conn,
    /// Its side record, if it had one.
    pub side: Option<SideRecord>,
}

impl std::ops::Deref for Ended {
    type Target = Conn;

    fn deref(&self) -> &Conn {
        &self.conn
    }
}

/// The addresses of a conn, of any family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Addresses {
    /// CIP.
    pub client: IpAddr,
    /// VIP.
    pub vip: IpAddr,
    /// RIP.
    pub real: IpAddr,
}

/// A conn as a listing has it.
#[derive(Debug, Clone, Copy)]
pub struct Listed {
    /// What the table holds of it.
    pub conn: Conn,
    /// Its addresses, wherever the table holds them.
    pub addresses: Addresses,
    /// Fullnat: its local address.
    pub local: Option<IpAddr>,
}

/// Shape of a table.
#[derive(Debug, Clone, Copy)]
pub struct TableConfig {
    /// Conns at once, those of IPv6 counted twice. 86 bytes of memory each.
    pub capacity: usize,
    /// Side records, 64 bytes each.
    pub side_capacity: usize,
    /// Secret of the hash: random, and the same after adoption.
    pub secret: [u64; 2],
    /// Memory from the reserved huge pages of 2 MiB, or none.
    pub huge_pages: bool,
}
