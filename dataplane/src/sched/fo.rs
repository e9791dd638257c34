//! Weighted failover (`ip_vs_fo.c`): the heaviest that is available; among equals the first in the
//! list.

use super::is_available;
use crate::service::Dest;

/// Everything to one destination until it fails.
pub fn choose(dests: &[Dest]) -> Option<usize> {
    super::heaviest(dests, is_available)
}
