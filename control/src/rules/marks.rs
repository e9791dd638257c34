//! Rules that give packets a mark, which a fwmark service takes: what `iptables -t mangle -j MARK`
//! is to IPVS, for packets that never meet the kernel.

use super::words;
use crate::config::{Mark, Prefix};
use dataplane::address::Family;
use dataplane::service::ServiceKey;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// Packets to `dst`, and, where given, of `proto` to one of `dports`, get `mark`. The first rule
/// of a list that fits decides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MarkRule {
    /// Never 0.
    pub mark: u32,
    /// IP protocol number; `None` takes all that have ports.
    #[serde(with = "words::optional_proto", default, skip_serializing_if = "Option::is_none")]
    pub proto: Option<u8>,
    /// Destination network, whose family the packets are of, and the length of its prefix.
    #[serde(with = "words::prefix")]
    pub dst: (IpAddr, u8),
    /// First and last destination port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dports: Option<(u16, u16)>,
}

impl MarkRule {
    /// The service that takes the packets it marks.
    pub fn service(&self) -> ServiceKey {
        ServiceKey::Fwmark { mark: self.mark, family: Family::of(self.dst.0) }
    }

    /// Why the rule cannot be, in a sentence.
    ///
    /// # Errors
    /// Mark 0, an impossible prefix or an empty range of ports.
    pub fn check(&self) -> Result<(), String> {
        let (network, length) = self.dst;
        if self.mark == 0 {
            return Err("mark 0 means no mark: give 1 or more".into());
        }
        if length > Family::of(network).bits() || Prefix::of(network, length).address != network {
            return Err(format!("{network}/{length} is no network: bits are set after the prefix"));
        }
        match self.dports {
            Some((first, last)) if first > last => {
                Err(format!("ports {first}-{last} are an empty range"))
            }
            _ => Ok(()),
        }
    }
}

impl From<&MarkRule> for dataplane::service::MarkRule {
    fn from(rule: &MarkRule) -> Self {
        let (first, last) = rule.dports.unwrap_or((0, u16::MAX));
        let (prefix, len) = rule.dst;
        Self { mark: rule.mark, proto: rule.proto, prefix, len, dports: first..=last }
    }
}

impl From<&Mark> for MarkRule {
    /// A rule of the configuration file.
    fn from(mark: &Mark) -> Self {
        let ports = (*mark.ports.start(), *mark.ports.end());
        let dports = Some(ports).filter(|&all| all != (0, u16::MAX));
        let dst = (mark.destination.address, mark.destination.len);
        MarkRule { mark: mark.mark, proto: mark.proto, dst, dports }
    }
}
