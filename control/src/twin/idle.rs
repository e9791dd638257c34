//! How long the twin thread sleeps. Frames from Linux wake it, punted ones do not (a worker makes
//! no system call), so its sleep is what a punted frame may wait: short while there is traffic,
//! up to [`LONGEST`] when there has been none for a while: 1 % of a core where a turn costs 20 µs.
//! The answer to what Linux itself sends meets a twin just woken.

use std::time::Duration;

/// The first sleep after traffic.
const SHORTEST: Duration = Duration::from_micros(20);
/// What a punted frame waits at most.
const LONGEST: Duration = Duration::from_millis(2);

/// The sleep before the next turn.
#[derive(Debug, Default)]
pub struct Idle {
    sleep: Duration,
}

impl Idle {
    /// The sleep after a turn that moved something or nothing.
    pub fn after(&mut self, moved: bool) -> Duration {
        self.sleep = match moved {
            true => Duration::ZERO,
            // An eighth more each time: some 40 turns, 20 ms, from the shortest to the longest.
            false => (self.sleep + self.sleep / 8).clamp(SHORTEST, LONGEST),
        };
        self.sleep
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sleep_grows_from_the_shortest_to_the_longest_within_twenty_milliseconds_and_traffic_ends_it()
    {
        let mut idle = Idle::default();
        assert_eq!(idle.after(true), Duration::ZERO);
        assert_eq!(idle.after(false), SHORTEST);
        let mut slept = Duration::ZERO;
        let mut last = SHORTEST;
        while last < LONGEST {
            let next = idle.after(false);
            assert!(next > last);
            slept += next;
            last = next;
        }
        assert!(slept < Duration::from_millis(20), "{slept:?}");
        assert_eq!(idle.after(false), LONGEST);
        assert_eq!(idle.after(true), Duration::ZERO);
    }
}
