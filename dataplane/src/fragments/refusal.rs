//! Why the fragment cache lets a fragment not pass.

use crate::verdict::DropReason;

/// What is wrong with a fragment, or happened to it. All but [`Refusal::Duplicate`] and
/// [`Refusal::Timeout`] condemn the datagram: what else arrives of it is refused for the same
/// reason (RFC 5722 section 4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Refusal {
    /// Shares some bytes, but not all of its own, with what arrived before.
    Overlap,
    /// Brings nothing but bytes that arrived before. The kernel keeps the first copy, and so does
    /// the receiver of what is let through.
    Duplicate,
    /// The L4 header is not in the first fragment alone.
    Tiny,
    /// Ends beyond the 65,535 bytes of the largest datagram.
    TooLong,
    /// Empty, or one that others follow whose length is no multiple of 8.
    BadLength,
    /// Contradicts the last fragment about the datagram's length.
    BadEnd,
    /// The datagram is in more pieces than are kept account of, or more of it waits than may.
    TooMany,
    /// It waited for the first fragment, and the room was needed for newer ones.
    CacheFull,
    /// It waited for the first fragment, which did not come.
    Timeout,
}

impl Refusal {
    /// Every one, in the order of its counter.
    pub const ALL: [Refusal; 9] = [
        Refusal::Overlap,
        Refusal::Duplicate,
        Refusal::Tiny,
        Refusal::TooLong,
        Refusal::BadLength,
        Refusal::BadEnd,
        Refusal::TooMany,
        Refusal::CacheFull,
        Refusal::Timeout,
    ];

    /// Its counter among the drops.
    pub fn reason(self) -> DropReason {
        match self {
            Refusal::Overlap => DropReason::FragmentOverlap,
            Refusal::Duplicate => DropReason::FragmentDuplicate,
            Refusal::Tiny => DropReason::FragmentTiny,
            Refusal::TooLong => DropReason::FragmentTooLong,
            Refusal::BadLength => DropReason::FragmentBadLength,
            Refusal::BadEnd => DropReason::FragmentBadEnd,
            Refusal::TooMany => DropReason::FragmentTooMany,
            Refusal::CacheFull => DropReason::FragmentCacheFull,
            Refusal::Timeout => DropReason::FragmentTimeout,
        }
    }
}
