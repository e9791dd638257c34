//! `net.ipv4.vs` and `ipvsadm --set`: what the operator set, and what workers are told of it.

use super::defence::{Defence, Memory};
use crate::api::protocol::{ApiError, Sysctl, Timeouts};
use crate::api::sysctl::check_value;
use crate::config::Config;
use dataplane::proto::tcp::state;
use dataplane::sched::{self, SchedulerKind};
use dataplane::service::{IcmpLimits, Settings};
use dataplane::time::{TICKS_PER_SECOND, ticks};

/// The values in force. [`crate::api::sysctl`] has checked names and ranges before.
#[derive(Debug, Clone, Default)]
pub struct Sysctls {
    settings: Settings,
    timeouts: Timeouts,
    defence: Defence,
    /// `run_estimation` is 0.
    estimation_stopped: bool,
    expiration: Expiration,
}

/// How long lblc and lblcr remember, seconds.
#[derive(Debug, Clone, Copy)]
struct Expiration {
    lblc: u32,
    lblcr: u32,
}

impl Default for Expiration {
    fn default() -> Self {
        let seconds = sched::EXPIRATION / TICKS_PER_SECOND;
        Expiration { lblc: seconds, lblcr: seconds }
    }
}

impl Sysctls {
    /// As workers are told.
    pub fn settings(&self) -> Settings {
        let mut settings = self.settings;
        settings.timeouts.tcp[usize::from(state::ESTABLISHED)] = ticks(self.timeouts.tcp);
        settings.timeouts.tcp[usize::from(state::FIN_WAIT)] = ticks(self.timeouts.tcpfin);
        settings.timeouts.udp = ticks(self.timeouts.udp);
        self.defence.apply(&mut settings);
        settings
    }

    /// Takes a configuration's `[sysctl]`, `[timeouts]` and `[fullnat]` over.
    ///
    /// # Errors
    /// The sentence of [`check_value`] about the first that cannot be.
    pub fn preset(&mut self, config: &Config) -> Result<(), ApiError> {
        for (key, value) in &config.sysctls {
            let number = check_value(key, value)?;
            self.set(key, number);
        }
        self.settings.local_ports = config.local_ports;
        let Timeouts { tcp, tcpfin, udp } = self.timeouts;
        let wanted = config.timeouts;
        self.timeouts = Timeouts {
            tcp: wanted.tcp.unwrap_or(tcp),
            tcpfin: wanted.tcpfin.unwrap_or(tcpfin),
            udp: wanted.udp.unwrap_or(udp),
        };
        Ok(())
    }

    /// `ipvsadm -L --timeout`.
    pub fn timeouts(&self) -> Timeouts {
        self.timeouts
    }

    /// `ipvsadm --set`; 0 keeps the old value.
    pub fn set_timeouts(&mut self, set: Timeouts) {
        self.timeouts = self.timeouts.with(set);
    }

    /// Whether rates are reckoned.
    pub fn estimates(&self) -> bool {
        !self.estimation_stopped
    }

    /// How long a scheduler remembers an address, ticks.
    pub fn locality_expiration(&self, kind: SchedulerKind) -> u32 {
        ticks(match kind {
            SchedulerKind::Lblcr => self.expiration.lblcr,
            _ => self.expiration.lblc,
        })
    }

    /// How many ICMP errors may be sent, once Linux has been asked.
    pub fn icmp_limits(&self) -> Option<IcmpLimits> {
        self.settings.icmp_limits
    }

    /// Limits ICMP errors as Linux does.
    pub fn limit_icmp(&mut self, limits: IcmpLimits) {
        self.settings.icmp_limits = Some(limits);
    }

    /// Sets a value; `false` for a name without a meaning here.
    pub fn set(&mut self, key: &str, value: i64) -> bool {
        let settings = &mut self.settings;
        match key {
            "conn_reuse_mode" => settings.conn_reuse_mode = value as u8,
            "expire_nodest_conn" => settings.expire_nodest_conn = value != 0,
            "cache_bypass" => settings.cache_bypass = value != 0,
            "lblc_expiration" => self.expiration.lblc = value as u32,
            "lblcr_expiration" => self.expiration.lblcr = value as u32,
            "nat_icmp_send" => settings.nat_icmp_send = value != 0,
            "expire_quiescent_template" => settings.expire_quiescent_template = value != 0,
            "run_estimation" => self.estimation_stopped = value == 0,
            "pmtu_disc" => settings.pmtu_disc = value != 0,
            "sloppy_sctp" => settings.sloppy_sctp = value != 0,
            "schedule_icmp" => settings.schedule_icmp = value != 0,
            "sloppy_tcp" => settings.sloppy_tcp = value != 0,
            _ => return self.defence.set(key, value),
        }
        true
    }

    /// Takes note of what memory is available, for the modes that are set next.
    pub fn note_memory(&mut self, memory: Memory) {
        self.defence.note(memory);
    }

    /// What is to be done each second: `true` if workers are to be told of it.
    pub fn second(&mut self, memory: Memory) -> bool {
        self.defence.second(memory)
    }

    /// All values.
    pub fn list(&self) -> Vec<Sysctl> {
        let settings = &self.settings;
        let rows = [
            ("conn_reuse_mode", i64::from(settings.conn_reuse_mode)),
            ("expire_nodest_conn", i64::from(settings.expire_nodest_conn)),
            ("cache_bypass", i64::from(settings.cache_bypass)),
            ("lblc_expiration", self.expiration.lblc.into()),
            ("lblcr_expiration", self.expiration.lblcr.into()),
            ("nat_icmp_send", i64::from(settings.nat_icmp_send)),
            ("expire_quiescent_template", i64::from(settings.expire_quiescent_template)),
            ("pmtu_disc", i64::from(settings.pmtu_disc)),
            ("sloppy_sctp", i64::from(settings.sloppy_sctp)),
            ("run_estimation", i64::from(self.estimates())),
            ("schedule_icmp", i64::from(settings.schedule_icmp)),
            ("sloppy_tcp", i64::from(settings.sloppy_tcp)),
        ];
        let rows = rows.into_iter().chain(self.defence.list());
        rows.map(|(key, value)| Sysctl::new(key, value)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::sysctl::SUPPORTED;

    #[test]
    fn every_supported_name_is_set_and_listed() {
        let mut sysctls = Sysctls::default();
        for &(key, low, high) in SUPPORTED {
            for value in [low, high] {
                assert!(sysctls.set(key, value), "{key}");
                let listed = sysctls.list().into_iter().find(|row| row.key == key);
                assert_eq!(listed, Some(Sysctl::new(key, value)));
            }
        }
        assert!(!sysctls.set("sync_ports", 1));
    }

    #[test]
    fn set_timeouts_reach_the_states_they_are_of() {
        let mut sysctls = Sysctls::default();
        sysctls.set_timeouts(Timeouts { tcp: 10, tcpfin: 0, udp: 30 });

        let timeouts = sysctls.settings().timeouts;
        assert_eq!(timeouts.tcp[usize::from(state::ESTABLISHED)], ticks(10));
        assert_eq!(timeouts.tcp[usize::from(state::FIN_WAIT)], ticks(120));
        assert_eq!(timeouts.udp, ticks(30));
    }
}
