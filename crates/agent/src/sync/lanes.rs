//! In which order the spool is sent: what is new before what was missed.
//!
//! While the coordinator was out of reach, batches gathered in the spool. The newest goes first, and
//! those that are made from now on go before the rest, so that the present is seen at once. Behind them
//! the oldest that is missing goes first: it is the first that the spool would have to drop.

use series::Sequences;

/// As many that are missing at the end are not worth a hole.
const FEW: u64 = 3;
/// Holes beyond which none is added: the oldest are closed first, whatever is new meanwhile.
const HOLES_MAX: usize = 64;

/// Which lane a batch goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lane {
    /// What is new.
    Live,
    /// What was missed.
    Backfill,
}

/// What was sent and what comes next.
#[derive(Debug)]
pub(super) struct Lanes {
    /// What the coordinator has settled.
    settled: Sequences,
    /// The next of the live lane.
    live: u64,
    /// The next of the backfill lane, and where the live lane began.
    backfill: u64,
    backfill_end: u64,
}

impl Lanes {
    /// Lanes of a spool whose next durable sequence is `next`, to a coordinator that has settled so much.
    pub(super) fn new(settled: Sequences, next: u64) -> Self {
        let first = settled.through().saturating_add(1);
        let newest = next.saturating_sub(1);
        let is_little = newest <= first.saturating_add(FEW);
        let live = if is_little || settled.beyond().len() >= HOLES_MAX {
            first
        } else {
            newest
        };
        Self {
            settled,
            live,
            backfill: first,
            backfill_end: live,
        }
    }

    /// Lanes to a coordinator of before, which takes batches in order alone.
    pub(super) fn in_order(settled: Sequences) -> Self {
        let first = settled.through().saturating_add(1);
        Self {
            settled,
            live: first,
            backfill: first,
            backfill_end: first,
        }
    }

    /// The last sequence before the live lane's next.
    pub(super) fn before_live(&self) -> u64 {
        self.live.saturating_sub(1)
    }

    /// The first sequence that the live lane may send.
    pub(super) fn live(&self) -> u64 {
        let next = self.settled.missing(self.live, u64::MAX).next();
        next.map_or(u64::MAX, |(first, _)| first)
    }

    /// The first range that the backfill lane may send.
    pub(super) fn backfill(&self) -> Option<(u64, u64)> {
        let last = self.backfill_end.saturating_sub(1);
        self.settled.missing(self.backfill, last).next()
    }

    /// Takes note that nothing up to `sequence` is to be sent on a lane any more.
    pub(super) fn passed(&mut self, lane: Lane, sequence: u64) {
        let next = sequence.saturating_add(1);
        match lane {
            Lane::Live => self.live = self.live.max(next),
            Lane::Backfill => self.backfill = self.backfill.max(next),
        }
    }

    /// Whether the sequence was sent, or need not be.
    pub(super) fn has_passed(&self, sequence: u64) -> bool {
        let missed = (self.backfill..self.backfill_end).contains(&sequence);
        self.settled.contains(sequence) || (sequence < self.live && !missed)
    }

    /// The coordinator has settled these. Gives the last before the first that it has not.
    pub(super) fn settle(&mut self, first: u64, last: u64) -> u64 {
        // Past the bound of holes the coordinator knows more than we note; what it has is then sent
        // once more, and it says so.
        let _is_noted = self.settled.insert(first, last);
        self.settled.through()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_goes_first_and_then_the_oldest() {
        let mut lanes = Lanes::new(Sequences::up_to(10), 101);
        assert_eq!((lanes.live(), lanes.backfill()), (100, Some((11, 99))));
        lanes.passed(Lane::Live, 100);
        lanes.passed(Lane::Backfill, 11);
        assert_eq!((lanes.live(), lanes.backfill()), (101, Some((12, 99))));
        assert_eq!(lanes.settle(100, 100), 10);
        assert_eq!(lanes.settle(1, 11), 11);
        for (sequence, passed) in [
            (11, true),
            (12, false),
            (99, false),
            (100, true),
            (101, false),
        ] {
            assert_eq!(lanes.has_passed(sequence), passed, "{sequence}");
        }
        lanes.passed(Lane::Backfill, 99);
        assert_eq!(lanes.backfill(), None);
        assert_eq!(lanes.settle(12, 99), 100);
    }

    #[test]
    fn what_is_settled_beyond_a_hole_is_not_sent_again() {
        let mut settled = Sequences::up_to(10);
        assert!(settled.insert(20, 29) && settled.insert(41, 50));
        let mut lanes = Lanes::new(settled, 46);
        assert_eq!(lanes.live(), 51);
        assert_eq!(lanes.backfill(), Some((11, 19)));
        lanes.passed(Lane::Backfill, 19);
        assert_eq!(lanes.backfill(), Some((30, 40)));
        lanes.passed(Lane::Backfill, 40);
        assert_eq!(lanes.backfill(), None);
    }

    #[test]
    fn few_that_are_missing_go_in_order() {
        for next in 11..=15 {
            let lanes = Lanes::new(Sequences::up_to(10), next);
            assert_eq!((lanes.live(), lanes.backfill()), (11, None));
        }
        let lanes = Lanes::new(Sequences::up_to(10), 16);
        assert_eq!((lanes.live(), lanes.backfill()), (15, Some((11, 14))));
    }

    #[test]
    fn holes_without_end_are_closed_before_more_are_made() {
        let mut settled = Sequences::default();
        for hole in 1..=64 {
            assert!(settled.insert(hole * 10, hole * 10 + 5));
        }
        let lanes = Lanes::new(settled, 10_000);
        assert_eq!((lanes.live(), lanes.backfill()), (1, None));
    }
}
