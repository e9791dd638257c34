//! MAC addresses of neighbours, and for how long a lost one still serves.

use crate::config::MacAddr;
use dataplane::ids::InterfaceId;
use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// How long a neighbour's MAC address serves after Linux deleted the entry or got no answer: time
/// enough to ask again (three probes, a second each) without an interruption.
pub const GRACE: Duration = Duration::from_secs(5);

/// A neighbour's place: its interface and address.
pub(super) type NeighborKey = (InterfaceId, IpAddr);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Neighbor {
    mac: MacAddr,
    /// By the administrator's word: Linux must not be asked, which would end it.
    permanent: bool,
    lost_at: Option<Instant>,
}

/// The neighbours whose MAC address is known.
#[derive(Debug, Default)]
pub(super) struct Neighbors {
    entries: HashMap<NeighborKey, Neighbor>,
    /// In order of loss; entries found again meanwhile are skipped when their time comes.
    lost: VecDeque<(Instant, NeighborKey)>,
}

impl Neighbors {
    pub(super) fn mac(&self, key: NeighborKey) -> Option<MacAddr> {
        self.entries.get(&key).map(|neighbor| neighbor.mac)
    }

    pub(super) fn is_permanent(&self, key: NeighborKey) -> bool {
        self.entries.get(&key).is_some_and(|neighbor| neighbor.permanent)
    }

    pub(super) fn learn(&mut self, key: NeighborKey, mac: MacAddr, permanent: bool) {
        self.entries.insert(key, Neighbor { mac, permanent, lost_at: None });
    }

    /// Linux no longer knows it; whether it did until now. One that nobody uses is forgotten at
    /// once, so that strangers who come and go cost nothing.
    pub(super) fn lose(&mut self, key: NeighborKey, in_use: bool, now: Instant) -> bool {
        let known = self.entries.get_mut(&key).filter(|neighbor| neighbor.lost_at.is_none());
        let Some(neighbor) = known else { return false };
        if !in_use {
            self.entries.remove(&key);
            return true;
        }
        (neighbor.permanent, neighbor.lost_at) = (false, Some(now));
        self.lost.push_back((now, key));
        true
    }

    /// Forgets those lost for [`GRACE`] and names them.
    pub(super) fn expire(&mut self, now: Instant) -> Vec<NeighborKey> {
        let mut expired = Vec::new();
        while let Some(&(lost_at, key)) = self.lost.front().filter(|(at, _)| *at + GRACE <= now) {
            self.lost.pop_front();
            let still_lost = |neighbor: &Neighbor| neighbor.lost_at == Some(lost_at);
            if self.entries.get(&key).is_some_and(still_lost) {
                self.entries.remove(&key);
                expired.push(key);
            }
        }
        expired
    }

    /// When [`Neighbors::expire`] has something to do.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.lost.front().map(|(lost_at, _)| *lost_at + GRACE)
    }

    /// The neighbours on an interface.
    pub(super) fn on(&self, interface: InterfaceId) -> Vec<NeighborKey> {
        self.entries.keys().filter(|(on, _)| *on == interface).copied().collect()
    }
}
