//! Carries out what a command line asks for.

use super::layout::{self, Format};
use super::names::Names;
use super::parse::{Invocation, parse};
use super::{Failure, conns, save};
use crate::api::protocol::{Answer, ConnFilter, ErrorCode, Listing, Op, Timeouts};
use crate::api::{CallError, Director};
use crate::rules::RuleChange;
use dataplane::service::ServiceKey;
use std::io::{self, BufRead, Write};

/// Changes that `-R` sends at once.
const RESTORE_BATCH: usize = 512;

const VERSION: &str = "ipvsadm v1.31 2019/12/24 (compiled with popt and IPVS v1.2.1)\n";
const HELP: &str = include_str!("help.txt");

/// Where a command reads and writes.
pub struct Streams<'a> {
    /// Read by `-R`.
    pub input: &'a mut dyn BufRead,
    /// Listings.
    pub out: &'a mut dyn Write,
    /// Complaints.
    pub err: &'a mut dyn Write,
}

/// Runs ipvsadm with the words after its name; the exit status.
///
/// # Errors
/// Only if the output cannot be written or `-R`'s input not be read; what the daemon or the
/// command line has against it is printed and counted in the status.
pub fn run(
    words: &[String],
    director: &mut dyn Director,
    streams: &mut Streams<'_>,
) -> io::Result<u8> {
    let names = Names::local();
    let invocation = match parse(words, &names) {
        Ok(invocation) => invocation,
        Err(failure) => return report(&failure, streams),
    };
    let ended = match invocation {
        Invocation::Restore => Restore::new(director, streams, &names).run(),
        invocation => carry_out(invocation, director, streams.out, &names),
    };
    match ended {
        Ok(()) => Ok(0),
        Err(Ended::Failure(failure)) => report(&failure, streams),
        Err(Ended::Output(error)) => Err(error),
    }
}

fn report(failure: &Failure, streams: &mut Streams<'_>) -> io::Result<u8> {
    if !failure.message.is_empty() {
        writeln!(streams.err, "{}", failure.message)?;
    }
    Ok(failure.status)
}

/// Why a command ended early.
enum Ended {
    Failure(Failure),
    Output(io::Error),
}

impl From<io::Error> for Ended {
    fn from(error: io::Error) -> Self {
        Ended::Output(error)
    }
}

impl From<CallError> for Ended {
    /// What the director refuses ends with 255; an absent one is ipvsadm's "cannot initialise".
    fn from(error: CallError) -> Self {
        match error {
            error if error.is_denial() => Ended::Failure(Failure::denied()),
            CallError::Output(error) => Ended::Output(error),
            CallError::Refused(error) if error.is(ErrorCode::NotSupported) => {
                Ended::Failure(Failure::bad(error.message))
            }
            CallError::Refused(error) => Ended::Failure(Failure::refused(error.message)),
            error => Ended::Failure(Failure::bad(error.to_string())),
        }
    }
}

/// A listing that fails ends with 1, and with it a whole `-R`. Missing rights are no matter of the
/// listing.
fn listing_failed(ended: Ended) -> Ended {
    match ended {
        Ended::Failure(failure) if failure.status == 255 && failure != Failure::denied() => {
            Ended::Failure(Failure { status: 1, ends_restore: true, ..failure })
        }
        ended => ended,
    }
}

fn carry_out(
    invocation: Invocation,
    director: &mut dyn Director,
    out: &mut dyn Write,
    names: &Names,
) -> Result<(), Ended> {
    let none = Names::none();
    let names_if = |numeric| if numeric { &none } else { names };
    match invocation {
        Invocation::Change(change) => Ok(send_changes(director, vec![change])?),
        Invocation::List { service, format, numeric } => {
            let text = list(service, format, director, names_if(numeric));
            Ok(out.write_all(text.map_err(listing_failed)?.as_bytes())?)
        }
        Invocation::Conns { numeric, persistence } => {
            list_conns(director, out, names_if(numeric), persistence).map_err(listing_failed)
        }
        Invocation::ShowTimeouts => {
            let Timeouts { tcp, tcpfin, udp } =
                timeouts(director).map_err(|error| listing_failed(error.into()))?;
            Ok(writeln!(out, "Timeout (tcp tcpfin udp): {tcp} {tcpfin} {udp}")?)
        }
        // No sync daemon runs.
        Invocation::ShowDaemons => Ok(()),
        Invocation::Save { numeric } => {
            let text = saved(director, names_if(numeric)).map_err(listing_failed)?;
            Ok(out.write_all(text.as_bytes())?)
        }
        Invocation::Zero(service) => Ok(director.call(Op::Zero { service }).map(drop)?),
        Invocation::SetTimeouts(set) => Ok(director.call(Op::TimeoutsSet(set)).map(drop)?),
        Invocation::Help => Ok(out.write_all(HELP.as_bytes())?),
        Invocation::Version => Ok(out.write_all(VERSION.as_bytes())?),
        // Within a restore; ipvsadm does not go deeper and says nothing.
        Invocation::Restore => Err(Ended::Failure(Failure::refused(""))),
    }
}

