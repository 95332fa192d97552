//! What is scraped, and the labels it gives to what it says.

use std::borrow::Cow;
use std::fmt;
use std::hash::{BuildHasher, Hash, Hasher};
use std::time::Duration;

use reqwest::Url;
use series::labels::{METRIC_NAME, is_label_name};
use series::{Labels, LabelsBuilder, LabelsError};

/// Shortest interval between two scrapes of one target.
pub const INTERVAL_MIN: Duration = Duration::from_millis(100);

/// How often a target is read when nothing else is said.
pub const INTERVAL_DEFAULT: Duration = Duration::from_secs(15);

/// How long a target may take when nothing else is said.
pub const TIMEOUT_DEFAULT: Duration = Duration::from_secs(10);

/// What is put before a scraped label that a target label takes the place of.
const EXPORTED: &str = "exported_";

/// Why a target is not one.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// The address is no URL.
    #[error("target {address:?} is not a URL")]
    BadUrl {
        /// As it was given.
        address: String,
        /// How that showed.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The URL is neither http nor https, or has no host.
    #[error("target {address:?} is not an http or https URL with a host")]
    NotHttp {
        /// As it was given.
        address: String,
    },
    /// A label of the target breaks a rule of the series model.
    #[error("the labels of target {address:?}")]
    BadLabels {
        /// Which target.
        address: String,
        /// Which rule.
        #[source]
        source: LabelsError,
    },
    /// The interval is too short, or the timeout is zero or longer than the interval.
    #[error("target {address:?} has a timeout of {timeout:?} within an interval of {interval:?}")]
    BadTimes {
        /// Which target.
        address: String,
        /// Its interval.
        interval: Duration,
        /// Its timeout.
        timeout: Duration,
    },
}

impl TargetError {
    /// Never: the list of targets must change.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::BadUrl { .. }
            | Self::NotHttp { .. }
            | Self::BadLabels { .. }
            | Self::BadTimes { .. } => false,
        }
    }
}

/// One endpoint that is read at an interval. Checked when made; equal targets are the same target.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Target {
    url: Url,
    labels: Labels,
    interval: Duration,
    timeout: Duration,
    honor_labels: bool,
}

impl Target {
    /// A target at `address`, a URL or `host:port` (then `http` and `/metrics`), with the labels
    /// `job` and `instance`: the latter is `host:port` of the address.
    ///
    /// # Errors
    /// When the address is no http URL or the job is no label value.
    pub fn new(address: &str, job: &str) -> Result<Self, TargetError> {
        let url = parse_address(address)?;
        let instance = instance_of(&url);
        let labels = Labels::new(&[("job", job), ("instance", &instance)]).map_err(|source| {
            TargetError::BadLabels {
                address: shown(&url),
                source,
            }
        })?;
        Ok(Self {
            url,
            labels,
            interval: INTERVAL_DEFAULT,
            timeout: TIMEOUT_DEFAULT,
            honor_labels: false,
        })
    }

    /// With these labels too; `job` and `instance` may be given anew.
    ///
    /// # Errors
    /// When a name or value breaks a rule of the series model, or a name starts with `__`.
    pub fn with_labels<'a>(
        mut self,
        labels: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, TargetError> {
        let mut builder = LabelsBuilder::from_labels(&self.labels);
        let bad = |source| TargetError::BadLabels {
            address: shown(&self.url),
            source,
        };
        for (name, value) in labels {
            if !is_label_name(name) || name.starts_with("__") {
                return Err(bad(LabelsError::BadName {
                    name: name.chars().take(64).collect(),
                }));
            }
            builder.set(name, value);
        }
        self.labels = builder.build().map_err(bad)?;
        Ok(self)
    }

    /// Read at this interval, and given up after this time.
    ///
    /// # Errors
    /// When the interval is below [`INTERVAL_MIN`], or the timeout is zero or above the interval.
    pub fn with_times(
        mut self,
        interval: Duration,
        timeout: Duration,
    ) -> Result<Self, TargetError> {
        if interval < INTERVAL_MIN || timeout.is_zero() || timeout > interval {
            return Err(TargetError::BadTimes {
                address: shown(&self.url),
                interval,
                timeout,
            });
        }
        self.interval = interval;
        self.timeout = timeout;
        Ok(self)
    }

    /// Whether a scraped label wins over a target label of the same name. If not, it is renamed
    /// to `exported_<name>`.
    #[must_use]
    pub fn with_honor_labels(mut self, honor_labels: bool) -> Self {
        self.honor_labels = honor_labels;
        self
    }

