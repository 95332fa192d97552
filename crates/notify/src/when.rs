//! Times and lengths of time, as people and protocols write them.

use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// The last instant that every form here can write: some hours before the year 10000.
const MILLIS_MAX: i64 = 253_402_207_200_000;

/// Brings a time into the years 1970 to 9999: no mail, webhook or page can say another.
fn bounded(millis: i64) -> i64 {
    millis.clamp(0, MILLIS_MAX)
}

fn timestamp(millis: i64) -> Timestamp {
    Timestamp::from_millisecond(bounded(millis)).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// RFC 3339 in UTC, to the millisecond where there are any.
#[must_use]
pub(crate) fn rfc3339(millis: i64) -> String {
    timestamp(millis).to_string()
}

/// `2026-11-27 10:04:05 UTC`.
#[must_use]
pub(crate) fn shown(millis: i64) -> String {
    timestamp(millis)
        .to_zoned(TimeZone::UTC)
        .strftime("%Y-%m-%d %H:%M:%S UTC")
        .to_string()
}

/// For a `Date` header.
#[must_use]
pub(crate) fn system_time(millis: i64) -> SystemTime {
    let since = Duration::from_millis(u64::try_from(bounded(millis)).unwrap_or(0));
    SystemTime::UNIX_EPOCH + since
}

/// A length of time in its two largest units: `45 s`, `12 min`, `1 h 5 min`, `2 d 3 h`.
#[must_use]
pub(crate) fn span(from_millis: i64, to_millis: i64) -> String {
    let seconds = to_millis.saturating_sub(from_millis).max(0) / 1000;
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    let two = |large: i64, large_unit: &str, small: i64, small_unit: &str| {
        if small == 0 {
            format!("{large} {large_unit}")
        } else {
            format!("{large} {large_unit} {small} {small_unit}")
        }
    };
    match seconds {
        0..60 => format!("{seconds} s"),
        // Half a minute more or less says nothing once it is many.
        60..600 => two(minutes, "min", seconds % 60, "s"),
        600..3600 => format!("{minutes} min"),
        3600..86_400 => two(hours, "h", minutes % 60, "min"),
        _ => two(days, "d", hours % 24, "h"),
    }
}

/// When a `Retry-After` header wants to be asked again: seconds, or a date.
#[must_use]
pub(crate) fn retry_after(header: &str, now_millis: i64) -> Option<Duration> {
    /// A provider that wants longer is asked anyway: a page that waits an hour is worth a try.
    const RETRY_AFTER_MAX: Duration = Duration::from_secs(3600);
    let header = header.trim();
    let after = if let Ok(seconds) = header.parse::<u64>() {
        Duration::from_secs(seconds)
    } else {
        let date = jiff::fmt::rfc2822::parse(header).ok()?;
        let wait = date.timestamp().as_millisecond().saturating_sub(now_millis);
        Duration::from_millis(u64::try_from(wait).unwrap_or(0))
    };
    Some(after.min(RETRY_AFTER_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_time_can_be_written() {
        assert_eq!(rfc3339(1_764_237_600_250), "2025-11-27T10:00:00.25Z");
        assert_eq!(shown(1_764_237_600_250), "2025-11-27 10:00:00 UTC");
        for millis in [i64::MIN, i64::MAX] {
            assert!(rfc3339(millis).len() < 32);
            assert!(shown(millis).len() < 32);
        }
        assert_eq!(system_time(-1), SystemTime::UNIX_EPOCH);
    }

    #[test]
    fn spans_are_said_in_two_units() {
        for (seconds, said) in [
            (-5, "0 s"),
            (45, "45 s"),
            (300, "5 min"),
            (301, "5 min 1 s"),
            (725, "12 min"),
            (3900, "1 h 5 min"),
            (86_400 * 2 + 3 * 3600, "2 d 3 h"),
        ] {
            assert_eq!(span(1000, 1000 + seconds * 1000), said);
        }
        assert!(!span(i64::MIN, i64::MAX).is_empty());
    }

    #[test]
    fn retry_after_is_seconds_or_a_date_and_bounded() {
        assert_eq!(retry_after("30", 0), Some(Duration::from_secs(30)));
        assert_eq!(
            retry_after("Thu, 27 Nov 2025 10:00:10 GMT", 1_764_237_600_000),
            Some(Duration::from_secs(10))
        );
        assert_eq!(retry_after("999999", 0), Some(Duration::from_secs(3600)));
        assert_eq!(retry_after("soon", 0), None);
    }
}
