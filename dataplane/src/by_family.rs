//! Tables that there is one of for each family, so that each is keyed by the plain integers that
//! packets of its family carry.

use crate::address::Address;
use std::fmt::{self, Debug, Formatter};

/// What there is one of for each family.
pub trait PerFamily {
    /// The one for addresses of type `A`.
    type Of<A: Address>;
}

/// One for each family.
pub struct ByFamily<T: PerFamily> {
    /// IPv4's.
    pub v4: T::Of<u32>,
    /// IPv6's.
    pub v6: T::Of<u128>,
}

impl<T: PerFamily> ByFamily<T> {
    /// The one for addresses of type `A`, chosen when the program is compiled.
    #[inline]
    pub fn of<A: Address>(&self) -> &T::Of<A> {
        A::pick(self)
    }
}

impl<T: PerFamily> Default for ByFamily<T>
where
    T::Of<u32>: Default,
    T::Of<u128>: Default,
{
    fn default() -> Self {
        ByFamily { v4: Default::default(), v6: Default::default() }
    }
}

impl<T: PerFamily> Clone for ByFamily<T>
where
    T::Of<u32>: Clone,
    T::Of<u128>: Clone,
{
    fn clone(&self) -> Self {
        ByFamily { v4: self.v4.clone(), v6: self.v6.clone() }
    }
}

impl<T: PerFamily> Debug for ByFamily<T>
where
    T::Of<u32>: Debug,
    T::Of<u128>: Debug,
{
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("ByFamily").field("v4", &self.v4).field("v6", &self.v6).finish()
    }
}

/// How an address type names its part of a [`ByFamily`]; `u32` and `u128` do, and no other can.
pub trait Pick: sealed::Sealed {
    /// Its part.
    fn pick<T: PerFamily>(all: &ByFamily<T>) -> &T::Of<Self>
    where
        Self: Address;
}

impl Pick for u32 {
    #[inline]
    fn pick<T: PerFamily>(all: &ByFamily<T>) -> &T::Of<u32> {
        &all.v4
    }
}

impl Pick for u128 {
    #[inline]
    fn pick<T: PerFamily>(all: &ByFamily<T>) -> &T::Of<u128> {
        &all.v6
    }
}

mod sealed {
    pub trait Sealed: Sized {}
    impl Sealed for u32 {}
    impl Sealed for u128 {}
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Longest;

    impl PerFamily for Longest {
        type Of<A: Address> = Option<A>;
    }

    #[test]
    fn an_address_type_picks_its_own_part() {
        let longest = ByFamily::<Longest> { v4: Some(u32::MAX), v6: None };
        assert_eq!((longest.of::<u32>(), longest.of::<u128>()), (&Some(u32::MAX), &None));
    }
}
