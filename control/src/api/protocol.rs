//! The lines on the socket: one JSON object a line, each way.
//!
//! A request is `{"v":1,"id":7,"op":"list","service":{"fwmark":1}}`. Its reply repeats `v` and
//! `id` and carries `"ok":true` with the fields of the answer, or `"ok":false` with
//! `"error":{"code":"…","message":"…"}`. Replies come in the order of the requests. The answer to
//! `conns` takes several lines of at most [`CONNS_PER_LINE`] rows; the last says `"done":true`.
//! Addresses are dotted strings, ports numbers, protocols and methods names (`tcp`, `masq`).

use crate::rules::{ChangeError, MarkRule, RealServer, RuleChange, RuleError, words};
use dataplane::sched::SchedulerKind;
use dataplane::service::ServiceKey;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::fmt;

/// The version of everything on this page.
pub const VERSION: u64 = 1;

/// Longest request line, newline included; a longer one ends the session.
pub const MAX_LINE: usize = 16 << 20;

/// Most rows of conns in one line of an answer.
pub const CONNS_PER_LINE: usize = 1000;

/// What a client asks for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub enum Op {
    /// Changes the rules, all at one generation or not at all. Answered with
    /// [`Answer::Changed`] once every worker has that generation.
    Change {
        /// In this order.
        changes: Vec<RuleChange>,
        /// Start from no rules instead of the present ones.
        #[serde(default)]
        replace: bool,
    },
    /// Services, real servers and their counters.
    List {
        /// Only this one.
        #[serde(default, with = "words::optional_key", skip_serializing_if = "Option::is_none")]
        service: Option<ServiceKey>,
    },
    /// The connection table.
    Conns {
        /// Which rows.
        #[serde(flatten)]
        filter: ConnFilter,
    },
    /// Sets the counters of services and their real servers to zero.
    Zero {
        /// Only of this one.
        #[serde(default, with = "words::optional_key", skip_serializing_if = "Option::is_none")]
        service: Option<ServiceKey>,
    },
    /// Counters of workers and ports.
    Stats,
    /// The timeouts of `ipvsadm --set`.
    TimeoutsGet,
    /// Sets them; 0 keeps the old value.
    TimeoutsSet(Timeouts),
    /// Values of `net.ipv4.vs` names.
    SysctlGet {
        /// Bare name; without it, all.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        key: Option<String>,
    },
    /// Sets one.
    SysctlSet {
        /// Bare name.
        key: String,
        /// As the operator wrote it.
        value: String,
    },
    /// The mark rules.
    MarksGet,
    /// Replaces the mark rules.
    MarksSet {
        /// In order of decision.
        rules: Vec<MarkRule>,
    },
    /// Who serves here and how it is.
    Status,
}

impl Op {
    /// The names of every operation, for the message about an unknown one.
    pub const NAMES: &'static [&'static str] = &[
        "change",
        "list",
        "conns",
        "zero",
        "stats",
        "timeouts_get",
        "timeouts_set",
        "sysctl_get",
        "sysctl_set",
        "marks_get",
        "marks_set",
        "status",
    ];

    /// Changes something, so that it takes the right to write.
    pub fn writes(&self) -> bool {
        match self {
            Op::Change { .. }
            | Op::Zero { .. }
            | Op::TimeoutsSet(_)
            | Op::SysctlSet { .. }
            | Op::MarksSet { .. } => true,
            Op::List { .. }
            | Op::Conns { .. }
            | Op::Stats
            | Op::TimeoutsGet
            | Op::SysctlGet { .. }
            | Op::MarksGet
            | Op::Status => false,
        }
    }
}

/// Which conns to list; an absent field takes all.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ConnFilter {
    /// Of this service.
    #[serde(default, with = "words::optional_key", skip_serializing_if = "Option::is_none")]
    pub service: Option<ServiceKey>,
    /// At most so many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
}

