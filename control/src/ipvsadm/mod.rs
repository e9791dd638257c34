//! ipvsadm's command line and layouts, byte for byte those of ipvsadm 1.31, so that scripts made
//! for the kernel's IPVS run unchanged.
//!
//! Words become options in [`popt`], options become a [`parse::Invocation`], [`exec`] asks the
//! director and prints with [`layout`], [`conns`] and [`save`]. What ipvsadm knows and this
//! version of Sluice does not is parsed by the same rules and then refused, never ignored.

mod address;
mod check;
mod conns;
mod exec;
mod fullnat;
mod layout;
mod names;
mod numbers;
mod options;
pub mod parse;
mod popt;
mod save;
mod sort;

pub use exec::{Streams, run};

/// The line of one conn in `-L -n -c`, newline included.
pub fn conn_line(conn: &crate::api::protocol::ConnRow) -> String {
    conns::row(conn, &names::Names::none(), false)
}

/// What goes to stderr and ends the command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Exit status.
    pub status: u8,
    /// Without the newline; nothing is printed if empty.
    pub message: String,
    /// Ends a whole `-R`, not only its line.
    pub ends_restore: bool,
}

impl Failure {
    /// A bad value or combination: ipvsadm ends with status 2 wherever it stands.
    fn bad(message: impl Into<String>) -> Failure {
        Failure { status: 2, message: message.into(), ends_restore: true }
    }

    /// popt's own complaints, or the kernel's: status 255, and `-R` goes on.
    fn refused(message: impl Into<String>) -> Failure {
        Failure { status: 255, message: message.into(), ends_restore: false }
    }

    /// The caller lacks the rights, which no later line changes.
    fn denied() -> Failure {
        let message = "Permission denied (you must be root)".to_owned();
        Failure { status: 255, message, ends_restore: true }
    }
}

#[cfg(test)]
mod tests;
