//! What can be set. `deploy/config/coordinator.toml` is the documentation of every key.

mod alerting;
mod callers;
mod difference;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use daemon::logs::LogConfig;
use daemon::units::{ByteSize, HumanDuration};
use serde::{Deserialize, Serialize};

use crate::access::{Files, Rates};
use crate::join::AuthorityFiles;
use crate::net::TlsFiles;

pub use alerting::AlertingConfig;
pub use callers::{AccessConfig, JoinConfig, TlsConfig};

/// The coordinator's configuration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Config {
    /// Where the database lies.
    pub data_dir: PathBuf,
    /// Where gRPC listens: agents and the command line. Port 0 takes a free one.
    pub grpc_listen: SocketAddr,
    /// Where HTTP listens: health and metrics. Port 0 takes a free one.
    pub http_listen: SocketAddr,
    /// Certificates.
    pub tls: TlsConfig,
    /// Who is let in.
    pub access: AccessConfig,
    /// The authority that signs certificates of agents.
    pub join: JoinConfig,
    /// How long a drain may take.
    pub drain_timeout: HumanDuration,
    /// Logs.
    pub log: LogConfig,
    /// What is kept, and how.
    pub store: StoreConfig,
    /// What agents may send.
    pub ingest: IngestConfig,
    /// What questions may cost.
    pub query: QueryConfig,
    /// What is watched, and when people are told.
    pub alerting: AlertingConfig,
    /// How words leave the house.
    pub notify: notify::Config,
    /// Who is told, by the names that ladders use.
    pub receivers: notify::Receivers,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            data_dir: PathBuf::from("vedette-data"),
            grpc_listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 7700)),
            http_listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 7780)),
            tls: TlsConfig::default(),
            access: AccessConfig::default(),
            join: JoinConfig::default(),
            drain_timeout: HumanDuration::from_secs(30),
            log: LogConfig::default(),
            store: StoreConfig::default(),
            ingest: IngestConfig::default(),
            query: QueryConfig::default(),
            alerting: AlertingConfig::default(),
            notify: notify::Config::default(),
            receivers: notify::Receivers::default(),
        }
    }
}

/// What is kept, and how.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct StoreConfig {
    /// How long samples are kept, in whole days.
    pub retention: HumanDuration,
    /// How long their roll-ups of an hour and a day are kept, in whole days.
    pub window_retention: HumanDuration,
    /// How often the head is written as chunks.
    pub flush_interval: HumanDuration,
    /// Memory for the index and the head together.
    pub memory: ByteSize,
    /// Memory for blocks read back.
    pub block_cache: ByteSize,
    /// Memory for columns that queries have unpacked.
    pub column_cache: ByteSize,
    /// Memory for writes not yet in files.
    pub write_buffer: ByteSize,
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self {
            retention: HumanDuration::from_secs(90 * 86_400),
            window_retention: HumanDuration::from_secs(365 * 86_400),
            flush_interval: HumanDuration::from_secs(30 * 60),
            memory: ByteSize::mib(128),
            block_cache: ByteSize::mib(32),
            column_cache: ByteSize::mib(64),
            write_buffer: ByteSize::mib(64),
        }
    }
}

impl StoreConfig {
    /// Bytes that the index may take: past it, new series are refused.
    #[must_use]
    pub fn index_bytes_max(&self) -> u64 {
        self.memory.as_u64() / 2
    }

    /// Bytes of the head at which it is written, as large as the index leaves room for. What still
    /// comes while it is written may take as much again; beyond that, senders wait.
    #[must_use]
    pub fn head_bytes_max(&self, index_bytes: u64) -> u64 {
        self.memory.as_u64().saturating_sub(index_bytes) / 4
    }
}

/// What agents may send.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct IngestConfig {
    /// Bytes of batches one agent may have under way and not yet acknowledged.
    pub window: ByteSize,
    /// Tells every agent how often to sync; unset leaves it to the agents.
    pub sync_interval: Option<HumanDuration>,
    /// Batches that may wait for the writer before streams are no longer read.
    pub queue_batches_max: usize,
    /// Series one stream may define.
    pub series_per_stream_max: u32,
    /// Series of one agent in the index; 0 for no bound.
    pub series_per_agent_max: u64,
    /// Samples that one agent may send in a second, on the average of ten; 0 for no bound.
    pub samples_per_second_max: u64,
    /// Bytes that one agent may send in a second, on the average of ten; 0 for no bound.
    pub bytes_per_second_max: ByteSize,
    /// Events that one agent may send in a second, on the average of ten; 0 for no bound.
    pub events_per_second_max: u64,
    /// How old a stream may become before its agent is asked to open another; 0 for no bound.
    pub stream_age_max: HumanDuration,
    /// How far in the future a sample may lie.
    pub future_max: HumanDuration,
}

