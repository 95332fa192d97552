//! Label matchers: `=`, `!=`, `=~` and `!~`, with Prometheus' meaning.

use std::fmt;

use regex::{Regex, RegexBuilder};

/// How a matcher compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MatchOp {
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `=~`, anchored at both ends
    Regex,
    /// `!~`, anchored at both ends
    NotRegex,
}

impl MatchOp {
    /// As it is written in a selector.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::NotEqual => "!=",
            Self::Regex => "=~",
            Self::NotRegex => "!~",
        }
    }
}

/// Why a matcher was refused.
#[derive(Clone, Debug, thiserror::Error)]
pub enum MatcherError {
    /// The pattern is not a regular expression, or compiles to more than [`REGEX_BYTES_MAX`].
    #[error("regular expression {pattern:?} cannot be used")]
    BadRegex {
        /// The pattern as it came.
        pattern: String,
        /// What is wrong with it.
        #[source]
        source: regex::Error,
    },
}

/// Most memory that one compiled expression may take; the engine itself runs in linear time.
pub const REGEX_BYTES_MAX: usize = 4 * 1024 * 1024;

/// One condition on one label. A label that is not there has the value `""`.
#[derive(Clone, Debug)]
pub struct Matcher {
    name: String,
    op: MatchOp,
    value: String,
    regex: Option<Regex>,
}

impl Matcher {
    /// Checks and compiles.
    ///
    /// # Errors
    /// When the value of a regular-expression matcher does not compile within bounds.
    pub fn new(name: &str, op: MatchOp, value: &str) -> Result<Self, MatcherError> {
        let regex = match op {
            MatchOp::Equal | MatchOp::NotEqual => None,
            MatchOp::Regex | MatchOp::NotRegex => Some(
                RegexBuilder::new(&format!("^(?s:{value})$"))
                    .size_limit(REGEX_BYTES_MAX)
                    .build()
                    .map_err(|source| MatcherError::BadRegex {
                        pattern: value.to_owned(),
                        source,
                    })?,
            ),
        };
        Ok(Self {
            name: name.to_owned(),
            op,
            value: value.to_owned(),
            regex,
        })
    }

    /// The label it looks at.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How it compares.
    #[must_use]
    pub fn op(&self) -> MatchOp {
        self.op
    }

    /// What it compares with, as it was written.
    #[must_use]
    pub fn value(&self) -> &str {
        &self.value
    }

    /// Whether a label value (`""` for an absent label) passes.
    #[must_use]
    pub fn matches(&self, value: &str) -> bool {
        let equal = match &self.regex {
            Some(regex) => regex.is_match(value),
            None => self.value == value,
        };
        equal != matches!(self.op, MatchOp::NotEqual | MatchOp::NotRegex)
    }

    /// Whether a series without the label passes.
    #[must_use]
    pub fn matches_absent(&self) -> bool {
        self.matches("")
    }
}

impl PartialEq for Matcher {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.op == other.op && self.value == other.value
    }
}

impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}{:?}", self.name, self.op.as_str(), self.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_are_anchored_and_dot_matches_newline() {
        let matcher = Matcher::new("a", MatchOp::Regex, "b.c|d").unwrap();
        assert!(matcher.matches("b\nc") && matcher.matches("d"));
        assert!(!matcher.matches("xd") && !matcher.matches("bxcx"));
        assert!(
            Matcher::new("a", MatchOp::NotRegex, "b")
                .unwrap()
                .matches_absent()
        );
    }

    #[test]
    fn a_bad_expression_is_refused() {
        assert!(Matcher::new("a", MatchOp::Regex, "(").is_err());
        assert!(Matcher::new("a", MatchOp::Regex, "((a{1000}){1000}){1000}").is_err());
    }
}
