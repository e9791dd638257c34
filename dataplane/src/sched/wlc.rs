//! Weighted least connections (`ip_vs_wlc.c`): the smallest overhead per weight; among equals the
//! first in the list.

use crate::service::Dest;

/// Overheads compare per weight.
pub fn share(dest: &Dest) -> u64 {
    dest.weight.into()
}
