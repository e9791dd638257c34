//! The daemon's end of the socket: one task a client.

use super::backend::Backend;
use super::protocol::{
    Answer, ApiError, CONNS_PER_LINE, ConnFilter, ConnRow, ErrorCode, MAX_LINE, Op, Reply, Request,
    parse_request,
};
use super::{Access, sysctl};
use std::fs;
use std::future::Future;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::timeout;

/// How long a killed daemon may take to let go of its socket: its huge pages are cleared first.
const DYING: Duration = Duration::from_secs(10);

/// Between two looks at it.
const LOOK: Duration = Duration::from_millis(50);

/// Sessions at one time; further clients wait in the socket's queue.
const MAX_CLIENTS: usize = 256;

/// A session ends when the client asks nothing, or takes nothing, for so long: idle readers must
/// not keep the operator out. Long enough for a listing in a pager.
const IDLE: Duration = Duration::from_secs(600);

/// Batches of conns between the backend and a client that reads slowly.
const CONN_BATCHES: usize = 2;

/// A socket that listens.
#[derive(Debug)]
pub struct Server {
    listener: UnixListener,
    socket: SocketFile,
    access: Access,
}

/// The socket's file, removed when dropped.
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    /// Device and inode: a file that has taken its place is another daemon's.
    identity: Option<(u64, u64)>,
}

