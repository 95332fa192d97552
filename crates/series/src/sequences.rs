//! Which numbers of a numbered flow are settled: all up to one, and ranges beyond it.

/// Most ranges beyond the first hole. A sender closes its holes oldest first, and each outage makes
/// one; a thousand of them is none that keeps to it.
pub const RANGES_MAX: usize = 1024;

/// A set of sequences. They count from 1.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sequences {
    through: u64,
    /// First and last of each range, ascending; there is a hole before each.
    beyond: Vec<(u64, u64)>,
}

impl Sequences {
    /// The sequences 1 to `through`.
    #[must_use]
    pub const fn up_to(through: u64) -> Self {
        Self {
            through,
            beyond: Vec::new(),
        }
    }

    /// The set of these parts, as [`Sequences::through`] and [`Sequences::beyond`] give them; `None`
    /// when they are none.
    #[must_use]
    pub fn from_parts(through: u64, beyond: Vec<(u64, u64)>) -> Option<Self> {
        let mut end = through;
        for &(first, last) in &beyond {
            if first <= end.checked_add(1)? || last < first {
                return None;
            }
            end = last;
        }
        (beyond.len() <= RANGES_MAX).then_some(Self { through, beyond })
    }

    /// The last sequence before the first hole: it and all before it are in the set. 0 when there is none.
    #[must_use]
    pub const fn through(&self) -> u64 {
        self.through
    }

    /// The ranges after the first hole, first and last of each, ascending.
    #[must_use]
    pub fn beyond(&self) -> &[(u64, u64)] {
        &self.beyond
    }

    /// The highest of the set; 0 when it is empty.
    #[must_use]
    pub fn last(&self) -> u64 {
        self.beyond.last().map_or(self.through, |(_, last)| *last)
    }

    /// Whether it is in the set. 0 always is.
    #[must_use]
    pub fn contains(&self, sequence: u64) -> bool {
        let at = self.beyond.partition_point(|(_, last)| *last < sequence);
        sequence <= self.through || self.beyond.get(at).is_some_and(|it| it.0 <= sequence)
    }

    /// Adds `first` to `last`. `false`, and nothing is added, when that would make more than
    /// [`RANGES_MAX`] ranges.
    #[must_use]
    pub fn insert(&mut self, first: u64, last: u64) -> bool {
        let (mut first, mut last) = (first.max(1), last);
        if last < first || last <= self.through {
            return true;
        }
        // Those that it touches become one with it.
        let from = self
            .beyond
            .partition_point(|(_, end)| end.saturating_add(1) < first);
        let to = self
            .beyond
            .partition_point(|(start, _)| *start <= last.saturating_add(1));
        if let (Some(lowest), Some(highest)) = (self.beyond.get(from), self.beyond[..to].last())
            && from < to
        {
            first = first.min(lowest.0);
            last = last.max(highest.1);
        }
        if first <= self.through.saturating_add(1) {
            self.through = last;
            self.beyond.drain(..to);
            return true;
        }
        if from == to && self.beyond.len() >= RANGES_MAX {
            return false;
        }
        self.beyond.splice(from..to, [(first, last)]);
        true
    }

    /// What of `first` to `last` is not in the set, as ranges, ascending.
    pub fn missing(&self, first: u64, last: u64) -> impl Iterator<Item = (u64, u64)> + '_ {
        let from = first.max(self.through.saturating_add(1));
        let at = self.beyond.partition_point(|(_, end)| *end < from);
        let rest = self.beyond.get(at..).unwrap_or_default();
        let starts = std::iter::once(from).chain(rest.iter().map(|(_, end)| end.saturating_add(1)));
        let ends = rest.iter().map(|(start, _)| start.saturating_sub(1));
        starts
            .zip(ends.chain(std::iter::once(last)))
            .map(move |(start, end)| (start, end.min(last)))
            .filter(|(start, end)| start <= end)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn random(state: &mut u64) -> u64 {
        *state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        *state >> 33
    }

    #[test]
    fn it_is_the_set_that_a_plain_set_is() {
        for seed in 1..200 {
            let mut state = seed;
            let (mut set, mut plain) = (Sequences::default(), BTreeSet::new());
            for _ in 0..30 {
                let first = random(&mut state) % 60;
                let last = first + random(&mut state) % 6;
                assert!(set.insert(first, last));
                plain.extend(first.max(1)..=last);
                for sequence in 1..70 {
                    assert_eq!(set.contains(sequence), plain.contains(&sequence));
                }
                let parts = Sequences::from_parts(set.through(), set.beyond().to_vec());
                assert_eq!(parts.as_ref(), Some(&set));
                let (from, to) = (random(&mut state) % 60, random(&mut state) % 70);
                let missing: Vec<u64> = set
                    .missing(from, to)
                    .flat_map(|(first, last)| first..=last)
                    .collect();
                let expected: Vec<u64> = (from.max(1)..=to.max(1))
                    .filter(|it| *it <= to && !plain.contains(it))
                    .collect();
                assert_eq!(missing, expected, "{set:?} {from} {to}");
                assert_eq!(set.last(), plain.last().copied().unwrap_or(0));
            }
        }
    }

    #[test]
    fn ranges_are_bounded_and_closing_a_hole_always_works() {
        let mut set = Sequences::default();
        let ranges = u64::try_from(RANGES_MAX).unwrap();
        for hole in 1..=ranges {
            assert!(set.insert(hole * 2, hole * 2));
        }
        let full = set.clone();
        assert!(!set.insert(u64::MAX, u64::MAX));
        assert_eq!(set, full);
        assert!(set.insert(1, 1));
        assert_eq!((set.through(), set.beyond().len()), (2, RANGES_MAX - 1));
        assert!(set.insert(u64::MAX, u64::MAX));
        assert!(set.insert(0, u64::MAX));
        assert_eq!(set, Sequences::up_to(u64::MAX));
    }

    #[test]
    fn parts_that_touch_overlap_or_run_backwards_are_none() {
        for beyond in [
            vec![(6, 7)],
            vec![(8, 7)],
            vec![(8, 9), (10, 11)],
            vec![(8, 9), (9, 12)],
        ] {
            assert_eq!(Sequences::from_parts(5, beyond), None);
        }
    }
}
