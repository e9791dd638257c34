//! Fuzzing of readers of text: seeded mutations of kept texts.
//!
//! `FUZZ_SECONDS` (1) is how long, `FUZZ_SEED` (1) where to start; both are printed, and so is the
//! text of a failing run.

use dataplane::testing::Rng;
use std::time::{Duration, Instant};

/// One of the texts with up to three changes: cut, bytes taken out or put in, another's end.
fn mutated(rng: &mut Rng, texts: &[&str], pieces: &[&str]) -> Vec<u8> {
    let mut text = texts[rng.below(texts.len())].as_bytes().to_vec();
    for _ in 0..rng.below(4) {
        let at = rng.below(text.len() + 1);
        let end = (at + rng.below(6)).min(text.len());
        let piece = pieces[rng.below(pieces.len())].bytes();
        match rng.below(6) {
            0 => text.truncate(at),
            1 => drop(text.drain(at..end)),
            2 => drop(text.splice(at..end, piece)),
            3 => drop(text.splice(at..at, piece)),
            4 if at < text.len() => text[at] = rng.next() as u8,
            _ => {
                let other = texts[rng.below(texts.len())].as_bytes();
                text.truncate(at);
                text.extend(&other[rng.below(other.len())..]);
            }
        }
    }
    text
}

/// Checks mutated texts for as long as is set. `pieces` are what decisions hang on; `check` says
/// whether the reader found anything.
pub fn fuzz(texts: &[&str], pieces: &[&str], mut check: impl FnMut(&mut Rng, &[u8]) -> bool) {
    let setting =
        |name: &str| std::env::var(name).map_or(1, |text| text.parse::<u64>().expect("a number"));
    let (seed, seconds) = (setting("FUZZ_SEED"), setting("FUZZ_SECONDS"));
    println!("FUZZ_SEED={seed}");
    let (mut rng, start) = (Rng::new(seed), Instant::now());
    let (mut runs, mut found) = (0u64, 0u64);
    while start.elapsed() < Duration::from_secs(seconds) {
        for _ in 0..256 {
            let text = mutated(&mut rng, texts, pieces);
            let run = std::panic::AssertUnwindSafe(|| check(&mut rng, &text));
            let has = std::panic::catch_unwind(run).unwrap_or_else(|cause| {
                eprintln!("the text: {}", text.escape_ascii());
                std::panic::resume_unwind(cause)
            });
            (runs, found) = (runs + 1, found + u64::from(has));
        }
    }
    println!("{runs} texts, something found in {found}");
    assert!(found * 20 > runs && found < runs, "{found} of {runs} tell nothing");
}
