//! `sluice status`

use super::print_json;
use super::stats::{flatten, print_rows};
use crate::api::protocol::{Answer, Op};
use crate::api::{CallError, Director};
use std::io::Write;

/// How to show it.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// As one line of JSON
    #[arg(long)]
    json: bool,
}

impl Args {
    /// Asks and prints.
    pub fn run(self, director: &mut dyn Director, out: &mut dyn Write) -> Result<(), CallError> {
        let Answer::Status(status) = director.call(Op::Status)? else {
            return Err(CallError::unexpected());
        };
        if self.json {
            return print_json(out, &status);
        }
        let mut rows = vec![
            ("version".to_owned(), status.version.clone()),
            ("pid".to_owned(), status.pid.to_string()),
            ("uptime".to_owned(), format!("{} s", status.uptime)),
            ("generation".to_owned(), status.generation.to_string()),
        ];
        flatten("", &status.detail, &mut rows);
        print_rows(out, &rows)
    }
}
