//! Units: documents write percent and milliseconds; queries, rules and the store hold ratios and seconds.

use serde::{Deserialize, Serialize};

/// The unit that a document's number is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// 0 to 1.
    Ratio,
    /// 0 to 100, of which a hundredth is the ratio.
    Percent,
    /// Seconds.
    Seconds,
    /// Milliseconds.
    Milliseconds,
    /// Bytes.
    Bytes,
    /// Bytes a second.
    BytesPerSecond,
    /// Megabytes, of a million bytes, a second.
    MegabytesPerSecond,
    /// Requests a second.
    RequestsPerSecond,
    /// Degrees Celsius.
    Celsius,
    /// Dollars.
    Dollars,
    /// A number of something.
    Count,
}

/// Each unit, its word in `bindings:`, what else is understood, and its sign in triggers and pages.
const UNITS: &[(Unit, &str, &[&str], &str)] = &[
    (Unit::Ratio, "ratio", &[], ""),
    (Unit::Percent, "percent", &["%"], "%"),
    (Unit::Seconds, "seconds", &["s"], " s"),
    (Unit::Milliseconds, "milliseconds", &["ms"], " ms"),
    (Unit::Bytes, "bytes", &["B"], " B"),
    (Unit::BytesPerSecond, "bytes_per_second", &["B/s"], " B/s"),
    (
        Unit::MegabytesPerSecond,
        "megabytes_per_second",
        &["MB/s"],
        " MB/s",
    ),
    (
        Unit::RequestsPerSecond,
        "requests_per_second",
        &["req/s", "rps"],
        " requests/s",
    ),
    (Unit::Celsius, "celsius", &["C"], " °C"),
    (Unit::Dollars, "dollars", &["$"], " $"),
    (Unit::Count, "count", &["number"], ""),
];

impl Unit {
    fn row(self) -> &'static (Self, &'static str, &'static [&'static str], &'static str) {
        // The first row stands for a unit without one, of which a test finds none.
        UNITS.iter().find(|row| row.0 == self).unwrap_or(&UNITS[0])
    }

    /// Its word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.row().1
    }

    /// The words of all of them.
    pub(crate) fn words() -> impl Iterator<Item = &'static str> {
        UNITS.iter().map(|row| row.1)
    }

    /// The unit of a word or a sign.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        UNITS
            .iter()
            .find(|(_, name, others, _)| *name == word || others.contains(&word))
            .map(|row| row.0)
    }

    /// What queries and rules hold in its place.
    #[must_use]
    pub fn base(self) -> Self {
        match self {
            Self::Percent => Self::Ratio,
            Self::Milliseconds => Self::Seconds,
            Self::MegabytesPerSecond => Self::BytesPerSecond,
            other => other,
        }
    }

    /// The number of the base unit that `value` of this one is.
    #[must_use]
    pub fn to_base(self, value: f64) -> f64 {
        match self {
            Self::Percent => value / 100.0,
            Self::Milliseconds => value / 1000.0,
            Self::MegabytesPerSecond => value * 1e6,
            _ => value,
        }
    }

    /// `value` with the sign of the unit: `80%`, `100 ms`.
    #[must_use]
    pub fn show(self, value: f64) -> String {
        format!("{}{}", number(value), self.row().3)
    }

    /// Why nobody means `value`, if nobody does.
    pub(crate) fn implausible(self, value: f64) -> Option<&'static str> {
        match self {
            Self::Percent if !(0.0..=100.0).contains(&value) => Some("percent go from 0 to 100"),
            Self::Ratio if !(-1.0..=1.0).contains(&value) => {
                Some("a ratio goes from 0 to 1, a change of one from -1 to 1")
            }
            Self::Seconds | Self::Milliseconds | Self::Bytes if value < 0.0 => {
                Some("it cannot be less than 0")
            }
            Self::BytesPerSecond | Self::MegabytesPerSecond | Self::RequestsPerSecond
                if value < 0.0 =>
            {
                Some("it cannot be less than 0")
            }
            _ => None,
        }
    }
}

/// A number as short as twelve digits allow, so that 0.1 + 0.2 is 0.3 in a rule that people read.
pub(crate) fn number(value: f64) -> String {
    let short = format!("{value:.11e}").parse::<f64>().unwrap_or(value);
    format!("{short}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_unit_has_a_row_and_is_found_by_its_word() {
        for (unit, word, others, _) in UNITS {
            assert_eq!(unit.row().0, *unit);
            assert_eq!(Unit::from_word(word), Some(*unit));
            assert!(
                others
                    .iter()
                    .all(|word| Unit::from_word(word) == Some(*unit))
            );
        }
        assert_eq!(Unit::from_word("parsec"), None);
    }

    #[test]
    fn documents_are_in_percent_and_rules_in_ratios() {
        let close = |left: f64, right: f64| assert!((left - right).abs() < 1e-9, "{left} {right}");
        close(Unit::Percent.to_base(80.0), 0.8);
        close(Unit::Milliseconds.to_base(100.0), 0.1);
        close(Unit::MegabytesPerSecond.to_base(1000.0), 1e9);
        assert_eq!(Unit::Percent.base(), Unit::Ratio);
        assert_eq!(Unit::Percent.show(80.0), "80%");
        assert_eq!(Unit::Milliseconds.show(100.0), "100 ms");
        assert_eq!(number(0.1 + 0.2), "0.3");
        assert_eq!(number(1e9), "1000000000");
        assert!(Unit::Percent.implausible(180.0).is_some());
        assert!(Unit::Ratio.implausible(95.0).is_some());
        assert_eq!(Unit::Ratio.implausible(-0.1), None);
    }
}
