//! Local addresses of fullnat, which conns name by an index: which index is whose.
//!
//! As a destination keeps its id, an address keeps its index while any worker has conns that name it,
//! whatever the rules say; then the index is free for another.

use super::identity::Exhausted;
use dataplane::limits::MAX_LOCALS;
use std::net::IpAddr;

/// The indices that are given out.
#[derive(Debug, Clone, Default)]
pub struct LocalIndices {
    /// By index, from 1.
    places: Vec<Option<Place>>,
}

#[derive(Debug, Clone, Copy)]
struct Place {
    address: IpAddr,
    /// Whether the rules have it now.
    present: bool,
}

impl LocalIndices {
    /// Marks everything absent: what [`LocalIndices::index`] does not name before the next
    /// [`LocalIndices::sweep`] is removed.
    pub fn begin(&mut self) {
        self.places.iter_mut().flatten().for_each(|place| place.present = false);
    }

    /// The index of an address that the rules have.
    ///
    /// # Errors
    /// [`Exhausted::Locals`].
    pub fn index(&mut self, address: IpAddr) -> Result<u16, Exhausted> {
        let has = |place: &Option<Place>| place.is_some_and(|place| place.address == address);
        let known = self.places.iter().position(has);
        let free = || self.places.iter().position(Option::is_none);
        let at = known.or_else(free).unwrap_or(self.places.len());
        if at + 1 >= MAX_LOCALS {
            return Err(Exhausted::Locals);
        }
        if at == self.places.len() {
            self.places.push(None);
        }
        self.places[at] = Some(Place { address, present: true });
        Ok(at as u16 + 1)
    }

    /// Every index that conns may name, with its address.
    pub fn all(&self) -> Vec<(u16, IpAddr)> {
        let places = (1..).zip(&self.places);
        places.filter_map(|(index, place)| Some((index, (*place)?.address))).collect()
    }

    /// Frees the indices of absent addresses that no conn names; `conns` counts those of an index.
    ///
    /// To be called only when every worker runs a table in which they are absent: one that still ran
    /// an older table could begin a conn on an index that is free.
    pub fn sweep(&mut self, conns: impl Fn(u16) -> u64) {
        for (index, place) in (1..).zip(&mut self.places) {
            if place.is_some_and(|place| !place.present) && conns(index) == 0 {
                *place = None;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::example::v4;

    #[test]
    fn an_index_is_free_when_nobody_names_it_any_more() {
        let mut locals = LocalIndices::default();
        let named = [1, 2, 3].map(|last| locals.index(v4(last)));
        assert_eq!(named, [Ok(1), Ok(2), Ok(3)]);
        locals.begin();
        assert_eq!(locals.index(v4(3)), Ok(3));
        // Conns have the first.
        locals.sweep(|index| u64::from(index == 1));
        assert_eq!(locals.all(), [(1, v4(1)), (3, v4(3))]);
        assert_eq!(locals.index(v4(4)), Ok(2));
        assert_eq!(locals.index(v4(1)), Ok(1), "it came back to its conns");
        locals.begin();
        locals.sweep(|_| 0);
        assert_eq!(locals.all(), []);
        assert_eq!(locals.index(v4(9)), Ok(1));
    }

    #[test]
    fn indices_run_out_by_name_until_some_are_free() {
        let mut locals = LocalIndices::default();
        for last in 1..MAX_LOCALS as u32 {
            assert_eq!(locals.index(v4(last)), Ok(last as u16));
        }
        assert_eq!(locals.index(v4(0xffff)), Err(Exhausted::Locals));
        locals.begin();
        assert_eq!(locals.index(v4(0xffff)), Err(Exhausted::Locals), "conns may name them");
        locals.sweep(|_| 0);
        assert_eq!(locals.index(v4(0xffff)), Ok(1));
    }
}
