//! `sluice`, the operator's command.
//!
//! Each subcommand is one question to the daemon and one way to print the answer. Called under
//! the name `ipvsadm`, `ipvsadm-save` or `ipvsadm-restore`, it is that program.

mod conns;
mod marks;
mod ports;
mod stats;
mod status;
mod sysctl;
mod tools;

use crate::api::protocol::ErrorCode;
use crate::api::{CallError, Client, Director};
use crate::config::DEFAULT_SOCKET;
use crate::ipvsadm::{self, Streams};
use clap::error::ErrorKind;
use clap::{CommandFactory, Parser, Subcommand};
use std::ffi::OsString;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Operates the Sluice load balancer.
#[derive(Debug, Parser)]
#[command(
    name = "sluice",
    version,
    after_help = "\
`sluice ipvsadm …' takes ipvsadm's command line (`sluice ipvsadm --help').\n\
Exit status: 0 done, 2 wrong usage or no daemon, 255 refused by the daemon."
)]
struct Cli {
    /// Socket of the daemon [default: $SLUICE_SOCKET, else /run/sluice/sluiced.sock]
    #[arg(long, global = true, value_name = "PATH")]
    socket: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Counters of the data path
    Stats(stats::Args),
    /// How each port was set up: what was asked of its device, and what it granted
    Ports(ports::Args),
    /// Who serves at the socket and how it is
    Status(status::Args),
    /// Values of net.ipv4.vs
    Sysctl(sysctl::Args),
    /// Rules that mark packets for fwmark services
    Marks(marks::Args),
    /// The connection table
    Conns(conns::Args),
    // Everything after its name stays as it is: that is what an external subcommand means.
    #[command(external_subcommand)]
    External(Vec<String>),
}

/// Exit status of a program that a closed pipe ended: 128 + SIGPIPE.
const BROKEN_PIPE: u8 = 141;

/// Runs the program with its words, name first; the exit status.
pub fn run(words: Vec<OsString>, streams: &mut Streams<'_>) -> u8 {
    let name = words.first().map(Path::new).and_then(Path::file_name).and_then(|n| n.to_str());
    let ended = match name.and_then(tools::Tool::named) {
        Some(tool) => {
            let rest = words[1..].iter().map(|w| w.to_string_lossy().into_owned());
            tool.run(&rest.collect::<Vec<_>>(), &mut client(None), streams)
        }
        None => match Cli::try_parse_from(words) {
            Ok(cli) => cli.run(streams),
            Err(error) => print_usage(&error, streams),
        },
    };
    match ended.and_then(|status| streams.out.flush().map(|()| status)) {
        Ok(status) => status,
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => BROKEN_PIPE,
        Err(error) => {
            // If stderr is gone too, the status has to say it.
            let _ = writeln!(streams.err, "cannot write the output: {error}");
            2
        }
    }
}

fn client(socket: Option<PathBuf>) -> Client {
    let socket = socket.or_else(|| std::env::var_os("SLUICE_SOCKET").map(PathBuf::from));
    Client::new(&socket.unwrap_or_else(|| DEFAULT_SOCKET.into()))
}

fn print_usage(error: &clap::Error, streams: &mut Streams<'_>) -> io::Result<u8> {
    let to_stderr = error.use_stderr();
    let to: &mut dyn Write = if to_stderr { streams.err } else { streams.out };
    write!(to, "{}", error.render())?;
    Ok(if to_stderr { 2 } else { 0 })
}

impl Cli {
    fn run(self, streams: &mut Streams<'_>) -> io::Result<u8> {
        let mut client = client(self.socket);
        match self.command {
            Command::External(words) => match words.split_first() {
                Some((name, rest)) if name == "ipvsadm" => ipvsadm::run(rest, &mut client, streams),
                _ => {
                    let name = words.first().map_or("", String::as_str);
                    let message = format!("there is no command `{name}'\n");
                    let error = Cli::command().error(ErrorKind::InvalidSubcommand, message);
                    print_usage(&error, streams)
                }
            },
            command => command.run(&mut client, streams),
        }
    }
}

impl Command {
    fn run(self, director: &mut dyn Director, streams: &mut Streams<'_>) -> io::Result<u8> {
        let out = &mut *streams.out;
        let done = match self {
            Command::Stats(args) => args.run(director, out),
            Command::Ports(args) => args.run(director, out),
            Command::Status(args) => args.run(director, out),
            Command::Sysctl(args) => args.run(director, out),
            Command::Marks(args) => args.run(director, out),
            Command::Conns(args) => args.run(director, out),
            Command::External(_) => Err(CallError::unexpected()),
        };
        match done {
            Ok(()) => Ok(0),
            Err(CallError::Output(error)) => Err(error),
            Err(error) => {
                writeln!(streams.err, "sluice: {error}")?;
                Ok(status_of(&error))
            }
        }
    }
}

fn status_of(error: &CallError) -> u8 {
    match error {
        CallError::Refused(error) if error.is(ErrorCode::Internal) => 2,
        CallError::Refused(_) => 255,
        _ => 2,
    }
}

impl From<io::Error> for CallError {
    fn from(error: io::Error) -> Self {
        CallError::Output(error)
    }
}

/// Prints a value as one line of JSON.
fn print_json(out: &mut dyn Write, value: &impl serde::Serialize) -> Result<(), CallError> {
    serde_json::to_writer(&mut *out, value).map_err(io::Error::from)?;
    Ok(writeln!(out)?)
}

#[cfg(test)]
mod tests;
