//! What a port's device does and what software does, in one sentence for the log.

use super::device::Device;
use super::plan::Plan;
use super::rules::Packets;
use super::spread::{End, Spread, Way};
use super::table;
use dataplane::limits::OWNER_SLOTS;
use dataplane::owner::SlotMap;

/// What became of a part of a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// The plan has no such part.
    NotAsked,
    /// The driver took it.
    Done,
    /// The driver did not, for this reason.
    Refused(String),
}

/// What the driver granted of a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Granted {
    /// The redirection table.
    pub table: Step,
    /// The flow rules, all or none.
    pub rules: Step,
}

/// How packets of the port called `name` come to the worker that owns their flow.
pub fn sentence(
    name: &str,
    device: &Device,
    plan: &Plan,
    map: &SlotMap,
    granted: &Granted,
) -> String {
    let (workers, queues) = (map.workers(), plan.rx_queues);
    let how = match plan.spread {
        _ if workers == 1 => "one worker, which owns every flow".to_owned(),
        Spread::OneQueue => format!("one queue for {workers} workers; {HAND_OVER}"),
        Spread::Device => format!("{queues} queues, spread by the device as it likes; {HAND_OVER}"),
        Spread::BothEnds => {
            format!("{queues} queues by a hash over both ends of a flow; {HAND_OVER}")
        }
        Spread::ClientEnd(end, way) => steered(end, way, plan, map, granted),
        Spread::PerAddress => per_address(plan, map, granted),
    };
    format!("port {name} ({}): {how}", device.driver)
}

const HAND_OVER: &str = "flows reach their owners through hand-over rings";

fn steered(end: End, way: Way, plan: &Plan, map: &SlotMap, granted: &Granted) -> String {
    let queues = plan.rx_queues;
    let end = match end {
        End::Source => "source",
        End::Destination => "destination",
    };
    match (way, &granted.table, &granted.rules) {
        (_, Step::Refused(why), _) => format!(
            "{queues} queues by the device's own redirection table, since it takes no other ({why}); \
             {HAND_OVER}"
        ),
        (Way::Rules, _, Step::Refused(why)) => both_ends(plan, "rule", end, why),
        _ => format!(
            "{queues} queues by the owner's hash over the {end}, so that {} arrive at their owners; \
             {CHECKED} fragments and ICMP",
            share(map, plan)
        ),
    }
}

const CHECKED: &str = "software looks the owner up all the same and hands over the rest, such as";

fn both_ends(plan: &Plan, rule: &str, end: &str, why: &str) -> String {
    format!(
        "{} queues by a hash over both ends of a flow, since the device takes no {rule} for the {end} \
         alone ({why}); {HAND_OVER}",
        plan.rx_queues
    )
}

fn per_address(plan: &Plan, map: &SlotMap, granted: &Granted) -> String {
    let queues = plan.rx_queues;
    match &granted.rules {
        Step::Refused(why) => both_ends(plan, "rules", "client's end", why),
        Step::NotAsked => {
            format!("{queues} queues by a hash over both ends of a flow; {HAND_OVER}")
        }
        Step::Done => format!(
            "{queues} queues, by the owner's hash over the client's end where {} or {} is the other, so \
             that {} arrive at their owners; {CHECKED} services added later, fragments and ICMP",
            counted(plan, "virtual address", |each| matches!(each, Packets::ToService(_))),
            counted(plan, "real server", |each| matches!(each, Packets::FromServer(_))),
            share(map, plan)
        ),
    }
}

/// The addresses of such rules, of which each has two.
fn counted(plan: &Plan, what: &str, is_such: impl Fn(Packets) -> bool) -> String {
    let count = plan.rules.iter().filter(|rule| is_such(rule.packets)).count() / 2;
    let plural = match (count, what.ends_with('s')) {
        (1, _) => "",
        (_, true) => "es",
        (_, false) => "s",
    };
    format!("{count} {what}{plural}")
}

fn share(map: &SlotMap, plan: &Plan) -> String {
    match table::agreement(map, &plan.table) {
        OWNER_SLOTS => "flows".to_owned(),
        some => format!("{} % of flows", some * 100 / OWNER_SLOTS),
    }
}
