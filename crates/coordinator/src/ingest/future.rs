//! Samples of a time that has not come: a clock that is wrong, or a target that says nonsense. In the head
//! they would hide what is true, and stay for as long as it takes until their day is over.
//!
//! They are left out, counted and declared lost; the other samples of the batch are taken.

use std::time::Duration;

use series::time::duration_millis;
use series::{Block, Rows};

/// What was left out of a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Future {
    /// Samples.
    pub(super) samples: u64,
    /// The first and the last time, as the agent said them.
    span: Option<(i64, i64)>,
}

/// How far ahead of ours an agent's clock may be, beside what samples may be ahead of it. As far again and no
/// farther: when it is our clock that is late, or theirs a little ahead, nothing is lost, and a clock that is
/// off by a year still does no harm.
pub(super) fn lead_millis(offset_millis: i64, future_max: Duration) -> i64 {
    offset_millis.clamp(0, duration_millis(future_max))
}

impl Future {
    /// Cuts off a block what is later than `newest`. `true` when there was such a thing.
    pub(super) fn cut(&mut self, block: &mut Block, newest: i64) -> bool {
        let kept = block.times.partition_point(|time| *time <= newest);
        let rows = block.times.len();
        let (Some(&first), Some(&last)) = (block.times.get(kept), block.times.last()) else {
            return false;
        };
        let (least, most) = self.span.unwrap_or((first, last));
        self.span = Some((least.min(first), most.max(last)));
        for column in &mut block.columns {
            let flags: Vec<bool> = (0..kept).map(|row| column.rows.has(row)).collect();
            let values = flags.iter().filter(|has| **has).count();
            self.samples += column.rows.count(rows).saturating_sub(values) as u64;
            column.values.truncate(values);
            column.rows = Rows::from_flags(&flags);
        }
        block.times.truncate(kept);
        true
    }

    /// When it was by our clock that what was left out was made, as far as it is known: it was made before it
    /// came.
    pub(super) fn span(&self, offset_millis: i64, now_millis: i64) -> Option<(i64, i64)> {
        let ours = |time: i64| time.saturating_sub(offset_millis).min(now_millis);
        self.span.map(|(first, last)| (ours(first), ours(last)))
    }
}

#[cfg(test)]
mod tests {
    use series::Column;

    use super::*;

    fn column(flags: [bool; 4]) -> Column {
        let values = flags.iter().zip([1.0, 2.0, 3.0, 4.0]);
        Column {
            rows: Rows::from_flags(&flags),
            values: values
                .filter_map(|(has, value)| has.then_some(value))
                .collect(),
        }
    }

    fn block() -> Block {
        Block {
            times: vec![10, 20, 30, 40],
            columns: vec![
                column([true; 4]),
                column([true, false, false, true]),
                column([false, false, true, true]),
            ],
        }
    }

    #[test]
    fn what_is_in_time_stays_and_the_rest_is_counted() {
        let (mut future, mut cut) = (Future::default(), block());
        assert!(!future.cut(&mut cut, 40));
        assert_eq!((future, &cut), (Future::default(), &block()));
        assert!(future.cut(&mut cut, 29));
        cut.validate().unwrap();
        assert_eq!(cut.times, [10, 20]);
        let values: Vec<_> = cut.columns.iter().map(|it| it.values.to_vec()).collect();
        assert_eq!(values, [vec![1.0, 2.0], vec![1.0], vec![]]);
        assert_eq!((future.samples, future.span), (5, Some((30, 40))));
        assert!(future.cut(&mut block(), 9));
        assert_eq!((future.samples, future.span), (13, Some((10, 40))));
    }

    #[test]
    fn its_time_is_told_by_our_clock_and_never_after_now() {
        let mut future = Future::default();
        future.cut(&mut block(), 9);
        assert_eq!(future.span(5, 1000), Some((5, 35)));
        assert_eq!(future.span(0, 25), Some((10, 25)));
        assert_eq!(future.span(i64::MIN, 25), Some((25, 25)));
        assert_eq!(Future::default().span(0, 25), None);
    }

    #[test]
    fn a_clock_that_is_ahead_is_followed_so_far_and_no_farther() {
        let most = Duration::from_secs(600);
        let leads = [-1, 0, 5000, i64::MAX].map(|offset| lead_millis(offset, most));
        assert_eq!(leads, [0, 0, 5000, 600_000]);
    }
}
