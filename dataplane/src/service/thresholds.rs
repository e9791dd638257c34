//! Counting a destination's conns against its thresholds (`ip_vs_bind_dest` and
//! `ip_vs_unbind_dest` in `ip_vs_conn.c`), by all workers at once.
//!
//! Unlike the kernel's, the upper threshold is a hard limit: the count is raised by compare and
//! exchange, so workers that choose the same destination at the same time never exceed it.

use super::{Dest, DestShared};
use std::sync::atomic::Ordering::{Relaxed, SeqCst};

impl Dest {
    /// Whether schedulers pass it over. Touches what workers share only if there is a threshold.
    #[inline]
    pub fn is_overloaded(&self) -> bool {
        self.u_threshold != 0 && self.shared.overloaded.load(Relaxed)
    }

    /// Counts a new conn that a scheduler chose it for. `false`, and nothing counted, if another
    /// worker took its last place since: it is overloaded then, so choose again.
    #[must_use]
    pub fn take_conn(&self) -> bool {
        if self.u_threshold == 0 {
            self.shared.conns.fetch_add(1, Relaxed);
            return true;
        }
        let counted = self
            .shared
            .conns
            .fetch_update(SeqCst, Relaxed, |conns| (conns < self.u_threshold).then_some(conns + 1));
        let conns = counted.map_or(self.u_threshold, |before| before + 1);
        if conns >= self.u_threshold {
            self.set_overloaded();
        }
        counted.is_ok()
    }

    /// Counts a conn that no scheduler chose, whatever the thresholds: one synchronised from a
    /// peer, adopted at start, or bound by a template.
    pub fn conn_added(&self) {
        let conns = self.shared.conns.fetch_add(1, SeqCst) + 1;
        if self.u_threshold != 0 && conns >= self.u_threshold {
            self.set_overloaded();
        }
    }

    /// Counts a conn that ended.
    pub fn conn_removed(&self) {
        let conns = self.shared.conn_removed();
        if self.has_room(conns) && self.shared.overloaded.load(SeqCst) {
            self.shared.overloaded.store(false, SeqCst);
        }
    }

    /// Applies an edit: the flag goes if there is no upper threshold any more or a higher one
    /// (`__ip_vs_update_dest` in `ip_vs_ctl.c`). Control calls it before it publishes the edit.
    pub fn thresholds_edited(&self, old_u_threshold: u32) {
        if self.u_threshold == 0 || self.u_threshold > old_u_threshold {
            self.shared.overloaded.store(false, SeqCst);
        }
    }

    /// Whether `conns` is few enough for an overloaded destination to be chosen again.
    fn has_room(&self, conns: u32) -> bool {
        let (conns, upper) = (u64::from(conns), u64::from(self.u_threshold));
        match (self.l_threshold, self.u_threshold) {
            (0, 0) => true,
            (0, _) => 4 * conns < 3 * upper,
            (lower, _) => conns < u64::from(lower),
        }
    }

    /// Looks at the count once more after setting the flag: conns that ended in between saw it
    /// unset, and after the last of them nobody else would ever clear it.
    fn set_overloaded(&self) {
        if self.shared.overloaded.swap(true, SeqCst) {
            return;
        }
        if self.has_room(self.shared.conns.load(SeqCst)) {
            self.shared.overloaded.store(false, SeqCst);
        }
    }
}

impl DestShared {
    /// Counts a conn that ended; returns how many are left. With the last one nothing is overloaded
    /// any more: a removed destination has no thresholds that would say so.
    ///
    /// A conn ends once, after it was counted; if that were ever broken, a wrong count is a smaller
    /// harm than a worker that dies.
    pub fn conn_removed(&self) -> u32 {
        let counted = self.conns.fetch_update(SeqCst, SeqCst, |conns| conns.checked_sub(1));
        debug_assert!(counted.is_ok(), "a conn ends once, after it was counted");
        let left = counted.map_or(0, |before| before - 1);
        if left == 0 {
            self.overloaded.store(false, SeqCst);
        }
        left
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::example::dest;
    use std::sync::atomic::AtomicU32;

    fn with_thresholds(upper: u32, lower: u32) -> Dest {
        Dest { u_threshold: upper, l_threshold: lower, ..dest(1, 1) }
    }

    #[test]
    fn overload_begins_at_the_upper_threshold() {
        let dest = with_thresholds(3, 0);
        assert!(dest.take_conn() && dest.take_conn() && !dest.is_overloaded());
        assert!(dest.take_conn() && dest.is_overloaded());
        assert!(!dest.take_conn());
        assert_eq!(dest.shared.conns.load(SeqCst), 3);
    }

    #[test]
    fn overload_ends_below_the_lower_threshold() {
        let dest = with_thresholds(4, 2);
        (0..4).for_each(|_| assert!(dest.take_conn()));
        for (conns, overloaded) in [(3, true), (2, true), (1, false)] {
            dest.conn_removed();
            assert_eq!(dest.is_overloaded(), overloaded, "{conns} conns");
        }
    }

    #[test]
    fn overload_ends_below_three_quarters_without_a_lower_threshold() {
        let dest = with_thresholds(8, 0);
        (0..8).for_each(|_| assert!(dest.take_conn()));
        for (conns, overloaded) in [(7, true), (6, true), (5, false)] {
            dest.conn_removed();
            assert_eq!(dest.is_overloaded(), overloaded, "{conns} conns");
        }
    }

    #[test]
    fn conns_that_no_scheduler_chose_may_exceed_the_threshold() {
        let dest = with_thresholds(1, 0);
        dest.conn_added();
        dest.conn_added();
        assert_eq!(dest.shared.conns.load(SeqCst), 2);
        assert!(dest.is_overloaded());
    }

    #[test]
    fn an_edit_clears_overload_only_upwards_or_to_none() {
        for (edited, overloaded) in [(4, true), (3, true), (5, false), (0, false)] {
            let mut dest = with_thresholds(4, 0);
            (0..4).for_each(|_| assert!(dest.take_conn()));
            dest.u_threshold = edited;
            dest.thresholds_edited(4);
            assert_eq!(dest.shared.overloaded.load(SeqCst), overloaded, "edited to {edited}");
        }
    }

    #[test]
    fn overload_noticed_after_the_conns_ended_does_not_stay() {
        let dest = with_thresholds(4, 0);
        dest.set_overloaded();
        assert!(!dest.is_overloaded());
    }

    #[test]
    fn racing_workers_never_exceed_the_threshold_nor_leave_it_stuck() {
        const UPPER: u32 = 5;
        let dest = with_thresholds(UPPER, 0);
        let most = AtomicU32::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..50_000 {
                        if dest.take_conn() {
                            most.fetch_max(dest.shared.conns.load(SeqCst), Relaxed);
                            dest.conn_removed();
                        }
                    }
                });
                scope.spawn(|| {
                    for _ in 0..50_000 {
                        let held = (0..UPPER).filter(|_| dest.take_conn()).count();
                        most.fetch_max(dest.shared.conns.load(SeqCst), Relaxed);
                        (0..held).for_each(|_| dest.conn_removed());
                    }
                });
            }
        });
        assert_eq!(most.into_inner(), UPPER, "the threads did race for the last place");
        assert_eq!(dest.shared.conns.load(SeqCst), 0);
        assert!(!dest.is_overloaded(), "nobody would ever clear it");
    }
}
