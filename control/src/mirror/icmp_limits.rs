//! Linux's limits on ICMP errors, which are the director's too: both answer for one address.

use dataplane::service::{IcmpLimits, PeerLimit};
use std::fs;

/// Those of this process's network namespace. What cannot be read or understood is Linux's default:
/// a kernel without IPv6 has no such files.
pub fn icmp_limits() -> IcmpLimits {
    limits(|file| fs::read_to_string(format!("/proc/sys/net/{file}")).unwrap_or_default())
}

fn limits(text: impl Fn(&str) -> String) -> IcmpLimits {
    let defaults = IcmpLimits::default();
    let number = |file: &str, default: u32| text(file).trim().parse::<u32>().unwrap_or(default);
    let v4 = PeerLimit {
        interval: number("ipv4/icmp_ratelimit", defaults.v4.interval),
        types: number("ipv4/icmp_ratemask", defaults.v4.types as u32).into(),
    };
    let v6 = PeerLimit {
        interval: number("ipv6/icmp/ratelimit", defaults.v6.interval),
        types: types(&text("ipv6/icmp/ratemask")).unwrap_or(defaults.v6.types),
    };
    IcmpLimits {
        v4,
        v6,
        per_second: number("ipv4/icmp_msgs_per_sec", defaults.per_second),
        burst: number("ipv4/icmp_msgs_burst", defaults.burst),
    }
}

/// A list of bits such as `0-1,3-127`; those from 128 on are of no errors.
fn types(list: &str) -> Option<u128> {
    let mut types: u128 = 0;
    for part in list.strip_suffix('\n')?.split(',').filter(|part| !part.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (u8, u8) = (first.parse().ok()?, last.parse().ok()?);
        (first..=last.min(127)).for_each(|bit| types |= 1 << bit);
    }
    Some(types)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    #[test]
    fn what_is_there_is_read_and_what_is_not_is_linuxs_default() {
        assert_eq!(limits(|_| String::new()), IcmpLimits::default());
        let files = HashMap::from([
            ("ipv4/icmp_ratelimit", "250\n"),
            ("ipv4/icmp_ratemask", "8\n"),
            ("ipv4/icmp_msgs_per_sec", "77\n"),
            ("ipv4/icmp_msgs_burst", "nonsense\n"),
            ("ipv6/icmp/ratelimit", "0\n"),
            ("ipv6/icmp/ratemask", "1,3-4,130-255\n"),
        ]);
        let expected = IcmpLimits {
            v4: PeerLimit { interval: 250, types: 8 },
            v6: PeerLimit { interval: 0, types: 0b11010 },
            per_second: 77,
            burst: 50,
        };
        assert_eq!(limits(|file| files[file].to_owned()), expected);
    }

    #[test]
    fn linux_writes_its_default_so() {
        assert_eq!(types("0-1,3-127\n"), Some(IcmpLimits::default().v6.types));
        assert_eq!(types("\n"), Some(0));
        for bad in ["", "x\n", "1-\n", "256\n"] {
            assert_eq!(types(bad), None, "{bad:?}");
        }
    }
}
