//! Linux's addresses, routes and neighbours, through netlink.
//!
//! `state` and `settle` are pure: events in, publications and questions out; `interfaces`, `routes`,
//! `neighbors`, `targets`, `scope` and `standing` are their parts. `task` feeds it from Linux, `netlink` and `decode` speak
//! Linux's language, `apply` gives the configuration's addresses and static entries to the twins. `icmp_limits` reads
//! what has no netlink.

mod apply;
mod decode;
mod event;
mod icmp_limits;
mod interfaces;
#[cfg(test)]
mod kernel_tests;
mod neighbors;
mod netlink;
mod routes;
mod scope;
mod settle;
mod standing;
mod state;
mod targets;
mod task;
#[cfg(test)]
mod tests;

pub use apply::{ApplyError, apply};
pub use event::{
    Dump, Event, KernelNeighbor, KernelRoute, Link, NeighborState, OwnAddress, Rank, RouteKind,
};
pub use icmp_limits::icmp_limits;
pub use interfaces::MirrorInterface;
pub use neighbors::GRACE;
pub use standing::Ask;
pub use state::{Changes, MirrorState};
pub use targets::NoNextHopLeft;
#[cfg(test)]
pub(crate) use task::without_linux;
pub use task::{MirrorError, MirrorHandle, Published, start};
