//! Why a rule file is refused.

use std::fmt;

use crate::template::TemplateError;

/// What is wrong with a rule file, and where.
#[derive(Debug)]
pub struct LoadError {
    /// The file.
    pub file: String,
    /// The line, counting from 1, where it is known.
    pub line: Option<u64>,
    /// The group, where it is inside one.
    pub group: Option<String>,
    /// The rule's name, where it is inside one.
    pub rule: Option<String>,
    /// What is wrong.
    pub problem: Problem,
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        if let Some(group) = &self.group {
            write!(f, ": group {group:?}")?;
        }
        if let Some(rule) = &self.rule {
            write!(f, ", rule {rule:?}")?;
        }
        write!(f, ": {}", self.problem)
    }
}

impl std::error::Error for LoadError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.problem.source()
    }
}

impl LoadError {
    /// Whether the same file may be taken later: it must be changed first.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        false
    }
}

/// What is wrong.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// There is too much of something.
    #[error("{got} {what}, more than {max}")]
    TooMuch {
        /// Of what.
        what: &'static str,
        /// How much there is.
        got: usize,
        /// The bound.
        max: usize,
    },
    /// It is not YAML of the form of rule files.
    #[error("{message}")]
    Yaml {
        /// What the reader says, which names the field.
        message: String,
    },
    /// A field does not say what it may.
    #[error("{message}")]
    Field {
        /// What is wrong with which field.
        message: String,
    },
    /// An expression is not PromQL.
    #[error("could not parse {field}")]
    Expression {
        /// The field that holds it.
        field: &'static str,
        /// What is wrong with it.
        #[source]
        source: query::ParseError,
    },
    /// A label or annotation is not a template.
    #[error("could not parse the template of {what} {name:?}")]
    Template {
        /// A label or an annotation.
        what: &'static str,
        /// Its name.
        name: String,
        /// What is wrong with it.
        #[source]
        source: TemplateError,
    },
}

impl Problem {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        std::error::Error::source(self)
    }
}
