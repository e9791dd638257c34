//! Kernel twins: beside each interface of the dataplane (a port, or a VLAN on it) a TAP interface
//! with its name and MAC address, so that Linux is the IP stack of the same wire.
//!
//! One thread moves the frames: what workers punt goes to Linux by strict priority and rate
//! ([`schedule`]), what Linux sends goes to the worker that owns the port's transmit queue. It
//! decides nothing else. Frames on a TAP are untagged, since each VLAN has a TAP of its own
//! ([`vlan`] puts the tag on and takes it off).

mod counters;
mod idle;
mod schedule;
mod shuttle;
mod tap;
#[cfg(test)]
mod testing;
mod thread;
mod vlan;

pub use counters::{FromKernel, ToKernel, TwinCounters};
pub use schedule::{Limits, RateLimit};
pub use thread::{Twin, TwinHandle};

use dataplane::ids::{InterfaceId, PortId, WorkerId};

/// What a kernel twin is made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TwinSpec {
    /// The interface whose punted frames it receives.
    pub interface: InterfaceId,
    /// The port that what Linux sends leaves through.
    pub port: PortId,
    /// VLAN identifier of its frames on the wire, 1 to 4094; 0: untagged.
    pub vlan: u16,
    /// Name of the Linux interface, at most 15 bytes.
    pub name: String,
    /// The port's MAC address.
    pub mac: [u8; 6],
    /// Bytes of the largest IP packet.
    pub mtu: u16,
    /// The worker that transmits on the port.
    pub tx_worker: WorkerId,
}

/// Why the kernel twins cannot be made.
#[derive(Debug)]
pub enum TwinError {
    /// Linux refused the TAP interface of this name.
    Tap(String, std::io::Error),
    /// Linux gave this name's TAP interface another name.
    Renamed(String, String),
    /// Two twins are asked for the same interface: the name of the second.
    Duplicate(String),
    /// The twin of this name transmits through a worker that does not exist.
    NoWorker(String, WorkerId),
    /// The thread could not be started.
    Thread(std::io::Error),
}

impl std::fmt::Display for TwinError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            TwinError::Tap(name, cause) => write!(
                f,
                "cannot create the kernel twin {name}: {cause}; it takes CAP_NET_ADMIN, \
                 /dev/net/tun, and a name that no other interface has"
            ),
            TwinError::Renamed(asked, given) => write!(
                f,
                "Linux named the kernel twin {asked} {given}: choose a name that is not a pattern"
            ),
            TwinError::Duplicate(name) => {
                write!(f, "the interface of the kernel twin {name} has another twin already")
            }
            TwinError::NoWorker(name, worker) => write!(
                f,
                "the kernel twin {name} is to send through worker {}, which does not exist",
                worker.0
            ),
            TwinError::Thread(cause) => {
                write!(f, "cannot start the thread of the kernel twins: {cause}")
            }
        }
    }
}

impl std::error::Error for TwinError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            TwinError::Tap(_, cause) | TwinError::Thread(cause) => Some(cause),
            _ => None,
        }
    }
}
