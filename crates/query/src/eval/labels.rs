//! Label sets made from label sets, and the functions that make them.

use std::sync::Arc;

use regex::{Regex, RegexBuilder};
use series::labels::{METRIC_NAME, is_label_name};
use series::limits::LABEL_VALUE_BYTES_MAX;
use series::matcher::REGEX_BYTES_MAX;
use series::{Labels, LabelsBuilder};

use super::{Context, Grid, Steps};
use crate::ast::Text;
use crate::error::Error;
use crate::parse::Expr;

/// Packs a set that an expression has made.
pub(super) fn build(builder: LabelsBuilder) -> Result<Arc<Labels>, Error> {
    builder
        .build()
        .map(Arc::new)
        .map_err(|error| Error::execution(format!("label set of the result: {error}")))
}

/// The set with only the labels that pass.
pub(super) fn filtered(
    labels: &Labels,
    keep: impl FnMut(&str) -> bool,
) -> Result<Arc<Labels>, Error> {
    let mut builder = LabelsBuilder::from_labels(labels);
    builder.retain(keep);
    build(builder)
}

/// The set without the metric name and what describes the metric.
pub(super) fn without_metadata(labels: &Labels) -> Result<Arc<Labels>, Error> {
    filtered(labels, |name| !is_metadata(name))
}

/// Whether a label describes the metric rather than where it comes from: its name, type or unit.
pub(super) fn is_metadata(name: &str) -> bool {
    matches!(name, METRIC_NAME | "__type__" | "__unit__")
}

/// A label name given by an expression.
pub(super) fn label_name(text: &Text) -> Result<&str, Error> {
    match &text.not_utf8 {
        Some(quoted) => Err(Error::execution(format!("invalid label name {quoted}"))),
        None if is_label_name(&text.value) => Ok(&text.value),
        None => Err(Error::execution(format!(
            "invalid label name {:?}",
            text.value
        ))),
    }
}

/// `{a="b", c="d"}`, as Prometheus writes label sets into errors.
pub(super) fn braces(labels: &Labels) -> String {
    let pairs: Vec<String> = labels
        .iter()
        .map(|(name, value)| format!("{name}={value:?}"))
        .collect();
    format!("{{{}}}", pairs.join(", "))
}

impl Context<'_> {
    /// `label_replace(v, dst, replacement, src, regex)`.
    pub(super) fn label_replace(&self, args: &[Expr], steps: &Steps) -> Result<Grid, Error> {
        let mut texts = Vec::with_capacity(4);
        for arg in &args[1..] {
            texts.push(self.text(arg, steps)?);
        }
        let [target, replacement, source, pattern] = texts.as_slice() else {
            return Err(Error::execution("label_replace takes four texts"));
        };
        let regex = anchored(&pattern.value)?;
        let target = destination(target, "label_replace")?;
        // Each `$1` of it may stand for a whole label.
        bounded(
            "the replacement of label_replace()",
            replacement.value.len(),
        )?;
        let mut grid = self.grid(&args[0], steps)?;
        for row in &mut grid.rows {
            self.check()?;
            let Some(captures) = regex.captures(row.labels.get(&source.value)) else {
                continue;
            };
            let mut value = String::new();
            captures.expand(&replacement.value, &mut value);
            let mut builder = LabelsBuilder::from_labels(&row.labels);
            builder.set(target, &value);
            row.labels = build(builder)?;
            if target == METRIC_NAME {
                row.drop_name = false;
            }
        }
        grid.merged()
    }

    /// `label_join(v, dst, separator, src…)`.
    pub(super) fn label_join(&self, args: &[Expr], steps: &Steps) -> Result<Grid, Error> {
        let mut texts = Vec::with_capacity(args.len());
        for arg in &args[1..] {
            texts.push(self.text(arg, steps)?);
        }
        let [target, separator, sources @ ..] = texts.as_slice() else {
            return Err(Error::execution("label_join takes two texts or more"));
        };
        for source in sources {
            if source.not_utf8.is_some() {
                label_name(source)?;
            }
        }
        let target = destination(target, "label_join")?;
        let mut grid = self.grid(&args[0], steps)?;
        for row in &mut grid.rows {
            self.check()?;
            let values: Vec<&str> = sources
                .iter()
                .map(|name| row.labels.get(&name.value))
                .collect();
            // Before it is made: the separator may be long and the sources many.
            let texts: usize = values.iter().map(|value| value.len()).sum();
            let separators = separator.value.len() * values.len().saturating_sub(1);
            bounded("the result of label_join()", texts + separators)?;
            let mut builder = LabelsBuilder::from_labels(&row.labels);
            builder.set(target, &values.join(&separator.value));
            row.labels = build(builder)?;
            if target == METRIC_NAME {
                row.drop_name = false;
            }
        }
        grid.merged()
    }
}

fn bounded(what: &str, bytes: usize) -> Result<(), Error> {
    if bytes > LABEL_VALUE_BYTES_MAX {
        return Err(Error::execution(format!(
            "{what} has {bytes} bytes, more than {LABEL_VALUE_BYTES_MAX}"
        )));
    }
    Ok(())
}

fn destination<'t>(text: &'t Text, function: &str) -> Result<&'t str, Error> {
    label_name(text).map_err(|_named_again| {
        let shown = text
            .not_utf8
            .clone()
            .unwrap_or_else(|| format!("{:?}", text.value));
        Error::execution(format!(
            "invalid destination label name in {function}(): {shown}"
        ))
    })
}

fn anchored(pattern: &str) -> Result<Regex, Error> {
    RegexBuilder::new(&format!("^(?s:{pattern})$"))
        .size_limit(REGEX_BYTES_MAX)
        .build()
        .map_err(|_reported_by_pattern| {
            Error::execution(format!(
                "invalid regular expression in label_replace(): {pattern:?}"
            ))
        })
}
