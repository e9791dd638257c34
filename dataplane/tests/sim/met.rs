//! What stories met with, so that a test can say it saw all it is about.

/// What a seed turned out to be, so that a test can say that it met what it is about.
#[derive(Debug, Default, Clone, Copy)]
pub struct Met {
    pub handed_over: u64,
    pub evicted: u64,
    pub table_full: u64,
    pub tx_full: u64,
    pub moved: u64,
    pub adopted: u64,
    pub half_applied: u64,
    pub strayed: u64,
    pub errors_passed: u64,
    pub errors_of_tunnels: u64,
    pub answers_to_locals: u64,
}

impl Met {
    pub fn plus(self, other: Met) -> Met {
        Met {
            handed_over: self.handed_over + other.handed_over,
            evicted: self.evicted + other.evicted,
            table_full: self.table_full + other.table_full,
            tx_full: self.tx_full + other.tx_full,
            moved: self.moved + other.moved,
            adopted: self.adopted + other.adopted,
            half_applied: self.half_applied + other.half_applied,
            strayed: self.strayed + other.strayed,
            errors_passed: self.errors_passed + other.errors_passed,
            errors_of_tunnels: self.errors_of_tunnels + other.errors_of_tunnels,
            answers_to_locals: self.answers_to_locals + other.answers_to_locals,
        }
    }

    pub fn assert_all(&self) {
        let Met {
            handed_over,
            evicted,
            table_full,
            tx_full,
            moved,
            adopted,
            half_applied,
            strayed,
            errors_passed,
            errors_of_tunnels,
            answers_to_locals,
        } = *self;
        let all = [
            handed_over,
            evicted,
            table_full,
            tx_full,
            moved,
            adopted,
            half_applied,
            strayed,
            errors_passed,
            errors_of_tunnels,
            answers_to_locals,
        ];
        assert!(all.iter().all(|&count| count > 0), "not all has happened: {self:?}");
    }
}
