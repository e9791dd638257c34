//! Fuzzing of the frame parser and the rewriting leaves. How: `common/fuzz/mod.rs`.

#[path = "common/fuzz/mod.rs"]
mod fuzz;
#[path = "fuzz_parse/invariants.rs"]
mod invariants;

use fuzz::Target;
use invariants::{Shape, check};
use std::collections::HashSet;

const TARGET: Target<Shape> = Target { corpus: "parse", check };

#[test]
fn every_cut_and_every_flipped_bit_of_the_corpus_is_survived() {
    TARGET.cut_and_flip();
}

#[test]
fn mutated_frames_neither_panic_nor_lose_what_rewriting_must_keep() {
    let shapes = TARGET.fuzz();
    let variants: HashSet<&str> = shapes.iter().map(|shape| shape.variant).collect();
    for variant in [
        "flow",
        "cut flow",
        "icmp",
        "quoting icmp",
        "quoting tunnel",
        "riding",
        "fragment",
        "flow6",
        "cut flow6",
        "icmp6",
        "quoting icmp6",
        "riding6",
        "fragment6",
        "other",
        "drop",
    ] {
        assert!(variants.contains(variant), "no {variant} among the frames");
    }
}
