//! `sluice stats`

use super::print_json;
use crate::api::protocol::{Answer, Op};
use crate::api::{CallError, Director};
use serde_json::{Map, Value};
use std::io::Write;

/// What to show.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// As the daemon says it, worker by worker
    #[arg(long)]
    json: bool,
    /// Only reasons of drops, most frequent first
    #[arg(long)]
    drops: bool,
}

impl Args {
    /// Asks and prints.
    pub fn run(self, director: &mut dyn Director, out: &mut dyn Write) -> Result<(), CallError> {
        let Answer::Stats(stats) = director.call(Op::Stats)? else {
            return Err(CallError::unexpected());
        };
        let total = sum_of_workers(&stats);
        match (self.drops, self.json) {
            (false, true) => print_json(out, &stats),
            (true, true) => print_json(out, &total["dropped"]),
            (true, false) => print_rows(out, &drops(&total)),
            (false, false) => print_summary(out, &stats, &total),
        }
    }
}

/// A name and what stands beside it.
type Row = (String, String);

fn print_summary(out: &mut dyn Write, stats: &Value, total: &Value) -> Result<(), CallError> {
    let workers = stats["workers"].as_array().map_or(0, Vec::len);
    let mut rows = Vec::new();
    for (name, value) in stats.as_object().into_iter().flatten() {
        if name != "workers" {
            flatten(name, value, &mut rows);
        }
    }
    print_rows(out, &rows)?;
    writeln!(out, "sum of {workers} workers:")?;
    let mut rows = Vec::new();
    flatten("", total, &mut rows);
    // Most reasons and classes have never occurred.
    rows.retain(|(name, value)| !(name.contains('.') && value == "0"));
    print_rows(out, &rows)
}

fn drops(total: &Value) -> Vec<Row> {
    let reasons = total["dropped"].as_object();
    let counts = reasons.into_iter().flatten().map(|(name, n)| (name, n.as_u64().unwrap_or(0)));
    let mut counts: Vec<_> = counts.filter(|row| row.1 > 0).collect();
    counts.sort_by_key(|row| std::cmp::Reverse(row.1));
    counts.into_iter().map(|(name, n)| (name.clone(), n.to_string())).collect()
}

/// The counters of all workers added up, by name; of their generations the least, which all have.
fn sum_of_workers(stats: &Value) -> Value {
    let workers = || stats["workers"].as_array().into_iter().flatten();
    let mut sum = workers().fold(Value::Object(Map::new()), |mut sum, worker| {
        add(&mut sum, worker);
        sum
    });
    if let Some(least) = workers().filter_map(|worker| worker["generation"].as_u64()).min() {
        sum["generation"] = least.into();
    }
    sum
}

fn add(sum: &mut Value, more: &Value) {
    match (sum, more) {
        (Value::Object(sum), Value::Object(more)) => {
            for (name, value) in more {
                match sum.get_mut(name) {
                    Some(present) => add(present, value),
                    None => drop(sum.insert(name.clone(), value.clone())),
                }
            }
        }
        (sum, more) => {
            if let (Some(a), Some(b)) = (sum.as_u64(), more.as_u64()) {
                *sum = (a + b).into();
            }
        }
    }
}

/// The leaves of a value by their path.
pub fn flatten(path: &str, value: &Value, rows: &mut Vec<Row>) {
    let join = |name: &str| {
        if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
    };
    match value {
        Value::Object(fields) => {
            fields.iter().for_each(|(name, value)| flatten(&join(name), value, rows));
        }
        Value::Array(items) => {
            let numbered = items.iter().enumerate();
            numbered.for_each(|(place, item)| flatten(&join(&place.to_string()), item, rows));
        }
        Value::Null => {}
        Value::String(text) => rows.push((path.to_owned(), text.clone())),
        leaf => rows.push((path.to_owned(), leaf.to_string())),
    }
}

/// Prints names left and values right.
pub fn print_rows(out: &mut dyn Write, rows: &[Row]) -> Result<(), CallError> {
    let width = rows.iter().map(|row| row.0.chars().count()).max().unwrap_or(0);
    for (name, value) in rows {
        writeln!(out, "{name:<width$}  {value:>12}")?;
    }
    Ok(())
}
