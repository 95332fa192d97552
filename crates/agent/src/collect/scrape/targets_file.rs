//! Targets listed in a file: Prometheus' `file_sd` as JSON, or the same as TOML.
//!
//! ```json
//! [{"targets": ["127.0.0.1:8000"], "labels": {"job": "vllm", "__metrics_path__": "/metrics"}}]
//! ```
//! ```toml
//! [[group]]
//! targets = ["127.0.0.1:8000"]
//! labels = { job = "vllm" }
//! ```
//!
//! The labels `__scheme__`, `__metrics_path__`, `__scrape_interval__`, `__scrape_timeout__` and
//! `__param_<name>` mean what they mean to Prometheus; other labels that begin with two
//! underscores are refused, since nothing here could use them. A target may also be a whole URL.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::Url;
use serde::Deserialize;
use tokio::io::AsyncReadExt;

use super::target::{Target, TargetError};

/// Largest targets file in bytes.
pub const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// Most targets of one agent. Each is a task and a connection.
pub const TARGETS_MAX: usize = 4096;

/// What a target of the file has when the file does not say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Defaults {
    /// The label `job`.
    pub job: String,
    /// How often it is read.
    pub interval: Duration,
    /// How long reading may take; cut to the interval where that is shorter.
    pub timeout: Duration,
    /// Whether scraped labels win over target labels.
    pub honor_labels: bool,
}

impl Default for Defaults {
    fn default() -> Self {
        Self {
            job: "scrape".to_owned(),
            interval: super::target::INTERVAL_DEFAULT,
            timeout: super::target::TIMEOUT_DEFAULT,
            honor_labels: false,
        }
    }
}

