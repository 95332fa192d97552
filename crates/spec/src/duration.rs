//! Lengths of time as documents write them: `30s 5m 1h 7d 2w 1y`, several together as `1h30m`, and words.

use std::time::Duration;

/// Seconds in a day; a year is 365 of them, as retention counts.
const DAY: u64 = 86_400;
/// The longest that is believed: longer is a slip, and sums of it would not fit.
const MAX: Duration = Duration::from_secs(100 * 365 * DAY);

/// Units by their letters, the largest first, in milliseconds.
const UNITS: &[(&str, u64)] = &[
    ("y", 365 * DAY * 1000),
    ("w", 7 * DAY * 1000),
    ("d", DAY * 1000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1000),
    ("ms", 1),
];

/// A length of time, or what is wrong with the text.
pub(crate) fn parse(text: &str) -> Result<Duration, &'static str> {
    const FORM: &str =
        "a length of time is a whole number with a unit, such as 30s, 5m, 1h, 7d or 1y";
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err(FORM);
    }
    let mut total: u64 = 0;
    let mut smallest = u64::MAX;
    while !rest.is_empty() {
        let letters = rest
            .find(|letter: char| !letter.is_ascii_digit())
            .ok_or(FORM)?;
        let (digits, tail) = rest.split_at(letters);
        let end = tail
            .find(|letter: char| letter.is_ascii_digit())
            .unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(end);
        let number: u64 = digits.parse().map_err(|_wrong| FORM)?;
        let (_, millis) = UNITS.iter().find(|(name, _)| *name == unit).ok_or(FORM)?;
        if *millis >= smallest {
            return Err("units go from the largest to the smallest, each once");
        }
        smallest = *millis;
        total = number
            .checked_mul(*millis)
            .and_then(|part| total.checked_add(part))
            .ok_or("it is longer than a hundred years")?;
        rest = tail;
    }
    let length = Duration::from_millis(total);
    if length > MAX {
        return Err("it is longer than a hundred years");
    }
    Ok(length)
}

/// What a word of a document stands for: `immediate` and `real_time` are at once.
pub(crate) fn word(text: &str) -> Option<Duration> {
    Some(match text {
        "immediate" | "real_time" | "continuous" => Duration::ZERO,
        "hourly" => Duration::from_secs(3600),
        "daily" => Duration::from_secs(DAY),
        "weekly" => Duration::from_secs(7 * DAY),
        _ => return None,
    })
}

/// The shortest text that means `length`: `90s` is `1m30s`.
pub(crate) fn show(length: Duration) -> String {
    let mut left = u64::try_from(length.as_millis()).unwrap_or(u64::MAX);
    if left == 0 {
        return "0s".to_owned();
    }
    let mut text = String::new();
    // Days are the largest that PromQL's readers take for granted; a week or a year stays in days.
    for (unit, millis) in UNITS.iter().filter(|(unit, _)| !matches!(*unit, "y" | "w")) {
        let count = left / millis;
        if count > 0 {
            text.push_str(&format!("{count}{unit}"));
            left %= millis;
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_of_the_specification_is_understood() {
        for (text, seconds) in [
            ("30s", 30),
            ("5m", 300),
            ("1h", 3600),
            ("24h", 86_400),
            ("7d", 604_800),
            ("14d", 1_209_600),
            ("30d", 2_592_000),
            ("90d", 7_776_000),
            ("1y", 31_536_000),
            ("1h30m", 5400),
            ("0s", 0),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        assert_eq!(parse("250ms"), Ok(Duration::from_millis(250)));
        for text in [
            "",
            "5",
            "m",
            "5 m",
            "-5m",
            "1.5h",
            "5min",
            "5m5m",
            "5m1h",
            "9999999999999999999s",
            "101y",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn words_are_lengths_and_lengths_are_shown_as_they_were_written() {
        assert_eq!(word("immediate"), Some(Duration::ZERO));
        assert_eq!(word("weekly"), Some(Duration::from_secs(7 * DAY)));
        assert_eq!(word("soon"), None);
        for text in ["30s", "5m", "1h", "7d", "90d", "1h30m", "1m500ms"] {
            assert_eq!(show(parse(text).unwrap()), text);
        }
        assert_eq!(show(Duration::ZERO), "0s");
    }
}
