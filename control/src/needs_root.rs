//! Tests against the running kernel, which need root.

use std::os::unix::fs::MetadataExt;

/// Set where a test that cannot run must fail: `scripts/test` does.
const REQUIRED: &str = "SLUICE_REQUIRE_ROOT";

/// Whether the test can run; says so if not.
pub fn is_root() -> bool {
    let root = std::fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0);
    if !root {
        assert!(std::env::var_os(REQUIRED).is_none(), "{REQUIRED} is set, but this is not root");
        eprintln!("skipped: needs root");
    }
    root
}
