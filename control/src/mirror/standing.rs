//! Which neighbours Linux is asked to resolve, once or for good.

use super::interfaces::Interfaces;
use super::neighbors::NeighborKey;
use dataplane::ids::InterfaceId;
use std::collections::{BTreeSet, HashSet};
use std::net::IpAddr;

/// A question to Linux about a neighbour: resolve it, and, if `managed`, keep it resolved
/// (`NTF_USE`, `NTF_EXT_MANAGED`; `neigh_add` in the kernel's `net/core/neighbour.c`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ask {
    /// The twin's number.
    pub ifindex: u32,
    /// The neighbour.
    pub address: IpAddr,
    /// For good: Linux sees none of the traffic and would let the entry grow stale. Asking without
    /// it ends an earlier asking with it.
    pub managed: bool,
}

/// The neighbours that Linux keeps resolved for us, and the questions not yet put.
#[derive(Debug, Default)]
pub(super) struct Standing {
    managed: HashSet<NeighborKey>,
    pending: BTreeSet<NeighborKey>,
}

impl Standing {
    /// Asks once more, or for the first time.
    pub(super) fn ask(&mut self, key: NeighborKey) {
        self.pending.insert(key);
    }

    /// Whether Linux is to keep it resolved.
    pub(super) fn is_managed(&self, key: NeighborKey) -> bool {
        self.managed.contains(&key)
    }

    /// Makes `wanted` the neighbours to keep resolved. Those that became permanent are let go
    /// silently: asking would take their permanence away.
    pub(super) fn want(
        &mut self,
        wanted: HashSet<NeighborKey>,
        permanent: impl Fn(NeighborKey) -> bool,
    ) {
        let changed = wanted.symmetric_difference(&self.managed).copied();
        self.pending.extend(changed);
        self.managed = wanted;
        self.pending.retain(|key| !permanent(*key));
    }

    /// An interface's neighbours are asked for anew: its link is another, or was down.
    pub(super) fn forget(&mut self, interface: InterfaceId) {
        self.managed.retain(|(on, _)| *on != interface);
    }

    /// The questions to put now. Interfaces without a twin have nobody to ask.
    pub(super) fn take_asks(&mut self, interfaces: &Interfaces) -> Vec<Ask> {
        let pending = std::mem::take(&mut self.pending);
        let up = pending.into_iter().filter(|(id, _)| interfaces.is_up(*id));
        up.filter_map(|key| {
            let (ifindex, address) = (interfaces.ifindex(key.0)?, key.1);
            Some(Ask { ifindex, address, managed: self.managed.contains(&key) })
        })
        .collect()
    }
}