    /// Where it is read. A user and password in it are sent as basic authentication; to show the
    /// URL, use [`Target::shown_url`].
    #[must_use]
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// Where it is read, for people: without a user and password.
    #[must_use]
    pub fn shown_url(&self) -> String {
        shown(&self.url)
    }

    /// The labels it gives to each sample.
    #[must_use]
    pub fn labels(&self) -> &Labels {
        &self.labels
    }

    /// How often it is read.
    #[must_use]
    pub fn interval(&self) -> Duration {
        self.interval
    }

    /// How long reading may take.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// How long from `now_millis` until its next turn. Turns lie at fixed points of wall time, set
    /// apart by a hash of the target, so that a restart keeps the rhythm and targets of one
    /// interval do not all answer at once.
    #[must_use]
    pub fn next_turn_after(&self, now_millis: i64) -> Duration {
        let interval = i64::try_from(self.interval.as_millis())
            .unwrap_or(i64::MAX)
            .max(1);
        let mut hasher = foldhash::quality::FixedState::with_seed(0x5ca1_ab1e).build_hasher();
        self.url.as_str().hash(&mut hasher);
        self.labels.hash(&mut hasher);
        let phase = i64::try_from(hasher.finish() >> 1).unwrap_or(0) % interval;
        let wait = (phase - now_millis.rem_euclid(interval)).rem_euclid(interval);
        Duration::from_millis(wait.unsigned_abs())
    }

    /// Merges the target's labels into those of a scraped series, by Prometheus' rules. Labels
    /// given with an empty value count as given when labels are honoured.
    pub(super) fn merge(
        &self,
        metric: &str,
        scraped: &[(Cow<'_, str>, Cow<'_, str>)],
    ) -> Result<Labels, LabelsError> {
        let mut builder = LabelsBuilder::default();
        builder.push(METRIC_NAME, metric);
        let is_ours = |name: &str| !self.labels.get(name).is_empty();
        let mut clashing: Vec<(&str, &str)> = Vec::new();
        for (name, value) in scraped {
            if self.honor_labels || !is_ours(name) {
                builder.push(name, value);
            } else if !value.is_empty() {
                clashing.push((name, value));
            }
        }
        for (name, value) in self.labels.iter() {
            if !self.honor_labels || !scraped.iter().any(|(given, _)| given == name) {
                builder.push(name, value);
            }
        }
        // The shortest first: `a` becomes `exported_a` before `exported_a` itself has to give way.
        clashing.sort_by_key(|(name, _)| name.len());
        for (name, value) in clashing {
            let mut renamed = format!("{EXPORTED}{name}");
            while !builder.get(&renamed).is_empty() || is_ours(&renamed) {
                renamed.insert_str(0, EXPORTED);
            }
            builder.push(&renamed, value);
        }
        builder.build()
    }

    /// The labels of a series that the scraper writes itself.
    pub(super) fn report_labels(&self, metric: &str) -> Result<Labels, LabelsError> {
        self.merge(metric, &[])
    }
}

impl fmt::Debug for Target {
    /// Without a password that the URL may hold.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Target")
            .field("url", &self.shown_url())
            .field("labels", &self.labels)
            .field("interval", &self.interval)
            .field("timeout", &self.timeout)
            .field("honor_labels", &self.honor_labels)
            .finish()
    }
}

fn parse_address(address: &str) -> Result<Url, TargetError> {
    let full: Cow<'_, str> = if address.contains("://") {
        address.into()
    } else if address.contains('/') {
        format!("http://{address}").into()
    } else {
        format!("http://{address}/metrics").into()
    };
    let not_http = || TargetError::NotHttp {
        address: shown_text(address),
    };
    // A URL parser would take the first part of the path for the host.
    if full.contains(":///") {
        return Err(not_http());
    }
    let url = Url::parse(&full).map_err(|source| TargetError::BadUrl {
        address: shown_text(address),
        source: source.into(),
    })?;
    if matches!(url.scheme(), "http" | "https") && url.has_host() {
        Ok(url)
    } else {
        Err(not_http())
    }
}

/// A URL without what must not be logged.
fn shown(url: &Url) -> String {
    let mut bare = url.clone();
    // These fail only for a URL without a host, which has neither.
    if bare.set_username("").is_ok() && bare.set_password(None).is_ok() {
        bare.into()
    } else {
        url.to_string()
    }
}

/// The same for an address that may be no URL at all.
fn shown_text(address: &str) -> String {
    address.rsplit('@').next().unwrap_or_default().to_owned()
}