impl SocketFile {
    fn at(path: &Path) -> SocketFile {
        SocketFile { path: path.to_owned(), identity: identity(path) }
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if self.identity.is_some() && self.identity == identity(&self.path) {
            // Gone already is as good.
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    fs::symlink_metadata(path).ok().map(|file| (file.dev(), file.ino()))
}

impl Server {
    /// Listens at `path`, mode 0660, belonging to the operators' group. Takes the place of a
    /// socket whose daemon is gone. Its file goes with the server. Must be called within a tokio
    /// runtime.
    ///
    /// # Errors
    /// A sentence: another daemon serves there, or the socket cannot be made.
    pub async fn bind(path: &Path, access: Access) -> Result<Server, String> {
        let told = |what: &str| {
            let place = path.display().to_string();
            let what = what.to_owned();
            move |error: io::Error| format!("cannot {what} {place}: {error}")
        };
        make_way(path).await?;
        let listener = UnixListener::bind(path).map_err(told("listen on"))?;
        let socket = SocketFile::at(path);
        fs::set_permissions(path, fs::Permissions::from_mode(0o660))
            .map_err(told("set the mode of"))?;
        if let Some(gid) = access.gid() {
            chown(path, None, Some(gid)).map_err(told("give to the operators' group"))?;
        }
        Ok(Server { listener, socket, access })
    }

    /// Serves until `stop` is done, then removes the socket. Sessions under way end with the
    /// runtime.
    pub async fn serve<B: Backend>(self, backend: Arc<B>, stop: impl Future<Output = ()>) {
        tokio::select! {
            () = self.accept(backend) => {}
            () = stop => {}
        }
    }

    async fn accept<B: Backend>(&self, backend: Arc<B>) {
        let room = Arc::new(Semaphore::new(MAX_CLIENTS));
        loop {
            let Ok(permit) = Arc::clone(&room).acquire_owned().await else { return };
            match self.listener.accept().await {
                Ok((stream, _)) => {
                    let (backend, access) = (Arc::clone(&backend), self.access);
                    tokio::spawn(async move {
                        Session::run(stream, backend, access).await;
                        drop(permit);
                    });
                }
                Err(error) => {
                    log::warn!("cannot accept a client on {}: {error}", self.socket.path.display());
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }
}

/// Removes a socket that a killed daemon left; refuses if a living one answers.
async fn make_way(path: &Path) -> Result<(), String> {
    let place = path.display();
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(format!("cannot look at {place}: {error}")),
        Ok(found) if !found.file_type().is_socket() => {
            return Err(format!("{place} exists and is no socket: move it away"));
        }
        Ok(_) => {}
    }
    let begun = Instant::now();
    loop {
        let pid = match UnixStream::connect(path).await {
            Ok(stream) => stream.peer_cred().ok().and_then(|cred| cred.pid()),
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                return fs::remove_file(path)
                    .map_err(|error| format!("cannot remove stale {place}: {error}"));
            }
            Err(error) => return Err(format!("cannot tell whether {place} is in use: {error}")),
        };
        if !pid.is_some_and(is_dying) || begun.elapsed() > DYING {
            let pid = pid.map_or_else(|| "unknown".into(), |pid| pid.to_string());
            return Err(format!("another sluiced (pid {pid}) is serving {place}"));
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Whether the process was killed and is still being taken apart: its first thread is a zombie
/// already (`proc_pid_stat(5)`), others hold its files.
fn is_dying(pid: i32) -> bool {
    let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else { return true };
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    after_name.trim_start().starts_with(['Z', 'X'])
}

/// One client.
struct Session<B> {
    reader: BufReader<OwnedReadHalf>,
    writer: OwnedWriteHalf,
    backend: Arc<B>,
    access: Access,
    may_write: bool,
}

impl<B: Backend> Session<B> {
    /// Answers request after request until the client goes; its going is no error.
    async fn run(stream: UnixStream, backend: Arc<B>, access: Access) {
        let may_write =
            stream.peer_cred().is_ok_and(|cred| access.may_write(cred.uid(), cred.gid()));
        let (reader, writer) = stream.into_split();
        let reader = BufReader::new(reader);
        let mut session = Session { reader, writer, backend, access, may_write };
        while let Ok(Some(line)) = session.next_line().await {
            if session.answer_line(&line).await.is_err() {
                return;
            }
        }
    }

    /// The next whole line; `None` at the end. A line without its newline was cut off when the
    /// client died, so nobody meant it to be obeyed.
    async fn next_line(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut line = Vec::new();
        let mut bounded = (&mut self.reader).take(MAX_LINE as u64);
        timeout(IDLE, bounded.read_until(b'\n', &mut line)).await??;
        if line.ends_with(b"\n") {
            return Ok(Some(line));
        }
        if line.len() == MAX_LINE {
            let message = format!("a line may have {MAX_LINE} bytes");
            let error = ApiError::new(ErrorCode::LineTooLong, message);
            self.send(&Reply::new(0, Err(error))).await?;
        }
        Ok(None)
    }

    async fn answer_line(&mut self, line: &[u8]) -> io::Result<()> {
        let Request { id, op, .. } = match parse_request(line) {
            Ok(request) => request,
            Err((id, error)) => return self.send(&Reply::new(id, Err(error))).await,
        };
        if op.writes() && !self.may_write {
            let message = format!("permission denied: only {} may change things", self.access);
            let error = ApiError::new(ErrorCode::NotPermitted, message);
            return self.send(&Reply::new(id, Err(error))).await;
        }
        if let Op::Conns { filter } = op {
            return self.stream_conns(id, filter).await;
        }
        let result = answer(&*self.backend, op).await;
        self.send(&Reply::new(id, result)).await
    }

    async fn stream_conns(&mut self, id: u64, filter: ConnFilter) -> io::Result<()> {
        let (sender, mut receiver) = mpsc::channel::<Vec<ConnRow>>(CONN_BATCHES);
        let backend = Arc::clone(&self.backend);
        // When the client goes, the receiver does, and so the backend stops reading tables.
        let sending = async {
            let mut rest = Vec::new();
            while let Some(batch) = receiver.recv().await {
                rest.extend(batch);
                while rest.len() > CONNS_PER_LINE {
                    let later = rest.split_off(CONNS_PER_LINE);
                    let rows = std::mem::replace(&mut rest, later);
                    if let Err(error) =
                        self.send(&Reply::new(id, Ok(Answer::Conns { rows, done: false }))).await
                    {
                        receiver.close();
                        return Err(error);
                    }
                }
            }
            Ok((rest, self))
        };
        let (produced, sent) = tokio::join!(backend.conns(filter, sender), sending);
        let (rows, session) = sent?;
        let last = produced.map(|()| Answer::Conns { rows, done: true });
        session.send(&Reply::new(id, last)).await
    }

    async fn send(&mut self, reply: &Reply) -> io::Result<()> {
        let mut line = serde_json::to_vec(reply)?;
        line.push(b'\n');
        timeout(IDLE, self.writer.write_all(&line)).await?
    }
}

/// The answer to everything but `conns`, which has many lines.
///
/// # Errors
/// The backend's, or what the values themselves forbid.
pub async fn answer<B: Backend>(backend: &B, op: Op) -> Result<Answer, ApiError> {
    let done = |()| Answer::Done {};
    match op {
        Op::Change { changes, replace } => {
            let generation = backend.change(changes, replace).await?;
            Ok(Answer::Changed { generation })
        }
        Op::List { service } => backend.list(service).await.map(Answer::Listing),
        Op::Zero { service } => backend.zero(service).await.map(done),
        Op::Stats => backend.stats().await.map(Answer::Stats),
        Op::TimeoutsGet => backend.timeouts().await.map(Answer::Timeouts),
        Op::TimeoutsSet(set) => {
            check_timeouts(&set)?;
            backend.set_timeouts(set).await.map(done)
        }
        Op::SysctlGet { key } => get_sysctls(backend, key).await.map(Answer::Sysctls),
        Op::SysctlSet { key, value } => {
            let number = sysctl::check_value(&key, &value)?;
            let name = sysctl::bare(&key).to_owned();
            backend.set_sysctl(name, number.to_string()).await.map(done)
        }
        Op::MarksGet => backend.marks().await.map(Answer::Marks),
        Op::MarksSet { rules } => {
            for rule in &rules {
                rule.check().map_err(|why| ApiError::new(ErrorCode::BadValue, why))?;
            }
            backend.set_marks(rules).await.map(done)
        }
        Op::Ports => backend.ports().await.map(Answer::Ports),
        Op::Status => backend.status().await.map(Answer::Status),
        Op::Conns { .. } => {
            Err(ApiError::new(ErrorCode::Internal, "conns are answered line by line"))
        }
    }
}

async fn get_sysctls<B: Backend>(
    backend: &B,
    key: Option<String>,
) -> Result<Vec<super::protocol::Sysctl>, ApiError> {
    let name = key.as_deref().map(sysctl::known).transpose()?;
    let mut all = sysctl::all(backend.sysctls().await?);
    all.retain(|sysctl| name.is_none_or(|name| sysctl.key == name));
    Ok(all)
}

/// 31 days, `IP_VS_..._TIMEOUT`'s bound in `ip_vs_ctl.c`.
fn check_timeouts(set: &super::protocol::Timeouts) -> Result<(), ApiError> {
    const MAX: u32 = 31 * 86_400;
    match [set.tcp, set.tcpfin, set.udp].into_iter().find(|&seconds| seconds > MAX) {
        Some(seconds) => {
            let message = format!("a timeout is at most {MAX} seconds, not {seconds}");
            Err(ApiError::new(ErrorCode::BadValue, message))
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
