//! The clients, the real servers and the auditor of `perf/under-load --audit`, at the other ends of the
//! appliance's two memif links.
//!
//! `audit PLAN SOCKET CORE QUEUES`: PLAN is a file as [`Plan::parse`] reads it. Each line of standard input is a
//! phase, `NAME SECONDS SHARE SAMPLE RULES SERVICES`: so many seconds of frames to SERVICES (places in the plan,
//! with commas), flows up to SHARE of a hundred, one frame of SAMPLE compared whole; RULES is `strict`,
//! `reload` (flows of UDP may move, ICMP errors may come) or `inject` (faults are made, to be found). Each phase
//! prints lines of JSON.

mod links;
mod phase;
mod report;

use links::Links;
use perf::audit::{Ledger, Load, Plan, Rules};
use phase::{Auditor, Phase};
use std::error::Error;
use std::io;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

const SEED: u64 = 20;

fn main() -> ExitCode {
    match run(std::env::args().skip(1).collect()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("audit: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(words: Vec<String>) -> Result<(), Box<dyn Error>> {
    let [plan, socket, core, queues] = &words[..] else {
        return Err("a plan, a socket, a core and a number of queues are needed".into());
    };
    let plan = Arc::new(Plan::parse(&std::fs::read_to_string(plan)?)?);
    let core: usize = core.parse().map_err(|_| format!("{core} is no core"))?;
    let queues: u16 = queues.parse().map_err(|_| format!("{queues} is no number of queues"))?;
    let mut links = Links::new(socket, core, queues)?;
    links.wait(Duration::from_secs(20))?;
    println!("ready");
    let load = Load::new(SEED, plan.services.len());
    let mut auditor = Auditor::new(Ledger::new(plan), load);
    for line in io::stdin().lines() {
        let phase = parse(&line?)?;
        let done = auditor.run(&phase, &mut links);
        report::print(&phase, auditor.plan(), &done);
    }
    Ok(())
}

fn parse(line: &str) -> Result<Phase, String> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [name, seconds, share, sample, rules, services] = words[..] else {
        return Err(format!("`{line}` is no phase"));
    };
    let wrong = |_| format!("`{line}` has a wrong number");
    let lax = rules == "reload";
    Ok(Phase {
        name: name.to_owned(),
        time: Duration::from_millis((seconds.parse::<f64>().map_err(|_| wrong(()))? * 1e3) as u64),
        share: share.parse().map_err(|_| wrong(()))?,
        rules: Rules {
            sample: sample.parse().map_err(|_| wrong(()))?,
            udp_may_move: lax,
            may_refuse: lax,
        },
        inject: rules == "inject",
        services: services
            .split(',')
            .map(|place| place.parse().map_err(|_| wrong(())))
            .collect::<Result<_, _>>()?,
    })
}
