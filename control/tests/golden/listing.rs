//! Listings compared by text, where the kernel reproduces it.

use crate::skip::Skip;

/// What differs between a recorded listing and ours; empty if nothing does.
pub fn differences(args: &str, recorded: &[String], ours: &str, skip: &Skip) -> String {
    // Rates depend on the moment of reading.
    if args.contains("--rate") {
        return String::new();
    }
    let mut ours: Vec<String> = ours.lines().map(mask).collect();
    // The kernel's timers fire late: what it lists without a second left may have ended here.
    let ended = |line: &&String| is_last_second(line) && !ours.contains(&mask(line));
    let recorded = recorded.iter().filter(|line| !ended(line));
    let mut recorded = skip.adjust(recorded.map(|line| mask(line)).collect());
    if args.contains("-Lnc") {
        // Conns come in the order of the kernel's hash.
        recorded.sort();
        ours.sort();
    }
    if recorded == ours {
        return String::new();
    }
    format!("  ipvsadm {args}\n    kernel {recorded:#?}\n    ours {ours:#?}\n")
}

/// Whether a line is of a conn or template whose time is over within a second.
fn is_last_second(line: &str) -> bool {
    line.split_whitespace().nth(1) == Some("00:00") && mask(line) != line
}

/// A line without the expiry of a conn.
fn mask(line: &str) -> String {
    let conn = ["TCP ", "UDP ", "IP  ", "SCTP "].into_iter().find(|proto| line.starts_with(proto));
    let Some((proto, rest)) = conn.map(|proto| line.split_at(proto.len())) else {
        return line.to_owned();
    };
    match rest.as_bytes() {
        [m1, m2, b':', s1, s2, ..] if [m1, m2, s1, s2].iter().all(|it| it.is_ascii_digit()) => {
            format!("{proto}MM:SS{}", &rest[5..])
        }
        _ => line.to_owned(),
    }
}
