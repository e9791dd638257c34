//! Address families: what the data path is written over once, for IPv4 and IPv6 alike.
//!
//! A packet's addresses are integers in host order, `u32` for IPv4 and `u128` for IPv6, so
//! that the way of an IPv4 packet moves no byte more than it must. Tables that control compiles
//! name addresses of any family by [`IpAddr`].

use std::fmt::Debug;
use std::hash::Hash;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

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
}

/// An address of one family, host order: 10.0.0.1 is `0x0a00_0001`, ::1 is 1.
pub trait Address:
    Copy + Debug + Default + Eq + Ord + Hash + Send + Sync + Into<u128> + 'static
{
    /// Its family.
    const FAMILY: Family;
    /// Its length in bits.
    const BITS: u8;

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
    fn folding_adds_the_words_without_carry() {
        assert_eq!(0x0000_0001_0000_0002_0000_0004_8000_0008_u128.fold(), 0x8000_000f);
        assert_eq!(7_u32.fold(), 7);
    }
}
