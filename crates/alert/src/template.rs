//! Prometheus' template language, which is Go's `text/template` with functions of its own, for labels and
//! annotations of alerts.
//!
//! A template is parsed once, with Go's checks: an unknown function or variable is an error at load. What
//! it may take is bounded: text in, text out, steps, templates inside templates. A failure while it runs is
//! an [`ExpandError`] with Go's words; who expands shows it in the place of the text, as Prometheus does.
//! Calls of methods of Go's types are not there, but for the parts of a time.

mod compare;
mod float;
mod functions;
mod humanize;
mod lex;
mod node;
mod number;
mod parse;
mod printf;
mod quote;
mod run;
mod time;
mod value;

use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;

use series::Timestamp;

use node::Program;
use run::{Run, Stopped};
use value::Alert;

pub use value::Sample;

/// Longest template, in bytes; people write a page at most.
pub const TEMPLATE_BYTES_MAX: usize = 64 * 1024;
/// Longest text that a template makes, in bytes.
pub const OUTPUT_BYTES_MAX: usize = 64 * 1024;
/// Most commands, and rounds of a `range`, that one template runs.
pub const STEPS_MAX: usize = 100_000;
/// Most templates, branches and parentheses inside each other while it runs.
pub const DEPTH_MAX: usize = 100;

/// What Prometheus puts before each template of an alert; positions in errors count it.
const PREFIX: &str = "{{$labels := .Labels}}{{$externalLabels := .ExternalLabels}}{{$externalURL := \
                      .ExternalURL}}{{$value := .Value}}";

/// Answers the queries of a template, at the time of its evaluation.
pub type Query<'a> = dyn Fn(&str) -> Result<Vec<Sample>, String> + 'a;

/// What surrounds a template while it runs.
pub struct Scope<'a> {
    /// The name of the alert, for errors.
    pub alert: &'a str,
    /// The time of evaluation.
    pub at: Timestamp,
    /// The address under which people reach us.
    pub external_url: &'a str,
    /// The labels that all alerts from here bear.
    pub external_labels: &'a BTreeMap<String, String>,
    /// Answers queries.
    pub query: &'a Query<'a>,
}

impl fmt::Debug for Scope<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scope")
            .field("alert", &self.alert)
            .field("at", &self.at)
            .finish_non_exhaustive()
    }
}

/// Why a text is not a template.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// It is too long.
    #[error("the template has {got} bytes, more than {TEMPLATE_BYTES_MAX}")]
    TooLong {
        /// Its bytes.
        got: usize,
    },
    /// It does not parse.
    #[error("line {line}: {message}")]
    Syntax {
        /// The line of the template, counting from 1.
        line: usize,
        /// What is wrong, in Go's words where it has words for it.
        message: String,
    },
}

/// Why a template stopped.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "error executing template __alert_{alert}: template: __alert_{alert}:{line}:{column}: executing \
     \"__alert_{alert}\" at <{context}>: {message}"
)]
pub struct ExpandError {
    alert: String,
    line: usize,
    column: usize,
    context: String,
    message: String,
}

/// A template that was parsed.
#[derive(Debug)]
pub struct Template {
    text: String,
    program: Option<Program>,
}

impl Template {
    /// Parses and checks.
    ///
    /// # Errors
    /// When the text is too long or is no template.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        if text.len() > TEMPLATE_BYTES_MAX {
            return Err(TemplateError::TooLong { got: text.len() });
        }
        let program = if text.contains("{{") {
            let parsed = parse::parse(text).map_err(|fault| TemplateError::Syntax {
                line: 1 + text.get(..fault.at).unwrap_or(text).matches('\n').count(),
                message: fault.message,
            })?;
            Some(parsed)
        } else {
            None
        };
        Ok(Self {
            text: text.to_owned(),
            program,
        })
    }

    /// A text that is shown as it is.
    #[must_use]
    pub fn plain(text: &str) -> Self {
        Self {
            text: text.to_owned(),
            program: None,
        }
    }

    /// Its text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether it looks at the value of the alert.
    #[must_use]
    pub fn uses_value(&self) -> bool {
        self.program.as_ref().is_some_and(|it| it.uses_value)
    }

    /// Whether it asks queries or for the time.
    #[must_use]
    pub fn uses_queries(&self) -> bool {
        self.program.as_ref().is_some_and(|it| it.uses_queries)
    }

    /// The text for an alert of these labels and this value.
    ///
    /// # Errors
    /// When a function fails, a value is of a wrong type, or a bound is reached.
    pub fn expand(
        &self,
        labels: impl IntoIterator<Item = (String, String)>,
        value: f64,
        scope: &Scope<'_>,
    ) -> Result<String, ExpandError> {
        let Some(program) = &self.program else {
            return Ok(self.text.clone());
        };
        let alert = Rc::new(Alert {
            labels: Rc::new(labels.into_iter().collect()),
            external_labels: Rc::new(scope.external_labels.clone()),
            external_url: scope.external_url.to_owned(),
            value,
        });
        Run::new(program, scope, &alert)
            .run(alert)
            .map_err(|stopped| self.error(stopped, scope))
    }

    fn error(&self, stopped: Stopped, scope: &Scope<'_>) -> ExpandError {
        let before = self.text.get(..stopped.at).unwrap_or_default();
        let column = match before.rfind('\n') {
            Some(newline) => before.len() - newline - 1,
            None => PREFIX.len() + before.len(),
        };
        ExpandError {
            alert: scope.alert.to_owned(),
            line: 1 + before.matches('\n').count(),
            column,
            context: stopped.context,
            message: stopped.message,
        }
    }
}

#[cfg(test)]
mod tests;
