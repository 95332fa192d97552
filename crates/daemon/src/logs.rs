//! Logs on standard error: short text for people, JSON for collectors.
//!
//! Times are UTC with milliseconds (RFC 3339). Standard output stays free for results.

use std::fmt;
use std::io::{self, IsTerminal as _};
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use tracing_subscriber::filter::{EnvFilter, ParseError};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::reload;
use tracing_subscriber::util::{SubscriberInitExt as _, TryInitError};
use tracing_subscriber::{Layer as _, Registry};

use crate::clock::{SharedClock, SystemClock};

/// How a line looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// One short line for a person.
    #[default]
    Text,
    /// One JSON object.
    Json,
}

impl FromStr for LogFormat {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            other => Err(Error::Format {
                text: other.to_owned(),
            }),
        }
    }
}

impl fmt::Display for LogFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Text => "text",
            Self::Json => "json",
        })
    }
}

/// Whether text is coloured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogColor {
    /// When standard error is a terminal and `NO_COLOR` is not set (<https://no-color.org>).
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// What is logged, and how.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LogConfig {
    /// How a line looks.
    pub format: LogFormat,
    /// Which events are logged, in the words of `tracing_subscriber::EnvFilter`: `info`, or
    /// `info,agent::sync=debug`.
    pub filter: String,
    /// Whether text is coloured. JSON never is.
    pub color: LogColor,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self {
            format: LogFormat::Text,
            filter: "info".to_owned(),
            color: LogColor::Auto,
        }
    }
}

impl LogConfig {
    /// Checks what the types do not.
    ///
    /// # Errors
    /// When the filter cannot be read.
    pub fn validate(&self) -> Result<(), Error> {
        parse_filter(&self.filter).map(|_filter| ())
    }
}

/// Why the logs cannot be set up or changed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The format is none that we have.
    #[error("log format {text:?} is neither \"text\" nor \"json\"")]
    Format {
        /// The text.
        text: String,
    },
    /// The filter cannot be read.
    #[error("log filter {filter:?} is not valid")]
    Filter {
        /// The filter.
        filter: String,
        /// What is wrong with it.
        #[source]
        source: ParseError,
    },
    /// The logs of this process are set up already.
    #[error("setting up logs a second time")]
    Twice {
        /// What says so.
        #[source]
        source: TryInitError,
    },
    /// The logs that the handle belonged to are gone.
    #[error("changing the log filter")]
    Gone {
        /// What says so.
        #[source]
        source: reload::Error,
    },
}

impl Error {
    /// Whether to try again may help.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Format { .. } | Self::Filter { .. } | Self::Twice { .. } | Self::Gone { .. } => {
                false
            }
        }
    }
}

/// Changes the filter of running logs. Clones share it.
#[derive(Clone, Debug)]
pub struct LogHandle(reload::Handle<EnvFilter, Registry>);

impl LogHandle {
    /// Uses another filter from now on; the old one stays when the new one cannot be read.
    ///
    /// # Errors
    /// When the filter cannot be read, or the logs are gone.
    pub fn reload(&self, filter: &str) -> Result<(), Error> {
        self.0
            .reload(parse_filter(filter)?)
            .map_err(|source| Error::Gone { source })
    }
}

/// Sets up the logs of this process on standard error, once.
///
/// # Errors
/// When the filter cannot be read, or logs are set up already.
pub fn init(config: &LogConfig) -> Result<LogHandle, Error> {
    let color = match config.color {
        LogColor::Always => true,
        LogColor::Never => false,
        LogColor::Auto => io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none(),
    };
    let (subscriber, handle) = subscriber(config, color, SystemClock::shared(), io::stderr)?;
    subscriber
        .try_init()
        .map_err(|source| Error::Twice { source })?;
    Ok(handle)
}

/// Everything that [`init`] sets up, for any writer and clock.
fn subscriber<W>(
    config: &LogConfig,
    color: bool,
    clock: SharedClock,
    writer: W,
) -> Result<(impl tracing::Subscriber + Send + Sync + 'static, LogHandle), Error>
where
    W: for<'writer> MakeWriter<'writer> + Send + Sync + 'static,
{
    let (filter, handle) = reload::Layer::new(parse_filter(&config.filter)?);
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(writer)
        .with_timer(UtcMillis(clock));
    let lines = match config.format {
        LogFormat::Text => lines.compact().with_ansi(color).boxed(),
        LogFormat::Json => lines
            .json()
            .flatten_event(true)
            .with_current_span(true)
            .with_span_list(false)
            .with_ansi(false)
            .boxed(),
    };
    let subscriber = tracing_subscriber::registry().with(filter).with(lines);
    Ok((subscriber, LogHandle(handle)))
}

fn parse_filter(filter: &str) -> Result<EnvFilter, Error> {
    EnvFilter::builder()
        .parse(filter)
        .map_err(|source| Error::Filter {
            filter: filter.to_owned(),
            source,
        })
}

/// Writes `2026-01-02T03:04:05.678Z`.
struct UtcMillis(SharedClock);

impl FormatTime for UtcMillis {
    fn format_time(&self, out: &mut Writer<'_>) -> fmt::Result {
        write_utc(out, self.0.wall_millis())
    }
}

/// Milliseconds since the Unix epoch as RFC 3339 in UTC. Source of the calendar: H. Hinnant,
/// "chrono-Compatible Low-Level Date Algorithms", `civil_from_days`.
fn write_utc(out: &mut impl fmt::Write, millis: i64) -> fmt::Result {
    const DAY_MILLIS: i64 = 86_400_000;
    const ERA_DAYS: i64 = 146_097;
    let in_day = millis.rem_euclid(DAY_MILLIS);
    // Days since 0000-03-01, so that the leap day is the last of its year.
    let days = millis.div_euclid(DAY_MILLIS) + 719_468;
    let era = days.div_euclid(ERA_DAYS);
    let day_of_era = days.rem_euclid(ERA_DAYS);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (hour, minute) = (in_day / 3_600_000, in_day / 60_000 % 60);
    let (second, milli) = (in_day / 1000 % 60, in_day % 1000);
    write!(
        out,
        "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z"
    )
}

#[cfg(test)]
mod tests;
