//! The other end of the appliance's wires, by its own book: clients and real servers at once, which send
//! frames and know what each has to look like when it comes back.
//!
//! Nothing here uses the data path's code. A frame is a function of its number and what it is about
//! ([`Sent`]); what the appliance has to make of it is written anew, slowly and from scratch
//! ([`mod@expected`]), and compared byte by byte ([`mod@check`]). Each frame carries its number at its end,
//! so that mixed, doubled and misdirected ones are known for what they are ([`Ledger`]).

mod check;
mod expected;
mod fault;
mod frame;
mod ledger;
mod load;
mod mutation;
mod plan;
mod sum;

pub use check::{Seen, check};
pub use expected::{Expected, expected};
pub use fault::{Fault, Wrong};
pub use frame::{LONGEST, Sent, number_of, write};
pub use ledger::{Ledger, Outcome, Rules};
pub use load::Load;
pub use mutation::{MUTATIONS, Mutation, Subject};
pub use plan::{Method, Plan, Server, Service};
pub use sum::{checksum, is_true};

/// A wire of the appliance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wire {
    /// Where the clients are, behind a gateway.
    Clients,
    /// Where the real servers are.
    Servers,
}

/// Both.
pub const WIRES: [Wire; 2] = [Wire::Clients, Wire::Servers];

#[cfg(test)]
mod tests;
