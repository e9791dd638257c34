//! The local addresses of fullnat, which conns name by an index of two bytes.

use crate::address::Address;
use crate::limits::MAX_LOCALS;
use std::net::IpAddr;

/// Addresses by index, of either family. Index 0 names none. An index keeps its address as long as
/// a conn may name it; control sees to that. They lie in the table's region, because conns are found
/// by them: who adopts the conns has their local addresses before any is hashed.
#[derive(Debug)]
pub struct Locals {
    v4: &'static mut [u32],
    v6: &'static mut [u128],
}

impl Locals {
    /// Those in a region's memory, [`MAX_LOCALS`] of each family.
    pub(super) fn over(v4: &'static mut [u32], v6: &'static mut [u128]) -> Locals {
        assert_eq!((v4.len(), v6.len()), (MAX_LOCALS, MAX_LOCALS));
        Locals { v4, v6 }
    }

    /// Their bytes, as they lie in the region.
    pub(super) fn bytes(&self) -> [&[u8]; 2] {
        [bytemuck::cast_slice(self.v6), bytemuck::cast_slice(self.v4)]
    }

    /// Gives an index, above 0 and below [`MAX_LOCALS`], its address.
    ///
    /// # Panics
    /// If the index is out of these bounds.
    pub fn set(&mut self, index: u16, address: IpAddr) {
        assert!(index > 0, "index 0 names no local address");
        self.v4[usize::from(index)] = u32::of(address).unwrap_or(0);
        self.v6[usize::from(index)] = u128::of(address).unwrap_or(0);
    }

    /// The IPv4 address of an index; 0 if it has none.
    #[inline]
    pub(super) fn v4(&self, index: u16) -> u32 {
        self.v4.get(usize::from(index)).copied().unwrap_or(0)
    }

    /// The IPv6 address of an index; 0 if it has none.
    #[inline]
    pub(super) fn v6(&self, index: u16) -> u128 {
        self.v6.get(usize::from(index)).copied().unwrap_or(0)
    }
}
