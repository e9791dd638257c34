//! How a started port spreads packets over its receive queues: its redirection table, its hash,
//! and flow rules.

use std::ffi::{CStr, c_char};
use std::net::IpAddr;
use std::ptr::null;
use std::sync::atomic::Ordering;

use super::Port;
use crate::error::{Errno, Error};

/// Entries of a redirection table that DPDK passes in one piece (`RTE_ETH_RETA_GROUP_SIZE`).
const GROUP: usize = 64;

/// The longest key of a hash that DPDK's drivers have: 52 bytes.
const LONGEST_KEY: usize = 64;

/// Bytes of a driver's words about a rule.
const WORDS: usize = 256;

/// Whose packets a rule is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RulePackets {
    /// All of IPv4.
    V4,
    /// All of IPv6.
    V6,
    /// Those from this address.
    From(IpAddr),
    /// Those to this address.
    To(IpAddr),
}

/// The transport protocol that a rule is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RuleTransport {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

/// A flow rule: these packets are spread by a hash of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HashRule<'a> {
    /// Whose packets.
    pub packets: RulePackets,
    /// Of which transport protocol.
    pub transport: RuleTransport,
    /// What is hashed ([`super::bits::hash`]).
    pub types: u64,
    /// The hash's key; empty: the port's.
    pub key: &'a [u8],
    /// The redirection table; empty: the port's.
    pub queues: &'a [u16],
}

/// How a port hashes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hashing {
    /// What is hashed ([`super::bits::hash`]).
    pub types: u64,
    /// The hash's key.
    pub key: Vec<u8>,
}

impl Port {
    /// Sets which queue each value of the hash's lowest bits goes to. The port is started.
    ///
    /// # Errors
    /// [`Error::Port`] if the driver refuses, as for queues that are not there or where it has no
    /// such table.
    pub fn set_redirection(&self, queues: &[u16]) -> Result<(), Error> {
        let mut groups = groups(queues.len());
        for (place, &queue) in queues.iter().enumerate() {
            groups[place / GROUP].reta[place % GROUP] = queue;
        }
        let entries = queues.len() as u16;
        // SAFETY: the port is open, and the groups hold `entries` entries.
        let code = unsafe {
            dpdk_sys::rte_eth_dev_rss_reta_update(self.open.id, groups.as_mut_ptr(), entries)
        };
        self.done("take its redirection table", code)
    }

    /// Reads the first `entries` of that table; as many as [`super::PortInfo::redirection`] says.
    ///
    /// # Errors
    /// [`Error::Port`] if the driver refuses.
    pub fn redirection(&self, entries: u16) -> Result<Vec<u16>, Error> {
        let mut groups = groups(usize::from(entries));
        // SAFETY: the port is open, and the groups hold `entries` entries.
        let code = unsafe {
            dpdk_sys::rte_eth_dev_rss_reta_query(self.open.id, groups.as_mut_ptr(), entries)
        };
        self.done("tell its redirection table", code)?;
        let all = groups.iter().flat_map(|group| group.reta);
        Ok(all.take(usize::from(entries)).collect())
    }

    /// What it hashes, and with which key.
    ///
    /// # Errors
    /// [`Error::Port`] if the driver cannot tell.
    pub fn hashing(&self) -> Result<Hashing, Error> {
        let length = Port::key_length(&self.raw_info()?);
        let mut key = vec![0; length.max(LONGEST_KEY)];
        // SAFETY: integers and pointers, for which all zeroes is valid.
        let mut conf: dpdk_sys::rte_eth_rss_conf = unsafe { std::mem::zeroed() };
        conf.rss_key = key.as_mut_ptr();
        conf.rss_key_len = length as _;
        // SAFETY: the port is open; the key has room for what the driver states, and for the longest.
        let code = unsafe { dpdk_sys::rte_eth_dev_rss_hash_conf_get(self.open.id, &mut conf) };
        self.done("tell how it hashes", code)?;
        key.truncate(length);
        Ok(Hashing { types: conf.rss_hf, key })
    }

    /// Asks the driver whether it would take the rule. The port is started.
    ///
    /// # Errors
    /// [`Error::Rule`] with the driver's words if not.
    pub fn try_rule(&self, rule: &HashRule<'_>) -> Result<(), Error> {
        self.rule(rule, false)
    }

    /// Makes a rule, which is gone with the port.
    ///
    /// # Errors
    /// As [`Port::try_rule`].
    pub fn add_rule(&self, rule: &HashRule<'_>) -> Result<(), Error> {
        self.rule(rule, true)?;
        self.open.has_rules.store(true, Ordering::SeqCst);
        Ok(())
    }

    /// Takes back every rule that was made.
    ///
    /// # Errors
    /// [`Error::Port`] if the driver refuses.
    pub fn clear_rules(&self) -> Result<(), Error> {
        if !self.open.has_rules.swap(false, Ordering::SeqCst) {
            return Ok(());
        }
        self.done("take its flow rules back", self.open.flush_rules())
    }

    fn rule(&self, rule: &HashRule<'_>, create: bool) -> Result<(), Error> {
        let (is_v6, source, destination) = match rule.packets {
            RulePackets::V4 => (false, None, None),
            RulePackets::V6 => (true, None, None),
            RulePackets::From(address) => (address.is_ipv6(), Some(octets(address)), None),
            RulePackets::To(address) => (address.is_ipv6(), None, Some(octets(address))),
        };
        let start = |octets: &Option<Vec<u8>>| octets.as_ref().map_or(null(), |all| all.as_ptr());
        let mut words = [0 as c_char; WORDS];
        // SAFETY: the port is open. Addresses are null or of their family's length; key, queues and
        // words are as long as stated. The driver copies what it keeps.
        let code = unsafe {
            dpdk_sys::dpdk_flow_hash(
                self.open.id,
                create,
                is_v6,
                start(&source),
                start(&destination),
                rule.transport == RuleTransport::Udp,
                rule.types,
                rule.key.as_ptr(),
                rule.key.len() as u32,
                rule.queues.as_ptr(),
                rule.queues.len() as u32,
                words.as_mut_ptr(),
                WORDS,
            )
        };
        // SAFETY: the function ends what it writes with a zero byte, and writes something.
        let words = unsafe { CStr::from_ptr(words.as_ptr()) }.to_string_lossy();
        Errno::check(code).map_err(|why| Error::Rule {
            port: self.open.name.clone(),
            why: if words.is_empty() { why.to_string() } else { words.into_owned() },
        })
    }
}

/// An address in wire order.
fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

/// Room for `entries` of a redirection table, all of which count.
fn groups(entries: usize) -> Vec<dpdk_sys::rte_eth_rss_reta_entry64> {
    let group = |first: usize| dpdk_sys::rte_eth_rss_reta_entry64 {
        mask: u64::MAX >> (GROUP - (entries - first).min(GROUP)),
        reta: [0; GROUP],
    };
    (0..entries).step_by(GROUP).map(group).collect()
}

#[cfg(test)]
mod tests {
    use super::groups;

    #[test]
    fn every_entry_of_a_table_counts_and_no_other() {
        for (entries, masks) in [
            (0, vec![]),
            (1, vec![1]),
            (64, vec![u64::MAX]),
            (128, vec![u64::MAX; 2]),
            (65, vec![u64::MAX, 1]),
        ] {
            let got: Vec<u64> = groups(entries).iter().map(|group| group.mask).collect();
            assert_eq!(got, masks, "{entries}");
        }
    }
}
