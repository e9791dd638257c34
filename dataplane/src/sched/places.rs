//! A set of places in a service's list, a bit each.

/// Places below a number that [`Places::reset`] was told.
#[derive(Debug, Clone, Default)]
pub struct Places(Vec<u64>);

impl Places {
    /// None of so many.
    pub fn reset(&mut self, count: usize) {
        self.0.clear();
        self.0.resize(count.div_ceil(64), 0);
    }

    /// Puts a place in. `false` if it is out of range.
    #[inline]
    pub fn insert(&mut self, place: usize) -> bool {
        let word = self.0.get_mut(place / 64);
        word.map(|word| *word |= 1 << (place % 64)).is_some()
    }

    /// Puts it in or takes it out.
    #[inline]
    pub fn set(&mut self, place: usize, is_in: bool) {
        if let Some(word) = self.0.get_mut(place / 64) {
            *word = *word & !(1 << (place % 64)) | u64::from(is_in) << (place % 64);
        }
    }

    #[inline]
    pub fn is_empty(&self) -> bool {
        self.0.iter().fold(0, |all, word| all | word) == 0
    }

    /// Takes all of them out.
    pub fn clear(&mut self) {
        self.0.fill(0);
    }

    /// Takes all of them out, one by one, in their order.
    #[inline]
    pub fn drain(&mut self, mut each: impl FnMut(usize)) {
        for (index, word) in self.0.iter_mut().enumerate() {
            let mut bits = std::mem::take(word);
            while bits != 0 {
                each(64 * index + bits.trailing_zeros() as usize);
                bits &= bits - 1;
            }
        }
    }

    /// The first from a place on.
    pub fn next(&self, from: usize) -> Option<usize> {
        let own = self.0.get(from / 64)? & u64::MAX << (from % 64);
        let later = self.0.iter().copied().enumerate().skip(from / 64 + 1);
        let mut words = std::iter::once((from / 64, own)).chain(later);
        let (index, word) = words.find(|(_, word)| *word != 0)?;
        Some(64 * index + word.trailing_zeros() as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(places: &Places) -> Vec<usize> {
        let next = |place: &usize| places.next(place + 1);
        std::iter::successors(places.next(0), next).collect()
    }

    #[test]
    fn a_place_is_in_until_it_is_taken_out() {
        let mut rng = fastrand::Rng::with_seed(1);
        for count in [0, 1, 64, 65, 130] {
            let (mut places, mut model) = (Places::default(), vec![false; count]);
            places.reset(count);
            places.insert(count + 64);
            for _ in 0..count * 8 {
                let (place, is_in) = (rng.usize(..count), rng.bool());
                places.set(place, is_in);
                model[place] = is_in;
                let want: Vec<usize> = (0..count).filter(|&place| model[place]).collect();
                assert_eq!(all(&places), want);
                assert_eq!(places.is_empty(), want.is_empty());
            }
            let (mut drained, want) = (Vec::new(), all(&places));
            places.drain(|place| drained.push(place));
            assert_eq!(drained, want);
            assert!(places.is_empty());
        }
    }
}
