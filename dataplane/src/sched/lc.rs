//! Least connections (`ip_vs_lc.c`): the smallest overhead, weights ignored but for 0; among equals
//! the first in the list.

use super::{Loads, is_available, overhead};
use crate::service::Dest;

pub fn choose(dests: &[Dest], loads: &impl Loads) -> Option<usize> {
    let available = (0..dests.len()).filter(|&at| is_available(&dests[at]));
    available.min_by_key(|&at| overhead(&dests[at], loads))
}
