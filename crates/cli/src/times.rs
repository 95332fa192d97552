//! Points in time and lengths of time as people type them.

use std::time::Duration;

use jiff::Timestamp;

/// Units of time in milliseconds, largest first; the same as in PromQL.
const UNITS: [(&str, u64); 7] = [
    ("y", 365 * 86_400_000),
    ("w", 7 * 86_400_000),
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1000),
    ("ms", 1),
];

/// Unix seconds from here on are taken for milliseconds by mistake: the year 5138.
const UNIX_SECONDS_MAX: f64 = 1e11;

/// A point in time, which may be relative to a now that comes later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moment {
    /// So many milliseconds after now; negative is before.
    FromNow(i64),
    /// Milliseconds since the Unix epoch.
    At(i64),
}

impl Moment {
    /// The point in milliseconds since the Unix epoch.
    pub(crate) fn resolve(self, now_millis: i64) -> i64 {
        match self {
            Self::FromNow(millis) => now_millis.saturating_add(millis),
            Self::At(millis) => millis,
        }
    }
}

/// The machine's wall clock in milliseconds since the Unix epoch.
pub(crate) fn now_millis() -> i64 {
    Timestamp::now().as_millisecond()
}

/// Reads a point in time: `now`, `-1h`, `now-90s`, Unix seconds or RFC 3339.
pub(crate) fn moment(text: &str) -> Result<Moment, String> {
    let text = text.trim();
    let relative = text.strip_prefix("now").unwrap_or(text);
    if relative.is_empty() && !text.is_empty() {
        return Ok(Moment::FromNow(0));
    }
    for (sign, factor) in [('-', -1), ('+', 1)] {
        if let Some(rest) = relative.strip_prefix(sign) {
            let length = duration(rest)?;
            let millis = i64::try_from(length.as_millis()).unwrap_or(i64::MAX);
            return Ok(Moment::FromNow(factor * millis));
        }
    }
    if let Ok(seconds) = text.parse::<f64>() {
        return unix_seconds(seconds);
    }
    match text.parse::<Timestamp>() {
        Ok(at) => Ok(Moment::At(at.as_millisecond())),
        Err(_not_a_date) => Err(format!(
            "{text:?} is not a time; write now, -1h (an hour ago), 2026-01-31T12:00:00Z or Unix \
             seconds"
        )),
    }
}

#[expect(clippy::cast_possible_truncation, reason = "bounded just before")]
fn unix_seconds(seconds: f64) -> Result<Moment, String> {
    if seconds.is_finite() && (0.0..UNIX_SECONDS_MAX).contains(&seconds) {
        Ok(Moment::At((seconds * 1000.0).round() as i64))
    } else {
        Err("Unix time is in seconds here, not in milliseconds".to_owned())
    }
}

/// Reads a length of time such as `30s`, `1h30m` or `250ms`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let malformed = || {
        format!(
            "{text:?} is not a length of time; write 30s, 5m or 1h30m, largest unit first (y, w, \
             d, h, m, s, ms)"
        )
    };
    let mut rest = text.trim();
    let mut units = UNITS.as_slice();
    let mut millis = 0_u64;
    loop {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, after) = rest.split_at_checked(digits).ok_or_else(malformed)?;
        let letters = after.bytes().take_while(u8::is_ascii_alphabetic).count();
        let (unit, next) = after.split_at_checked(letters).ok_or_else(malformed)?;
        let at = units
            .iter()
            .position(|(name, _)| *name == unit)
            .ok_or_else(malformed)?;
        let number: u64 = number.parse().map_err(|_not_a_number| malformed())?;
        millis = number
            .checked_mul(units[at].1)
            .and_then(|more| millis.checked_add(more))
            .ok_or_else(malformed)?;
        if next.is_empty() {
            return Ok(Duration::from_millis(millis));
        }
        units = &units[at + 1..];
        rest = next;
    }
}

/// The same, but not zero.
pub(crate) fn positive_duration(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        Duration::ZERO => Err("must be more than nothing".to_owned()),
        length => Ok(length),
    }
}

