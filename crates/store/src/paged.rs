//! Values by series id. Ids are given in order and go in about that order, so a page that has become
//! empty is let go: memory follows what is in use, and not the greatest id ever given.

use crate::SeriesId;

const PAGE: usize = 4096;

/// A value, or none.
pub(crate) trait Slot: Clone {
    /// None.
    const VACANT: Self;
    fn is_vacant(&self) -> bool;
}

impl<T: Clone> Slot for Option<T> {
    const VACANT: Self = None;
    fn is_vacant(&self) -> bool {
        self.is_none()
    }
}

#[derive(Debug)]
struct Page<T> {
    slots: Box<[T]>,
    used: usize,
}

/// See above.
#[derive(Debug)]
pub(crate) struct Paged<T> {
    pages: Vec<Option<Page<T>>>,
    /// Pages that are there.
    present: usize,
}

impl<T> Default for Paged<T> {
    fn default() -> Self {
        Self {
            pages: Vec::new(),
            present: 0,
        }
    }
}

impl<T: Slot> Paged<T> {
    pub(crate) fn get(&self, id: SeriesId) -> Option<&T> {
        let (page, slot) = place(id);
        self.pages.get(page)?.as_ref()?.slots.get(slot)
    }

    /// Puts a value in its place and gives the one before.
    pub(crate) fn set(&mut self, id: SeriesId, value: T) -> T {
        let (page, slot) = place(id);
        if self.pages.len() <= page {
            if value.is_vacant() {
                return T::VACANT;
            }
            self.pages.resize_with(page + 1, || None);
        }
        let place = &mut self.pages[page];
        if place.is_none() {
            if value.is_vacant() {
                return T::VACANT;
            }
            self.present += 1;
        }
        let there = place.get_or_insert_with(|| Page {
            slots: vec![T::VACANT; PAGE].into(),
            used: 0,
        });
        there.used += usize::from(!value.is_vacant());
        let before = std::mem::replace(&mut there.slots[slot], value);
        there.used -= usize::from(!before.is_vacant());
        if there.used == 0 {
            *place = None;
            self.present -= 1;
        }
        before
    }

    /// Bytes of memory, without what values own.
    pub(crate) const fn bytes(&self) -> usize {
        self.pages.len() * size_of::<Option<Page<T>>>() + self.present * PAGE * size_of::<T>()
    }
}

const fn place(id: SeriesId) -> (usize, usize) {
    (id.0 as usize / PAGE, id.0 as usize % PAGE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_come_with_their_first_value_and_go_with_their_last() {
        let mut paged: Paged<Option<u64>> = Paged::default();
        assert_eq!(paged.set(SeriesId(5), None), None);
        assert_eq!(paged.bytes(), 0);
        for id in [0, 4095, 4096, u32::MAX] {
            assert_eq!(paged.set(SeriesId(id), Some(7)), None);
            assert_eq!(paged.set(SeriesId(id), Some(8)), Some(7));
            assert_eq!(paged.get(SeriesId(id)), Some(&Some(8)));
        }
        assert_eq!(paged.present, 3);
        assert_eq!(paged.get(SeriesId(9)), Some(&None));
        assert_eq!(paged.get(SeriesId(9000)), None);
        for id in [0, 4095, 4096, u32::MAX] {
            assert_eq!(paged.set(SeriesId(id), None), Some(8));
        }
        assert_eq!(paged.present, 0);
    }
}
