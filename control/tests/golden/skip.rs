//! Frames of a trace that are not replayed: a rule, a count, and what listings are without them.

use crate::trace::folder;
use serde::Deserialize;
use std::collections::BTreeMap;

/// Why a frame is not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Rule {
    /// A fragment into the director.
    Fragment,
}

/// What is left out of one trace.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Skip {
    rules: Vec<Rule>,
    /// How many frames the rules leave out.
    pub count: usize,
    lines: BTreeMap<String, Option<String>>,
}

#[derive(Deserialize)]
struct File {
    files: BTreeMap<String, Skip>,
}

impl Skip {
    /// Of the trace of that name; most leave nothing out.
    pub fn of(trace: &str) -> Skip {
        let text = std::fs::read_to_string(folder().join("SKIP.json")).expect("SKIP.json");
        let mut file: File = serde_json::from_str(&text).expect("the format of SKIP.json");
        file.files.remove(trace).unwrap_or_default()
    }

    /// Whether this frame is left out.
    pub fn leaves_out(&self, frame: &[u8]) -> bool {
        let [0x08, 0x00] = frame[12..14] else { return false };
        let fragment = u16::from_be_bytes([frame[20], frame[21]]) & 0x3fff != 0;
        self.rules.iter().any(|rule| match rule {
            Rule::Fragment => fragment,
        })
    }

    /// The lines of a masked listing as they are without the frames left out.
    pub fn adjust(&self, lines: Vec<String>) -> Vec<String> {
        let adjusted = lines.into_iter().filter_map(|line| match self.lines.get(&line) {
            Some(instead) => instead.clone(),
            None => Some(line),
        });
        adjusted.collect()
    }
}
