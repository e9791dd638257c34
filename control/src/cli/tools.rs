//! The programs of the ipvsadm package, by the name this one is called under.

use crate::api::Director;
use crate::ipvsadm::{self, Streams};
use std::io;

/// A program to stand in for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tool {
    /// `ipvsadm`
    Ipvsadm,
    /// `ipvsadm-save`: `-S`, with `-n` if given.
    Save,
    /// `ipvsadm-restore`: `-C`, then `-R` without comment lines.
    Restore,
}

impl Tool {
    /// The program of that name.
    pub fn named(name: &str) -> Option<Tool> {
        match name {
            "ipvsadm" => Some(Tool::Ipvsadm),
            "ipvsadm-save" => Some(Tool::Save),
            "ipvsadm-restore" => Some(Tool::Restore),
            _ => None,
        }
    }

    /// Runs it with the words after its name; the exit status.
    pub fn run(
        self,
        words: &[String],
        director: &mut dyn Director,
        streams: &mut Streams<'_>,
    ) -> io::Result<u8> {
        let word = |text: &str| text.to_owned();
        match self {
            Tool::Ipvsadm => ipvsadm::run(words, director, streams),
            Tool::Save => {
                let all: Vec<String> = [word("-S")].into_iter().chain(words.to_vec()).collect();
                ipvsadm::run(&all, director, streams)
            }
            Tool::Restore if words.iter().any(|word| word != "-n") => {
                writeln!(streams.err, "Usage: ipvsadm-restore [-n] < RULES")?;
                Ok(2)
            }
            Tool::Restore => restore(director, streams),
        }
    }
}

fn restore(director: &mut dyn Director, streams: &mut Streams<'_>) -> io::Result<u8> {
    let mut text = String::new();
    streams.input.read_to_string(&mut text)?;
    let cleared = ipvsadm::run(&["-C".to_owned()], director, streams)?;
    if cleared != 0 {
        return Ok(cleared);
    }
    let lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
    let rules: String = lines.flat_map(|line| [line, "\n"]).collect();
    let mut input = rules.as_bytes();
    let mut inner = Streams { input: &mut input, out: &mut *streams.out, err: &mut *streams.err };
    ipvsadm::run(&["-R".to_owned()], director, &mut inner)
}
