//! Where we differ from the kernel on purpose: what comes out of us instead, by trace and frame. Each
//! has a row in DIFFERENCES.md that says why.

use crate::trace::{Golden, Port, Step, folder, from_hex};
use serde::Deserialize;
use std::collections::BTreeMap;

/// A frame that comes out.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
enum Frame {
    /// The one that the kernel sent for that send, at that place.
    Kernels(usize, usize),
    /// Another, on that port, as hexadecimal digits.
    Ours(Port, String),
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Difference {
    row: String,
    frames: Vec<Frame>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Trace {
    #[serde(default)]
    sends: BTreeMap<usize, Difference>,
    #[serde(default)]
    lines: BTreeMap<String, Option<String>>,
}

#[derive(Deserialize)]
struct File {
    files: BTreeMap<String, Trace>,
}

/// The deliberate differences from one trace.
#[derive(Debug, Clone, Default)]
pub struct Skip {
    sends: BTreeMap<usize, Vec<(Port, Vec<u8>)>>,
    lines: BTreeMap<String, Option<String>>,
}

impl Skip {
    /// Of a trace; most have none.
    ///
    /// # Panics
    /// If one is none, or has no row in DIFFERENCES.md.
    pub fn of(golden: &Golden) -> Skip {
        let read = |name| std::fs::read_to_string(folder().join(name)).expect(name);
        let mut file: File = serde_json::from_str(&read("SKIP.json")).expect("SKIP.json's format");
        let Some(Trace { sends, lines }) = file.files.remove(&golden.name) else {
            return Skip::default();
        };
        let rows = read("DIFFERENCES.md");
        let kernels: Vec<_> = golden.steps.iter().filter_map(expected).collect();
        let resolved = sends.into_iter().map(|(place, Difference { row, frames })| {
            let known = rows.contains(&format!("| `{row}` |"));
            assert!(known, "{}: DIFFERENCES.md has no row `{row}'", golden.name);
            let frames: Vec<_> = frames.iter().map(|frame| resolve(frame, &kernels)).collect();
            assert_ne!(&frames, kernels[place], "{}: send {place} differs in nothing", golden.name);
            (place, frames)
        });
        Skip { sends: resolved.collect(), lines }
    }

    /// How many frames have an answer other than the kernel's.
    pub fn count(&self) -> usize {
        self.sends.len()
    }

    /// What comes out for the frame at that place among those sent, if not what came out of the kernel.
    pub fn instead(&self, send: usize) -> Option<&[(Port, Vec<u8>)]> {
        self.sends.get(&send).map(Vec::as_slice)
    }

    /// The lines of a masked listing as they are for us.
    pub fn adjust(&self, lines: Vec<String>) -> Vec<String> {
        let adjusted = lines.into_iter().filter_map(|line| match self.lines.get(&line) {
            Some(instead) => instead.clone(),
            None => Some(line),
        });
        adjusted.collect()
    }
}

fn expected(step: &Step) -> Option<&Vec<(Port, Vec<u8>)>> {
    match step {
        Step::Send { expect, .. } => Some(expect),
        _ => None,
    }
}

fn resolve(frame: &Frame, kernels: &[&Vec<(Port, Vec<u8>)>]) -> (Port, Vec<u8>) {
    match frame {
        Frame::Kernels(send, place) => kernels[*send][*place].clone(),
        Frame::Ours(port, hex) => (*port, from_hex(hex).expect("hexadecimal digits")),
    }
}
