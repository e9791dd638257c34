//! The operator's command; see `control::cli`.

use control::ipvsadm::Streams;
use std::io::{self, BufWriter};
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut out = BufWriter::new(io::stdout().lock());
    let mut streams =
        Streams { input: &mut io::stdin().lock(), out: &mut out, err: &mut io::stderr().lock() };
    let status = control::cli::run(std::env::args_os().collect(), &mut streams);
    // What could not be written is in the status already; a second try as the buffer goes would
    // only fail again.
    drop(out.into_parts());
    ExitCode::from(status)
}
