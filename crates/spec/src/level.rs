//! How bad something is.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// How bad an alert or an incident is; the worst is the greatest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// For information.
    Low,
    /// To be seen to in the working day.
    Medium,
    /// To be seen to now.
    High,
    /// To be seen to now, by whoever it takes.
    Critical,
}

/// A word that names no level.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownLevel(pub String);

impl fmt::Display for UnknownLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is no level: critical, high, medium or low", self.0)
    }
}

impl std::error::Error for UnknownLevel {}

impl Level {
    /// All of them, the worst first.
    pub const ALL: [Self; 4] = [Self::Critical, Self::High, Self::Medium, Self::Low];

    /// Its word in documents, labels and pages.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }

    /// The level that a `severity` label of the field's rule files means: our own words, and `page`,
    /// `error`, `warning`, `info`, `none`, in any case. Another word tells nothing.
    #[must_use]
    pub fn of_severity(word: &str) -> Option<Self> {
        Some(match word.to_ascii_lowercase().as_str() {
            "critical" | "page" | "emergency" | "fatal" | "p1" => Self::Critical,
            "high" | "error" | "major" | "p2" => Self::High,
            "medium" | "warning" | "warn" | "minor" | "p3" => Self::Medium,
            "low" | "info" | "information" | "informational" | "none" | "p4" | "p5" => Self::Low,
            _ => return None,
        })
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Level {
    type Err = UnknownLevel;

    fn from_str(word: &str) -> Result<Self, UnknownLevel> {
        Self::ALL
            .into_iter()
            .find(|level| level.as_str() == word)
            .ok_or_else(|| UnknownLevel(word.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_levels_and_levels_words() {
        for level in Level::ALL {
            assert_eq!(level.as_str().parse(), Ok(level));
            assert_eq!(Level::of_severity(level.as_str()), Some(level));
        }
        assert!(Level::Critical > Level::High && Level::Medium > Level::Low);
        let unknown = "urgent".parse::<Level>().unwrap_err();
        assert_eq!(
            unknown.to_string(),
            "\"urgent\" is no level: critical, high, medium or low"
        );
        assert_eq!(Level::of_severity("Warning"), Some(Level::Medium));
        assert_eq!(Level::of_severity("blue"), None);
    }
}
