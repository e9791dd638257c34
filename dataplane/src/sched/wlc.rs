//! Weighted least connections (`ip_vs_wlc.c`): the smallest overhead per weight; among equals the
//! first in the list.

use super::{Loads, is_available, overhead};
use crate::service::Dest;

pub fn choose(dests: &[Dest], loads: &impl Loads) -> Option<usize> {
    let available = (0..dests.len()).filter(|&at| is_available(&dests[at]));
    let loaded = available.map(|at| (at, overhead(&dests[at], loads), u64::from(dests[at].weight)));
    // Fractions compared by cross multiplication, in 64 bits: 2^40 conns times 2^24 fit, and so
    // does every weight up to there.
    loaded
        .reduce(|least, next| if least.1 * next.2 > next.1 * least.2 { next } else { least })
        .map(|(at, ..)| at)
}