/// Reads a step: a length of time, or a bare number of seconds as Prometheus takes it.
pub(crate) fn step(text: &str) -> Result<Duration, String> {
    match text.parse::<f64>() {
        Ok(seconds) if (0.001..UNIX_SECONDS_MAX).contains(&seconds) => {
            Ok(Duration::from_secs_f64(seconds))
        }
        Ok(_) => Err("a step is at least a millisecond".to_owned()),
        Err(_not_a_number) => positive_duration(text),
    }
}

/// A point in time for people, in UTC to the second.
pub(crate) fn show_time(millis: i64) -> String {
    match Timestamp::from_millisecond(millis) {
        Ok(at) => at.strftime("%Y-%m-%d %H:%M:%S").to_string(),
        Err(_out_of_range) => format!("{millis} ms"),
    }
}

/// A point in time for programs: RFC 3339 in UTC.
pub(crate) fn rfc3339(millis: i64) -> String {
    match Timestamp::from_millisecond(millis) {
        Ok(at) => at.to_string(),
        Err(_out_of_range) => millis.to_string(),
    }
}

/// A length of time for people, two units at most: `850ms`, `4.2s`, `2m05s`, `3h10m`, `5d2h`.
pub(crate) fn show_length(millis: i64) -> String {
    let sign = if millis < 0 { "-" } else { "" };
    let abs = millis.unsigned_abs();
    let seconds = abs / 1000;
    let text = match seconds {
        _ if abs < 1000 => format!("{abs}ms"),
        0..10 => format!("{seconds}.{}s", abs % 1000 / 100),
        10..60 => format!("{seconds}s"),
        60..3600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{}h{:02}m", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{}d{}h", seconds / 86_400, seconds % 86_400 / 3600),
    };
    format!("{sign}{text}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_read_in_every_form() {
        for (text, expected) in [
            ("now", Moment::FromNow(0)),
            ("-1h", Moment::FromNow(-3_600_000)),
            ("now-90s", Moment::FromNow(-90_000)),
            ("now+1m30s", Moment::FromNow(90_000)),
            ("1700000000", Moment::At(1_700_000_000_000)),
            ("1700000000.25", Moment::At(1_700_000_000_250)),
            ("2023-11-14T22:13:20Z", Moment::At(1_700_000_000_000)),
            ("2023-11-14T23:13:20.5+01:00", Moment::At(1_700_000_000_500)),
        ] {
            assert_eq!(moment(text), Ok(expected), "{text}");
        }
        assert_eq!(Moment::FromNow(-5).resolve(100), 95);
    }

    #[test]
    fn what_is_no_moment_is_refused_with_a_hint() {
        for text in [
            "",
            "-",
            "-5",
            "yesterday",
            "now-",
            "1700000000000",
            "nan",
            "-1h2h",
        ] {
            assert!(moment(text).is_err(), "{text}");
        }
        assert!(moment("soon").unwrap_err().contains("-1h"));
    }

    #[test]
    fn lengths_are_read_with_units_in_order_only() {
        assert_eq!(duration("1h30m"), Ok(Duration::from_secs(5400)));
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(duration("2w"), Ok(Duration::from_secs(1_209_600)));
        for text in [
            "",
            "5",
            "s",
            "30m1h",
            "1h1h",
            "1.5h",
            "9999999999999y",
            "5 s",
        ] {
            assert!(duration(text).is_err(), "{text}");
        }
        assert!(positive_duration("0s").is_err());
        assert_eq!(step("15"), Ok(Duration::from_secs(15)));
        assert_eq!(step("1m"), Ok(Duration::from_secs(60)));
        assert!(step("0").is_err() && step("-1").is_err() && step("nan").is_err());
    }

    #[test]
    fn lengths_and_times_are_shown_short() {
        for (millis, text) in [
            (0, "0ms"),
            (850, "850ms"),
            (4290, "4.2s"),
            (59_999, "59s"),
            (125_000, "2m05s"),
            (11_400_000, "3h10m"),
            (439_200_000, "5d2h"),
            (-1500, "-1.5s"),
        ] {
            assert_eq!(show_length(millis), text);
        }
        assert_eq!(show_time(1_700_000_000_000), "2023-11-14 22:13:20");
        assert_eq!(rfc3339(1_700_000_000_250), "2023-11-14T22:13:20.25Z");
    }
}
