//! A client's end of the socket, blocking: what `sluice` uses.

use super::Access;
use super::protocol::{
    Answer, ApiError, ConnFilter, ConnRow, ErrorCode, Op, Reply, Request, VERSION,
};
use std::fmt;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

/// Something that answers operations: the daemon through its socket, or a stand-in.
pub trait Director {
    /// Asks for anything but `conns`.
    ///
    /// # Errors
    /// The daemon is not there or refuses.
    fn call(&mut self, op: Op) -> Result<Answer, CallError>;

    /// Hands the conns that fit to `each`, in batches.
    ///
    /// # Errors
    /// As [`Director::call`]; an error of `each` ends the listing.
    fn conns(
        &mut self,
        filter: ConnFilter,
        each: &mut dyn FnMut(Vec<ConnRow>) -> io::Result<()>,
    ) -> Result<(), CallError>;
}

/// Why a call has no answer.
#[derive(Debug)]
pub enum CallError {
    /// No daemon at the socket.
    Unreachable(PathBuf, io::Error),
    /// The session broke off.
    Lost(io::Error),
    /// The daemon refuses.
    Refused(ApiError),
    /// What was being written to failed, not the daemon.
    Output(io::Error),
}

impl CallError {
    /// An answer that does not belong to the question.
    pub fn unexpected() -> CallError {
        let message = "the daemon's answer does not fit the question: are versions mixed?";
        CallError::Refused(ApiError::new(ErrorCode::Internal, message))
    }

    /// Whether the caller lacks the rights, to the socket or to the operation.
    pub fn is_denial(&self) -> bool {
        match self {
            CallError::Unreachable(_, error) => is_denied(error),
            CallError::Refused(error) => error.is(ErrorCode::NotPermitted),
            CallError::Lost(_) | CallError::Output(_) => false,
        }
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CallError::Unreachable(socket, error) if is_denied(error) => {
                let (who, socket) = (operators(socket), socket.display());
                write!(f, "permission denied: only {who} may open {socket}")
            }
            CallError::Unreachable(socket, error) => {
                let socket = socket.display();
                write!(f, "cannot reach sluiced at {socket}: {error} (is it running?)")
            }
            CallError::Lost(error) => write!(f, "sluiced broke off: {error}"),
            CallError::Refused(error) => error.fmt(f),
            CallError::Output(error) => write!(f, "cannot write the output: {error}"),
        }
    }
}

impl std::error::Error for CallError {}

fn is_denied(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::PermissionDenied
}

/// Who may open a socket, by its file.
fn operators(socket: &Path) -> Access {
    match std::fs::metadata(socket).map(|file| file.gid()) {
        Ok(gid) if gid != 0 => Access::for_gid(gid),
        _ => Access::root_only(),
    }
}

/// The daemon behind a socket. Connects with the first call.
#[derive(Debug)]
pub struct Client {
    socket: PathBuf,
    session: Option<BufReader<UnixStream>>,
    last_id: u64,
}

impl Client {
    /// A client of the daemon at `socket`.
    pub fn new(socket: &Path) -> Client {
        Client { socket: socket.to_owned(), session: None, last_id: 0 }
    }

    fn send(&mut self, op: Op) -> Result<(), CallError> {
        if self.session.is_none() {
            let stream = UnixStream::connect(&self.socket)
                .map_err(|error| CallError::Unreachable(self.socket.clone(), error))?;
            self.session = Some(BufReader::new(stream));
        }
        self.last_id += 1;
        let request = Request { v: VERSION, id: self.last_id, op };
        let mut line = serde_json::to_vec(&request).map_err(|e| CallError::Lost(e.into()))?;
        line.push(b'\n');
        self.stream()?.get_mut().write_all(&line).map_err(CallError::Lost)
    }

    fn receive(&mut self) -> Result<Answer, CallError> {
        let mut line = Vec::new();
        self.stream()?.read_until(b'\n', &mut line).map_err(CallError::Lost)?;
        if !line.ends_with(b"\n") {
            return Err(CallError::Lost(io::ErrorKind::UnexpectedEof.into()));
        }
        let reply: Reply =
            serde_json::from_slice(&line).map_err(|error| CallError::Lost(error.into()))?;
        reply.result().map_err(CallError::Refused)
    }

    fn stream(&mut self) -> Result<&mut BufReader<UnixStream>, CallError> {
        self.session.as_mut().ok_or_else(|| CallError::Lost(io::ErrorKind::NotConnected.into()))
    }
}

impl Director for Client {
    fn call(&mut self, op: Op) -> Result<Answer, CallError> {
        self.send(op)?;
        self.receive()
    }

    fn conns(
        &mut self,
        filter: ConnFilter,
        each: &mut dyn FnMut(Vec<ConnRow>) -> io::Result<()>,
    ) -> Result<(), CallError> {
        self.send(Op::Conns { filter })?;
        loop {
            let Answer::Conns { rows, done } = self.receive()? else {
                return Err(CallError::unexpected());
            };
            each(rows).map_err(CallError::Output)?;
            if done {
                return Ok(());
            }
        }
    }
}
