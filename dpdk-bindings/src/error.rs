//! What can go wrong while setting up. Nothing here happens per packet.

use std::ffi::{CStr, c_int};
use std::fmt;

/// Why DPDK could not be set up as asked; each in one sentence for the operator.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// EAL initialises once per process, whether it succeeds or not.
    #[error("DPDK was already initialised in this process, which it allows once")]
    EalTwice,
    /// A string for C holds a zero byte.
    #[error("\"{0}\" holds a zero byte, which no DPDK name or argument may")]
    ZeroByte(String),
    /// EAL refused its arguments or found no memory; it has logged the details.
    #[error(
        "DPDK does not start with the arguments \"{args}\": {why} (its own log above says more; \
         are huge pages reserved and free, and is a hugetlbfs mounted?)"
    )]
    Eal {
        /// The arguments, joined by spaces.
        args: String,
        /// `rte_errno` in words.
        why: Errno,
    },
    /// EAL gives up without an error number, as it does where the lock of its files is taken.
    #[error(
        "DPDK does not start with the arguments \"{args}\" and gives no reason: is another process \
         running with the same file prefix, \"{prefix}\"? Stop it or choose another --file-prefix \
         (DPDK's own log above says more)"
    )]
    EalSilent {
        /// The arguments, joined by spaces.
        args: String,
        /// The name under which EAL keeps its files.
        prefix: String,
    },
    /// A pool of packet buffers could not be made.
    #[error(
        "no packet pool \"{name}\" of {count} buffers of {data_room} bytes: {why} (more huge pages?)"
    )]
    Pool {
        /// Its name.
        name: String,
        /// How many buffers were asked for.
        count: u32,
        /// Bytes of each, headroom included.
        data_room: u16,
        /// `rte_errno` in words.
        why: Errno,
    },
    /// A port was started on the promise of a single pool.
    #[error(
        "no second packet pool \"{0}\": a port frees its buffers the fast way, which allows one pool only"
    )]
    SecondPool(String),
    /// No such device, or no driver has taken it.
    #[error("no DPDK port \"{name}\" (bound to vfio-pci or given as --vdev?); there are: {}", list(.there))]
    NoSuchPort {
        /// The name asked for.
        name: String,
        /// The names of the ports that exist.
        there: Vec<String>,
    },
    /// The port is open or started already.
    #[error("port {0} is in use already")]
    PortBusy(String),
    /// More queues than the device has, or none.
    #[error("port {port} cannot have {asked} {direction} queues: 1 to {most} are possible")]
    Queues {
        /// The port's name.
        port: String,
        /// "receive" or "transmit".
        direction: &'static str,
        /// How many were asked for.
        asked: u16,
        /// How many the device has.
        most: u16,
    },
    /// The device cannot carry frames that long.
    #[error(
        "port {port} refuses an MTU of {asked}: it has {has}, and {most} is the most its driver states"
    )]
    Mtu {
        /// The port's name.
        port: String,
        /// The MTU asked for.
        asked: u16,
        /// The MTU it has.
        has: u16,
        /// The largest its driver states.
        most: u16,
    },
    /// A full frame does not fit into one buffer.
    #[error(
        "port {port} with an MTU of {mtu} needs packet buffers of {needed} bytes, the pool has {data_room}"
    )]
    SmallBuffers {
        /// The port's name.
        port: String,
        /// Its MTU.
        mtu: u16,
        /// Bytes a buffer needs, headroom included.
        needed: u32,
        /// Bytes the pool's buffers have, headroom included.
        data_room: u16,
    },
    /// The receive queues alone would empty the pool.
    #[error(
        "port {port} needs a pool of more than {needed} packet buffers for its receive queues, this one has {count}"
    )]
    SmallPool {
        /// The port's name.
        port: String,
        /// Buffers that wait in its receive queues.
        needed: u32,
        /// Buffers of the pool.
        count: u32,
    },
    /// The driver refused a step.
    #[error("port {port} does not {step}: {why}")]
    Port {
        /// The port's name.
        port: String,
        /// What was tried, as an infinitive.
        step: &'static str,
        /// The driver's error in words.
        why: Errno,
    },
    /// A hash key is too short or too long.
    #[error("port {port} hashes with a key of {needed} bytes, not of {asked}")]
    Key {
        /// The port's name.
        port: String,
        /// Bytes of the key.
        asked: usize,
        /// Bytes of the device's keys.
        needed: usize,
    },
    /// The driver refused a flow rule.
    #[error("port {port} takes no flow rule for it: {why}")]
    Rule {
        /// The port's name.
        port: String,
        /// The driver's words, or its error in words.
        why: String,
    },
    /// No lcore number is free, or a secondary process is attached.
    #[error("the thread cannot be registered with DPDK: {0}")]
    Thread(Errno),
}

/// A positive errno, displayed in DPDK's words for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Errno(pub i32);

impl Errno {
    /// This thread's `rte_errno`.
    pub(crate) fn last() -> Self {
        // SAFETY: reads a thread-local integer.
        Errno(unsafe { dpdk_sys::dpdk_errno() })
    }

    /// What a function says that returns 0 or a negative errno.
    pub(crate) fn check(code: c_int) -> Result<(), Errno> {
        if code < 0 { Err(Errno(-code)) } else { Ok(()) }
    }

    /// The device has no such operation: `ENOTSUP`.
    pub(crate) fn is_unsupported(self) -> bool {
        self.0 == libc::ENOTSUP
    }
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // SAFETY: rte_strerror returns a static or thread-local C string for any number.
        let words = unsafe { CStr::from_ptr(dpdk_sys::rte_strerror(self.0)) };
        write!(f, "{}", words.to_string_lossy())
    }
}

fn list(names: &[String]) -> String {
    if names.is_empty() { "none".into() } else { names.join(", ") }
}