impl Default for IngestConfig {
    fn default() -> Self {
        Self {
            window: ByteSize::mib(8),
            sync_interval: None,
            queue_batches_max: 512,
            series_per_stream_max: 1_000_000,
            series_per_agent_max: 100_000,
            samples_per_second_max: 100_000,
            bytes_per_second_max: ByteSize::mib(4),
            events_per_second_max: 100,
            stream_age_max: HumanDuration::from_secs(12 * 3600),
            future_max: HumanDuration::from_secs(600),
        }
    }
}

/// What questions may cost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct QueryConfig {
    /// How long one may take; the asker's own deadline counts when it is shorter.
    pub timeout: HumanDuration,
    /// How many are answered at a time; the others wait.
    pub concurrency_max: usize,
    /// How far back an instant selector looks for a sample.
    pub lookback: HumanDuration,
    /// Series one may read.
    pub series_max: u64,
    /// Samples one may read.
    pub samples_max: u64,
    /// Entries of a listing of series, label names or values.
    pub listing_max: u32,
}

impl Default for QueryConfig {
    fn default() -> Self {
        Self {
            timeout: HumanDuration::from_secs(120),
            concurrency_max: 8,
            lookback: HumanDuration::from_secs(300),
            series_max: 1_000_000,
            samples_max: 50_000_000,
            listing_max: 100_000,
        }
    }
}

/// A value that cannot work.
#[derive(Debug, thiserror::Error)]
#[error("{path} {problem}")]
pub struct ConfigError {
    /// The key.
    pub path: &'static str,
    /// What is wrong and what would be right.
    pub problem: &'static str,
}

impl Config {
    /// The oldest and the newest time that a sample may have, both inside, in milliseconds.
    #[must_use]
    pub fn sample_times(&self, now_millis: i64) -> (i64, i64) {
        let millis = series::time::duration_millis;
        let oldest = now_millis.saturating_sub(millis(self.store.retention.as_duration()));
        let newest = now_millis.saturating_add(millis(self.ingest.future_max.as_duration()));
        (oldest, newest)
    }

    /// Where certificates lie, if TLS is spoken.
    #[must_use]
    pub fn tls_files(&self) -> Option<TlsFiles> {
        Some(TlsFiles {
            cert: self.tls.cert.clone()?,
            key: self.tls.key.clone()?,
            client_ca: self.tls.client_ca.clone(),
        })
    }

    /// Where it is kept who is let in.
    #[must_use]
    pub fn access_files(&self) -> Files {
        Files {
            tokens: self.access.tokens.clone(),
            revoked: self.tls.revoked.clone(),
            certificates: self.tls.client_ca.is_some(),
        }
    }

    /// Where the authority for agents lies, if there is one.
    #[must_use]
    pub fn authority_files(&self) -> Option<AuthorityFiles> {
        Some(AuthorityFiles {
            cert: self.join.authority_cert.clone()?,
            key: self.join.authority_key.clone()?,
            client_ca: self.tls.client_ca.clone()?,
        })
    }

    /// How often callers may call.
    #[must_use]
    pub fn access_rates(&self) -> Rates {
        Rates::new(
            self.access.requests_per_second_max,
            self.access.failures_per_second_max,
        )
    }

    fn validate_access(&self) -> Result<(), ConfigError> {
        let wrong = |path, problem| Err(ConfigError { path, problem });
        match (&self.tls.cert, &self.tls.key) {
            (Some(_), None) => return wrong("tls.key", "is missing beside tls.cert"),
            (None, Some(_)) => return wrong("tls.cert", "is missing beside tls.key"),
            (None, None) if self.tls.client_ca.is_some() => {
                return wrong("tls.client_ca", "needs tls.cert and tls.key");
            }
            _ => {}
        }
        if self.tls.revoked.is_some() && self.tls.client_ca.is_none() {
            return wrong("tls.revoked", "needs tls.client_ca");
        }
        if self.access.insecure {
            return Ok(());
        }
        for (key, address) in [
            ("grpc_listen", self.grpc_listen),
            ("http_listen", self.http_listen),
        ] {
            if address.ip().is_loopback() {
                continue;
            }
            if self.tls.cert.is_none() {
                return wrong(
                    key,
                    "is reached from beyond this machine in plain text: set tls.cert and tls.key, or \
                     --insecure where the network is trusted",
                );
            }
            if self.tls.client_ca.is_none() && self.access.tokens.is_none() {
                return wrong(
                    key,
                    "is reached from beyond this machine by anyone: set tls.client_ca or \
                     access.tokens, or --insecure where the network is trusted",
                );
            }
        }
        Ok(())
    }

