//! One trace, step by step.

use crate::bench::{Bench, Setup};
use crate::linux::Answer;
use crate::listing;
use crate::local::Local;
use crate::skip::Skip;
use crate::trace::{Golden, Port, Step, differences};
use control::rules::{MarkRule, words};
use dataplane::testing::machine::Punted;
use std::ops::AddAssign;

/// What a replay compared, and what differed.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// How many traces.
    pub traces: usize,
    /// Frames that were sent in.
    pub frames: usize,
    /// Frames whose answer is another than the kernel's on purpose.
    pub deliberate: usize,
    /// Listings compared.
    pub listings: usize,
    /// Answers of Linux's that were punts here, by kind.
    pub by_linux: [usize; Answer::COUNT],
    /// A paragraph for each step that differs.
    pub differences: String,
}

impl AddAssign for Outcome {
    fn add_assign(&mut self, other: Outcome) {
        self.traces += other.traces;
        self.frames += other.frames;
        self.deliberate += other.deliberate;
        self.listings += other.listings;
        self.by_linux.iter_mut().zip(other.by_linux).for_each(|(sum, part)| *sum += part);
        self.differences += &other.differences;
    }
}

/// Replays a trace on a director of its own.
pub fn replay(golden: &Golden, setup: &Setup) -> Outcome {
    let mut replay = Replay {
        bench: Bench::new(setup, golden.server_mtu()),
        vlan: setup.vlan,
        skip: Skip::of(golden),
        local: (golden.name == "local_node").then(Local::default),
        outcome: Outcome { traces: 1, ..Outcome::default() },
    };
    for (place, step) in golden.steps.iter().enumerate() {
        let found = replay.step(step);
        if !found.is_empty() {
            replay.outcome.differences += &format!("step {place}:\n{found}");
        }
    }
    replay.outcome.deliberate = replay.skip.count();
    replay.outcome
}

struct Replay {
    bench: Bench,
    vlan: u16,
    skip: Skip,
    /// In a trace whose real servers are the director itself.
    local: Option<Local>,
    outcome: Outcome,
}

impl Replay {
    /// Carries a step out; what differed.
    fn step(&mut self, step: &Step) -> String {
        match step {
            Step::Ipvsadm { args, rc, out } => self.ipvsadm(args, *rc, out),
            Step::Sysctl { key, value } => {
                let refused = self.bench.sysctl(key, value).err();
                refused.map(|error| format!("  {error}\n")).unwrap_or_default()
            }
            Step::Cmd(line) => {
                command(&mut self.bench, line);
                String::new()
            }
            Step::Send { port, frame, desc, expect } => {
                let instead = self.skip.instead(self.outcome.frames).map(<[_]>::to_vec);
                self.send(*port, frame, desc, instead.as_ref().unwrap_or(expect))
            }
            Step::Wait(duration) => {
                self.bench.wait(*duration);
                String::new()
            }
            Step::Note(_) => String::new(),
        }
    }

    fn ipvsadm(&mut self, args: &str, rc: i32, recorded: &[String]) -> String {
        let (status, ours) = self.bench.ipvsadm(args);
        let mut found = listing::differences(args, recorded, &ours, &self.skip);
        self.outcome.listings += usize::from(!recorded.is_empty());
        if status != rc {
            found += &format!("  ipvsadm {args} ended with {status}, the kernel's with {rc}\n");
        }
        found
    }

    fn send(&mut self, port: Port, frame: &[u8], desc: &str, expect: &[(Port, Vec<u8>)]) -> String {
        self.outcome.frames += 1;
        self.bench.feed(port as usize, &tagged(frame, self.vlan));
        let (mut sent, punted) = self.bench.settle();
        if let Some(local) = &mut self.local {
            if let Err(wrong) = local.deliver(frame, self.vlan, &punted) {
                return format!("  sent {desc}: {wrong}\n");
            }
            sent.extend(local.answer(&mut self.bench, self.vlan, expect));
        }
        let ours: Result<Vec<_>, String> = (sent.into_iter())
            .map(|(port, frame)| {
                let port = if port.0 == 0 { Port::Client } else { Port::Server };
                untagged(frame, self.vlan).map(|frame| (port, frame))
            })
            .collect();
        let ours = match ours {
            Ok(ours) => ours,
            Err(frame) => return format!("  sent {desc}: {frame}\n"),
        };
        if self.local.is_none() && ours.is_empty() && !expect.is_empty() {
            if let Some(answers) = self.answers_of_linux(port, frame, &punted, expect) {
                answers.into_iter().for_each(|kind| self.outcome.by_linux[kind as usize] += 1);
                return String::new();
            }
        }
        match differences(expect, &ours) {
            found if found.is_empty() => found,
            found => format!("  sent on {port:?}: {desc}\n{found}"),
        }
    }

    /// The kinds of the expected answers, if the frame was punted unchanged to its port's twin
    /// and all of them are Linux's.
    fn answers_of_linux(
        &self,
        port: Port,
        frame: &[u8],
        punted: &[Punted],
        expect: &[(Port, Vec<u8>)],
    ) -> Option<Vec<Answer>> {
        let [(interface, _, bytes)] = punted else { return None };
        let same = interface.index() == port as usize && *bytes == tagged(frame, self.vlan);
        let kinds: Option<Vec<Answer>> =
            expect.iter().map(|(_, answer)| Answer::of(frame, answer)).collect();
        kinds.filter(|_| same)
    }
}

/// A shell command of the recording, as the operator of an appliance does it.
fn command(bench: &mut Bench, line: &str) {
    let words: Vec<&str> = line.split_whitespace().collect();
    let network = |text| words::prefix_of(text).expect("a network");
    let number = |text: &str| text.parse().expect("a number");
    match words[..] {
        ["ip", "addr", "add", prefix, "dev", "dc"]
        | ["ip", "route", "add", "local", prefix, "dev", "lo"] => {
            bench.route_local(network(prefix))
        }
        ["ip", "link", "set", "ds", "mtu", mtu] => bench.set_mtu(1, number(mtu)),
        ["ip", "link", "set", "dc", "mtu", mtu] => bench.set_mtu(0, number(mtu)),
        ["iptables-legacy", .., "-d", prefix, "-j", "MARK", "--set-mark", mark] => {
            let mark = mark.parse().expect("a mark");
            bench.mark(MarkRule { mark, proto: None, dst: network(prefix), dports: None });
        }
        _ => panic!("`{line}' has no meaning here"),
    }
}

/// A frame with a VLAN tag after its MAC addresses (IEEE 802.1Q), none for VLAN 0.
pub fn tagged(frame: &[u8], vlan: u16) -> Vec<u8> {
    let tag: &[u8] = if vlan == 0 { &[] } else { &[0x81, 0, (vlan >> 8) as u8, vlan as u8] };
    [&frame[..12], tag, &frame[12..]].concat()
}

/// The frame without the tag it must have.
pub fn untagged(mut frame: Vec<u8>, vlan: u16) -> Result<Vec<u8>, String> {
    if vlan != 0 {
        let tag: Vec<u8> = frame.drain(12..16).collect();
        if tag != tagged(&[0; 12], vlan)[12..16] {
            return Err(format!("came out with the tag {tag:x?}"));
        }
    }
    Ok(frame)
}
