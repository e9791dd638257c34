//! Shortest expected delay (`ip_vs_sed.c`): the fewest active conns per weight, the new one
//! counted in; among equals the first in the list.

use super::share::{Measure, Share};

/// Active conns with the new one, per weight. Idle conns cost nothing.
#[derive(Debug, Clone)]
pub struct Sed;

impl Measure for Sed {
    #[inline]
    fn share(weight: u32, active: u32, _: u32) -> Share {
        Share { load: u64::from(active) + 1, by: weight.into() }
    }
}