/// A request with its frame.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Request {
    /// [`VERSION`].
    pub v: u64,
    /// Chosen by the client, repeated in the reply.
    pub id: u64,
    /// What is asked.
    #[serde(flatten)]
    pub op: Op,
}

/// A reply with its frame.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reply {
    /// [`VERSION`].
    pub v: u64,
    /// The request's.
    pub id: u64,
    /// There is an answer.
    pub ok: bool,
    /// If `ok`.
    #[serde(flatten)]
    pub answer: Option<Answer>,
    /// If not `ok`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ApiError>,
}

impl Reply {
    /// The reply to request `id`.
    pub fn new(id: u64, result: Result<Answer, ApiError>) -> Reply {
        let (answer, error) = match result {
            Ok(answer) => (Some(answer), None),
            Err(error) => (None, Some(error)),
        };
        Reply { v: VERSION, id, ok: error.is_none(), answer, error }
    }

    /// What the reply says.
    ///
    /// # Errors
    /// The server's error, or that the reply has neither answer nor error.
    pub fn result(self) -> Result<Answer, ApiError> {
        match (self.error, self.answer) {
            (Some(error), _) => Err(error),
            (None, Some(answer)) => Ok(answer),
            (None, None) => Err(ApiError::new(ErrorCode::Internal, "the reply has no answer")),
        }
    }
}

/// What a reply carries.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// The generation of the snapshot that has the change.
    Changed {
        /// Every worker has it.
        generation: u64,
    },
    /// To `list`.
    Listing(Listing),
    /// One line of the answer to `conns`.
    Conns {
        /// At most [`CONNS_PER_LINE`].
        rows: Vec<ConnRow>,
        /// No more lines follow.
        done: bool,
    },
    /// Done, nothing to tell: to `zero` and the `…_set`s.
    Done {},
    /// To `stats`: an object whose form is the daemon's.
    Stats(Value),
    /// To `timeouts_get`.
    Timeouts(Timeouts),
    /// To `sysctl_get`.
    Sysctls(Vec<Sysctl>),
    /// To `marks_get`.
    Marks(Vec<MarkRule>),
    /// To `status`.
    Status(Status),
}

/// Counters of a service or real server, since it was added or zeroed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Stats {
    /// Conns made.
    pub conns: u64,
    /// Packets from clients.
    pub inpkts: u64,
    /// Packets from real servers that came through the director.
    pub outpkts: u64,
    /// Bytes from clients, from the IP header on.
    pub inbytes: u64,
    /// Bytes from real servers, from the IP header on.
    pub outbytes: u64,
}

/// A real server as listed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DestListing {
    /// As configured.
    #[serde(flatten)]
    pub server: RealServer,
    /// Conns in an established state.
    pub active: u64,
    /// All others.
    pub inactive: u64,
    /// Its counters.
    pub stats: Stats,
    /// Its share of the last seconds.
    #[serde(default)]
    pub rate: Stats,
}

/// A virtual service as listed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceListing {
    /// What it takes.
    #[serde(with = "words::key")]
    pub key: ServiceKey,
    /// How it chooses.
    #[serde(with = "words::scheduler")]
    pub scheduler: SchedulerKind,
    /// Its counters.
    pub stats: Stats,
    /// Conns, packets and bytes per second.
    #[serde(default)]
    pub rate: Stats,
    /// In the kernel's list order: the last added comes first.
    pub dests: Vec<DestListing>,
}

/// The answer to `list`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Listing {
    /// Room of the connection tables, in conns.
    pub table_size: u64,
    /// In the order of their keys.
    pub services: Vec<ServiceListing>,
}

/// One conn.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnRow {
    /// IP protocol.
    #[serde(with = "words::proto")]
    pub proto: u8,
    /// Seconds until it expires if nothing comes.
    pub expires: u32,
    /// ipvsadm's name of the state: `ESTABLISHED`, `UDP`, …
    pub state: String,
    /// Client's address.
    #[serde(with = "words::address")]
    pub cip: u32,
    /// Client's port.
    pub cport: u16,
    /// Virtual address.
    #[serde(with = "words::address")]
    pub vip: u32,
    /// Virtual port.
    pub vport: u16,
    /// Real server's address.
    #[serde(with = "words::address")]
    pub rip: u32,
    /// Real server's port.
    pub rport: u16,
}

