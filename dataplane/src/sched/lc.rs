//! Least connections (`ip_vs_lc.c`): the smallest overhead, weights ignored but for 0; among equals
//! the first in the list.

use super::overhead;
use super::share::{Measure, Share};

/// Overheads compare as they are.
#[derive(Debug, Clone)]
pub struct Lc;

impl Measure for Lc {
    #[inline]
    fn share(_: u32, active: u32, inactive: u32) -> Share {
        Share { load: overhead(active, inactive), by: 1 }
    }
}
