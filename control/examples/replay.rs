//! Replays traces of the kernel's IPVS, one JSON object a line from the standard input, each on a
//! director of its own, and says of each in a line what differs: `{"name": …, "differences": …}`.
//! What `scripts/diff-fuzz` asks; the golden traces are replayed by `tests/golden`.

#[path = "../tests/golden/bench.rs"]
mod bench;
#[path = "../tests/golden/linux.rs"]
mod linux;
#[path = "../tests/golden/listing.rs"]
mod listing;
#[path = "../tests/golden/local.rs"]
mod local;
#[path = "../tests/golden/network.rs"]
mod network;
#[path = "../tests/golden/replay.rs"]
mod replay;
#[path = "../tests/golden/skip.rs"]
mod skip;
#[path = "../../dataplane/tests/common/golden.rs"]
mod trace;

use bench::Setup;
use serde_json::json;
use std::any::Any;
use std::io::{self, BufRead, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use trace::Golden;

/// One packet a turn; the golden traces are what shows that a window changes nothing.
const SETUP: Setup = Setup { vlan: 0, window: 1, workers: 1, owner: None };

fn main() -> io::Result<()> {
    let mut out = io::stdout().lock();
    for line in io::stdin().lock().lines() {
        let golden = Golden::parse(&line?).map_err(io::Error::other)?;
        let outcome = catch_unwind(AssertUnwindSafe(|| replay::replay(&golden, &SETUP)));
        let differences = match outcome {
            Ok(outcome) => outcome.differences,
            Err(panic) => format!("panicked: {}", said(&*panic)),
        };
        writeln!(out, "{}", json!({ "name": golden.name, "differences": differences }))?;
    }
    Ok(())
}

fn said(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("without words")
}