    /// Checks what the types do not.
    ///
    /// # Errors
    /// Names the first key whose value cannot work.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let day = Duration::from_secs(86_400);
        let second = Duration::from_secs(1);
        let at_least = |ok: bool, path, problem| {
            if ok {
                Ok(())
            } else {
                Err(ConfigError { path, problem })
            }
        };
        let has_data_dir = !self.data_dir.as_os_str().is_empty();
        at_least(has_data_dir, "data_dir", "is empty")?;
        self.validate_access()?;
        self.join.validate(&self.tls)?;
        self.alerting.validate()?;
        at_least(
            self.store.retention.as_duration() >= day,
            "store.retention",
            "is under a day; days are dropped whole, so \"1d\" is the least",
        )?;
        at_least(
            self.store.flush_interval.as_duration() >= second,
            "store.flush_interval",
            "is under \"1s\"",
        )?;
        at_least(
            self.store.window_retention.as_duration() >= self.store.retention.as_duration(),
            "store.window_retention",
            "is under store.retention; roll-ups are kept at least as long as samples",
        )?;
        at_least(
            self.store.memory.as_u64() >= 16 << 20,
            "store.memory",
            "is under \"16MiB\"",
        )?;
        at_least(
            self.ingest.window.as_u64() >= wire::MESSAGE_BYTES_MAX as u64,
            "ingest.window",
            "is under \"4MiB\", the largest message",
        )?;
        at_least(
            self.ingest
                .sync_interval
                .is_none_or(|every| every.as_duration() >= second),
            "ingest.sync_interval",
            "is under \"1s\"",
        )?;
        let age = self.ingest.stream_age_max.as_duration();
        at_least(
            age.is_zero() || age >= second,
            "ingest.stream_age_max",
            "is under \"1s\"; \"0s\" is for no bound",
        )?;
        at_least(
            self.ingest.queue_batches_max > 0,
            "ingest.queue_batches_max",
            "is 0",
        )?;
        at_least(
            self.query.concurrency_max > 0,
            "query.concurrency_max",
            "is 0",
        )?;
        at_least(
            self.query.timeout.as_duration() > Duration::ZERO,
            "query.timeout",
            "is 0",
        )?;
        at_least(self.query.listing_max > 0, "query.listing_max", "is 0")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_valid_and_a_bad_value_is_named() {
        let mut config = Config::default();
        config.validate().unwrap();
        config.store.retention = HumanDuration::from_secs(60);
        assert_eq!(config.validate().unwrap_err().path, "store.retention");
    }

    #[test]
    fn it_listens_beyond_this_machine_with_tls_and_callers_known_or_when_told_to() {
        let mut config = Config {
            grpc_listen: "0.0.0.0:7700".parse().unwrap(),
            ..Config::default()
        };
        let refused = |config: &Config| config.validate().map_err(|error| error.to_string());
        assert!(refused(&config).unwrap_err().contains("plain text"));
        config.tls.cert = Some("cert.pem".into());
        assert!(refused(&config).unwrap_err().starts_with("tls.key"));
        config.tls.key = Some("key.pem".into());
        assert!(refused(&config).unwrap_err().contains("by anyone"));
        config.access.tokens = Some("tokens.toml".into());
        assert_eq!(refused(&config), Ok(()));
        config = Config {
            http_listen: "[::]:7780".parse().unwrap(),
            ..Config::default()
        };
        assert!(refused(&config).unwrap_err().starts_with("http_listen"));
        config.access.insecure = true;
        assert_eq!(refused(&config), Ok(()));
        config.join.authority_cert = Some("ca.pem".into());
        assert!(
            refused(&config)
                .unwrap_err()
                .starts_with("join.authority_key")
        );
        config.join.authority_key = Some("ca.key".into());
        assert!(
            refused(&config)
                .unwrap_err()
                .contains("needs tls.client_ca")
        );
        config.tls.client_ca = Some("ca.pem".into());
        assert!(refused(&config).unwrap_err().starts_with("tls.client_ca"));
    }
}
