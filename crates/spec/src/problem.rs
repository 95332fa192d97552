//! What is wrong with a document, and where.

use std::fmt;

/// What is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The text is no YAML, or goes beyond a bound.
    #[error("cannot be read: {0}")]
    Unreadable(String),
    /// No document has this key there.
    #[error("no setting has this name")]
    UnknownKey,
    /// A document lacks what it cannot do without.
    #[error("the setting {0} is missing")]
    Missing(&'static str),
    /// The value is of another kind.
    #[error("this should be {wanted}, and it is {found}")]
    WrongType {
        /// What it should be.
        wanted: String,
        /// What it is.
        found: String,
    },
    /// The value is of the right kind and cannot be meant.
    #[error("{found} is out of place here: {why}")]
    BadValue {
        /// The value.
        found: String,
        /// What it should be.
        why: String,
    },
    /// Two settings say different things of one matter.
    #[error("this contradicts {other}: {why}")]
    Conflict {
        /// The path of the other, with its source and line.
        other: String,
        /// In what.
        why: String,
    },
}

impl Fault {
    /// Whether the same text could be right another time: never.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        match self {
            Self::Unreadable(_)
            | Self::UnknownKey
            | Self::Missing(_)
            | Self::WrongType { .. }
            | Self::BadValue { .. }
            | Self::Conflict { .. } => false,
        }
    }
}

/// A place in a text; both count from 1, and 0 is unknown.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    serde::Serialize,
    serde::Deserialize,
)]
pub struct Place {
    /// The line.
    pub line: u32,
    /// The character in the line.
    pub column: u32,
}

/// One thing that is wrong with a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The name of the text.
    pub source: String,
    /// Where in the text.
    pub place: Place,
    /// Which setting: `alerting_config.alert_levels.critical.response_time`.
    pub path: String,
    /// What is wrong with it.
    pub fault: Box<Fault>,
    /// What was probably meant, or what to do.
    pub suggestion: Option<String>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            source,
            place,
            path,
            fault,
            suggestion,
        } = self;
        f.write_str(source)?;
        if place.line > 0 {
            write!(f, ":{}:{}", place.line, place.column)?;
        }
        if !path.is_empty() {
            write!(f, ": {path}")?;
        }
        write!(f, ": {fault}")?;
        match suggestion {
            Some(suggestion) => write!(f, " ({suggestion})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Problem {}

/// Problems as they are found.
#[derive(Debug, Default)]
pub(crate) struct Problems(pub(crate) Vec<Problem>);

impl Problems {
    /// Most that are kept; a text with more has one cause, and a page of them helps nobody.
    const MAX: usize = 200;

    pub(crate) fn push(&mut self, problem: Problem) {
        if self.0.len() < Self::MAX {
            self.0.push(problem);
        }
    }
}
