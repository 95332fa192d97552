//! When nobody wants to be told: silences and maintenance windows.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use series::{MatchOp, Matcher, MatcherError};

/// Most conditions of one silence.
pub const CONDITIONS_MAX: usize = 20;

/// One condition on one label, as it is written: `node=~"eu-.*"`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Condition {
    /// The label.
    pub name: String,
    /// `=`, `!=`, `=~` or `!~`.
    pub op: String,
    /// What it is compared with.
    pub value: String,
}

/// Why a condition cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConditionError {
    /// It is not written as one.
    #[error("{0:?} is no condition; write LABEL=VALUE, or !=, =~, !~ in the place of =")]
    Form(String),
    /// Its pattern is no regular expression.
    #[error(transparent)]
    Pattern(#[from] MatcherError),
    /// There are none: everything would be silenced.
    #[error("a silence needs at least one condition that does not match everything")]
    None,
    /// There are too many.
    #[error("{0} conditions are more than {CONDITIONS_MAX}")]
    TooMany(usize),
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}{:?}", self.name, self.op, self.value)
    }
}

impl Condition {
    /// Reads `LABEL=VALUE`, the value with or without quotes.
    ///
    /// # Errors
    /// When it is not written as a condition.
    pub fn parse(text: &str) -> Result<Self, ConditionError> {
        let form = || ConditionError::Form(text.to_owned());
        let at = text.find(['=', '!']).ok_or_else(form)?;
        let (name, rest) = text.split_at(at);
        let (op, value) = ["=~", "!~", "!=", "="]
            .into_iter()
            .find_map(|op| Some((op, rest.strip_prefix(op)?.trim())))
            .ok_or_else(form)?;
        let value = value
            .strip_prefix('"')
            .and_then(|value| value.strip_suffix('"'))
            .unwrap_or(value);
        let name = name.trim();
        if !series::labels::is_label_name(name) {
            return Err(form());
        }
        Ok(Self {
            name: name.to_owned(),
            op: op.to_owned(),
            value: value.to_owned(),
        })
    }

    fn matcher(&self) -> Result<Matcher, ConditionError> {
        let op = match self.op.as_str() {
            "=" => MatchOp::Equal,
            "!=" => MatchOp::NotEqual,
            "=~" => MatchOp::Regex,
            "!~" => MatchOp::NotRegex,
            _ => return Err(ConditionError::Form(self.to_string())),
        };
        Ok(Matcher::new(&self.name, op, &self.value)?)
    }
}

/// Conditions, ready to be asked.
#[derive(Clone, Debug)]
pub(crate) struct Conditions(Vec<Matcher>);

impl Conditions {
    pub(crate) fn new(conditions: &[Condition]) -> Result<Self, ConditionError> {
        if conditions.len() > CONDITIONS_MAX {
            return Err(ConditionError::TooMany(conditions.len()));
        }
        let matchers = conditions.iter().map(Condition::matcher);
        let matchers = matchers.collect::<Result<Vec<_>, _>>()?;
        if matchers.iter().all(Matcher::matches_absent) {
            return Err(ConditionError::None);
        }
        Ok(Self(matchers))
    }

    pub(crate) fn hold(&self, labels: &BTreeMap<String, String>) -> bool {
        self.0
            .iter()
            .all(|matcher| matcher.matches(labels.get(matcher.name()).map_or("", String::as_str)))
    }
}

/// Alerts of which nobody is told for a time. They go on being watched and listed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Silence {
    /// Names it.
    pub id: String,
    /// All must hold.
    pub conditions: Vec<Condition>,
    /// From when, in milliseconds since the Unix epoch.
    pub starts_millis: i64,
    /// Until when, in milliseconds since the Unix epoch.
    pub ends_millis: i64,
    /// Whether it was planned: a maintenance window.
    pub maintenance: bool,
    /// Who made it.
    pub by: String,
    /// Why.
    pub comment: String,
}

impl Silence {
    /// Whether it holds at a time.
    #[must_use]
    pub fn is_on(&self, now_millis: i64) -> bool {
        self.starts_millis <= now_millis && now_millis < self.ends_millis
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conditions(texts: &[&str]) -> Result<Conditions, ConditionError> {
        let conditions = texts.iter().map(|text| Condition::parse(text));
        Conditions::new(&conditions.collect::<Result<Vec<_>, _>>()?)
    }

    #[test]
    fn conditions_are_read_and_hold() {
        let labels = BTreeMap::from([("node".to_owned(), "eu-7".to_owned())]);
        for (texts, holds) in [
            (&["node=eu-7"][..], true),
            (&["node=~\"eu-.*\"", "gpu="], true),
            (&["node=~eu"], false),
            (&["node != eu-8", "gpu!=0", "node=~e.*"], true),
            (&["node!~eu-.*", "region!="], false),
        ] {
            assert_eq!(conditions(texts).unwrap().hold(&labels), holds, "{texts:?}");
        }
    }

    #[test]
    fn what_is_no_condition_is_refused_with_the_reason() {
        for (texts, reason) in [
            (&["node"][..], "is no condition"),
            (&["no de=1"], "is no condition"),
            (&["node=~("], "regular expression"),
            (&["node=~.*"], "at least one condition"),
            (&["gpu=", "node!=x"], "at least one condition"),
            (&[], "at least one condition"),
            (&["a=1"; 21], "more than 20"),
        ] {
            let error = conditions(texts).unwrap_err().to_string();
            assert!(error.contains(reason), "{texts:?}: {error}");
        }
    }
}
