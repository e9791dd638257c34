//! The lines on the socket: one JSON object a line, each way.
//!
//! A request is `{"v":1,"id":7,"op":"list","service":{"fwmark":1}}`. Its reply repeats `v` and
//! `id` and carries `"ok":true` with the fields of the answer, or `"ok":false` with
//! `"error":{"code":"…","message":"…"}`. Replies come in the order of the requests. The answer to
//! `conns` takes several lines of at most [`CONNS_PER_LINE`] rows; the last says `"done":true`.
//! Addresses are strings, ports numbers, protocols and methods names (`tcp`, `masq`).

mod answer;
mod error;

pub use answer::{
    Answer, ConnRow, DestListing, EngineRow, Listing, ServiceListing, Stats, Status, Sysctl,
    Timeouts,
};
pub use error::{ApiError, ErrorCode};

use crate::rules::{MarkRule, RuleChange, words};
use dataplane::service::ServiceKey;
use serde::{Deserialize, Serialize};
use serde_json::Value;

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
    /// Values of `net.ipv4.vs` names, and why some have none.
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
    /// How each port was set up, and what its device granted.
    Ports,
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
        "ports",
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
            | Op::Ports
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
    use crate::rules::RuleError;
    use crate::rules::example::{fwmark, v4};

    #[test]
    fn requests_read_back_as_they_were_written_and_every_op_is_named() {
        let ops = [
            Op::Change { changes: vec![RuleChange::Flush], replace: true },
            Op::List { service: Some(fwmark(7)) },
            Op::Conns { filter: ConnFilter::default() },
            Op::Zero { service: None },
            Op::Stats,
            Op::TimeoutsGet,
            Op::TimeoutsSet(Timeouts::default()),
            Op::SysctlGet { key: None },
            Op::SysctlSet { key: "sloppy_tcp".into(), value: "1".into() },
            Op::MarksGet,
            Op::MarksSet { rules: Vec::new() },
            Op::Ports,
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
            cip: v4(0x0a00_0009),
            cport: 40312,
            vip: v4(0x0a00_0064),
            vport: 80,
            rip: v4(0xc0a8_010b),
            rport: 80,
            local: None,
            template: false,
            engine: None,
        };
        let template = ConnRow {
            proto: 0,
            template: true,
            engine: Some(EngineRow { name: "sip".into(), data: "a@b".into() }),
            ..row.clone()
        };
        let results = [
            Ok(Answer::Changed { generation: 4 }),
            Ok(Answer::Done {}),
            Ok(Answer::Conns { rows: vec![row, template], done: true }),
            Ok(Answer::Listing(Listing { table_size: 4096, services: Vec::new() })),
            Ok(Answer::Sysctls(vec![Sysctl::new("a", 1), Sysctl::without_meaning("b", "is")])),
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
