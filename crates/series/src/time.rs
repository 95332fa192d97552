//! Points and spans of time. Nothing here reads a clock.

use std::fmt;
use std::ops::{Add, Sub};
use std::time::Duration;

/// A point in time: milliseconds since 1970-01-01T00:00:00Z, negative before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The earliest point, before everything.
    pub const MIN: Self = Self(i64::MIN);
    /// The latest point, after everything.
    pub const MAX: Self = Self(i64::MAX);

    /// From milliseconds since the Unix epoch.
    #[must_use]
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// From seconds since the Unix epoch; the fraction is rounded to the nearest millisecond.
    /// Out-of-range and NaN saturate as an `as` cast does.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        reason = "saturating is what is documented"
    )]
    pub fn from_secs_f64(seconds: f64) -> Self {
        Self((seconds * 1000.0).round() as i64)
    }

    /// Milliseconds since the Unix epoch.
    #[must_use]
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// Seconds since the Unix epoch, exact for all dates of this age of the world.
    #[must_use]
    #[expect(
        clippy::cast_precision_loss,
        reason = "milliseconds stay below 2^53 until 287396 AD"
    )]
    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 / 1000.0
    }

    /// `self - earlier` in milliseconds, saturating.
    #[must_use]
    pub const fn millis_since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }

    /// Later by `millis` (earlier when negative), saturating.
    #[must_use]
    pub const fn saturating_add_millis(self, millis: i64) -> Self {
        Self(self.0.saturating_add(millis))
    }
}

/// Whole milliseconds of a duration, saturating at `i64::MAX`.
#[must_use]
pub fn duration_millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

impl Add<Duration> for Timestamp {
    type Output = Self;
    fn add(self, rhs: Duration) -> Self {
        self.saturating_add_millis(duration_millis(rhs))
    }
}

impl Sub<Duration> for Timestamp {
    type Output = Self;
    fn sub(self, rhs: Duration) -> Self {
        self.saturating_add_millis(duration_millis(rhs).saturating_neg())
    }
}

impl fmt::Display for Timestamp {
    /// Seconds with a millisecond fraction, as Prometheus writes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (sign, abs) = if self.0 < 0 {
            ("-", self.0.unsigned_abs())
        } else {
            ("", self.0.unsigned_abs())
        };
        write!(f, "{sign}{}.{:03}", abs / 1000, abs % 1000)
    }
}

/// A span of time, both ends inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TimeRange {
    /// First millisecond inside.
    pub start_inclusive: Timestamp,
    /// Last millisecond inside.
    pub end_inclusive: Timestamp,
}

impl TimeRange {
    /// Everything.
    pub const ALL: Self = Self {
        start_inclusive: Timestamp::MIN,
        end_inclusive: Timestamp::MAX,
    };

    /// From both ends, both inside. A range whose start lies after its end is empty.
    #[must_use]
    pub const fn new(start_inclusive: Timestamp, end_inclusive: Timestamp) -> Self {
        Self {
            start_inclusive,
            end_inclusive,
        }
    }

    /// Whether nothing lies inside.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.start_inclusive > self.end_inclusive
    }

    /// Whether `at` lies inside.
    #[must_use]
    pub fn contains(&self, at: Timestamp) -> bool {
        self.start_inclusive <= at && at <= self.end_inclusive
    }

    /// Whether some point lies inside both.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        self.start_inclusive <= other.end_inclusive && other.start_inclusive <= self.end_inclusive
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timestamp_prints_as_seconds_with_millis() {
        assert_eq!(Timestamp::from_millis(1_500).to_string(), "1.500");
        assert_eq!(Timestamp::from_millis(-1).to_string(), "-0.001");
    }

    #[test]
    fn arithmetic_saturates() {
        assert_eq!(Timestamp::MAX + Duration::from_secs(1), Timestamp::MAX);
        assert_eq!(Timestamp::MIN - Duration::MAX, Timestamp::MIN);
        assert_eq!(Timestamp::from_secs_f64(f64::NAN), Timestamp::default());
    }

    #[test]
    fn both_ends_of_a_range_lie_inside() {
        let range = TimeRange::new(Timestamp::from_millis(1), Timestamp::from_millis(3));
        assert!(
            range.contains(Timestamp::from_millis(1)) && range.contains(Timestamp::from_millis(3))
        );
        assert!(!range.contains(Timestamp::from_millis(4)));
        assert!(TimeRange::new(Timestamp::MAX, Timestamp::MIN).is_empty());
    }
}
