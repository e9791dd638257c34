//! Why a request has no answer.

use crate::rules::{ChangeError, RuleError};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Kinds of errors that are not the rules'.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorCode {
    /// Not JSON, or fields that do not fit the operation.
    BadRequest,
    /// `v` is not [`super::VERSION`].
    UnknownVersion,
    /// No such operation.
    UnknownOp,
    /// The peer may not write.
    NotPermitted,
    /// A line longer than [`super::MAX_LINE`].
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
