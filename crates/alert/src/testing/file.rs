//! Files of unit tests as they are written.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Deserializer};

/// Largest file of tests, in bytes.
pub const FILE_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Why a file of tests cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TestFileError {
    /// It is too large.
    #[error("the file has {got} bytes, more than {FILE_BYTES_MAX}")]
    TooLarge {
        /// Its bytes.
        got: usize,
    },
    /// It is not YAML of the form of unit tests.
    #[error("{message}")]
    Yaml {
        /// What the reader says, which names the field and the place.
        message: String,
    },
    /// A group comes twice in the order of evaluation.
    #[error("group name repeated in evaluation order: {0}")]
    RepeatedGroup(String),
}

impl TestFileError {
    /// Whether the same file may be taken later: it must be changed first.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        match self {
            Self::TooLarge { .. } | Self::Yaml { .. } | Self::RepeatedGroup(_) => false,
        }
    }
}

/// A file of unit tests.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TestFile {
    /// The rule files, as paths relative to the file, in which `*` stands for any.
    #[serde(default, deserialize_with = "or_default")]
    pub rule_files: Vec<String>,
    #[serde(default = "minute", deserialize_with = "millis")]
    pub(super) evaluation_interval: i64,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) group_eval_order: Vec<String>,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) tests: Vec<Test>,
    #[serde(default)]
    pub(super) fuzzy_compare: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Test {
    #[serde(default)]
    pub(super) name: String,
    #[serde(default, deserialize_with = "millis")]
    pub(super) interval: i64,
    #[serde(default)]
    pub(super) start_timestamp: Option<String>,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) input_series: Vec<InputSeries>,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) alert_rule_test: Vec<AlertTest>,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) promql_expr_test: Vec<ExprTest>,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) external_labels: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) external_url: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct InputSeries {
    #[serde(default)]
    pub(super) series: String,
    #[serde(default)]
    pub(super) values: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AlertTest {
    #[serde(default, deserialize_with = "millis")]
    pub(super) eval_time: i64,
    #[serde(default)]
    pub(super) alertname: String,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) exp_alerts: Vec<ExpectedAlert>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ExpectedAlert {
    #[serde(default, deserialize_with = "or_default")]
    pub(super) exp_labels: BTreeMap<String, String>,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) exp_annotations: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ExprTest {
    #[serde(default)]
    pub(super) expr: String,
    #[serde(default, deserialize_with = "millis")]
    pub(super) eval_time: i64,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) exp_samples: Vec<ExpectedSample>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ExpectedSample {
    #[serde(default)]
    pub(super) labels: String,
    #[serde(default)]
    pub(super) value: f64,
    #[serde(default)]
    pub(super) histogram: String,
}

fn minute() -> i64 {
    60_000
}

/// What is null is as if it were not there.
fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    from: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

/// A duration in milliseconds.
fn millis<'de, D: Deserializer<'de>>(from: D) -> Result<i64, D::Error> {
    let text = String::deserialize(from)?;
    match text.as_str() {
        "0" => Ok(0),
        text => query::duration_millis(text).ok_or_else(|| {
            serde::de::Error::custom(format!("{text:?} is no duration such as 90s, 5m or 1h30m"))
        }),
    }
}

impl TestFile {
    /// Reads a file.
    ///
    /// # Errors
    /// When it is too large or is no file of unit tests.
    pub fn parse(text: &str) -> Result<Self, TestFileError> {
        if text.len() > FILE_BYTES_MAX {
            return Err(TestFileError::TooLarge { got: text.len() });
        }
        let mut file: Self = serde_saphyr::from_str(text).map_err(|error| TestFileError::Yaml {
            message: error.without_snippet().to_string(),
        })?;
        if file.evaluation_interval == 0 {
            file.evaluation_interval = minute();
        }
        let mut seen = BTreeSet::new();
        for name in &file.group_eval_order {
            if !seen.insert(name) {
                return Err(TestFileError::RepeatedGroup(name.clone()));
            }
        }
        Ok(file)
    }
}
