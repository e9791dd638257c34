//! How ports are set up so that packets arrive at the worker that owns their flow, as far as a NIC
//! can: pure plans from what a device can and what is wanted of it. `daemon::ports` carries them out.
//!
//! A flow's owner is found by a Toeplitz hash of its client's address and port
//! ([`dataplane::owner`]). A NIC that hashes the source alone on a port towards clients, and the
//! destination alone on a port towards real servers, with the same key and a redirection table made
//! of the slot map, comes to the same worker. Nothing relies on it: every worker looks up the
//! owner of what it receives, and hands over what is another's.
//!
//! [`Device`] is the capability table, [`faces`] says which end of flows is a port's outer one,
//! [`Spread`] what a device is asked to hash, [`table`] ties the slot map and redirection tables,
//! [`offloads`] and [`pools`] are the rest of a port's start, [`Plan`] is all of it for one port,
//! [`Start`] for all, and [`tell`] says it.

mod device;
pub mod faces;
#[cfg(test)]
mod nics;
pub mod offloads;
mod plan;
pub mod pools;
mod rules;
mod spread;
mod start;
pub mod table;
pub mod tell;
#[cfg(test)]
mod tests;

pub use device::{Device, Hash, RxOffload, TxOffload};
pub use faces::Faces;
pub use plan::{Plan, Wish, plans};
pub use rules::{Addresses, Packets, Rule, Transport};
pub use spread::{End, Spread, Way};
pub use start::Start;
pub use tell::{Granted, Step};
