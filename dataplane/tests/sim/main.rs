//! The whole director in one thread, with clients, servers and a bad network around it, while its
//! rules change: many seeds, each a whole story.
//!
//! `SIM_SEEDS=N` runs N seeds instead of the usual ones, from `SIM_FIRST` (0) on. A failure prints
//! its seed and step.

mod chaos;
mod crowd;
mod errors;
mod exact;
mod hosts;
mod met;
mod model;
mod net;
mod rewritten;
mod segment;
mod shares;
mod tables;

use exact::Shape;
use std::cell::Cell;
use std::ops::Range;

thread_local! {
    static PLACE: Cell<(u64, usize)> = const { Cell::new((0, 0)) };
}

/// Remembers where the simulation is, for the message of a failure.
fn note(seed: u64, step: usize) {
    PLACE.set((seed, step));
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
}

/// Runs a story for each seed; the first failure names its seed and step.
fn for_seeds(usual: Range<u64>, story: impl Fn(u64) + std::panic::RefUnwindSafe) {
    let first = setting("SIM_FIRST", usual.start);
    let count = setting("SIM_SEEDS", usual.end - usual.start);
    for seed in first..first + count {
        if let Err(cause) = std::panic::catch_unwind(|| story(seed)) {
            eprintln!(
                "seed {}, step {}: SIM_FIRST={seed} SIM_SEEDS=1",
                PLACE.get().0,
                PLACE.get().1
            );
            std::panic::resume_unwind(cause);
        }
    }
}

#[test]
fn one_worker_does_what_the_model_does_whatever_the_window() {
    for_seeds(0..60, |seed| {
        let trace = exact::run(&Shape { seed, workers: 1, window: 1, many_servers: true });
        for window in [2, 32, 128] {
            let other = exact::run(&Shape { seed, workers: 1, window, many_servers: true });
            assert!(other == trace, "window {window} changes the output");
        }
    });
}

#[test]
fn three_workers_do_what_the_model_does_and_keep_each_flow_in_order() {
    for_seeds(100..160, |seed| {
        let window = [1, 2, 32, 128][seed as usize % 4];
        exact::run(&Shape { seed, workers: 3, window, many_servers: true });
    });
}

/// With one server a service there is nothing to choose, so all that leaves is the same; the order
/// of each flow is the model's in both.
#[test]
fn three_workers_send_the_frames_that_one_sends() {
    let frames = std::panic::AssertUnwindSafe(Cell::new(0));
    for_seeds(200..220, |seed| {
        let [one, three] = [1, 3].map(|workers| {
            let mut trace = exact::run(&Shape { seed, workers, window: 32, many_servers: false });
            for batch in &mut trace {
                batch.iter_mut().for_each(|(_, frame)| *frame = segment::normal(frame));
                batch.sort();
            }
            trace
        });
        frames.set(frames.get() + one.iter().flatten().count());
        assert!(one == three, "the number of workers changes the output");
    });
    assert!(frames.get() > 100, "{} frames", frames.get());
}

#[test]
fn the_invariants_hold_in_any_order_with_full_tables_and_after_being_killed() {
    let all = Cell::new(met::Met::default());
    let all = std::panic::AssertUnwindSafe(&all);
    for_seeds(300..360, |seed| all.set(all.get().plus(chaos::run(seed, 500))));
    if setting("SIM_SEEDS", 60) >= 60 {
        all.get().assert_all();
    }
}
