//! Coarse time, handed in once per window: nothing below the worker's loop reads a clock.

use bytemuck::{Pod, Zeroable};

/// Ticks per second: the resolution of every conn timeout.
pub const TICKS_PER_SECOND: u32 = 16;

/// A moment, in 1/16 s of the system's boot time (`CLOCK_BOOTTIME`), modulo 2³² (8.5 years).
/// Ages are wrapping differences, so the wrap is harmless.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Pod, Zeroable)]
#[repr(transparent)]
pub struct Tick(pub u32);

impl Tick {
    /// The moment `seconds` after boot.
    pub fn from_secs(seconds: u32) -> Self {
        Tick(seconds.wrapping_mul(TICKS_PER_SECOND))
    }

    /// The moment a duration after boot stands for, rounded down.
    pub fn from_boot(since_boot: std::time::Duration) -> Self {
        let sixteenths = u64::from(TICKS_PER_SECOND) * since_boot.as_secs()
            + u64::from(since_boot.subsec_millis()) * u64::from(TICKS_PER_SECOND) / 1000;
        Tick(sixteenths as u32)
    }

    /// Ticks from `earlier` to `self`, wrapping.
    #[inline]
    pub fn since(self, earlier: Tick) -> u32 {
        self.0.wrapping_sub(earlier.0)
    }

    /// The moment `ticks` later, wrapping.
    #[inline]
    pub fn after(self, ticks: u32) -> Tick {
        Tick(self.0.wrapping_add(ticks))
    }
}

/// Seconds as ticks, saturating: 31 days, the longest timeout IPVS takes, fit easily.
#[inline]
pub const fn ticks(seconds: u32) -> u32 {
    seconds.saturating_mul(TICKS_PER_SECOND)
}