/// The timeouts of `ipvsadm --set`, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timeouts {
    /// TCP, established.
    pub tcp: u32,
    /// TCP, after a FIN.
    pub tcpfin: u32,
    /// UDP.
    pub udp: u32,
}

impl Default for Timeouts {
    /// The kernel's: 15 minutes, 2 minutes, 5 minutes.
    fn default() -> Self {
        Timeouts { tcp: 900, tcpfin: 120, udp: 300 }
    }
}

impl Timeouts {
    /// These with `set` applied, where 0 keeps the old value.
    pub fn with(self, set: Timeouts) -> Timeouts {
        let pick = |old, new| if new == 0 { old } else { new };
        Timeouts {
            tcp: pick(self.tcp, set.tcp),
            tcpfin: pick(self.tcpfin, set.tcpfin),
            udp: pick(self.udp, set.udp),
        }
    }
}

/// A value of `net.ipv4.vs`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sysctl {
    /// Bare name.
    pub key: String,
    /// As `sysctl` prints it.
    pub value: String,
}

/// The answer to `status`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// The daemon's process id.
    pub pid: u32,
    /// Its version.
    pub version: String,
    /// Seconds since it started.
    pub uptime: u64,
    /// The generation every worker has.
    pub generation: u64,
    /// Whatever else the daemon tells: workers, ports, interfaces.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub detail: Value,
}

/// Kinds of errors that are not the rules'.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorCode {
    /// Not JSON, or fields that do not fit the operation.
    BadRequest,
    /// `v` is not [`VERSION`].
    UnknownVersion,
    /// No such operation.
    UnknownOp,
    /// The peer may not write.
    NotPermitted,
    /// A line longer than [`MAX_LINE`].
    LineTooLong,
    /// A value that cannot be.
    BadValue,
    /// No name of `net.ipv4.vs`.
    UnknownKey,
    /// A name or value that this version does not know to handle.
    NotSupported,
    /// The daemon is stopping.
    Stopping,
    /// The daemon's own fault.
    Internal,
}

impl ErrorCode {
    /// The name on the API.
    pub fn name(self) -> &'static str {
        match self {
            ErrorCode::BadRequest => "bad_request",
            ErrorCode::UnknownVersion => "unknown_version",
            ErrorCode::UnknownOp => "unknown_op",
            ErrorCode::NotPermitted => "not_permitted",
            ErrorCode::LineTooLong => "line_too_long",
            ErrorCode::BadValue => "bad_value",
            ErrorCode::UnknownKey => "unknown_key",
            ErrorCode::NotSupported => "not_supported",
            ErrorCode::Stopping => "stopping",
            ErrorCode::Internal => "internal",
        }
    }
}

/// Why a request has no answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiError {
    /// A [`ErrorCode::name`] or [`RuleError::code`]; for programs.
    pub code: String,
    /// One sentence; for people.
    pub message: String,
}

impl ApiError {
    /// An error of that kind.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> ApiError {
        ApiError { code: code.name().into(), message: message.into() }
    }

    /// It is of that kind.
    pub fn is(&self, code: ErrorCode) -> bool {
        self.code == code.name()
    }
}

impl From<RuleError> for ApiError {
    fn from(error: RuleError) -> Self {
        ApiError { code: error.code().into(), message: error.to_string() }
    }
}

