//! The choices a real kernel made (`tests/golden/sched_*.json`), made again by worker 0.

use super::tests::Counts;
use super::*;
use crate::service::example::{dest, service};
use serde_json::Value;

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
    fn new(scheduler: SchedulerKind, closes: bool) -> Self {
        let service = Service { scheduler, ..service(Vec::new()) };
        let scheduler = Scheduler::new(&service, WorkerId(0));
        Replay { service, scheduler, counts: Counts::default(), closes, picks: Vec::new() }
    }

    fn apply(&mut self, args: &str) {
        let mut dests = self.service.dests.clone();
        let id = DestId(server(args));
        let at = dests.iter().position(|dest| dest.id == id);
        let edited = |old: Dest| Dest {
            weight: option(args, "-w").unwrap_or(1),
            u_threshold: option(args, "-x").unwrap_or(0),
            l_threshold: option(args, "-y").unwrap_or(0),
            ..old
        };
        match (&args[..2], at) {
            ("-a", None) => dests.insert(0, edited(dest(id.0, 0))),
            ("-e", Some(at)) => dests[at] = edited(dests[at].clone()),
            ("-d", Some(at)) => drop(dests.remove(at)),
            _ => panic!("cannot apply {args}"),
        }
        let new = Service { scheduler: self.service.scheduler, ..service(dests) };
        self.scheduler.rebase(&self.service, &new);
        self.service = new;
    }

    fn connect(&mut self) {
        let pick = self.scheduler.schedule(&self.service, &self.counts);
        let pick = pick.map(|at| &self.service.dests[at]);
        if let Some(dest) = pick {
            assert!(dest.take_conn(), "a scheduler passes the overloaded over");
            self.counts.0.entry(dest.id).or_default().0 += 1;
        }
        self.picks.push(pick.map(|dest| dest.id.0));
        if self.closes && self.picks.len() % 3 == 0 {
            self.close(self.picks.len() - 3);
        }
    }

    /// The client's FIN makes an active conn an inactive one.
    fn close(&mut self, conn: usize) {
        let dest = DestId(self.picks[conn].expect("it was connected"));
        let (active, inactive) = self.counts.0.get_mut(&dest).expect("it was counted");
        *active -= 1;
        *inactive += 1;
    }
}

/// A client's packet to the service: frames sent on port c with SYN alone.
fn is_syn(step: &Value) -> bool {
    step["op"] == "send" && step["port"] == "c" && step["desc"].as_str().unwrap().contains(" S seq")
}

fn replay(kind: SchedulerKind, golden: &str) {
    let golden: Value = serde_json::from_str(golden).unwrap();
    let name = golden["name"].as_str().unwrap();
    let mut replay = Replay::new(kind, name.ends_with("close3"));
    for step in golden["steps"].as_array().unwrap() {
        match step["args"].as_str() {
            Some(args) if args.starts_with(['-']) && args.contains(" -r ") => replay.apply(args),
            _ if is_syn(step) => replay.connect(),
            _ => {}
        }
    }
    let picks = golden["result"]["picks"].as_array().unwrap().iter();
    let picks: Vec<Option<u32>> = picks.map(|pick| pick.as_u64().map(|pick| pick as u32)).collect();
    assert!(!picks.is_empty());
    assert_eq!(replay.picks, picks, "{name}");
}

macro_rules! recordings {
    ($($test:ident: $kind:ident $($file:literal)*;)*) => {$(
        #[test]
        fn $test() {
            $(replay(
                SchedulerKind::$kind,
                include_str!(concat!("../../tests/golden/sched_", $file, ".json")),
            );)*
        }
    )*};
}

recordings! {
    rr_chooses_as_the_kernel_did: Rr "rr_w123_syn" "rr_w511_close3" "rr_w012_addrm" "rr_w123_edit"
        "rr_w0all" "rr_thresh" "rr_fwmark_dests";
    wrr_chooses_as_the_kernel_did: Wrr "wrr_w123_syn" "wrr_w511_close3" "wrr_w012_addrm"
        "wrr_w123_edit" "wrr_w0all" "wrr_thresh" "wrr_w1_100_syn";
    lc_chooses_as_the_kernel_did: Lc "lc_w123_syn" "lc_w511_close3" "lc_w012_addrm" "lc_w123_edit"
        "lc_w0all" "lc_thresh";
    wlc_chooses_as_the_kernel_did: Wlc "wlc_w123_syn" "wlc_w511_close3" "wlc_w012_addrm"
        "wlc_w123_edit" "wlc_w0all" "wlc_thresh" "wlc_fwmark_dests";
}
