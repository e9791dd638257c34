//! Weighted overflow (`ip_vs_ovf.c`): the heaviest whose active conns do not exceed its weight;
//! among equals the first in the list.

use super::{Loads, is_available};
use crate::service::Dest;

/// A destination takes one conn more than its weight before the next has its turn, as the kernel
/// compares.
pub fn choose(dests: &[Dest], loads: &impl Loads) -> Option<usize> {
    super::heaviest(dests, |dest| is_available(dest) && loads.active(dest.id) <= dest.weight)
}
