//! Safe layer over DPDK: what a poll-mode packet program needs of it, and no more.
//!
//! [`eal`] starts DPDK, [`mempool`] holds the packet buffers, [`mbuf`] is one of them, [`port`] is
//! a NIC and gives out its [`queue`]s, [`thread`] makes an ordinary thread known to DPDK.
//!
//! Who keeps whom alive: queues keep their port, ports their pool and EAL, pools EAL. An [`Mbuf`]
//! keeps nothing alive, to stay one pointer wide: a pool that is dropped while buffers of it are
//! still out is left standing, and so is EAL, until the process ends.

pub mod eal;
pub mod error;
pub mod mbuf;
pub mod mempool;
pub mod port;
pub mod queue;
pub mod thread;

pub use eal::Eal;
pub use error::Error;
pub use mbuf::{HEADROOM, Mbuf};
pub use mempool::Mempool;
pub use port::{
    HashRule, Hashing, Link, Port, PortConfig, PortInfo, PortStats, Rss, RulePackets,
    RuleTransport, SetUp, bits,
};
pub use queue::{RxQueue, TxQueue};
pub use thread::LcoreThread;
