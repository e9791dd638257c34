//! The memory of one worker's table: a single mapping, taken at start and kept for the life of the
//! process, so that another process can take it over.
//!
//! ```text
//! header | local addresses | entries | side records | index
//!          \------------ survive ---------------/   \ rebuilt on adoption
//! ```

use super::entry::Conn;
use super::index::Bucket;
use super::locals::Locals;
use super::side::SideRecord;
use crate::limits::MAX_LOCALS;
use crate::time::TICKS_PER_SECOND;
use bytemuck::{Pod, Zeroable};
use memmap2::{Advice, MmapMut, MmapOptions};
use std::fmt;

/// "SLUICECT", the first bytes of a region.
const MAGIC: u64 = u64::from_le_bytes(*b"SLUICECT");

/// Changes with the meaning of any byte that survives.
const VERSION: u32 = 3;

/// Times in the region are `CLOCK_BOOTTIME`, which survives the process but not the machine.
const CLOCK_BOOTTIME: u32 = 7;

const HUGE_PAGE_BITS: u8 = 21;
const HUGE_PAGE: usize = 1 << HUGE_PAGE_BITS;

/// Most entries of a table: a reference of the index is an entry's number and a direction.
const MAX_ENTRIES: usize = 1 << 30;

/// Why there is no memory for a table, or none that can be adopted.
#[derive(Debug)]
pub enum RegionError {
    /// The system has not that many huge pages of 2 MiB free.
    NoHugePages {
        /// How many are needed.
        pages: usize,
        /// What the system said.
        source: std::io::Error,
    },
    /// The system has not that much memory.
    NoMemory {
        /// How much is needed.
        bytes: usize,
        /// What the system said.
        source: std::io::Error,
    },
    /// The table would have more entries than references can name, or none.
    Capacity {
        /// The capacity asked for.
        capacity: usize,
    },
    /// The bytes are not a region that this program can take over.
    NotAdoptable {
        /// What is wrong with them.
        why: &'static str,
    },
}

impl fmt::Display for RegionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RegionError::NoHugePages { pages, source } => write!(
                f,
                "the connection table needs {pages} free huge pages of 2 MiB ({source}): \
                 raise vm.nr_hugepages, lower its capacity or turn its huge pages off"
            ),
            RegionError::NoMemory { bytes, source } => {
                write!(f, "the connection table needs {bytes} bytes of memory ({source})")
            }
            RegionError::Capacity { capacity } => {
                write!(f, "a connection table cannot have a capacity of {capacity} conns")
            }
            RegionError::NotAdoptable { why } => {
                write!(f, "the old connection table cannot be taken over: {why}")
            }
        }
    }
}

impl std::error::Error for RegionError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            RegionError::NoHugePages { source, .. } | RegionError::NoMemory { source, .. } => {
                Some(source)
            }
            RegionError::Capacity { .. } | RegionError::NotAdoptable { .. } => None,
        }
    }
}

/// The first 64 bytes of a region: what a later process must know to take it over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
#[repr(C, align(64))]
pub(super) struct Header {
    magic: u64,
    version: u32,
    entry_size: u32,
    /// Conns that may be live at once; there are a few more entries.
    pub(super) capacity: u64,
    pub(super) side_capacity: u64,
    /// The hash's secret.
    pub(super) secret: [u64; 2],
    /// What `Tick`s count.
    ticks_per_second: u32,
    clock: u32,
    reserved: u64,
}

const _: () = assert!(size_of::<Header>() == 64, "the header is one cache line");

impl Header {
    pub(super) fn new(capacity: usize, side_capacity: usize, secret: [u64; 2]) -> Header {
        Header {
            magic: MAGIC,
            version: VERSION,
            entry_size: size_of::<Conn>() as u32,
            capacity: capacity as u64,
            side_capacity: side_capacity as u64,
            secret,
            ticks_per_second: TICKS_PER_SECOND,
            clock: CLOCK_BOOTTIME,
            reserved: 0,
        }
    }

    /// Whether this program understands a region with this header.
    fn check(&self) -> Result<(), RegionError> {
        let expected =
            Header::new(self.capacity as usize, self.side_capacity as usize, self.secret);
        let why = if self.magic != expected.magic {
            "it does not begin like one"
        } else if self.version != expected.version {
            "it was written by a program with another layout"
        } else if *self != expected {
            "it has other sizes or another clock"
        } else {
            return Ok(());
        };
        Err(RegionError::NotAdoptable { why })
    }
}

/// Where the parts of a region are.
#[derive(Debug, Clone, Copy)]
struct Layout {
    entries: usize,
    side: usize,
    buckets: usize,
}

impl Layout {
    fn of(header: &Header) -> Result<Layout, RegionError> {
        let capacity = header.capacity as usize;
        let spare = super::table::SPARE_ENTRIES;
        let fits = (1..=MAX_ENTRIES - spare).contains(&capacity)
            && header.side_capacity <= MAX_ENTRIES as u64;
        if !fits {
            return Err(RegionError::Capacity { capacity });
        }
        Ok(Layout {
            entries: capacity + spare,
            side: header.side_capacity as usize,
            buckets: super::index::buckets_for(capacity),
        })
    }

