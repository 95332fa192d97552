//! The series of a test up to a time: what lies in the future is not there yet.

use query::SeriesSource;
use query::source::{Budget, EachSeries, Selected, SourceError};
use query::testing::MemorySource;
use series::{Matcher, TimeRange, Timestamp};

/// A source without its samples after a time.
pub(super) struct Until<'a> {
    pub(super) base: &'a MemorySource,
    pub(super) last: Timestamp,
}

impl SeriesSource for Until<'_> {
    fn select_each(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
        budget: &Budget,
        each: &mut EachSeries<'_>,
    ) -> Result<Selected, SourceError> {
        let end = range.end_inclusive.min(self.last);
        let range = TimeRange::new(range.start_inclusive, end);
        self.base.select_each(matchers, range, budget, each)
    }
}
