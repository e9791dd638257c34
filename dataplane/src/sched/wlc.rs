//! Weighted least connections (`ip_vs_wlc.c`): the smallest overhead per weight; among equals the
//! first in the list.

use super::overhead;
use super::share::{Measure, Share};

/// Overheads compare per weight.
#[derive(Debug, Clone)]
pub struct Wlc;

impl Measure for Wlc {
    #[inline]
    fn share(weight: u32, active: u32, inactive: u32) -> Share {
        Share { load: overhead(active, inactive), by: weight.into() }
    }
}
