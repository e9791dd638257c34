//! The choices a real kernel made (`tests/golden/sched_*.json`), made again by worker 0.

use super::tests::Counts;
use super::*;
use crate::address::Family;
use crate::ids::ServiceId;
use crate::service::ServiceKey;
use crate::service::example::{dest, service};
use serde_json::Value;
use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

struct Replay {
    service: Service,
    scheduler: Scheduler,
    counts: Counts,
    /// A close3 recording: conns are established one by one and every third is closed.
    closes: bool,
    picks: Vec<Option<u32>>,
}

/// Value of an option such as `-w` in ipvsadm's arguments.
fn option(args: &str, flag: &str) -> Option<u32> {
    let mut words = args.split_whitespace().skip_while(|word| *word != flag);
    words.nth(1)?.parse().ok()
}

/// Number of the real server in `-r 192.168.1.1N[:80]`.
fn server(args: &str) -> u32 {
    let after = args.split("192.168.1.1").nth(1).expect("a real server");
    after[..1].parse().unwrap()
}

impl Replay {
    /// Of the service that these arguments add.
    fn new(args: &str, closes: bool) -> Self {
        let word = |flag: &str| args.split_whitespace().skip_while(|word| *word != flag).nth(1);
        let kind = SchedulerKind::from_name(word("-s").expect("a scheduler")).expect("a name");
        let flags = word("-b").into_iter().flat_map(|names| names.split(','));
        let scheduling = flags.fold(kind.into(), |scheduling: Scheduling, name| {
            scheduling.with_flag(name).expect("a flag of the scheduler")
        });
        let key = match word("-f") {
            Some(mark) => ServiceKey::Fwmark { mark: mark.parse().unwrap(), family: Family::V4 },
            None => service(Vec::new()).key,
        };
        let service = Service::new(ServiceId(1), key, scheduling, Vec::new());
        let scheduler = Scheduler::new(&service, WorkerId(0));
        Replay { service, scheduler, counts: Counts::default(), closes, picks: Vec::new() }
    }

    fn apply(&mut self, args: &str) {
        let mut dests = self.service.dests.clone();
        let id = DestId(server(args));
        let at = dests.iter().position(|dest| dest.id == id);
        let weight = option(args, "-w").unwrap_or(1);
        let edited = |old: Dest| Dest {
            weight,
            last_weight: if weight > 0 { weight } else { old.last_weight },
            u_threshold: option(args, "-x").unwrap_or(0),
            l_threshold: option(args, "-y").unwrap_or(0),
            ..old
        };
        match (&args[..2], at) {
            ("-a", None) => {
                let rip = (0xc0a8_010a + id.0).ip();
                let rport = if args.contains(":80 ") { 80 } else { 0 };
                dests.insert(0, edited(Dest { rip, rport, ..dest(id.0, 0) }));
            }
            ("-e", Some(at)) => dests[at] = edited(dests[at].clone()),
            ("-d", Some(at)) => drop(dests.remove(at)),
            _ => panic!("cannot apply {args}"),
        }
        let Service { id, key, scheduler, .. } = self.service;
        let new = Service::new(id, key, scheduler, dests);
        self.scheduler.rebase(&self.service, &new);
        self.service = new;
    }

    fn connect(&mut self, key: &FlowKey) {
        let asked = Asked::new(key, Tick(self.picks.len() as u32));
        let pick = self.scheduler.schedule(&self.service, &asked, &self.counts);
        let pick = pick.map(|at| &self.service.dests[at]);
        if let Some(dest) = pick {
            assert!(dest.take_conn(), "a scheduler passes the overloaded over");
            self.counts.0.entry(dest.id).or_default().0 += 1;
        }
        self.picks.push(pick.map(|dest| dest.id.0));
        if self.closes && self.picks.len() % 3 == 0 && pick.is_some() {
            self.close(self.picks.len() - 3);
        }
    }

    /// The client's FIN makes an active conn an inactive one.
    fn close(&mut self, conn: usize) {
        let Some(dest) = self.picks[conn].map(DestId) else { return };
        let (active, inactive) = self.counts.0.get_mut(&dest).expect("it was counted");
        *active -= 1;
        *inactive += 1;
    }
}

/// The flow of a client's first packet to the service: of a frame sent on port c with SYN alone.
fn syn(step: &Value) -> Option<FlowKey> {
    let is_sent = step["op"] == "send" && step["port"] == "c";
    let desc = step["desc"].as_str().filter(|desc| is_sent && desc.contains(" S seq"))?;
    let mut ends = desc.split(' ').filter_map(|word| word.split_once('>')).skip(1);
    let (src, dst) = ends.next()?;
    let (sport, dport) = ends.next()?;
    let address = |text: &str| text.parse::<Ipv4Addr>().unwrap().into();
    Some(FlowKey {
        src: address(src),
        dst: address(dst),
        sport: sport.parse().unwrap(),
        dport: dport.parse().unwrap(),
        proto: 6,
    })
}

fn replay(path: &Path) {
    let golden: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    let name = golden["name"].as_str().unwrap();
    let mut replay = None;
    for step in golden["steps"].as_array().unwrap() {
        match (step["args"].as_str(), &mut replay) {
            (Some(args), None) if args.starts_with("-A") => {
                replay = Some(Replay::new(args, name.ends_with("close3")));
            }
            (Some(args), Some(replay)) if args.contains(" -r ") => replay.apply(args),
            (_, Some(replay)) => syn(step).iter().for_each(|key| replay.connect(key)),
            _ => {}
        }
    }
    let picks = golden["result"]["picks"].as_array().unwrap().iter();
    let picks: Vec<Option<u32>> = picks.map(|pick| pick.as_u64().map(|pick| pick as u32)).collect();
    assert!(!picks.is_empty());
    assert_eq!(replay.expect("a service").picks, picks, "{name}");
}

#[test]
fn every_scheduler_chooses_as_the_kernel_did() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden");
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let is_ours =
        |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().starts_with("sched_");
    let paths: Vec<PathBuf> = paths.filter(is_ours).collect();
    for kind in SchedulerKind::ALL.into_iter().filter(|&kind| kind != SchedulerKind::Twos) {
        let prefix = format!("sched_{}_", kind.name());
        let own = paths.iter().filter(|path| path.to_str().unwrap().contains(&prefix));
        assert!(own.inspect(|path| replay(path)).count() >= 6, "{prefix}: recordings are missing");
    }
}
