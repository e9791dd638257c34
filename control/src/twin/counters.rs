//! What the twin thread did with each frame, and that it is alive. One writer, any readers.

use dataplane::verdict::PuntClass;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Declares a closed set of outcomes whose names are those of its counters.
macro_rules! outcomes {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name { $($(#[$vdoc])* $variant,)* }

        impl $name {
            /// Every outcome, in the order of its counter.
            pub const ALL: &'static [$name] = &[$($name::$variant,)*];
            /// How many outcomes there are.
            pub const COUNT: usize = Self::ALL.len();

            /// The name in listings and metrics.
            pub fn name(self) -> &'static str {
                match self { $($name::$variant => $text,)* }
            }
        }
    };
}

outcomes! {
    /// What became of a punted frame.
    ToKernel {
        /// Written to its TAP.
        Written = "written",
        /// Dropped: its class was over its rate.
        RateLimited = "rate_limited",
        /// Dropped: Linux had no buffer for it.
        KernelFull = "kernel_full",
        /// Dropped: Linux refused it, as it does while the interface is down.
        WriteError = "write_error",
        /// Dropped: its interface has no kernel twin.
        NoTwin = "no_twin",
    }
}

outcomes! {
    /// What became of a frame that Linux sent.
    FromKernel {
        /// Handed to the worker that transmits it.
        Handed = "handed",
        /// Dropped: the pool had no buffer.
        NoBuffer = "no_buffer",
        /// Dropped: larger than the interface's MTU or the buffer.
        Oversized = "oversized",
        /// Dropped: no room in front of it for the VLAN tag.
        NoHeadroom = "no_headroom",
        /// Dropped: the ring to its worker was full.
        RingFull = "ring_full",
    }
}

/// The twin thread's counters. Written by that thread alone, so that relaxed loads and stores do;
/// a reader sees each counter rise, and no instant at which they fit together.
#[derive(Debug, Default)]
pub struct TwinCounters {
    to_kernel: [[AtomicU64; ToKernel::COUNT]; PuntClass::COUNT],
    from_kernel: [AtomicU64; FromKernel::COUNT],
    taps_lost: AtomicU64,
    heartbeat: AtomicU64,
}

impl TwinCounters {
    /// Punted frames of a class that had this outcome.
    pub fn to_kernel(&self, class: PuntClass, outcome: ToKernel) -> u64 {
        self.to_kernel[class.index()][outcome as usize].load(Relaxed)
    }

    /// Frames from Linux that had this outcome.
    pub fn from_kernel(&self, outcome: FromKernel) -> u64 {
        self.from_kernel[outcome as usize].load(Relaxed)
    }

    /// TAPs that somebody deleted while they were in use.
    pub fn taps_lost(&self) -> u64 {
        self.taps_lost.load(Relaxed)
    }

    /// Turns of the thread's loop: at least some hundred a second as long as it does not stall.
    pub fn heartbeat(&self) -> u64 {
        self.heartbeat.load(Relaxed)
    }

    pub(super) fn count_to_kernel(&self, class: PuntClass, outcome: ToKernel) {
        bump(&self.to_kernel[class.index()][outcome as usize]);
    }

    pub(super) fn count_from_kernel(&self, outcome: FromKernel) {
        bump(&self.from_kernel[outcome as usize]);
    }

    pub(super) fn count_tap_lost(&self) {
        bump(&self.taps_lost);
    }

    pub(super) fn beat(&self) {
        bump(&self.heartbeat);
    }
}

/// Adds one without a locked instruction, which a single writer does not need.
fn bump(counter: &AtomicU64) {
    counter.store(counter.load(Relaxed).wrapping_add(1), Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_outcome_has_a_counter_of_its_own() {
        let counters = TwinCounters::default();
        for (i, &class) in PuntClass::ALL.iter().enumerate() {
            for (j, &outcome) in ToKernel::ALL.iter().enumerate() {
                (0..=i * ToKernel::COUNT + j)
                    .for_each(|_| counters.count_to_kernel(class, outcome));
            }
        }
        for (j, &outcome) in FromKernel::ALL.iter().enumerate() {
            (0..=j).for_each(|_| counters.count_from_kernel(outcome));
        }
        for (i, &class) in PuntClass::ALL.iter().enumerate() {
            for (j, &outcome) in ToKernel::ALL.iter().enumerate() {
                let expected = (i * ToKernel::COUNT + j + 1) as u64;
                assert_eq!(counters.to_kernel(class, outcome), expected);
            }
        }
        for (j, &outcome) in FromKernel::ALL.iter().enumerate() {
            assert_eq!(counters.from_kernel(outcome), j as u64 + 1);
        }
    }
}
