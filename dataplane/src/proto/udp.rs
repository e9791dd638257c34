//! UDP's one state (`ip_vs_proto_udp.c`): every packet re-arms its timer.

use crate::time::ticks;

/// `IP_VS_UDP_S_NORMAL`.
pub const NORMAL: u8 = 0;

/// As `ipvsadm -Lnc` prints it.
pub const NAME: &str = "UDP";

/// In ticks.
pub const DEFAULT_TIMEOUT: u32 = ticks(300);
