//! The times at which a node is evaluated.

use crate::error::Error;

/// Evenly spaced times, in milliseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Steps {
    pub(crate) start: i64,
    pub(crate) end: i64,
    pub(crate) step: i64,
    pub(crate) count: usize,
}

/// Latest and earliest time that can be asked for. It leaves room to add any offset and window
/// without overflow; in years it is far beyond anything.
const TIME_MAX: i64 = i64::MAX / 4;

/// Most steps of any node. A subquery may have many more steps than the query; the budget of
/// samples bounds what they hold, and this bounds a subquery that finds nothing.
const STEPS_MAX: i64 = 10_000_000;

impl Steps {
    /// From `start` to at most `end`, every `step` milliseconds; none if the end comes first.
    pub(crate) fn new(start: i64, end: i64, step: i64) -> Result<Self, Error> {
        let usable = -TIME_MAX..=TIME_MAX;
        if !usable.contains(&start) || !usable.contains(&end) || step <= 0 {
            return Err(Error::Request {
                message: "time is out of range".to_owned(),
            });
        }
        let count = if end < start {
            0
        } else {
            (end - start) / step + 1
        };
        if count > STEPS_MAX {
            return Err(Error::Limit {
                what: "steps",
                max: STEPS_MAX.unsigned_abs(),
            });
        }
        Ok(Self {
            start,
            end,
            step,
            count: usize::try_from(count).unwrap_or(0),
        })
    }

    /// The time of a step.
    pub(crate) fn at(&self, index: usize) -> i64 {
        self.start + i64::try_from(index).unwrap_or(0) * self.step
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = i64> + '_ {
        (0..self.count).map(|index| self.at(index))
    }

    /// The last step's time, which may lie before the end.
    pub(crate) fn last(&self) -> i64 {
        self.at(self.count.saturating_sub(1))
    }
}

/// Where a selector or subquery looks, seen from the time of evaluation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Placed {
    /// The time of `@`.
    pub(crate) fixed: Option<i64>,
    /// How far back from there.
    pub(crate) offset: i64,
}

impl Placed {
    /// The time looked at when evaluated `at`.
    pub(crate) fn time(&self, at: i64) -> i64 {
        self.fixed.unwrap_or(at).saturating_sub(self.offset)
    }
}

/// Milliseconds as seconds.
#[expect(
    clippy::cast_precision_loss,
    reason = "times stay below 2^53 until 287396 AD"
)]
pub(crate) fn seconds(millis: i64) -> f64 {
    millis as f64 / 1000.0
}