/// `host:port`, the port always said.
fn instance_of(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    match url.port_or_known_default() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair<'a>(name: &'a str, value: &'a str) -> (Cow<'a, str>, Cow<'a, str>) {
        (name.into(), value.into())
    }

    fn target(labels: &[(&str, &str)]) -> Target {
        Target::new("h:1", "j")
            .unwrap()
            .with_labels(labels.iter().copied())
            .unwrap()
    }

    #[test]
    fn an_address_gives_url_and_instance() {
        for (address, url, instance) in [
            ("gpu-1:8000", "http://gpu-1:8000/metrics", "gpu-1:8000"),
            ("gpu-1/stats", "http://gpu-1/stats", "gpu-1:80"),
            ("https://gpu-1/m?a=b", "https://gpu-1/m?a=b", "gpu-1:443"),
            ("[::1]:9", "http://[::1]:9/metrics", "[::1]:9"),
        ] {
            let target = Target::new(address, "vllm").unwrap();
            assert_eq!(target.url().as_str(), url);
            assert_eq!(target.labels().get("instance"), instance);
        }
        for bad in ["", "ftp://x/", "http://", "a b:1"] {
            assert!(Target::new(bad, "vllm").is_err(), "{bad}");
        }
    }

    #[test]
    fn clashing_labels_are_exported_as_prometheus_exports_them() {
        let merged = target(&[("exported_a", "x"), ("a", "y")])
            .merge(
                "m",
                &[
                    pair("exported_instance", "0"),
                    pair("instance", "1"),
                    pair("job", ""),
                    pair("a", "2"),
                    pair("exported_a", "3"),
                    pair("b", "4"),
                ],
            )
            .unwrap();
        assert_eq!(
            merged.to_string(),
            concat!(
                r#"m{a="y",b="4",exported_a="x",exported_exported_a="2","#,
                r#"exported_exported_exported_a="3",exported_exported_instance="1","#,
                r#"exported_instance="0",instance="h:1",job="j"}"#
            )
        );
    }

    #[test]
    fn honoured_labels_win_even_when_empty() {
        let target = target(&[("a", "y")]).with_honor_labels(true);
        let merged = target.merge("m", &[pair("instance", ""), pair("a", "2")]);
        assert_eq!(merged.unwrap().to_string(), r#"m{a="2",job="j"}"#);
    }

    #[test]
    fn a_password_is_never_shown() {
        let target = Target::new("http://me:secret@h:1/m", "j").unwrap();
        assert_eq!(target.url().password(), Some("secret"));
        assert_eq!(target.shown_url(), "http://h:1/m");
        assert!(!format!("{target:?}").contains("secret"));
        assert_eq!(target.labels().get("instance"), "h:1");
        let second = Duration::from_secs(1);
        for error in [
            Target::new("ftp://me:secret@h/", "j").unwrap_err(),
            Target::new("http://me:secret@:x/", "j").unwrap_err(),
            target.with_times(second, 2 * second).unwrap_err(),
        ] {
            assert!(!error.to_string().contains("secret"), "{error}");
            assert!(!format!("{error:?}").contains("secret"), "{error:?}");
        }
    }

    #[test]
    fn turns_keep_their_phase_over_a_restart() {
        let target = target(&[]);
        let first = target.next_turn_after(1_700_000_000_000);
        assert!(first < target.interval());
        let turn = 1_700_000_000_000 + i64::try_from(first.as_millis()).unwrap();
        assert_eq!(target.next_turn_after(turn), Duration::ZERO);
        assert_eq!(
            target.next_turn_after(turn + 1),
            target.interval() - Duration::from_millis(1)
        );
        assert_eq!(
            target.next_turn_after(turn - 15_000 * 100 - 7),
            Duration::from_millis(7)
        );
    }

    #[test]
    fn turns_of_many_targets_are_spread() {
        let mut seconds = [0; 15];
        for port in 0..1500 {
            let target = Target::new(&format!("h:{}", 1000 + port), "j").unwrap();
            seconds[usize::try_from(target.next_turn_after(0).as_secs()).unwrap()] += 1;
        }
        assert!(
            seconds.iter().all(|&count| (50..200).contains(&count)),
            "{seconds:?}"
        );
    }

    #[test]
    fn a_target_that_cannot_work_is_refused() {
        let make = || Target::new("h:1", "j").unwrap();
        let second = Duration::from_secs(1);
        assert!(make().with_times(second, 2 * second).is_err());
        assert!(make().with_times(second, Duration::ZERO).is_err());
        assert!(make().with_times(Duration::ZERO, Duration::ZERO).is_err());
        assert!(make().with_labels([("__name__", "x")]).is_err());
        assert!(make().with_labels([("a-b", "x")]).is_err());
        assert!(make().with_labels([("", "x")]).is_err());
    }
}
