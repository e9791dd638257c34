//! The local addresses of fullnat, which conns name by an index of two bytes.

use crate::address::Address;
use crate::limits::MAX_LOCALS;
use std::net::IpAddr;

/// Addresses by index, of either family. Index 0 names none. An index keeps its address as long as
/// a conn may name it; control sees to that.
#[derive(Debug)]
pub struct Locals {
    v4: Box<[u32]>,
    v6: Box<[u128]>,
}

impl Locals {
    /// None yet.
    pub(super) fn new() -> Locals {
        Locals { v4: vec![0; MAX_LOCALS].into(), v6: vec![0; MAX_LOCALS].into() }
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
