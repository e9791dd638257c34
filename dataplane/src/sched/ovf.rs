//! Weighted overflow (`ip_vs_ovf.c`): the heaviest whose active conns do not exceed its weight;
//! among equals the first in the list.

use super::share::{Measure, Share};

/// The lighter the worse. A destination takes one conn more than its weight before the next has
/// its turn, as the kernel compares.
#[derive(Debug, Clone)]
pub struct Ovf;

impl Measure for Ovf {
    #[inline]
    fn share(weight: u32, active: u32, _: u32) -> Share {
        match active {
            active if active > weight => Share::NONE,
            _ => Share { load: u64::from(u32::MAX - weight), by: 1 },
        }
    }
}
