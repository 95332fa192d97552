//! Label matchers: `=`, `!=`, `=~` and `!~`, with Prometheus' meaning.

use std::fmt;

use regex::{Regex, RegexBuilder};
use regex_syntax::hir::Hir;

mod literals;

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
    literals: Option<Vec<String>>,
    prefix: String,
}

impl Matcher {
    /// Checks and compiles.
    ///
    /// # Errors
    /// When the value of a regular-expression matcher does not compile within bounds.
    pub fn new(name: &str, op: MatchOp, value: &str) -> Result<Self, MatcherError> {
        let (regex, literals, prefix) = match op {
            MatchOp::Equal => (None, Some(vec![value.to_owned()]), value.to_owned()),
            MatchOp::NotEqual => (None, None, String::new()),
            MatchOp::Regex | MatchOp::NotRegex => {
                let (regex, hir) = compile(value).map_err(|source| MatcherError::BadRegex {
                    pattern: value.to_owned(),
                    source,
                })?;
                if op == MatchOp::Regex {
                    (Some(regex), literals::all(&hir), literals::prefix(&hir))
                } else {
                    (Some(regex), None, String::new())
                }
            }
        };
        Ok(Self {
            name: name.to_owned(),
            op,
            value: value.to_owned(),
            regex,
            literals,
            prefix,
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

    /// All values that pass, if they are few and known, as those of `a|b|c[12]` are.
    #[must_use]
    pub fn literals(&self) -> Option<&[String]> {
        self.literals.as_deref()
    }

    /// What every value that passes begins with; often nothing.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.prefix
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

/// A pattern, anchored at both ends, and what it says by itself. It must be a pattern by itself: `a)|(b`
/// would end the group that is put around it, and so slip its anchors.
fn compile(pattern: &str) -> Result<(Regex, Hir), regex::Error> {
    let hir = literals::parse(pattern)?;
    let regex = RegexBuilder::new(&format!("^(?s:{pattern})$"))
        .size_limit(REGEX_BYTES_MAX)
        .build()?;
    Ok((regex, hir))
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
    fn literals_and_prefixes_are_found() {
        let matcher = |pattern: &str| Matcher::new("a", MatchOp::Regex, pattern).unwrap();
        let literals = |pattern: &str| matcher(pattern).literals().map(<[String]>::to_vec);
        assert_eq!(
            literals("a|b(c|d)"),
            Some(["a", "bc", "bd"].map(str::to_owned).to_vec())
        );
        assert_eq!(
            literals("x[12]"),
            Some(["x1", "x2"].map(str::to_owned).to_vec())
        );
        assert_eq!(literals("a?"), None);
        assert_eq!(
            literals("(?i)a"),
            Some(["A", "a"].map(str::to_owned).to_vec())
        );
        assert_eq!(literals("a|"), Some(vec!["a".to_owned(), String::new()]));
        assert_eq!(literals("^a$"), None);
        assert_eq!(matcher("gpu-00.+").prefix(), "gpu-00");
        assert_eq!(matcher("(?:gpu)-.*|x").prefix(), "");
        assert_eq!(matcher("^gpu.*").prefix(), "");
        assert_eq!(matcher("é+").prefix(), "");
        for pattern in ["a|b(c|d)", "x[12]", "gpu-0.+", "a|", "(?i)up"] {
            let matcher = matcher(pattern);
            for value in ["", "a", "b", "bc", "bd", "x1", "x3", "gpu-01", "UP", "up"] {
                if let Some(literals) = matcher.literals() {
                    assert_eq!(
                        literals.iter().any(|it| it == value),
                        matcher.matches(value)
                    );
                }
                assert!(!matcher.matches(value) || value.starts_with(matcher.prefix()));
            }
        }
    }

    #[test]
    fn a_bad_expression_is_refused() {
        assert!(Matcher::new("a", MatchOp::Regex, "(").is_err());
        for slips in ["a)|(b", "a)|(?:b", ")(", "a)$|^(?:b"] {
            for op in [MatchOp::Regex, MatchOp::NotRegex] {
                assert!(Matcher::new("a", op, slips).is_err(), "{slips}");
            }
        }
        assert!(Matcher::new("a", MatchOp::Regex, "((a{1000}){1000}){1000}").is_err());
    }
}
