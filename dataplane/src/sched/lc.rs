//! Least connections (`ip_vs_lc.c`): the smallest overhead, weights ignored but for 0; among equals
//! the first in the list.

use super::least::Share;
use super::overhead;

/// Overheads compare as they are.
pub fn share(_: u32, active: u32, inactive: u32) -> Share {
    Share { load: overhead(active, inactive), by: 1 }
}
