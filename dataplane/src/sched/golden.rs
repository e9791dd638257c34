//! The choices a real kernel made (`tests/golden/sched_*.json`), made again by worker 0.

use super::tests::Counts;
use super::*;
use crate::address::Family;
use crate::ids::ServiceId;
use crate::service::ServiceKey;
use crate::service::example::{dest, service};
use serde_json::Value;
use std::fs;
use std::net::IpAddr;
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

/// Address of the real server in `-r 192.168.1.1N[:80]` or `-r [2001:db8:5::1N]:80`.
fn server(args: &str) -> IpAddr {
    let after = args.split(" -r ").nth(1).expect("a real server");
    let word = after.split(' ').next().unwrap();
    match word.strip_prefix('[') {
        Some(inner) => inner.split(']').next().unwrap().parse().unwrap(),
        None => word.split(':').next().unwrap().parse().unwrap(),
    }
}

/// Its number: the last digit of its address, in either notation.
fn number(rip: IpAddr) -> u32 {
    rip.to_string().chars().last().and_then(|digit| digit.to_digit(10)).expect("a digit")
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
            None if args.contains('[') => {
                ServiceKey::Address { proto: 6, vip: "2001:db8:c::100".parse().unwrap(), vport: 80 }
            }
            None => service(Vec::new()).key,
        };
        let service = Service::new(ServiceId(1), key, scheduling, Vec::new());
        let scheduler = Scheduler::new(&service, WorkerId(0));
        Replay { service, scheduler, counts: Counts::default(), closes, picks: Vec::new() }
    }

    fn apply(&mut self, args: &str) {
        let mut dests = self.service.dests.clone();
        let rip = server(args);
        let id = DestId(number(rip));
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
                let rport = if args.contains(":80 ") { 80 } else { 0 };
                dests.insert(0, edited(Dest { rip, rport, ..dest(id.0, 0) }));
            }
            ("-e", Some(at)) => dests[at] = edited(dests[at].clone()),
            ("-d", Some(at)) => drop(dests.remove(at)),
            _ => panic!("cannot apply {args}"),
        }
        let Service { id, key, scheduler, .. } = self.service;
        let mut known = self.service.locality.clone();
        let new = Service::new(id, key, scheduler, dests).remembering(&mut known);
        self.scheduler.rebase(&self.service, &new);
        self.service = new;
    }

    fn connect(&mut self, syn: &Syn) {
        let now = Tick(self.picks.len() as u32);
        let asked = syn.asked::<u32>(now).or_else(|| syn.asked::<u128>(now)).expect("a family");
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

/// A client's first packet: both ends, addresses first.
struct Syn(IpAddr, IpAddr, u16, u16);

impl Syn {
    /// What a scheduler is asked, if the packet is of this family.
    fn asked<A: Address>(&self, now: Tick) -> Option<Asked> {
        let &Syn(src, dst, sport, dport) = self;
        let key = FlowKey { src: A::of(src)?, dst: A::of(dst)?, sport, dport, proto: 6 };
        Some(Asked::new(&key, now))
    }
}

/// The client's first packet to the service: a frame sent on port c with SYN alone.
fn syn(step: &Value) -> Option<Syn> {
    let is_sent = step["op"] == "send" && step["port"] == "c";
    let desc = step["desc"].as_str().filter(|desc| is_sent && desc.contains(" S seq"))?;
    let mut ends = desc.split(' ').filter_map(|word| word.split_once('>')).skip(1);
    let (src, dst) = ends.next()?;
    let (sport, dport) = ends.next()?;
    let address = |text: &str| text.parse::<IpAddr>().unwrap();
    Some(Syn(address(src), address(dst), sport.parse().unwrap(), dport.parse().unwrap()))
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
            (_, Some(replay)) => syn(step).iter().for_each(|syn| replay.connect(syn)),
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
