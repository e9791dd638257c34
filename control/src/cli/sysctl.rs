//! `sluice sysctl`: what `sysctl net.ipv4.vs.…` is to the kernel's IPVS.

use crate::api::protocol::{Answer, ApiError, ErrorCode, Op};
use crate::api::sysctl::check_key;
use crate::api::{CallError, Director};
use std::io::Write;

/// What to read or set.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Show all
    #[arg(short, long, conflicts_with = "key")]
    all: bool,
    /// NAME, net.ipv4.vs.NAME or net/ipv4/vs/NAME, or KEY=VALUE
    #[arg(required_unless_present = "all")]
    key: Option<String>,
    /// Sets it; without, it is shown
    value: Vec<String>,
}

impl Args {
    /// Asks or sets, and prints as `sysctl` does.
    pub fn run(self, director: &mut dyn Director, out: &mut dyn Write) -> Result<(), CallError> {
        let Some(key) = self.key else { return show(None, director, out) };
        let (key, value) = match key.split_once('=') {
            Some((key, value)) if self.value.is_empty() => (key.trim(), value.trim().to_owned()),
            _ => (key.as_str(), self.value.join(" ")),
        };
        // Told here too, so that a wrong name needs no daemon to be wrong.
        let key = check_key(key).map_err(CallError::Refused)?.to_owned();
        if value.is_empty() {
            return show(Some(key), director, out);
        }
        director.call(Op::SysctlSet { key: key.clone(), value: value.clone() })?;
        Ok(writeln!(out, "net.ipv4.vs.{key} = {value}")?)
    }
}

fn show(
    key: Option<String>,
    director: &mut dyn Director,
    out: &mut dyn Write,
) -> Result<(), CallError> {
    let Answer::Sysctls(rows) = director.call(Op::SysctlGet { key: key.clone() })? else {
        return Err(CallError::unexpected());
    };
    if let (Some(key), true) = (key, rows.is_empty()) {
        let message = format!("the daemon has no value of net.ipv4.vs.{key}");
        return Err(CallError::Refused(ApiError::new(ErrorCode::NotSupported, message)));
    }
    for row in rows {
        writeln!(out, "net.ipv4.vs.{} = {}", row.key, row.value)?;
    }
    Ok(())
}