fn send_changes(director: &mut dyn Director, changes: Vec<RuleChange>) -> Result<(), CallError> {
    director.call(Op::Change { changes, replace: false }).map(drop)
}

fn listing(director: &mut dyn Director, service: Option<ServiceKey>) -> Result<Listing, CallError> {
    match director.call(Op::List { service })? {
        Answer::Listing(listing) => Ok(listing),
        _ => Err(CallError::unexpected()),
    }
}

fn timeouts(director: &mut dyn Director) -> Result<Timeouts, CallError> {
    match director.call(Op::TimeoutsGet)? {
        Answer::Timeouts(timeouts) => Ok(timeouts),
        _ => Err(CallError::unexpected()),
    }
}

fn list(
    service: Option<ServiceKey>,
    format: Format,
    director: &mut dyn Director,
    names: &Names,
) -> Result<String, Ended> {
    let listing = listing(director, service)?;
    Ok(match service {
        Some(_) => layout::services(&listing, format, names),
        None => layout::table(&listing, format, names),
    })
}

fn saved(director: &mut dyn Director, names: &Names) -> Result<String, Ended> {
    let listing = listing(director, None)?;
    Ok(save::lines(&listing, timeouts(director)?, names))
}

fn list_conns(
    director: &mut dyn Director,
    out: &mut dyn Write,
    names: &Names,
    persistence: bool,
) -> Result<(), Ended> {
    // The titles come with the first rows, so that a refusal prints nothing else.
    let mut titles = conns::titles(persistence);
    director.conns(ConnFilter::default(), &mut |rows| {
        out.write_all(std::mem::take(&mut titles).as_bytes())?;
        let line = |row| conns::row(row, names, persistence);
        rows.iter().try_for_each(|row| out.write_all(line(row).as_bytes()))
    })?;
    Ok(out.flush()?)
}

/// A run of `-R`. Changes are sent many at a time, and one by one when such a batch is refused,
/// so that what applies and what is printed is as if each line had been sent alone.
struct Restore<'a, 'b> {
    director: &'a mut dyn Director,
    streams: &'a mut Streams<'b>,
    names: &'a Names,
    pending: Vec<RuleChange>,
    last: Option<Failure>,
}

impl<'a, 'b> Restore<'a, 'b> {
    fn new(director: &'a mut dyn Director, streams: &'a mut Streams<'b>, names: &'a Names) -> Self {
        Restore { director, streams, names, pending: Vec::new(), last: None }
    }

    /// The failure it ends with has not been printed yet, except a last line's.
    fn run(mut self) -> Result<(), Ended> {
        let mut line = Vec::new();
        loop {
            line.clear();
            if self.streams.input.read_until(b'\n', &mut line)? == 0 {
                break;
            }
            self.line(&String::from_utf8_lossy(&line))?;
        }
        self.flush()?;
        match self.last {
            Some(failure) => Err(Ended::Failure(Failure { message: String::new(), ..failure })),
            None => Ok(()),
        }
    }

    fn line(&mut self, line: &str) -> Result<(), Ended> {
        let mut words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        if words.first().is_some_and(|word| word == "ipvsadm") {
            words.remove(0);
        }
        if words.is_empty() {
            return Ok(());
        }
        match parse(&words, self.names) {
            Ok(Invocation::Change(change)) => {
                self.pending.push(change);
                if self.pending.len() >= RESTORE_BATCH { self.flush() } else { Ok(()) }
            }
            Ok(invocation) => {
                self.flush()?;
                let ended = carry_out(invocation, self.director, self.streams.out, self.names);
                self.note(ended)
            }
            Err(failure) => {
                self.flush()?;
                self.note(Err(Ended::Failure(failure)))
            }
        }
    }

    fn flush(&mut self) -> Result<(), Ended> {
        let pending = std::mem::take(&mut self.pending);
        if pending.is_empty() {
            return Ok(());
        }
        match send_changes(self.director, pending.clone()) {
            Err(CallError::Refused(_)) if pending.len() > 1 => {
                for change in pending {
                    let sent = send_changes(self.director, vec![change]);
                    self.note(sent.map_err(Into::into))?;
                }
                Ok(())
            }
            sent => self.note(sent.map_err(Into::into)),
        }
    }

    /// Prints what does not end the restore and keeps the status of the last line.
    fn note(&mut self, ended: Result<(), Ended>) -> Result<(), Ended> {
        match ended {
            Ok(()) => self.last = None,
            Err(Ended::Failure(failure)) if !failure.ends_restore => {
                report(&failure, self.streams)?;
                self.last = Some(failure);
            }
            Err(ended) => return Err(ended),
        }
        Ok(())
    }
}
