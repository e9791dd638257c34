//! Results as lines of JSON, which `perf/under-load --audit` reads. Texts are of words, numbers and addresses: nothing
//! in them needs escaping.

use crate::phase::{Done, Phase};
use perf::audit::{MUTATIONS, Plan};

/// A line for each service that took part, one for each kind of fault that was made, and a last one for
/// the phase.
pub fn print(phase: &Phase, plan: &Plan, done: &Done) {
    let name = &phase.name;
    for &place in &phase.services {
        let (service, count) =
            (&plan.services[usize::from(place)], done.counts[usize::from(place)]);
        println!(
            r#"{{"phase": "{name}", "case": "{}", "flows": {}, "sent": {}, "came": {}, "checked": {}, "wrong": {}, "lost": {}, "moved": {}}}"#,
            service.name,
            service.flows,
            count.sent,
            count.came,
            count.checked,
            count.wrong,
            count.lost,
            count.moved,
        );
    }
    if phase.inject {
        for ((kind, _), (made, found)) in MUTATIONS.iter().zip(&done.injected) {
            println!(
                r#"{{"phase": "{name}", "injected": "{kind}", "made": {made}, "found": {found}}}"#
            );
        }
    }
    let faults: Vec<String> = done
        .faults
        .iter()
        .map(|(wrong, frame)| {
            let hex: String = frame.iter().map(|byte| format!("{byte:02x}")).collect();
            format!(r#"{{"sentence": "{wrong}", "frame": "{hex}"}}"#)
        })
        .collect();
    println!(
        r#"{{"phase": "{name}", "seconds": {:.3}, "strange": {}, "refusals": {}, "faults": [{}]}}"#,
        done.seconds,
        done.strange,
        done.refusals,
        faults.join(", "),
    );
}
