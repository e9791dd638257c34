//! Errors that name the line, and the checks that every part of the file needs.

use std::fmt;
use std::ops::{Range, RangeInclusive};
use toml::Spanned;

/// Why a configuration was refused: one sentence for the operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    file: String,
    line: Option<usize>,
    message: String,
}

impl ConfigError {
    /// An error about the file as a whole.
    pub(super) fn whole_file(file: &str, message: String) -> ConfigError {
        ConfigError { file: file.to_owned(), line: None, message }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}: {}", self.file, self.message),
            None => write!(f, "{}: {}", self.file, self.message),
        }
    }
}

impl std::error::Error for ConfigError {}

/// The text under check and the name that errors give it.
pub(super) struct Source<'a> {
    pub(super) name: &'a str,
    pub(super) text: &'a str,
}

impl Source<'_> {
    /// The line that byte `offset` is on, from 1.
    fn line(&self, offset: usize) -> usize {
        let before = self.text.as_bytes().iter().take(offset);
        1 + before.filter(|&&byte| byte == b'\n').count()
    }

    /// An error about what stands at `span`.
    pub(super) fn error(&self, span: Range<usize>, message: impl Into<String>) -> ConfigError {
        let (file, line) = (self.name.to_owned(), Some(self.line(span.start)));
        ConfigError { file, line, message: message.into() }
    }

    /// An error about a value.
    pub(super) fn at<T>(&self, value: &Spanned<T>, message: impl Into<String>) -> ConfigError {
        self.error(value.span(), message)
    }

    /// What the TOML reader found, on one line.
    pub(super) fn syntax(&self, error: &toml::de::Error) -> ConfigError {
        let message = error.message().trim().replace('\n', ", ");
        match error.span() {
            Some(span) => self.error(span, message),
            None => ConfigError::whole_file(self.name, message),
        }
    }

    /// The number, if it lies in `range`; `range` must fit `T`.
    pub(super) fn number<T: TryFrom<i64>>(
        &self,
        what: &str,
        value: &Spanned<i64>,
        range: RangeInclusive<i64>,
    ) -> Result<T, ConfigError> {
        let number = *value.get_ref();
        let fits = range.contains(&number).then(|| T::try_from(number).ok()).flatten();
        fits.ok_or_else(|| {
            let (low, high) = (range.start(), range.end());
            self.at(value, format!("{what} {number} is not in {low} to {high}"))
        })
    }

    /// As [`Source::number`], or `default` where the file is silent.
    pub(super) fn number_or<T: TryFrom<i64>>(
        &self,
        what: &str,
        value: Option<&Spanned<i64>>,
        range: RangeInclusive<i64>,
        default: T,
    ) -> Result<T, ConfigError> {
        value.map_or(Ok(default), |value| self.number(what, value, range))
    }
}
