//! When a template is over (`ip_vs_conn_expire` in `ip_vs_conn.c`).
//!
//! Nothing happens at a deadline: what the kernel's timer would have done since is computed when
//! somebody asks. So answers are exact however late the sweep comes, and however late a child that
//! ended is reported, as long as the report says when it ended.

use crate::time::{Tick, ticks};
use bytemuck::{Pod, Zeroable};

/// How long the end of a template with children is put off; its timeout from then on.
pub(super) const RETRY: u32 = ticks(60);

/// A template's timer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub(super) struct Timer {
    deadline: Tick,
    /// In ticks.
    pub timeout: u32,
}

impl Timer {
    /// A timer that starts at `now`.
    pub fn start(now: Tick, timeout: u32) -> Timer {
        Timer { deadline: now.after(timeout), timeout }
    }

    /// The timer started again, with the timeout that it has.
    pub fn restarted(self, now: Tick) -> Timer {
        Timer::start(now, self.timeout)
    }

    /// The timer of a template that somebody wanted to end while it had children.
    pub fn put_off(now: Tick) -> Timer {
        Timer::start(now, RETRY)
    }

    /// The timer as it became by deadlines that passed before `until`, up to which there were
    /// children.
    pub fn retried(self, until: Tick) -> Timer {
        match u32::try_from(until.since(self.deadline) as i32) {
            Ok(late @ 1..) => {
                let put_off = late.div_ceil(RETRY) * RETRY;
                Timer { deadline: self.deadline.after(put_off), timeout: RETRY }
            }
            _ => self,
        }
    }

    /// Whether the deadline has come.
    pub fn is_over(self, now: Tick) -> bool {
        now.since(self.deadline) as i32 >= 0
    }

    /// Ticks left, 0 once it is over.
    pub fn remaining(self, now: Tick) -> u32 {
        u32::try_from(self.deadline.since(now) as i32).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Tick = Tick(u32::MAX - 20);

    fn secs(seconds: u32) -> Tick {
        START.after(ticks(seconds))
    }

    #[test]
    fn a_timer_is_over_at_its_deadline_not_before_and_stays_so() {
        let timer = Timer::start(START, ticks(3));
        assert_eq!(timer.remaining(secs(1)), ticks(2));
        assert!(!timer.is_over(START.after(ticks(3) - 1)));
        assert!(timer.is_over(secs(3)) && timer.is_over(secs(300_000)));
        assert_eq!(timer.remaining(secs(9)), 0);
    }

    #[test]
    fn deadlines_before_the_last_child_ended_are_put_off_by_60_seconds_each() {
        let timer = Timer::start(START, ticks(3));
        for (until, end, timeout) in
            [(0, 3, 3), (3, 3, 3), (4, 63, 60), (63, 63, 60), (64, 123, 60), (6003, 6003, 60)]
        {
            let retried = timer.retried(secs(until));
            assert_eq!(retried.remaining(START), ticks(end), "children until {until}");
            assert_eq!(retried.timeout, ticks(timeout), "children until {until}");
        }
    }

    #[test]
    fn retries_may_be_applied_one_by_one_or_all_at_once() {
        let timer = Timer::start(START, ticks(7));
        let stepwise = (0..500).fold(timer, |timer, second| timer.retried(secs(second)));
        assert_eq!(stepwise, timer.retried(secs(499)));
    }
}
