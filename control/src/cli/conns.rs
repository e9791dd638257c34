//! `sluice conns`

use super::print_json;
use crate::api::protocol::ConnFilter;
use crate::api::{CallError, Director};
use crate::ipvsadm::conn_line;
use std::io::{self, Write};

/// What to show.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// One JSON object a line
    #[arg(long)]
    json: bool,
    /// At most so many
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
}

impl Args {
    /// Asks and prints, as the rows come.
    pub fn run(self, director: &mut dyn Director, out: &mut dyn Write) -> Result<(), CallError> {
        let filter = ConnFilter { limit: self.limit, ..ConnFilter::default() };
        director.conns(filter, &mut |rows| {
            rows.iter().try_for_each(|row| match self.json {
                false => out.write_all(conn_line(row).as_bytes()),
                true => print_json(out, row).map_err(|error| match error {
                    CallError::Output(error) => error,
                    other => io::Error::other(other),
                }),
            })
        })
    }
}