    /// Bytes that survive.
    fn surviving(&self) -> usize {
        size_of::<Header>()
            + LOCALS_BYTES
            + self.entries * size_of::<Conn>()
            + self.side * size_of::<SideRecord>()
    }

    fn bytes(&self) -> usize {
        self.surviving() + self.buckets * size_of::<Bucket>()
    }
}

/// The local addresses, of both families: whole cache lines.
pub(super) const LOCALS_BYTES: usize = MAX_LOCALS * (size_of::<u32>() + size_of::<u128>());

const _: () = assert!(LOCALS_BYTES % 64 == 0, "entries begin with a cache line");

/// The mapped memory of a table.
#[derive(Debug)]
pub struct Region {
    map: MmapMut,
}

/// A region's memory as what it holds.
pub(super) struct Parts {
    pub(super) header: &'static mut [Header],
    pub(super) locals: Locals,
    pub(super) entries: &'static mut [Conn],
    pub(super) side: &'static mut [SideRecord],
    pub(super) buckets: &'static mut [Bucket],
}

impl Region {
    /// A fresh region for a table of that shape, zero but for the header, every page present.
    pub(super) fn new(header: Header, huge_pages: bool) -> Result<Region, RegionError> {
        let bytes = Layout::of(&header)?.bytes();
        let mut map = if huge_pages { map_huge(bytes) } else { map_ordinary(bytes) }?;
        map.fill(0);
        map[..size_of::<Header>()].copy_from_slice(bytemuck::bytes_of(&header));
        Ok(Region { map })
    }

    /// A region with the surviving bytes of another one, as [`super::ConnTable::image`] gives them.
    ///
    /// # Errors
    /// [`RegionError::NotAdoptable`] if they are not such bytes, or the memory's errors.
    pub fn from_image(image: &[u8], huge_pages: bool) -> Result<Region, RegionError> {
        let header = header_of(image)?;
        if image.len() != Layout::of(&header)?.surviving() {
            return Err(RegionError::NotAdoptable { why: "it is cut short" });
        }
        let mut region = Region::new(header, huge_pages)?;
        region.map[..image.len()].copy_from_slice(image);
        Ok(region)
    }

    /// Hands the memory out, checked and cut into its parts, for good: a table's memory stays
    /// mapped as long as the process lives.
    pub(super) fn into_parts(self) -> Result<Parts, RegionError> {
        let layout = Layout::of(&header_of(&self.map)?)?;
        if self.map.len() < layout.bytes() {
            return Err(RegionError::NotAdoptable { why: "it is cut short" });
        }
        let bytes: &'static mut [u8] = &mut Box::leak(Box::new(self.map))[..];
        let (header, bytes) = bytes.split_at_mut(size_of::<Header>());
        let (locals_v6, bytes) = bytes.split_at_mut(MAX_LOCALS * size_of::<u128>());
        let (locals_v4, bytes) = bytes.split_at_mut(MAX_LOCALS * size_of::<u32>());
        let (entries, bytes) = bytes.split_at_mut(layout.entries * size_of::<Conn>());
        let (side, bytes) = bytes.split_at_mut(layout.side * size_of::<SideRecord>());
        let (buckets, _) = bytes.split_at_mut(layout.buckets * size_of::<Bucket>());
        Ok(Parts {
            header: bytemuck::cast_slice_mut(header),
            locals: Locals::over(
                bytemuck::cast_slice_mut(locals_v4),
                bytemuck::cast_slice_mut(locals_v6),
            ),
            entries: bytemuck::cast_slice_mut(entries),
            side: bytemuck::cast_slice_mut(side),
            buckets: bytemuck::cast_slice_mut(buckets),
        })
    }
}

fn header_of(bytes: &[u8]) -> Result<Header, RegionError> {
    let header = bytes
        .get(..size_of::<Header>())
        .ok_or(RegionError::NotAdoptable { why: "it is cut short" })?;
    let header: Header = bytemuck::pod_read_unaligned(header);
    header.check()?;
    Ok(header)
}

fn map_huge(bytes: usize) -> Result<MmapMut, RegionError> {
    let pages = bytes.div_ceil(HUGE_PAGE);
    MmapOptions::new()
        .len(pages * HUGE_PAGE)
        .huge(Some(HUGE_PAGE_BITS))
        .populate()
        .map_anon()
        .map_err(|source| RegionError::NoHugePages { pages, source })
}

fn map_ordinary(bytes: usize) -> Result<MmapMut, RegionError> {
    let map = MmapOptions::new()
        .len(bytes)
        .map_anon()
        .map_err(|source| RegionError::NoMemory { bytes, source })?;
    // Transparent huge pages where the system has them; nobody asked, so nobody need be told.
    #[cfg(not(miri))]
    let _ = map.advise(Advice::HugePage);
    Ok(map)
}
