//! The schedulers' names, and the flags some of them take.

use bitflags::bitflags;

/// The schedulers that exist, by ipvsadm's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SchedulerKind {
    /// Round robin.
    Rr,
    /// Weighted round robin.
    Wrr,
    /// Least connections.
    Lc,
    /// Weighted least connections.
    Wlc,
    /// Locality-based least connections.
    Lblc,
    /// Locality-based least connections with replication.
    Lblcr,
    /// Destination hashing.
    Dh,
    /// Source hashing.
    Sh,
    /// Shortest expected delay.
    Sed,
    /// Never queue.
    Nq,
    /// Weighted failover.
    Fo,
    /// Weighted overflow.
    Ovf,
    /// Maglev hashing.
    Mh,
    /// Power of two choices.
    Twos,
}

impl SchedulerKind {
    /// Every scheduler, in the order of ipvsadm's manual.
    pub const ALL: [SchedulerKind; 14] = [
        Self::Rr,
        Self::Wrr,
        Self::Lc,
        Self::Wlc,
        Self::Lblc,
        Self::Lblcr,
        Self::Dh,
        Self::Sh,
        Self::Sed,
        Self::Nq,
        Self::Fo,
        Self::Ovf,
        Self::Mh,
        Self::Twos,
    ];

    /// As ipvsadm writes it.
    pub fn name(self) -> &'static str {
        match self {
            SchedulerKind::Rr => "rr",
            SchedulerKind::Wrr => "wrr",
            SchedulerKind::Lc => "lc",
            SchedulerKind::Wlc => "wlc",
            SchedulerKind::Lblc => "lblc",
            SchedulerKind::Lblcr => "lblcr",
            SchedulerKind::Dh => "dh",
            SchedulerKind::Sh => "sh",
            SchedulerKind::Sed => "sed",
            SchedulerKind::Nq => "nq",
            SchedulerKind::Fo => "fo",
            SchedulerKind::Ovf => "ovf",
            SchedulerKind::Mh => "mh",
            SchedulerKind::Twos => "twos",
        }
    }

    /// The scheduler ipvsadm calls `name`, if it exists.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

bitflags! {
    /// Flags of a service that its scheduler reads (`IP_VS_SVC_F_SCHED1` to `3`, `ip_vs.h`). Each
    /// scheduler gives them its own meaning; most give them none.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
    pub struct SchedFlags: u8 {
        /// sh, mh: another destination if the hashed one is not available.
        const FALLBACK = 1;
        /// sh, mh: the client's port is hashed too.
        const PORT = 2;
        /// Nobody's.
        const THIRD = 4;
    }
}

/// Why a name is no flag of a scheduler.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FlagError {
    /// No flag has this name.
    Invalid,
    /// Another scheduler's flag.
    Incompatible,
}

/// ipvsadm's names, and whose they are; the nameless come last for every flag.
const FLAGS: [(&str, SchedFlags, Option<SchedulerKind>); 7] = [
    ("sh-fallback", SchedFlags::FALLBACK, Some(SchedulerKind::Sh)),
    ("sh-port", SchedFlags::PORT, Some(SchedulerKind::Sh)),
    ("mh-fallback", SchedFlags::FALLBACK, Some(SchedulerKind::Mh)),
    ("mh-port", SchedFlags::PORT, Some(SchedulerKind::Mh)),
    ("flag-1", SchedFlags::FALLBACK, None),
    ("flag-2", SchedFlags::PORT, None),
    ("flag-3", SchedFlags::THIRD, None),
];

/// How a service chooses: its scheduler, and what the scheduler is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Scheduling {
    /// The scheduler.
    pub kind: SchedulerKind,
    /// Its flags.
    pub flags: SchedFlags,
}

impl From<SchedulerKind> for Scheduling {
    /// Without flags.
    fn from(kind: SchedulerKind) -> Self {
        Scheduling { kind, flags: SchedFlags::empty() }
    }
}

impl Scheduling {
    /// With the flag of this name, too.
    ///
    /// # Errors
    /// It is no flag, or not this scheduler's.
    pub fn with_flag(self, name: &str) -> Result<Self, FlagError> {
        let row = FLAGS.iter().find(|row| row.0 == name).ok_or(FlagError::Invalid)?;
        match row.2 {
            Some(owner) if owner != self.kind => Err(FlagError::Incompatible),
            _ => Ok(Scheduling { flags: self.flags | row.1, ..self }),
        }
    }

    /// The names of its flags, by their bits.
    pub fn flag_names(self) -> impl Iterator<Item = &'static str> {
        self.flags.iter().filter_map(move |flag| {
            let fits = |owner: Option<SchedulerKind>| owner.is_none_or(|owner| owner == self.kind);
            FLAGS.iter().find(|row| row.1 == flag && fits(row.2)).map(|row| row.0)
        })
    }
}
