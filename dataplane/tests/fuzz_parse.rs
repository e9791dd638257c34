//! Fuzzing of the frame parser and the rewriting leaves: seeded mutations of a kept corpus.
//!
//! `FUZZ_SECONDS` (1) is how long, `FUZZ_SEED` (1) where to start; the seed of a failing run and
//! the frame are printed. With `FUZZ_KEEP=1` inputs of a new shape are added to the corpus.

#[path = "fuzz_parse/invariants.rs"]
mod invariants;
#[path = "fuzz_parse/mutate.rs"]
mod mutate;

use dataplane::testing::{Rng, to_hex};
use invariants::{Shape, check};
use std::collections::HashSet;
use std::path::PathBuf;
use std::time::{Duration, Instant};

fn corpus_dir() -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests", "corpus", "parse"].iter().collect()
}

/// Every frame of the corpus, in the order of their names, so that runs repeat.
fn corpus() -> Vec<Vec<u8>> {
    let entries = std::fs::read_dir(corpus_dir()).expect("the corpus is there");
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("readable").path()).collect();
    paths.sort();
    paths.iter().map(|path| std::fs::read(path).expect("readable")).collect()
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
}

/// Runs the checks on a frame; a failure names the frame.
fn run(frame: &[u8]) -> Shape {
    std::panic::catch_unwind(|| check(frame)).unwrap_or_else(|cause| {
        eprintln!("the frame: {}", to_hex(frame));
        std::panic::resume_unwind(cause)
    })
}

fn keep(frame: &[u8], shape: &Shape) {
    let name = format!("kept_{:016x}.bin", mutate::fingerprint(frame));
    std::fs::write(corpus_dir().join(name), frame).expect("the corpus can be written");
    println!("kept a new {shape:?}");
}

#[test]
fn every_cut_and_every_flipped_bit_of_the_corpus_is_survived() {
    for frame in corpus() {
        for len in 0..=frame.len() {
            run(&frame[..len]);
        }
        for bit in 0..frame.len().min(96) * 8 {
            let mut flipped = frame.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            run(&flipped);
            mutate::mend_ip_checksum(&mut flipped);
            run(&flipped);
        }
    }
}

#[test]
fn mutated_frames_neither_panic_nor_lose_what_rewriting_must_keep() {
    let (seed, seconds) = (setting("FUZZ_SEED", 1), setting("FUZZ_SECONDS", 1));
    println!("FUZZ_SEED={seed}");
    let (mut rng, mut frames) = (Rng::new(seed), corpus());
    let mut shapes: HashSet<Shape> = frames.iter().map(|frame| run(frame)).collect();
    let (start, mut runs) = (Instant::now(), 0u64);
    while start.elapsed() < Duration::from_secs(seconds) {
        for _ in 0..256 {
            let frame = mutate::mutated(&mut rng, &frames);
            let shape = run(&frame);
            runs += 1;
            if shapes.insert(shape.clone()) {
                if setting("FUZZ_KEEP", 0) == 1 {
                    keep(&frame, &shape);
                }
                frames.push(frame);
            }
        }
    }
    println!("{runs} frames of {} shapes", shapes.len());
    let variants: HashSet<&str> = shapes.iter().map(|shape| shape.variant).collect();
    for variant in
        ["flow", "cut flow", "icmp", "quoting icmp", "quoting tunnel", "fragment", "other", "drop"]
    {
        assert!(variants.contains(variant), "no {variant} among {runs} frames");
    }
}
