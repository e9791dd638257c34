//! Control connections and their data connections, announced or under way.
//!
//! A control connection's entry outlives its timer as long as it has children (`n_control`,
//! `ip_vs_conn_expire` in `ip_vs_conn.c`). Its children may be conns of any worker, so the count is
//! shared: a place in a table, held by the control conn and by each child. The last to leave frees it.

use crate::limits::{FAMILIES, FAMILY_PROBES};
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;

/// Names a family. Zero is none, which nobody is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FamilyId(pub u32);

/// The members of all families.
#[derive(Debug)]
pub struct Families {
    members: Box<[AtomicU32]>,
}

impl Families {
    pub(super) fn new() -> Families {
        Families { members: (0..FAMILIES).map(|_| AtomicU32::new(0)).collect() }
    }

    /// A control connection's new family, itself the only member. The search begins at a place that
    /// `hint` gives and is short; where all is taken there is none, and nothing holds the control conn.
    pub fn begin(&self, hint: u64) -> FamilyId {
        let begin = hint as usize;
        let places = (0..FAMILY_PROBES).map(|step| begin.wrapping_add(step) % FAMILIES);
        let free =
            |place: &usize| self.members[*place].compare_exchange(0, 1, Relaxed, Relaxed).is_ok();
        let found = { places }.find(free);
        FamilyId(found.map_or(0, |place| place as u32 + 1))
    }

    /// A child more.
    pub fn join(&self, family: FamilyId) {
        if let Some(members) = self.members(family) {
            members.fetch_add(1, Relaxed);
        }
    }

    /// A member less.
    pub fn leave(&self, family: FamilyId) {
        if let Some(members) = self.members(family) {
            let left = members.fetch_update(Relaxed, Relaxed, |count| count.checked_sub(1));
            debug_assert!(left.is_ok(), "a member leaves once");
        }
    }

    /// Whether the family of a control conn has other members.
    pub fn has_children(&self, family: FamilyId) -> bool {
        self.members(family).is_some_and(|members| members.load(Relaxed) > 1)
    }

    fn members(&self, family: FamilyId) -> Option<&AtomicU32> {
        self.members.get((family.0 as usize).checked_sub(1)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_another_familys_when_the_last_member_left() {
        let families = Families::new();
        let first = families.begin(7);
        families.join(first);
        assert!(families.has_children(first));
        families.leave(first);
        assert!(!families.has_children(first), "the control conn itself is none");
        assert_ne!(families.begin(7), first);
        families.leave(first);
        assert_eq!(families.begin(7), first);
    }

    #[test]
    fn a_child_keeps_the_place_after_its_control_conn_ended() {
        let families = Families::new();
        let family = families.begin(u64::MAX);
        families.join(family);
        families.leave(family);
        assert_ne!(families.begin(u64::MAX), family);
        families.leave(family);
        assert_eq!(families.begin(u64::MAX), family);
    }

    #[test]
    fn where_all_places_are_taken_there_is_no_family() {
        let families = Families::new();
        let begun = (0..FAMILY_PROBES).map(|_| families.begin(0)).collect::<Vec<_>>();
        assert!(begun.iter().all(|family| *family != FamilyId::default()));
        let none = families.begin(0);
        assert_eq!(none, FamilyId::default());
        families.join(none);
        families.leave(none);
        assert!(!families.has_children(none));
    }
}
