//! JSON lines on a Unix socket.
//!
//! [`protocol`] says what the lines are, [`server`] serves them for whatever implements
//! [`Backend`], [`client`] asks.

mod backend;
pub mod client;
#[cfg(test)]
pub mod fake;
mod peer;
pub mod protocol;
pub mod server;
pub mod sysctl;

pub use backend::Backend;
pub use client::{CallError, Client, Director};
pub use peer::Access;
pub use server::Server;
