//! Sizes and times as people write them: `64MiB`, `1h30m`.
//!
//! Both types read and show the same text in configuration files, environment variables, flags
//! and logs; what is shown reads back as the same value.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize, Serializer};

/// Units of size, largest first. Where two forms are equally short, the first is shown.
const SIZE_UNITS: [(&str, u64); 9] = [
    ("TiB", 1 << 40),
    ("TB", 1_000_000_000_000),
    ("GiB", 1 << 30),
    ("GB", 1_000_000_000),
    ("MiB", 1 << 20),
    ("MB", 1_000_000),
    ("KiB", 1 << 10),
    ("kB", 1_000),
    ("B", 1),
];

const NANOS_PER_SECOND: u128 = 1_000_000_000;

/// Units of time in nanoseconds, largest first. A day has 24 hours and a year 365 days, as in
/// Prometheus: these are lengths of time and not dates.
const TIME_UNITS: [(&str, u128); 9] = [
    ("y", 365 * 86_400 * NANOS_PER_SECOND),
    ("w", 7 * 86_400 * NANOS_PER_SECOND),
    ("d", 86_400 * NANOS_PER_SECOND),
    ("h", 3_600 * NANOS_PER_SECOND),
    ("m", 60 * NANOS_PER_SECOND),
    ("s", NANOS_PER_SECOND),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];

/// Why a text is not a size or a time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The text is not a whole number with a unit of size.
    #[error(
        "{text:?} is not a size; write a whole number and a unit, such as \"64MiB\" or \"1GB\" \
         (B, kB, MB, GB, TB, KiB, MiB, GiB, TiB)"
    )]
    Size {
        /// The text, cut at 64 characters.
        text: String,
    },
    /// The text is not a row of whole numbers with units of time, largest unit first.
    #[error(
        "{text:?} is not a duration; write whole numbers with units, largest first, such as \
         \"30s\", \"1h30m\" or \"250ms\" (y, w, d, h, m, s, ms, us, ns)"
    )]
    Duration {
        /// The text, cut at 64 characters.
        text: String,
    },
    /// A duration came as a bare number, which does not say what it counts.
    #[error("{text:?} has no unit; write \"{text}s\" for seconds or \"{text}ms\" for milliseconds")]
    NoUnit {
        /// The number, cut at 64 characters.
        text: String,
    },
    /// The value does not fit.
    #[error("{text:?} is more than can be held")]
    TooLarge {
        /// The text, cut at 64 characters.
        text: String,
    },
}

impl Error {
    /// Whether the same text may be accepted later.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Size { .. }
            | Self::Duration { .. }
            | Self::NoUnit { .. }
            | Self::TooLarge { .. } => false,
        }
    }
}

/// The start of a text, short enough for a message.
fn excerpt(text: &str) -> String {
    text.chars().take(64).collect()
}

/// A size in bytes. Reads `"64MiB"`, `"1GB"` and plain `"512"` (bytes).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteSize(pub u64);

impl ByteSize {
    /// So many bytes.
    #[must_use]
    pub const fn bytes(bytes: u64) -> Self {
        Self(bytes)
    }

    /// So many times 1024 bytes, at most what a `u64` holds.
    #[must_use]
    pub const fn kib(count: u64) -> Self {
        Self(count.saturating_mul(1 << 10))
    }

    /// So many times 1024² bytes, at most what a `u64` holds.
    #[must_use]
    pub const fn mib(count: u64) -> Self {
        Self(count.saturating_mul(1 << 20))
    }

    /// So many times 1024³ bytes, at most what a `u64` holds.
    #[must_use]
    pub const fn gib(count: u64) -> Self {
        Self(count.saturating_mul(1 << 30))
    }

    /// The number of bytes.
    #[must_use]
    pub const fn as_u64(self) -> u64 {
        self.0
    }

    /// The number of bytes as a length in memory, at most `usize::MAX`.
    #[must_use]
    pub fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl FromStr for ByteSize {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let malformed = || Error::Size {
            text: excerpt(text),
        };
        let too_large = || Error::TooLarge {
            text: excerpt(text),
        };
        let trimmed = text.trim();
        let (digits, unit) = split_number(trimmed).ok_or_else(malformed)?;
        let unit = unit.trim_start();
        let factor = if unit.is_empty() {
            1
        } else {
            SIZE_UNITS
                .iter()
                .find(|(name, _)| *name == unit)
                .map(|(_, factor)| *factor)
                .ok_or_else(malformed)?
        };
        let count: u64 = digits.parse().map_err(|_overflow| too_large())?;
        count.checked_mul(factor).map(Self).ok_or_else(too_large)
    }
}

impl fmt::Display for ByteSize {
    /// The unit that gives the smallest whole number.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, factor) = SIZE_UNITS
            .iter()
            .filter(|(_, factor)| self.0 > 0 && self.0.is_multiple_of(*factor))
            .max_by_key(|(_, factor)| *factor)
            .copied()
            .unwrap_or(("B", 1));
        f.pad(&format!("{}{name}", self.0 / factor))
    }
}

