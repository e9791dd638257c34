//! What few conns need, kept out of the 64 bytes that all pay for: sequence deltas, templates'
//! links, persistence data. A bounded array of records, each owned by one conn and freed with it.

use super::ConnId;
use bytemuck::{Pod, Zeroable};

/// Bytes of a record that are its user's.
pub const SIDE_BYTES: usize = 56;

/// What a record holds. 0 is no record; the users of the table number theirs from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
#[repr(transparent)]
pub struct SideKind(pub u8);

/// One record of 64 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
#[repr(C, align(64))]
pub struct SideRecord {
    /// Entry of the conn it belongs to, plus one; 0 while free.
    owner: u32,
    kind: SideKind,
    reserved: [u8; 3],
    /// The content, in the layout of its kind. Zero at first.
    pub bytes: [u8; SIDE_BYTES],
}

const _: () = assert!(size_of::<SideRecord>() == 64, "a side record is one cache line");

impl SideRecord {
    /// What it holds.
    pub fn kind(&self) -> SideKind {
        self.kind
    }

    /// Entry of the conn it belongs to.
    pub(super) fn owner_entry(&self) -> Option<usize> {
        self.owner.checked_sub(1).map(|entry| entry as usize)
    }

    pub(super) fn belongs_to(&self, conn: ConnId) -> bool {
        self.owner == conn.0 + 1
    }
}

/// The records, and which are free.
pub(super) struct SideTable {
    records: &'static mut [SideRecord],
    /// Numbers of free records; never more than there are records, so that it never grows.
    free: Vec<u32>,
}

impl SideTable {
    /// Takes over `records`; those that `in_use` denies are cleared and free.
    pub(super) fn new(
        records: &'static mut [SideRecord],
        in_use: impl Fn(u32, &SideRecord) -> bool,
    ) -> SideTable {
        let mut free = Vec::with_capacity(records.len());
        for number in (0..records.len() as u32).rev() {
            let record = &mut records[number as usize];
            if !in_use(number, record) {
                *record = SideRecord::zeroed();
                free.push(number);
            }
        }
        SideTable { records, free }
    }

    pub(super) fn alloc(&mut self, owner: ConnId, kind: SideKind) -> Option<u32> {
        let number = self.free.pop()?;
        let record = SideRecord { kind, owner: owner.0 + 1, ..SideRecord::zeroed() };
        self.records[number as usize] = record;
        Some(number)
    }

    pub(super) fn free(&mut self, number: u32) {
        self.records[number as usize].owner = 0;
        self.free.push(number);
    }

    pub(super) fn get(&self, number: u32) -> &SideRecord {
        &self.records[number as usize]
    }

    pub(super) fn get_mut(&mut self, number: u32) -> &mut SideRecord {
        &mut self.records[number as usize]
    }

    pub(super) fn free_count(&self) -> usize {
        self.free.len()
    }

    pub(super) fn records(&self) -> &[SideRecord] {
        self.records
    }
}