impl From<ChangeError> for ApiError {
    fn from(error: ChangeError) -> Self {
        ApiError { code: error.error.code().into(), message: error.to_string() }
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for ApiError {}

/// Reads a request line.
///
/// # Errors
/// What is wrong with it, with the request's id as far as it can be told (else 0).
pub fn parse_request(line: &[u8]) -> Result<Request, (u64, ApiError)> {
    let value: Value = serde_json::from_slice(line).map_err(|error| {
        (0, ApiError::new(ErrorCode::BadRequest, format!("the line is no JSON: {error}")))
    })?;
    let id = value.get("id").and_then(Value::as_u64).unwrap_or(0);
    let refuse = |code, message: String| (id, ApiError::new(code, message));
    if value.get("v").and_then(Value::as_u64) != Some(VERSION) {
        let message =
            format!("this daemon speaks version {VERSION} of the API: say \"v\":{VERSION}");
        return Err(refuse(ErrorCode::UnknownVersion, message));
    }
    let op = value.get("op").and_then(Value::as_str).unwrap_or_default();
    if !Op::NAMES.contains(&op) {
        let message = format!("no operation is called `{op}'");
        return Err(refuse(ErrorCode::UnknownOp, message));
    }
    let op = op.to_owned();
    serde_json::from_value(value)
        .map_err(|error| refuse(ErrorCode::BadRequest, format!("`{op}' does not fit: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_read_back_as_they_were_written_and_every_op_is_named() {
        let ops = [
            Op::Change { changes: vec![RuleChange::Flush], replace: true },
            Op::List { service: Some(ServiceKey::Fwmark(7)) },
            Op::Conns { filter: ConnFilter::default() },
            Op::Zero { service: None },
            Op::Stats,
            Op::TimeoutsGet,
            Op::TimeoutsSet(Timeouts::default()),
            Op::SysctlGet { key: None },
            Op::SysctlSet { key: "sloppy_tcp".into(), value: "1".into() },
            Op::MarksGet,
            Op::MarksSet { rules: Vec::new() },
            Op::Status,
        ];
        assert_eq!(ops.len(), Op::NAMES.len());
        for (id, op) in ops.into_iter().enumerate() {
            let request = Request { v: VERSION, id: id as u64, op };
            let line = serde_json::to_vec(&request).unwrap();
            assert_eq!(parse_request(&line).unwrap(), request);
        }
    }

    #[test]
    fn a_request_that_cannot_be_read_is_refused_by_name_with_its_id() {
        let cases: [(&str, u64, ErrorCode); 5] = [
            ("{\"v\":1,", 0, ErrorCode::BadRequest),
            (r#"{"v":2,"id":5,"op":"list"}"#, 5, ErrorCode::UnknownVersion),
            (r#"{"id":6,"op":"list"}"#, 6, ErrorCode::UnknownVersion),
            (r#"{"v":1,"id":7,"op":"explode"}"#, 7, ErrorCode::UnknownOp),
            (r#"{"v":1,"id":8,"op":"change"}"#, 8, ErrorCode::BadRequest),
        ];
        for (line, id, code) in cases {
            let (got, error) = parse_request(line.as_bytes()).unwrap_err();
            assert_eq!((got, error.code.as_str()), (id, code.name()), "{line}");
        }
    }

    #[test]
    fn replies_read_back_as_they_were_written() {
        let row = ConnRow {
            proto: 6,
            expires: 899,
            state: "ESTABLISHED".into(),
            cip: 0x0a00_0009,
            cport: 40312,
            vip: 0x0a00_0064,
            vport: 80,
            rip: 0xc0a8_010b,
            rport: 80,
        };
        let results = [
            Ok(Answer::Changed { generation: 4 }),
            Ok(Answer::Done {}),
            Ok(Answer::Conns { rows: vec![row], done: true }),
            Ok(Answer::Listing(Listing { table_size: 4096, services: Vec::new() })),
            Ok(Answer::Sysctls(vec![Sysctl { key: "a".into(), value: "1".into() }])),
            Err(ApiError::from(RuleError::NoSuchService)),
        ];
        for result in results {
            let line = serde_json::to_string(&Reply::new(9, result.clone())).unwrap();
            let reply: Reply = serde_json::from_str(&line).unwrap();
            assert_eq!((reply.id, reply.ok), (9, result.is_ok()));
            assert_eq!(reply.result(), result, "{line}");
        }
    }
}