/// A length of time. Reads `"30s"`, `"1h30m"`, `"250ms"`, `"90d"`; refuses a bare number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HumanDuration(pub Duration);

impl HumanDuration {
    /// So many seconds.
    #[must_use]
    pub const fn from_secs(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }

    /// So many milliseconds.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(Duration::from_millis(millis))
    }

    /// The same as the standard library's type.
    #[must_use]
    pub const fn as_duration(self) -> Duration {
        self.0
    }
}

impl From<Duration> for HumanDuration {
    fn from(duration: Duration) -> Self {
        Self(duration)
    }
}

impl From<HumanDuration> for Duration {
    fn from(duration: HumanDuration) -> Self {
        duration.0
    }
}

impl FromStr for HumanDuration {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let malformed = || Error::Duration {
            text: excerpt(text),
        };
        let too_large = || Error::TooLarge {
            text: excerpt(text),
        };
        let mut rest = text.trim();
        if !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(Error::NoUnit {
                text: excerpt(rest),
            });
        }
        let mut nanos: u128 = 0;
        let mut units_left = TIME_UNITS.as_slice();
        loop {
            let (digits, after) = split_number(rest).ok_or_else(malformed)?;
            let unit_end = after
                .find(|c: char| c.is_ascii_digit())
                .unwrap_or(after.len());
            let (unit, next) = after.split_at_checked(unit_end).ok_or_else(malformed)?;
            // Only smaller units may follow, so that each comes once and "30s1h" is a mistake.
            let at = units_left
                .iter()
                .position(|(name, _)| *name == unit)
                .ok_or_else(malformed)?;
            let factor = units_left[at].1;
            units_left = &units_left[at + 1..];
            let count: u64 = digits.parse().map_err(|_overflow| too_large())?;
            nanos = nanos
                .checked_add(u128::from(count) * factor)
                .ok_or_else(too_large)?;
            if next.is_empty() {
                break;
            }
            rest = next;
        }
        duration_of_nanos(nanos).map(Self).ok_or_else(too_large)
    }
}

/// The duration of so many nanoseconds, if its seconds fit.
fn duration_of_nanos(nanos: u128) -> Option<Duration> {
    let seconds = u64::try_from(nanos / NANOS_PER_SECOND).ok()?;
    let fraction = u32::try_from(nanos % NANOS_PER_SECOND).ok()?;
    Some(Duration::new(seconds, fraction))
}

impl fmt::Display for HumanDuration {
    /// Largest unit first, without weeks (`90d` reads better than `12w6d`); zero is `0s`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut nanos = self.0.as_nanos();
        if nanos == 0 {
            return f.pad("0s");
        }
        let mut text = String::new();
        for (name, factor) in TIME_UNITS.iter().filter(|(name, _)| *name != "w") {
            let count = nanos / factor;
            nanos %= factor;
            if count > 0 {
                text.push_str(&format!("{count}{name}"));
            }
        }
        f.pad(&text)
    }
}

/// The leading ASCII digits of a text, at least one, and what follows them.
fn split_number(text: &str) -> Option<(&str, &str)> {
    let end = text
        .bytes()
        .position(|byte| !byte.is_ascii_digit())
        .unwrap_or(text.len());
    if end == 0 {
        return None;
    }
    text.split_at_checked(end)
}

impl Serialize for ByteSize {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Serialize for HumanDuration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct SizeVisitor;
        impl Visitor<'_> for SizeVisitor {
            type Value = ByteSize;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a size such as \"64MiB\", or a number of bytes")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<ByteSize, E> {
                text.parse().map_err(E::custom)
            }

            fn visit_u64<E: de::Error>(self, bytes: u64) -> Result<ByteSize, E> {
                Ok(ByteSize(bytes))
            }

            fn visit_i64<E: de::Error>(self, bytes: i64) -> Result<ByteSize, E> {
                u64::try_from(bytes)
                    .map(ByteSize)
                    .map_err(|_negative| E::invalid_value(de::Unexpected::Signed(bytes), &self))
            }
        }
        deserializer.deserialize_any(SizeVisitor)
    }
}

impl<'de> Deserialize<'de> for HumanDuration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct DurationVisitor;
        impl Visitor<'_> for DurationVisitor {
            type Value = HumanDuration;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a duration with its unit, such as \"30s\" or \"1h30m\"")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<HumanDuration, E> {
                text.parse().map_err(E::custom)
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<HumanDuration, E> {
                Err(E::custom(Error::NoUnit {
                    text: number.to_string(),
                }))
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<HumanDuration, E> {
                match u64::try_from(number) {
                    Ok(number) => self.visit_u64(number),
                    Err(_negative) => Err(E::invalid_value(de::Unexpected::Signed(number), &self)),
                }
            }
        }
        deserializer.deserialize_any(DurationVisitor)
    }
}

#[cfg(test)]
mod tests;
