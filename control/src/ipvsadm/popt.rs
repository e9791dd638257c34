//! Words to options the way popt does it: bundled short options, `--name=value`, no
//! abbreviations, other words set aside.

use super::options::{Flag, OPTIONS, Row, Takes};

/// Options of a command line, one after the other.
#[derive(Debug)]
pub struct Words<'a> {
    words: &'a [String],
    next: usize,
    bundle: &'a str,
    others: Vec<&'a str>,
    only_others: bool,
}

/// Why a word is no option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wrong {
    /// No such option.
    Unknown,
    /// Its value is missing.
    MissingValue,
    /// It has a value and takes none.
    UnwantedValue,
}

impl Wrong {
    /// popt's text.
    pub fn text(self) -> &'static str {
        match self {
            Wrong::Unknown => "unknown option",
            Wrong::MissingValue => "missing argument",
            Wrong::UnwantedValue => "option does not take an argument",
        }
    }
}

/// An option and its value.
pub type Found = (Flag, Option<String>);

impl<'a> Words<'a> {
    /// The words after the program's name.
    pub fn new(words: &'a [String]) -> Self {
        Words { words, next: 0, bundle: "", others: Vec::new(), only_others: false }
    }

    /// The word the last option stood in, for messages.
    pub fn word(&self) -> &'a str {
        self.next.checked_sub(1).map_or("", |place| &self.words[place])
    }

    /// Words that are no options, in order; complete once [`Words::next_option`] gave `None`.
    pub fn others(&self) -> &[&'a str] {
        &self.others
    }

    /// The next option.
    pub fn next_option(&mut self) -> Option<Result<Found, Wrong>> {
        loop {
            if !self.bundle.is_empty() {
                return Some(self.short());
            }
            let word = self.words.get(self.next)?.as_str();
            self.next += 1;
            if self.only_others || word == "-" || !word.starts_with('-') {
                self.others.push(word);
            } else if word == "--" {
                self.only_others = true;
            } else if let Some(long) = word.strip_prefix("--") {
                return Some(self.long(long));
            } else {
                self.bundle = &word[1..];
            }
        }
    }

    fn long(&mut self, text: &'a str) -> Result<Found, Wrong> {
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (text, None),
        };
        let row = OPTIONS.iter().find(|row| row.0 == name).ok_or(Wrong::Unknown)?;
        self.with_value(row, value)
    }

    fn short(&mut self) -> Result<Found, Wrong> {
        let mut letters = self.bundle.chars();
        let letter = letters.next();
        let rest = letters.as_str();
        let row = OPTIONS.iter().find(|row| Some(row.1) == letter && row.1 != '\0');
        let Some(row) = row else {
            self.bundle = "";
            return Err(Wrong::Unknown);
        };
        if row.2 == Takes::Nothing {
            self.bundle = rest;
            return Ok((row.3, None));
        }
        self.bundle = "";
        let value = (!rest.is_empty()).then(|| rest.strip_prefix('=').unwrap_or(rest));
        self.with_value(row, value)
    }

    fn with_value(&mut self, row: &Row, value: Option<&str>) -> Result<Found, Wrong> {
        let flag = row.3;
        let next = self.words.get(self.next);
        match (row.2, value) {
            (Takes::Nothing, Some(_)) => Err(Wrong::UnwantedValue),
            (Takes::Nothing, None) => Ok((flag, None)),
            (_, Some(value)) => Ok((flag, Some(value.to_owned()))),
            (Takes::Maybe, None) if next.is_none_or(|word| word.starts_with('-')) => {
                Ok((flag, None))
            }
            (_, None) => {
                let value = next.ok_or(Wrong::MissingValue)?;
                self.next += 1;
                Ok((flag, Some(value.clone())))
            }
        }
    }
}
