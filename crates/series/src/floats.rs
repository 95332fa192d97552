//! Floats that lie in several pieces.

use std::ops::Deref;
use std::sync::Arc;

use crate::is_stale;

/// Floats that many read, looked through once so that not every reader has to.
#[derive(Clone, Debug)]
pub struct SharedFloats {
    floats: Arc<[f64]>,
    has_stale: bool,
    falls: bool,
}

impl From<Arc<[f64]>> for SharedFloats {
    fn from(floats: Arc<[f64]>) -> Self {
        // Without branches, so that many are looked at at a time.
        let stale = floats.iter().fold(false, |any, it| any | is_stale(*it));
        let pairs = floats.iter().zip(floats.iter().skip(1));
        let falls = pairs.fold(false, |any, (before, after)| any | (after < before));
        Self {
            floats,
            has_stale: stale,
            falls,
        }
    }
}

impl From<&[f64]> for SharedFloats {
    fn from(floats: &[f64]) -> Self {
        Self::from(Arc::from(floats))
    }
}

impl Deref for SharedFloats {
    type Target = [f64];

    fn deref(&self) -> &[f64] {
        &self.floats
    }
}

/// The values of one series as they were read: pieces that follow one another, shared with whoever
/// keeps them. Most readers look at few of them, so nobody joins them before it is needed.
#[derive(Clone, Debug, Default)]
pub struct Floats {
    pieces: Vec<SharedFloats>,
    skip: usize,
    len: usize,
}

impl Floats {
    /// The `len` floats that come after the first `skip` of all pieces; fewer if there are not so many.
    #[must_use]
    pub fn of_pieces(mut pieces: Vec<SharedFloats>, skip: usize, len: usize) -> Self {
        let all: usize = pieces.iter().map(|piece| piece.len()).sum();
        let mut skip = skip.min(all);
        let len = len.min(all - skip);
        let before = pieces.iter().take_while(|piece| {
            let is_before = piece.len() <= skip;
            if is_before {
                skip -= piece.len();
            }
            is_before
        });
        let before = before.count();
        pieces.drain(..before);
        Self { pieces, skip, len }
    }

    /// How many.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether a stale marker is among them; it may also be one beside them, in the first or last piece.
    #[must_use]
    pub fn may_have_stale(&self) -> bool {
        self.pieces.iter().any(|piece| piece.has_stale)
    }

    /// The pieces, in order.
    pub fn slices(&self) -> impl Iterator<Item = &[f64]> + Clone {
        self.slices_that_may_fall().map(|(slice, _)| slice)
    }

    /// The pieces, in order, each with whether one of its floats may be less than the one before it in
    /// the piece.
    pub fn slices_that_may_fall(&self) -> impl Iterator<Item = (&[f64], bool)> + Clone {
        let (mut skip, mut room) = (self.skip, self.len);
        self.pieces.iter().map(move |piece| {
            let slice = piece.get(skip..).unwrap_or_default();
            skip = 0;
            let slice = slice.get(..room).unwrap_or(slice);
            room -= slice.len();
            (slice, piece.falls)
        })
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = f64> + Clone {
        self.slices().flatten().copied()
    }

    /// All of them in one piece.
    #[must_use]
    pub fn whole(&self) -> Arc<[f64]> {
        if let [piece] = &*self.pieces
            && piece.len() == self.len
        {
            return Arc::clone(&piece.floats);
        }
        let mut whole: Arc<[f64]> = std::iter::repeat_n(0.0, self.len).collect();
        let mut room = Arc::get_mut(&mut whole).unwrap_or_default();
        for piece in self.slices() {
            let (now, later) = room.split_at_mut(piece.len());
            now.copy_from_slice(piece);
            room = later;
        }
        whole
    }

    /// Looks at them from the first to the last.
    #[must_use]
    pub fn walk(&self) -> Walk<'_, impl Iterator<Item = &[f64]>> {
        Walk {
            later: self.slices(),
            slice: &[],
            start: 0,
        }
    }
}

impl From<Arc<[f64]>> for Floats {
    fn from(piece: Arc<[f64]>) -> Self {
        let len = piece.len();
        Self {
            pieces: vec![piece.into()],
            skip: 0,
            len,
        }
    }
}

impl From<Vec<f64>> for Floats {
    fn from(floats: Vec<f64>) -> Self {
        Self::from(Arc::from(floats))
    }
}

/// See [`Floats::walk`].
#[derive(Debug)]
pub struct Walk<'a, I> {
    later: I,
    slice: &'a [f64],
    start: usize,
}

impl<'a, I: Iterator<Item = &'a [f64]>> Walk<'a, I> {
    /// The float at `index`, which is not below that of the last call; NaN past the end.
    #[inline]
    pub fn at(&mut self, index: usize) -> f64 {
        loop {
            if let Some(float) = self.slice.get(index.wrapping_sub(self.start)) {
                return *float;
            }
            let Some(next) = self.later.next() else {
                return f64::NAN;
            };
            self.start += self.slice.len();
            self.slice = next;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn pieces_are_what_they_were_cut_from(
            sizes in prop::collection::vec(0_usize..6, 0..6),
            skip in 0_usize..12,
            len in 0_usize..30,
            steps in prop::collection::vec(0_usize..4, 0..20),
        ) {
            let mut next = 0.0;
            let pieces: Vec<SharedFloats> = sizes
                .into_iter()
                .map(|size| {
                    let piece: Vec<f64> = (0..size).map(|_| { next += 1.0; next }).collect();
                    piece.as_slice().into()
                })
                .collect();
            let all: Vec<f64> = pieces.iter().flat_map(|piece| piece.iter().copied()).collect();
            let expected: Vec<f64> = all.into_iter().skip(skip).take(len).collect();
            let floats = Floats::of_pieces(pieces, skip, len);
            prop_assert_eq!(floats.len(), expected.len());
            prop_assert_eq!(floats.iter().collect::<Vec<f64>>(), &*expected);
            prop_assert_eq!(&*floats.whole(), &*expected);
            let mut walk = floats.walk();
            let mut index = 0;
            for step in steps {
                index += step;
                let found = walk.at(index);
                prop_assert_eq!(expected.get(index).copied(), (!found.is_nan()).then_some(found));
            }
        }
    }
}
