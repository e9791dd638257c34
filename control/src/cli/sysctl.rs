//! `sluice sysctl`: what `sysctl net.ipv4.vs.…` is to the kernel's IPVS.

use super::print_json;
use crate::api::protocol::{Answer, ApiError, ErrorCode, Op, Sysctl};
use crate::api::sysctl::{check_key, known};
use crate::api::{CallError, Director};
use std::io::{self, Write};

/// What to read or set.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Show all, also those of the kernel's that have no meaning here
    #[arg(short, long, conflicts_with = "key")]
    all: bool,
    /// NAME, net.ipv4.vs.NAME or net/ipv4/vs/NAME, or KEY=VALUE
    #[arg(required_unless_present = "all")]
    key: Option<String>,
    /// Sets it; without, it is shown
    value: Vec<String>,
    /// Show as one line of JSON
    #[arg(long)]
    json: bool,
}

impl Args {
    /// Asks or sets, and prints as `sysctl` does.
    pub fn run(self, director: &mut dyn Director, out: &mut dyn Write) -> Result<(), CallError> {
        let Some(key) = self.key else { return show(None, self.json, director, out) };
        let (key, value) = match key.split_once('=') {
            Some((key, value)) if self.value.is_empty() => (key.trim(), value.trim().to_owned()),
            _ => (key.as_str(), self.value.join(" ")),
        };
        // Told here too, so that a wrong name needs no daemon to be wrong.
        if value.is_empty() {
            let name = known(key).map_err(CallError::Refused)?.to_owned();
            return show(Some(name), self.json, director, out);
        }
        let key = check_key(key).map_err(CallError::Refused)?.to_owned();
        director.call(Op::SysctlSet { key: key.clone(), value: value.clone() })?;
        Ok(writeln!(out, "net.ipv4.vs.{key} = {value}")?)
    }
}

fn show(
    key: Option<String>,
    json: bool,
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
    if json {
        return print_json(out, &rows);
    }
    Ok(rows.iter().try_for_each(|row| print(row, out))?)
}

/// A line that no reader of `sysctl`'s takes for a value where there is none.
fn print(row: &Sysctl, out: &mut dyn Write) -> io::Result<()> {
    let Sysctl { key, value, without_meaning } = row;
    match value {
        Some(value) => writeln!(out, "net.ipv4.vs.{key} = {value}"),
        None => {
            let why = without_meaning.as_deref().unwrap_or("is not known");
            writeln!(out, "# net.ipv4.vs.{key} (no meaning here: it {why})")
        }
    }
}
