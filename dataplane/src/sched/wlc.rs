//! Weighted least connections (`ip_vs_wlc.c`): the smallest overhead per weight; among equals the
//! first in the list.

use super::least::Share;
use super::overhead;

/// Overheads compare per weight.
pub fn share(weight: u32, active: u32, inactive: u32) -> Share {
    Share { load: overhead(active, inactive), by: weight.into() }
}
