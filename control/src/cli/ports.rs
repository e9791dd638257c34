//! `sluice ports`

use super::print_json;
use super::stats::{flatten, print_rows};
use crate::api::protocol::{Answer, Op};
use crate::api::{CallError, Director};
use serde_json::Value;
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
        let Answer::Ports(ports) = director.call(Op::Ports)? else {
            return Err(CallError::unexpected());
        };
        if self.json {
            return print_json(out, &ports);
        }
        let mut rows = Vec::new();
        for port in ports.as_array().into_iter().flatten() {
            flatten(port["name"].as_str().unwrap_or_default(), &without_name(port), &mut rows);
        }
        print_rows(out, &rows)
    }
}

fn without_name(port: &Value) -> Value {
    let fields = port.as_object().into_iter().flatten().filter(|(name, _)| *name != "name");
    Value::Object(fields.map(|(name, value)| (name.clone(), value.clone())).collect())
}
