//! Address families: what the data path is written over once, for IPv4 and IPv6 alike.
//!
//! A packet's addresses are integers in host order, `u32` for IPv4 and `u128` for IPv6, so
//! that the way of an IPv4 packet moves no byte more than it must. Tables that control compiles
//! name addresses of any family by [`IpAddr`].

use crate::by_family::Pick;
use std::fmt::Debug;
use std::hash::Hash;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::BitAnd;

/// The two families.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// The family of an address.
    pub fn of(address: IpAddr) -> Family {
        if address.is_ipv4() { Family::V4 } else { Family::V6 }
    }

    /// The length of its addresses in bits.
    pub fn bits(self) -> u8 {
        match self {
            Family::V4 => <u32 as Address>::BITS,
            Family::V6 => <u128 as Address>::BITS,
        }
    }
}

/// An address of one family, host order: 10.0.0.1 is `0x0a00_0001`, ::1 is 1.
pub trait Address:
    Pick
    + Copy
    + Debug
    + Default
    + Eq
    + Ord
    + Hash
    + Send
    + Sync
    + Into<u128>
    + BitAnd<Output = Self>
    + 'static
{
    /// Its family.
    const FAMILY: Family;
    /// Its length in bits.
    const BITS: u8;

    /// Its bytes as they are on the wire.
    type Bytes: Copy + AsRef<[u8]> + IntoIterator<Item = u8>;

    /// Its bytes, the most significant first.
    fn bytes(self) -> Self::Bytes;

    /// The mask of a network whose prefix has so many bits; more than [`Address::BITS`] are as many.
    fn netmask(len: u8) -> Self;

    /// The address as one of any family.
    fn ip(self) -> IpAddr;

    /// The address, if it is of this family.
    fn of(address: IpAddr) -> Option<Self>;

    /// 32 bits that stand for it in the hashes of schedulers: an IPv6 address's four words, added
    /// without carry (`ip_vs_addr_fold` and its like).
    fn fold(self) -> u32;
}

impl Address for u32 {
    const FAMILY: Family = Family::V4;
    const BITS: u8 = 32;
    type Bytes = [u8; 4];

    #[inline]
    fn bytes(self) -> [u8; 4] {
        self.to_be_bytes()
    }

    #[inline]
    fn netmask(len: u8) -> u32 {
        !u32::MAX.checked_shr(len.into()).unwrap_or(0)
    }

    #[inline]
    fn ip(self) -> IpAddr {
        IpAddr::V4(Ipv4Addr::from_bits(self))
    }

    #[inline]
    fn of(address: IpAddr) -> Option<u32> {
        match address {
            IpAddr::V4(address) => Some(address.to_bits()),
            IpAddr::V6(_) => None,
        }
    }

    #[inline]
    fn fold(self) -> u32 {
        self
    }
}

impl Address for u128 {
    const FAMILY: Family = Family::V6;
    const BITS: u8 = 128;
    type Bytes = [u8; 16];

    #[inline]
    fn bytes(self) -> [u8; 16] {
        self.to_be_bytes()
    }

    #[inline]
    fn netmask(len: u8) -> u128 {
        !u128::MAX.checked_shr(len.into()).unwrap_or(0)
    }

    #[inline]
    fn ip(self) -> IpAddr {
        IpAddr::V6(Ipv6Addr::from_bits(self))
    }

    #[inline]
    fn of(address: IpAddr) -> Option<u128> {
        match address {
            IpAddr::V4(_) => None,
            IpAddr::V6(address) => Some(address.to_bits()),
        }
    }

    #[inline]
    fn fold(self) -> u32 {
        (self >> 96) as u32 ^ (self >> 64) as u32 ^ (self >> 32) as u32 ^ self as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_of_its_own_family_only() {
        let (v4, v6) = (0x0a00_0001_u32, 0x2001_0db8_u128 << 96 | 5);
        assert_eq!(v4.ip(), "10.0.0.1".parse::<IpAddr>().unwrap());
        assert_eq!(v6.ip(), "2001:db8::5".parse::<IpAddr>().unwrap());
        assert_eq!((u32::of(v4.ip()), u128::of(v6.ip())), (Some(v4), Some(v6)));
        assert_eq!((u32::of(v6.ip()), u128::of(v4.ip())), (None, None));
        assert_eq!((Family::of(v4.ip()), Family::of(v6.ip())), (Family::V4, Family::V6));
    }

    #[test]
    fn a_netmask_is_as_long_as_the_prefix() {
        assert_eq!([0, 1, 24, 32, 200].map(u32::netmask), [0, 1 << 31, !0xff, !0, !0]);
        assert_eq!([0, 64, 128].map(u128::netmask), [0, !u128::from(u64::MAX), !0]);
    }

    #[test]
    fn folding_adds_the_words_without_carry() {
        assert_eq!(0x0000_0001_0000_0002_0000_0004_8000_0008_u128.fold(), 0x8000_000f);
        assert_eq!(7_u32.fold(), 7);
    }
}
