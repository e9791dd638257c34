//! Never queue (`ip_vs_nq.c`): the first in the list that has no active conn, else as sed.

use super::sed::Sed;
use super::share::{Measure, Share};

/// Nothing at all if idle, so that the first of the idle is chosen whatever its weight.
#[derive(Debug, Clone)]
pub struct Nq;

impl Measure for Nq {
    #[inline]
    fn share(weight: u32, active: u32, inactive: u32) -> Share {
        match active {
            0 => Share { load: 0, by: 1 },
            _ => Sed::share(weight, active, inactive),
        }
    }
}
