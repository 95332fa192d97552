//! The values of a template, as Go would type and print them.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::float;

/// Labels by name.
pub(super) type LabelMap = BTreeMap<String, String>;

/// One element of the answer of a query.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// What names it.
    pub labels: BTreeMap<String, String>,
    /// Its value.
    pub value: f64,
}

/// What a template is about.
#[derive(Clone, Debug)]
pub(super) struct Alert {
    pub(super) labels: Rc<LabelMap>,
    pub(super) external_labels: Rc<LabelMap>,
    pub(super) external_url: String,
    pub(super) value: f64,
}

/// A value.
#[derive(Clone, Debug)]
pub(super) enum Value {
    Nil,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    Labels(Rc<LabelMap>),
    Map(Rc<BTreeMap<String, Value>>),
    Samples(Rc<Vec<Rc<Sample>>>),
    Sample(Rc<Sample>),
    /// Milliseconds since the Unix epoch.
    Time(i64),
    /// Nanoseconds.
    Duration(i64),
    Alert(Rc<Alert>),
}

impl Value {
    /// Go's name of its type.
    pub(super) fn type_name(&self) -> &'static str {
        match self {
            Self::Nil => "nil",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Float(_) => "float64",
            Self::Text(_) => "string",
            Self::Labels(_) => "map[string]string",
            Self::Map(_) => "map[string]interface {}",
            Self::Samples(_) => "template.queryResult",
            Self::Sample(_) => "*template.sample",
            Self::Time(_) => "*time.Time",
            Self::Duration(_) => "*time.Duration",
            Self::Alert(_) => {
                "struct { Labels map[string]string; ExternalLabels map[string]string; ExternalURL \
                 string; Value float64 }"
            }
        }
    }

    /// Whether Go's `if` takes it for true.
    pub(super) fn is_true(&self) -> bool {
        match self {
            Self::Nil => false,
            Self::Bool(value) => *value,
            Self::Int(value) => *value != 0,
            Self::Float(value) => value.abs() > 0.0 || value.is_nan(),
            Self::Text(text) => !text.is_empty(),
            Self::Labels(labels) => !labels.is_empty(),
            Self::Map(map) => !map.is_empty(),
            Self::Samples(samples) => !samples.is_empty(),
            Self::Sample(_) | Self::Time(_) | Self::Duration(_) | Self::Alert(_) => true,
        }
    }

    /// As `fmt.Sprint` shows it.
    pub(super) fn shown(&self) -> String {
        match self {
            Self::Nil => "<nil>".to_owned(),
            Self::Bool(value) => value.to_string(),
            Self::Int(value) => value.to_string(),
            Self::Float(value) => float::shortest(*value),
            Self::Text(text) => text.clone(),
            Self::Labels(labels) => labels_shown(labels),
            Self::Map(map) => {
                let pairs: Vec<String> = map
                    .iter()
                    .map(|(name, value)| format!("{name}:{}", value.shown()))
                    .collect();
                format!("map[{}]", pairs.join(" "))
            }
            Self::Samples(samples) => {
                let each: Vec<String> = samples.iter().map(|it| sample_shown(it)).collect();
                format!("[{}]", each.join(" "))
            }
            Self::Sample(sample) => sample_shown(sample),
            Self::Time(millis) => super::time::shown(*millis),
            Self::Duration(nanos) => super::time::duration_shown(*nanos),
            Self::Alert(alert) => format!(
                "{{{} {} {} {}}}",
                labels_shown(&alert.labels),
                labels_shown(&alert.external_labels),
                alert.external_url,
                float::shortest(alert.value)
            ),
        }
    }
}

fn labels_shown(labels: &LabelMap) -> String {
    let pairs: Vec<String> = labels
        .iter()
        .map(|(name, value)| format!("{name}:{value}"))
        .collect();
    format!("map[{}]", pairs.join(" "))
}

fn sample_shown(sample: &Sample) -> String {
    format!(
        "&{{{} {}}}",
        labels_shown(&sample.labels),
        float::shortest(sample.value)
    )
}
