//! What a virtual service does with packets: all of `ipvsadm -A` but the name.

use super::{FullnatOptions, RuleError, words};
use dataplane::address::Family;
use dataplane::sched::{SchedulerKind, Scheduling};
use dataplane::service::ServiceKey;
use dataplane::service::persistence::ClientMask;
use dataplane::template::Engine;
use serde::{Deserialize, Serialize};

/// How a virtual service serves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceOptions {
    /// How it chooses real servers.
    #[serde(flatten, with = "words::scheduling")]
    pub scheduler: Scheduling,
    /// A client's conns go to one real server (`-p`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub persistence: Option<Persistence>,
    /// What tells clients apart besides their address (`--pe`).
    #[serde(default, with = "words::engine", skip_serializing_if = "Option::is_none")]
    pub engine: Option<Engine>,
    /// Every packet is scheduled for itself (`-o`).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub one_packet: bool,
    /// What its fullnat servers need.
    #[serde(flatten)]
    pub fullnat: FullnatOptions,
}

impl ServiceOptions {
    /// Whether a service can have them.
    ///
    /// # Errors
    /// [`RuleError::Invalid`], or what is wrong with its fullnat.
    pub(super) fn check(&self, key: ServiceKey) -> Result<(), RuleError> {
        let can_be = match key {
            // Port 0 takes every port of its VIP, which IPVS allows only to a persistent service.
            ServiceKey::Address { vport, .. } => vport != 0 || self.persistence.is_some(),
            ServiceKey::Fwmark { mark, .. } => mark != 0,
        };
        let fits = self.persistence.is_none_or(|persistence| persistence.fits(key.family()));
        if !can_be || !fits {
            return Err(RuleError::Invalid);
        }
        self.fullnat.check(key)
    }
}

impl<S: Into<Scheduling>> From<S> for ServiceOptions {
    /// With nothing but a scheduler.
    fn from(scheduler: S) -> Self {
        let scheduler = scheduler.into();
        let fullnat = FullnatOptions::default();
        ServiceOptions { scheduler, persistence: None, engine: None, one_packet: false, fullnat }
    }
}

impl Default for ServiceOptions {
    /// ipvsadm's: wlc, nothing else.
    fn default() -> Self {
        SchedulerKind::Wlc.into()
    }
}

/// What makes a service persistent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Persistence {
    /// Seconds without a new conn after which a client is scheduled anew, at least 1.
    pub timeout: u32,
    /// Which clients count as one (`-M`); `None`: every address by itself.
    #[serde(default, with = "words::client_mask", skip_serializing_if = "Option::is_none")]
    pub mask: Option<ClientMask>,
}

impl Persistence {
    /// What `-p` alone means.
    pub const DEFAULT_TIMEOUT: u32 = 360;
    /// Longest timeout: 31 days.
    pub const MAX_TIMEOUT: u32 = 31 * 86_400;

    /// The mask, unless it keeps every address by itself.
    pub fn grouping(mask: ClientMask, family: Family) -> Option<ClientMask> {
        Some(mask).filter(|&mask| mask != ClientMask::exact(family))
    }

    /// Whether a service of the family can have it.
    pub(super) fn fits(&self, family: Family) -> bool {
        let mask_fits = match self.mask {
            None => true,
            Some(ClientMask::Netmask(_)) => family == Family::V4,
            Some(ClientMask::Prefix(len)) => family == Family::V6 && (1..=128).contains(&len),
        };
        mask_fits && (1..=Self::MAX_TIMEOUT).contains(&self.timeout)
    }
}
