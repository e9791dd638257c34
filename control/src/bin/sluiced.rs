//! `sluiced`: the Linux Virtual Server as a DPDK appliance.

use clap::Parser;
use control::config::{self, Config};
use control::daemon;
use std::path::PathBuf;
use std::process::ExitCode;

/// Binds the ports of its configuration through DPDK and load-balances what arrives.
///
/// Stops cleanly on SIGTERM and SIGINT: ports closed, kernel twins gone, huge pages released.
/// Operated by `sluice`, see `sluice --help`.
#[derive(Parser)]
#[command(name = "sluiced", version)]
struct Arguments {
    /// Configuration file.
    #[arg(long, short, default_value = config::DEFAULT_PATH)]
    config: PathBuf,
    /// Check the configuration, say so, and exit.
    #[arg(long)]
    check: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let cores = config::available_cores();
    let config = match Config::load(&arguments.config, &cores) {
        Ok(config) => config,
        Err(error) => return fail(&error),
    };
    if arguments.check {
        println!("{}: good", arguments.config.display());
        return ExitCode::SUCCESS;
    }
    start_log(&config.daemon.log);
    match daemon::run(&config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

/// Logs by `RUST_LOG`, else by `filter`. The netlink library warns whenever its user is gone before
/// it, which every failed start is: only its errors count, unless the filter asks for more.
fn start_log(filter: &str) {
    let filter = env_logger::Env::default().default_filter_or(filter);
    let mut builder = env_logger::Builder::new();
    builder.filter_module("netlink_proto", log::LevelFilter::Error);
    builder.parse_env(filter).format_target(false).init();
}

fn fail(error: &dyn std::fmt::Display) -> ExitCode {
    eprintln!("sluiced: {error}");
    ExitCode::FAILURE
}
