//! What fuzz targets share: seeded mutations of a kept corpus, and shapes in place of coverage.
//!
//! `FUZZ_SECONDS` (1) is how long, `FUZZ_SEED` (1) where to start; the seed of a failing run and
//! the frame are printed. With `FUZZ_KEEP=1` inputs of a new shape are added to the corpus.

mod mutate;

use dataplane::testing::{Rng, to_hex};
use std::collections::HashSet;
use std::fmt::Debug;
use std::hash::Hash;
use std::panic::{catch_unwind, resume_unwind};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// What is fuzzed.
pub struct Target<S> {
    /// Name of the corpus, a folder beside others.
    pub corpus: &'static str,
    /// Asserts what holds for every frame, and gives the frame's shape: a crude feature in place of
    /// coverage.
    pub check: fn(&[u8]) -> S,
}

impl<S: Clone + Debug + Eq + Hash> Target<S> {
    /// Runs every cut and every flipped bit of the corpus.
    pub fn cut_and_flip(&self) {
        for frame in self.frames() {
            for len in 0..=frame.len() {
                self.run(&frame[..len]);
            }
            for bit in 0..frame.len().min(96) * 8 {
                let mut flipped = frame.clone();
                flipped[bit / 8] ^= 1 << (bit % 8);
                self.run(&flipped);
                mutate::mend_ip_checksum(&mut flipped);
                self.run(&flipped);
            }
        }
    }

    /// Runs mutated frames for as long as is set, and gives the shapes seen.
    pub fn fuzz(&self) -> HashSet<S> {
        let (seed, seconds) = (setting("FUZZ_SEED", 1), setting("FUZZ_SECONDS", 1));
        println!("FUZZ_SEED={seed}");
        let (mut rng, mut frames) = (Rng::new(seed), self.frames());
        let mut shapes: HashSet<S> = frames.iter().map(|frame| self.run(frame)).collect();
        let (start, mut runs) = (Instant::now(), 0u64);
        while start.elapsed() < Duration::from_secs(seconds) {
            for _ in 0..256 {
                let frame = mutate::mutated(&mut rng, &frames);
                let shape = self.run(&frame);
                runs += 1;
                if shapes.insert(shape.clone()) {
                    if setting("FUZZ_KEEP", 0) == 1 {
                        self.keep(&frame, &shape);
                    }
                    frames.push(frame);
                }
            }
        }
        println!("{runs} frames of {} shapes", shapes.len());
        shapes
    }

    fn dir(&self) -> PathBuf {
        [env!("CARGO_MANIFEST_DIR"), "tests", "corpus", self.corpus].iter().collect()
    }

    /// Every frame of the corpus, in the order of their names, so that runs repeat.
    fn frames(&self) -> Vec<Vec<u8>> {
        let entries = std::fs::read_dir(self.dir()).expect("the corpus is there");
        let mut paths: Vec<PathBuf> =
            entries.map(|entry| entry.expect("readable").path()).collect();
        paths.sort();
        paths.iter().map(|path| std::fs::read(path).expect("readable")).collect()
    }

    /// Runs the checks on a frame; a failure names the frame.
    fn run(&self, frame: &[u8]) -> S {
        let check = self.check;
        catch_unwind(|| check(frame)).unwrap_or_else(|cause| {
            eprintln!("the frame: {}", to_hex(frame));
            resume_unwind(cause)
        })
    }

    fn keep(&self, frame: &[u8], shape: &S) {
        let name = format!("kept_{:016x}.bin", mutate::fingerprint(frame));
        std::fs::write(self.dir().join(name), frame).expect("the corpus can be written");
        println!("kept a new {shape:?}");
    }
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
}