/// Why a targets file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TargetsFileError {
    /// It could not be read.
    #[error("reading targets file {}", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// What went wrong.
        #[source]
        source: std::io::Error,
    },
    /// It is larger than [`FILE_BYTES_MAX`].
    #[error("targets file is larger than {FILE_BYTES_MAX} bytes")]
    TooLarge,
    /// It is neither the JSON nor the TOML described above.
    #[error("parsing targets file")]
    Syntax(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// One of its targets cannot work.
    #[error("a target of the targets file")]
    Target(#[from] TargetError),
    /// A label that begins with two underscores and means nothing here.
    #[error("label {name:?} of the targets file has no meaning here")]
    ReservedLabel {
        /// The label.
        name: String,
    },
    /// A `__scrape_interval__` or `__scrape_timeout__` is no duration.
    #[error("{text:?} is not a duration such as 15s or 1m30s")]
    BadDuration {
        /// As it was given.
        text: String,
    },
    /// More than [`TARGETS_MAX`].
    #[error("{got} targets, more than {TARGETS_MAX}")]
    TooMany {
        /// How many.
        got: usize,
    },
}

impl TargetsFileError {
    /// Whether reading the same file again may well succeed.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Read { .. } => true,
            Self::TooLarge
            | Self::Syntax(_)
            | Self::Target(_)
            | Self::ReservedLabel { .. }
            | Self::BadDuration { .. }
            | Self::TooMany { .. } => false,
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Group {
    targets: Vec<String>,
    #[serde(default)]
    labels: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TomlFile {
    #[serde(default)]
    group: Vec<Group>,
}

/// Reads the file's bytes, up to the bound.
pub(super) async fn read(path: &Path) -> Result<Vec<u8>, TargetsFileError> {
    let failed = |source| TargetsFileError::Read {
        path: path.to_owned(),
        source,
    };
    let file = tokio::fs::File::open(path).await.map_err(failed)?;
    let mut bytes = Vec::new();
    let mut bounded = file.take(FILE_BYTES_MAX + 1);
    let got = bounded.read_to_end(&mut bytes).await.map_err(failed)?;
    if u64::try_from(got).is_ok_and(|got| got <= FILE_BYTES_MAX) {
        Ok(bytes)
    } else {
        Err(TargetsFileError::TooLarge)
    }
}

/// Reads the targets of a file: TOML where the path ends so, else JSON. A target given twice is
/// one target.
///
/// # Errors
/// When any part of it cannot be used; a file is taken whole or not at all.
pub fn parse(
    path: &Path,
    bytes: &[u8],
    defaults: &Defaults,
) -> Result<Vec<Target>, TargetsFileError> {
    let groups: Vec<Group> = if path
        .extension()
        .is_some_and(|extension| extension == "toml")
    {
        let file: TomlFile =
            toml::from_slice(bytes).map_err(|error| TargetsFileError::Syntax(error.into()))?;
        file.group
    } else {
        serde_json::from_slice(bytes).map_err(|error| TargetsFileError::Syntax(error.into()))?
    };
    let got = groups.iter().map(|group| group.targets.len()).sum();
    if got > TARGETS_MAX {
        return Err(TargetsFileError::TooMany { got });
    }
    let mut targets = Vec::with_capacity(got);
    let mut seen = HashSet::with_capacity(got);
    for group in &groups {
        for address in &group.targets {
            let target = target_of(address, &group.labels, defaults)?;
            if seen.insert(target.clone()) {
                targets.push(target);
            }
        }
    }
    Ok(targets)
}

fn target_of(
    address: &str,
    labels: &BTreeMap<String, String>,
    defaults: &Defaults,
) -> Result<Target, TargetsFileError> {
    let get = |name: &str| labels.get(name).map(String::as_str);
    let mut full = if address.contains("://") {
        address.to_owned()
    } else {
        let scheme = get("__scheme__").unwrap_or("http");
        let path = get("__metrics_path__").unwrap_or("/metrics");
        let slash = if path.starts_with('/') { "" } else { "/" };
        format!("{scheme}://{address}{slash}{path}")
    };
    let mut kept = Vec::new();
    let mut params = Vec::new();
    for (name, value) in labels {
        match name.strip_prefix("__") {
            None => kept.push((name.as_str(), value.as_str())),
            Some("scheme__" | "metrics_path__" | "scrape_interval__" | "scrape_timeout__") => {}
            Some(rest) => match rest.strip_prefix("param_") {
                Some(param) => params.push((param, value)),
                None => return Err(TargetsFileError::ReservedLabel { name: name.clone() }),
            },
        }
    }
    if let (false, Ok(mut url)) = (params.is_empty(), Url::parse(&full)) {
        url.query_pairs_mut().extend_pairs(params);
        full = url.into();
    }
    let interval = match get("__scrape_interval__") {
        Some(text) => duration(text)?,
        None => defaults.interval,
    };
    let timeout = match get("__scrape_timeout__") {
        Some(text) => duration(text)?,
        None => defaults.timeout.min(interval),
    };
    let target = Target::new(&full, &defaults.job)?
        .with_labels(kept)?
        .with_times(interval, timeout)?
        .with_honor_labels(defaults.honor_labels);
    Ok(target)
}

/// Reads a duration as Prometheus writes it: whole numbers with units, the largest unit first.
fn duration(text: &str) -> Result<Duration, TargetsFileError> {
    const UNITS: [(&str, u64); 7] = [
        ("y", 365 * 86_400_000),
        ("w", 7 * 86_400_000),
        ("d", 86_400_000),
        ("h", 3_600_000),
        ("m", 60_000),
        ("s", 1000),
        ("ms", 1),
    ];
    let bad = || TargetsFileError::BadDuration {
        text: text.chars().take(64).collect(),
    };
    let (mut rest, mut millis, mut units) = (text, 0_u64, UNITS.as_slice());
    while !rest.is_empty() {
        let is_digit = |c: char| c.is_ascii_digit();
        let after_digits = rest.trim_start_matches(is_digit);
        let digits = rest.strip_suffix(after_digits).unwrap_or_default();
        let after_unit = after_digits.trim_start_matches(|c: char| c.is_ascii_lowercase());
        let unit = after_digits.strip_suffix(after_unit).unwrap_or_default();
        let at = units
            .iter()
            .position(|(name, _)| *name == unit)
            .ok_or_else(bad)?;
        let number: u64 = digits.parse().map_err(|_not_a_number| bad())?;
        millis = number
            .checked_mul(units[at].1)
            .and_then(|part| part.checked_add(millis))
            .ok_or_else(bad)?;
        units = &units[at + 1..];
        rest = after_unit;
    }
    if text.is_empty() {
        return Err(bad());
    }
    Ok(Duration::from_millis(millis))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &str) -> Result<Vec<Target>, TargetsFileError> {
        parse(Path::new("t.json"), text.as_bytes(), &Defaults::default())
    }

    #[test]
    fn file_sd_json_and_toml_say_the_same() {
        let from_json = json(
            r#"[{"targets": ["a:1", "b:2", "a:1"], "labels": {"job": "vllm", "rack": "7",
                "__scheme__": "https", "__metrics_path__": "stats", "__param_x": "1 2",
                "__scrape_interval__": "1m30s", "__scrape_timeout__": "500ms"}},
                {"targets": ["http://c:3/m"]}]"#,
        )
        .unwrap();
        let from_toml = parse(
            Path::new("t.toml"),
            br#"
[[group]]
targets = ["a:1", "b:2"]
labels = { job = "vllm", rack = "7", __scheme__ = "https", __metrics_path__ = "/stats", __param_x = "1 2", __scrape_interval__ = "90s", __scrape_timeout__ = "500ms" }
[[group]]
targets = ["http://c:3/m"]
"#,
            &Defaults::default(),
        )
        .unwrap();
        assert_eq!(from_json, from_toml);
        assert_eq!(from_json.len(), 3);
        let first = &from_json[0];
        assert_eq!(first.url().as_str(), "https://a:1/stats?x=1+2");
        assert_eq!(
            first.labels().to_string(),
            r#"{instance="a:1",job="vllm",rack="7"}"#
        );
        assert_eq!(first.interval(), Duration::from_secs(90));
        assert_eq!(first.timeout(), Duration::from_millis(500));
        assert_eq!(from_json[2].labels().get("job"), "scrape");
    }

    #[test]
    fn a_file_is_refused_whole() {
        for bad in [
            "",
            "{}",
            r#"[{"targets": ["a:1"], "lables": {}}]"#,
            r#"[{"targets": ["a:1", "http://"]}]"#,
            r#"[{"targets": ["a:1"], "labels": {"__meta_x": "1"}}]"#,
            r#"[{"targets": ["a:1"], "labels": {"a-b": "1"}}]"#,
            r#"[{"targets": ["a:1"], "labels": {"__scrape_interval__": "1x"}}]"#,
            r#"[{"targets": ["a:1"], "labels": {"__scrape_interval__": "0s"}}]"#,
        ] {
            assert!(json(bad).is_err(), "{bad}");
        }
        let many: Vec<String> = (0..=TARGETS_MAX).map(|at| format!("\"h{at}:1\"")).collect();
        let error = json(&format!(r#"[{{"targets": [{}]}}]"#, many.join(",")));
        assert!(matches!(
            error,
            Err(TargetsFileError::TooMany { got: 4097 })
        ));
        assert_eq!(json("[]").unwrap(), []);
    }

    #[test]
    fn durations_are_read_as_prometheus_writes_them() {
        let millis = |text| duration(text).map(|duration| duration.as_millis());
        for (text, expected) in [("15s", 15_000), ("1h30m", 5_400_000), ("0s", 0), ("7ms", 7)] {
            assert_eq!(millis(text).unwrap(), expected);
        }
        for bad in [
            "",
            "15",
            "s",
            "1s1m",
            "1s1s",
            "1.5s",
            "-1s",
            "99999999999999999y",
            "é",
        ] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }
}
