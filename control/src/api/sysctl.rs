//! The names under `net.ipv4.vs` (kernel: `vs_vars` of `ip_vs_ctl.c`, `ip_vs_lblc.c`, `ip_vs_lblcr.c`).

use super::protocol::{ApiError, ErrorCode, Sysctl};

/// What the kernel's jiffies, 250 a second, have room for (`proc_dointvec_jiffies`).
const MAX_SECONDS: i64 = i32::MAX as i64 / 250;

/// Names with a meaning here, and the range of their values.
pub const SUPPORTED: &[(&str, i64, i64)] = &[
    ("am_droprate", 0, i32::MAX as i64),
    ("amemthresh", 0, i32::MAX as i64),
    ("cache_bypass", 0, 1),
    ("conn_reuse_mode", 0, 3),
    ("drop_entry", 0, 3),
    ("drop_packet", 0, 3),
    ("expire_nodest_conn", 0, 1),
    ("expire_quiescent_template", 0, 1),
    ("lblc_expiration", 0, MAX_SECONDS),
    ("lblcr_expiration", 0, MAX_SECONDS),
    ("nat_icmp_send", 0, 1),
    ("pmtu_disc", 0, 1),
    ("run_estimation", 0, 1),
    ("schedule_icmp", 0, 1),
    ("secure_tcp", 0, 3),
    ("sloppy_sctp", 0, 1),
    ("sloppy_tcp", 0, 1),
];

/// Names of the kernel's that can have no meaning here, and why.
const MEANINGLESS: &[(&str, &str)] = &[
    ("backup_only", "comes with connection sync"),
    ("conn_lfactor", "is about a table that grows: here it is as large as the configuration says"),
    ("conntrack", "is about netfilter's conntrack, which Sluice's packets do not pass"),
    ("ignore_tunneled", "is always as good as 1: what Linux takes out of a tunnel stays Linux's"),
    ("snat_reroute", "is always as good as 1: replies are routed by the client's address"),
    ("svc_lfactor", "is about a table that grows: here it is as large as its rules need"),
    ("sync_persist_mode", "comes with connection sync"),
    ("sync_ports", "comes with connection sync"),
    ("sync_qlen_max", "comes with connection sync"),
    ("sync_refresh_period", "comes with connection sync"),
    ("sync_retries", "comes with connection sync"),
    ("sync_sock_size", "comes with connection sync"),
    ("sync_threshold", "comes with connection sync"),
    ("sync_version", "comes with connection sync"),
];

/// The bare name in `net.ipv4.vs.NAME`, `net/ipv4/vs/NAME` or `NAME`.
pub fn bare(key: &str) -> &str {
    let key = key.strip_prefix("/proc/sys/").unwrap_or(key);
    ["net.ipv4.vs.", "net/ipv4/vs/"].iter().find_map(|p| key.strip_prefix(p)).unwrap_or(key)
}

/// The bare name, if it is one.
///
/// # Errors
/// [`ErrorCode::UnknownKey`].
pub fn known(key: &str) -> Result<&str, ApiError> {
    let name = bare(key);
    if SUPPORTED.iter().any(|row| row.0 == name) || why_meaningless(name).is_some() {
        return Ok(name);
    }
    let message = format!("net.ipv4.vs.{name} is no name of IPVS");
    Err(ApiError::new(ErrorCode::UnknownKey, message))
}

/// The bare name, if it has a meaning here.
///
/// # Errors
/// [`ErrorCode::NotSupported`] for a name that only the kernel gives a meaning,
/// [`ErrorCode::UnknownKey`] for no name at all.
pub fn check_key(key: &str) -> Result<&str, ApiError> {
    let name = known(key)?;
    match why_meaningless(name) {
        None => Ok(name),
        Some(why) => {
            let message = format!("net.ipv4.vs.{name} cannot be set: it {why}");
            Err(ApiError::new(ErrorCode::NotSupported, message))
        }
    }
}

fn why_meaningless(name: &str) -> Option<&'static str> {
    MEANINGLESS.iter().find(|row| row.0 == name).map(|row| row.1)
}

/// All names in order, those with a meaning here as `set`.
pub fn all(set: Vec<Sysctl>) -> Vec<Sysctl> {
    let meaningless = MEANINGLESS.iter().map(|&(key, why)| Sysctl::without_meaning(key, why));
    let mut rows: Vec<Sysctl> = set.into_iter().chain(meaningless).collect();
    rows.sort_by(|a, b| a.key.cmp(&b.key));
    rows
}

/// The number to set `key` to.
///
/// # Errors
/// As [`check_key`], or [`ErrorCode::BadValue`] for what is no number or out of range.
pub fn check_value(key: &str, value: &str) -> Result<i64, ApiError> {
    let name = check_key(key)?;
    let range = SUPPORTED.iter().find(|row| row.0 == name).map_or(0..=0, |row| row.1..=row.2);
    value.trim().parse().ok().filter(|n| range.contains(n)).ok_or_else(|| {
        let (low, high) = (range.start(), range.end());
        let message = format!("net.ipv4.vs.{name} takes {low} to {high}, not `{value}'");
        ApiError::new(ErrorCode::BadValue, message)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_be_bare_dotted_or_a_path() {
        for key in ["net.ipv4.vs.sloppy_tcp", "net/ipv4/vs/sloppy_tcp", "sloppy_tcp"] {
            assert_eq!(check_key(key), Ok("sloppy_tcp"));
        }
    }

    /// Linux 6.1's, and two of newer ones.
    const NAMES: &str = "am_droprate amemthresh backup_only cache_bypass conn_lfactor conn_reuse_mode \
        conntrack drop_entry drop_packet expire_nodest_conn expire_quiescent_template \
        ignore_tunneled lblc_expiration lblcr_expiration nat_icmp_send pmtu_disc run_estimation \
        schedule_icmp secure_tcp sloppy_sctp sloppy_tcp snat_reroute svc_lfactor sync_persist_mode \
        sync_ports sync_qlen_max sync_refresh_period sync_retries sync_sock_size sync_threshold \
        sync_version";

    #[test]
    fn every_name_of_the_kernel_has_a_value_or_a_reason() {
        let set = SUPPORTED.iter().map(|row| Sysctl::new(row.0, 0)).collect();
        let rows = all(set);
        let names: Vec<&str> = rows.iter().map(|row| &*row.key).collect();
        assert_eq!(names, NAMES.split_whitespace().collect::<Vec<_>>());
        assert!(rows.iter().all(|row| row.value.is_some() != row.without_meaning.is_some()));
        assert!(names.into_iter().all(|name| known(name) == Ok(name)));
    }

    #[test]
    fn unknown_names_unsupported_names_and_bad_values_are_told_apart() {
        assert!(check_key("sync_ports").unwrap_err().is(ErrorCode::NotSupported));
        assert!(check_key("sync_port").unwrap_err().is(ErrorCode::UnknownKey));
        let refused = check_key("conntrack").unwrap_err();
        assert!(refused.is(ErrorCode::NotSupported) && refused.message.contains("netfilter"));
        assert_eq!(check_value("conn_reuse_mode", "2"), Ok(2));
        assert!(check_value("conn_reuse_mode", "x").unwrap_err().is(ErrorCode::BadValue));
        assert!(check_value("sloppy_tcp", "2").unwrap_err().is(ErrorCode::BadValue));
    }
}
