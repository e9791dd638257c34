//! Numbered places for things of one size. All room is reserved at start; what was never used costs
//! no memory.

/// Things by slot.
pub(super) struct Slots<T> {
    items: Vec<T>,
    free: Vec<u32>,
    room: usize,
}

impl<T> Slots<T> {
    /// Room for so many.
    pub fn new(room: usize) -> Slots<T> {
        Slots { items: Vec::with_capacity(room), free: Vec::with_capacity(room), room }
    }

    /// Whether there is room for one more.
    pub fn has_room(&self) -> bool {
        !self.free.is_empty() || self.items.len() < self.room
    }

    /// Stores an item; `None` if there is no room.
    pub fn take(&mut self, item: T) -> Option<u32> {
        if let Some(slot) = self.free.pop() {
            self.items[slot as usize] = item;
            return Some(slot);
        }
        if self.items.len() == self.room {
            return None;
        }
        self.items.push(item);
        Some(self.items.len() as u32 - 1)
    }

    /// Frees a slot that was taken.
    pub fn give(&mut self, slot: u32) {
        self.free.push(slot);
    }

    /// Slots ever used: those from here on never were.
    pub fn used(&self) -> usize {
        self.items.len()
    }

    pub fn get(&self, slot: u32) -> &T {
        &self.items[slot as usize]
    }

    pub fn get_mut(&mut self, slot: u32) -> &mut T {
        &mut self.items[slot as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_given_out_once_and_again_when_freed_without_growing() {
        let mut slots = Slots::new(2);
        let reserved = (slots.items.capacity(), slots.free.capacity());
        assert_eq!((slots.take('a'), slots.take('b'), slots.take('c')), (Some(0), Some(1), None));
        assert!(!slots.has_room());
        slots.give(0);
        assert!(slots.has_room());
        assert_eq!(slots.take('d'), Some(0));
        assert_eq!((*slots.get(0), *slots.get(1), slots.used()), ('d', 'b', 2));
        (0..2).for_each(|slot| slots.give(slot));
        assert_eq!((slots.items.capacity(), slots.free.capacity()), reserved);
    }
}
